#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Kinds of programs under uhmm run: test_run_kinds.py UHMM FOLDER. TAP out.

Those that start others, and have threads before and after, and a malloc() of their
own: what they print, and their status, is what it is bare, nothing stale was used,
each program had an agent, and the guarantee is the one that is expected, with
the reason. FOLDER has the programs.
"""

import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tap import Tap

UHMM = os.path.abspath(sys.argv[1])
FOLDER = pathlib.Path(sys.argv[2]).resolve()
# Of system calls.
NUMBERS = {'userfaultfd': {'x86_64': 323}.get(platform.machine(), 282)}


def run(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=60,
                          capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


def under(command, *prefix):
    with tempfile.NamedTemporaryFile() as out:
        ended = run([*prefix, UHMM, 'run', '--json', '--output', out.name, '--',
                     *command])
        lines = [json.loads(line) for line in
                 pathlib.Path(out.name).read_text().splitlines()]
    return ended, lines[:-1], lines[-1]


def check(program, kind, processes=None, guarantee='G1', reason='', sandbox=(),
          mirrored=None):
    command = [str(FOLDER / program), kind]
    bare = run(command)
    if bare[0] in (1, 100) or not bare[1]:
        return f'bare: {bare}'
    ended, each, summary = under(command, *sandbox)
    if ended != bare:
        return f'ended with {ended}, bare with {bare}'
    if summary['stale'] or summary['with_agent'] != summary['processes']:
        return f'{summary}'
    if processes and summary['processes'] != processes:
        return f'{summary["processes"]} processes: {each}'
    if summary['guarantee'] != guarantee:
        return f'{summary["guarantee"]}: {each}'
    if not all(reason in one['reason'] for one in each):
        return f'{each}'
    if summary['share'] > 1 or not summary['resident'] and summary['mirrored']:
        return f'more is mirrored than is there: {summary}'
    # What nobody watches is not mirrored.
    if mirrored is None:
        mirrored = guarantee != 'none'
    if mirrored != (summary['faults'] > 0):
        return f'the device: {summary}'
    return None


def few_files(n):
    return ['sh', '-c', f'ulimit -n {n}; exec "$@"', 'sh']


# What Linux 6.1 lacks.
OLD = ['env', 'UHMM_LIVE_WITHOUT=wp-async,move,pagemap-scan,procmap-query']

# Name, and what check() takes.
KINDS = {
    'a program': ('kinds', 'plain', 1),
    'threads': ('kinds', 'threads', 1),
    'threads, and the first one ends first': ('kinds', 'outlives', 1),
    'a kernel as old as can be': ('kinds', 'threads', 1, 'G1', '', OLD),
    'an old kernel, and forks': ('kinds', 'forks', 21, 'G1', '', OLD),
    'an old kernel, at G0': ('kinds_early', 'forks', 21, 'G0',
                             'more than one thread', OLD),
    'few files may be open': ('kinds', 'forks', 21, 'G1', '', few_files(10)),
    'fewer files than it takes': (
        'kinds', 'forks', 21, 'none', 'the limit of open files',
        few_files(7)),
    'forks': ('kinds', 'forks', 21),
    # Children that only end are the parent still.
    'vforks, and programs that they become': ('kinds', 'vforks', 6),
    'a program becomes another one': ('kinds', 'exec', 2),
    'a thread of it makes it another one': ('kinds', 'exec_threads', 2),
    'a malloc() of its own': ('kinds_malloc', 'plain', 1),
    'a malloc() of its own, and threads': ('kinds_malloc', 'threads', 1),
    'a malloc() of its own, and forks': ('kinds_malloc', 'forks', 21),
    'a thread before the agent': ('kinds_early', 'plain', 1, 'G0',
                                  'more than one thread'),
    'a thread before the agent, and others': ('kinds_early', 'threads', 1, 'G0',
                                              'more than one thread'),
    'segments of System V': ('kinds', 'segments', 1),
    'the same at G0': ('kinds_early', 'segments', 1, 'G0',
                       'more than one thread'),
    'areas across a boundary, and forks': ('kinds', 'crosses', 21),
    'the same areas at G0': ('kinds_early', 'crosses', 21, 'G0',
                             'more than one thread'),
    'a user namespace of its own': (
        'kinds', 'namespace', 1, 'none',
        'mirrored until it entered another namespace', [], True),
    'privileges of one thread': (
        'kinds', 'privileges', 1, 'none',
        'mirrored until it changed privileges of one thread', [], True),
    'files get the numbers that they have without': (
        'kinds', 'descriptors', 2),
    'all descriptors are closed': (
        'kinds', 'closes', 1, 'none', 'a descriptor was closed', [], True),
    'the same at G0, and all are closed': (
        'kinds_early', 'closes', 1, 'none', 'a descriptor was closed', [],
        True),
    'who drops pages is not seen to have done so': (
        'kinds_early', 'spins', 1, 'none', 'the end of a removal was not seen, '
        '1 of ', [], True),
    'built with ASan': ('kinds_asan', 'threads', 1),
    'built with ASan, and forks': ('kinds_asan', 'forks', 21),
    'built with ASan, and looks for leaks before it ends': (
        'kinds_asan', 'leaks', 1, 'none', 'mirrored until it looked for leaks',
        [], True),
    'a program that restricts its own system calls': (
        'kinds', 'restricted', 1, 'none',
        'mirrored until it restricted its system calls', [], True),
    'the same at G0, where nothing is patched': (
        'kinds_early', 'restricted', 1, 'none',
        'mirrored until it restricted its system calls', [], True),
    'a sandbox without userfaultfd': (
        'kinds', 'threads', 1, 'none', 'userfaultfd is refused',
        [str(FOLDER / 'sandbox'), str(NUMBERS['userfaultfd'])]),
}


def main():
    tap = Tap(len(KINDS))
    skip = None if platform.machine() == 'x86_64' else 'no G1 on this machine'
    for name, kind in KINDS.items():
        why = skip or (None if (FOLDER / kind[0]).exists() else
                       'the compiler has no AddressSanitizer')
        try:
            tap.say(name, None if why else check(*kind), why)
        except Exception as problem:
            tap.say(name, repr(problem))
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
