#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""uhmm run --device dmirror: test_dmirror.py UHMM PROGRAM ALONE. TAP out.

PROGRAM is written for the device that Linux tests HMM with; it prints TAP
itself, here and where that device is. ALONE does what only a program of one thread
can do.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tap import Tap

UHMM = os.path.abspath(sys.argv[1])
PROGRAM = os.path.abspath(sys.argv[2])
ALONE = os.path.abspath(sys.argv[3])


def run(command, *options):
    """How it ended, and the tool's summary."""
    with tempfile.NamedTemporaryFile() as out:
        done = subprocess.run([UHMM, 'run', '--json', '--output', out.name,
                               '--device', 'dmirror', *options, '--', *command],
                              timeout=120, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, check=False)
        lines = pathlib.Path(out.name).read_text().splitlines()
    return done, [json.loads(line) for line in lines]


# mprotect() is not seen at G0, see docs/coverage.md.
UNSEEN = ['write to what is read only', 'write when it may be']


def check_device(number, level, guarantee):
    command = [PROGRAM, f'/dev/hmm_dmirror{number}']
    if level == 'newest':
        command.append(level)
    done, lines = run(command, '--kernel-level', level, '--guarantee',
                      guarantee)
    said = done.stdout.splitlines()
    bad = [line for line in said if line.startswith('not ok') and not
           (guarantee == 'G0' and line.split(' - ')[1] in UNSEEN)]
    # Its plan comes last: it went through.
    if bad or done.returncode or not said or not said[-1].startswith('1..'):
        return f'{bad}\n{done}'
    summary = lines[-1]
    if summary['commands']['read'] < 40 or summary['opens'] < 4 or \
            not summary['invalidations']['unmap']:
        return f'{summary}'
    return None


# What the program does, and what it is mirrored until.
ENDS = {
    'unshare': 'entered another namespace',
    'setns': 'entered another namespace',
    'capset': 'changed privileges of one thread',
    'keepcaps': 'changed privileges of one thread',
}


def check_alone(call):
    for guarantee in 'G0', 'G1':
        done, lines = run([ALONE, '/dev/hmm_dmirror0', call], '--guarantee',
                          guarantee)
        said = done.stdout.splitlines()
        if done.returncode or not said or not said[-1].startswith('1..') or \
                not all(line.startswith('ok') for line in said[:-1]):
            return f'{guarantee}: {done}'
        if lines[0]['guarantee'] != 'none' or lines[0]['reason'] != \
                f'mirrored until it {ENDS[call]}':
            return f'{guarantee}: {lines[0]}'
    return None


def check_python():
    """An interpreter's open() and ioctl() are libc's as well."""
    program = 'import ctypes, fcntl, os, struct\n' \
        'fd = os.open("/dev/hmm_dmirror0", os.O_RDWR)\n' \
        'libc = ctypes.CDLL(None)\n' \
        'libc.mmap.restype = ctypes.c_void_p\n' \
        'at = libc.mmap(None, ctypes.c_size_t(4096), 3, 0x22, -1, 0)\n' \
        'ctypes.memset(at, 77, 4096)\n' \
        'to = ctypes.create_string_buffer(4096)\n' \
        'fcntl.ioctl(fd, 0xc0284800, struct.pack("5Q", at, ' \
        'ctypes.addressof(to), 1, 0, 0))\n' \
        'print(to.raw == bytes([77]) * 4096)\n'
    done, _ = run([sys.executable, '-c', program])
    return None if done.stdout == 'True\n' else f'{done}'


def check_none():
    """In a program that has no such device it is not there."""
    done = subprocess.run([UHMM, 'run', '--', PROGRAM, '/dev/hmm_dmirror0'],
                          stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60, check=False)
    if done.returncode != 2 or 'No such file' not in done.stderr:
        return f'{done}'
    return None


CASES = {
    'a private device, as Linux 6.1': lambda: check_device(0, '6.1', 'G1'),
    'a coherent device': lambda: check_device(2, '6.1', 'G1'),
    'as the newest Linux': lambda: check_device(1, 'newest', 'G1'),
    'with events alone': lambda: check_device(3, 'newest', 'G0'),
    'python opens one': check_python,
    'no device without it': check_none,
    'a user namespace of its own': lambda: check_alone('unshare'),
    'a namespace that it enters': lambda: check_alone('setns'),
    'privileges of one thread': lambda: check_alone('capset'),
    'privileges that it keeps': lambda: check_alone('keepcaps'),
}


def main():
    tap = Tap(len(CASES))
    skip = 'the machine has such devices itself' \
        if os.path.exists('/dev/hmm_dmirror0') else None
    for name, check in CASES.items():
        try:
            tap.say(name, None if skip else check(), skip)
        except Exception as problem:
            tap.say(name, repr(problem))
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
