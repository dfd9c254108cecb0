#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Who is in the program allocates nothing: test_run_allocates.py UHMM FOLDER PRELOAD
DMIRROR. TAP out.

Of what allocates, reads or writes text the library that is preloaded needs what is
explained here alone, and none of it while the program runs. FOLDER has the program.
"""

import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tap import run_cases

UHMM = os.path.abspath(sys.argv[1])
ALLOCATES = str(pathlib.Path(sys.argv[2]).resolve() / 'allocates')
PRELOAD, DMIRROR = sys.argv[3:]

FAMILIES = re.compile(r'alloc|memalign|free|strn?dup|printf|scanf|^f?(open|dopen|'
                      r'read|write|put|get)[sc]?$|put(s|c|char)|get(line|delim)|'
                      r'dir|std(in|out|err)|json')
EXPLAINED = {
    'calloc': 'the address space, as the agent begins',
    'aligned_alloc': 'a part of that',
    'free': 'and its end',
    'snprintf': 'a reason, or a path in /proc, into an array',
    'vsnprintf': 'a reason, into an array',
    'sscanf': 'a line of /proc/self/maps, out of an array',
    'fputs': 'why the process is ended here',
    'fwrite': 'what compilers make of that',
    'stderr': 'where it is said',
}
# They have no buffer, and are no text.
CALLS = {'open', 'read', 'write'}


def needs(library):
    """Of these families, and that nobody has explained."""
    lines = subprocess.run(['nm', '-D', '--undefined-only', library], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    names = {re.sub(r'^_*(isoc\d+_)?|(_chk)?(@.*)?$', '', line.split()[-1])
             for line in lines}
    assert 'memcpy' in names, lines
    return {name for name in names if FAMILIES.search(name)} - \
        EXPLAINED.keys() - CALLS


def test_it_needs_what_is_explained():
    assert not needs(PRELOAD), needs(PRELOAD)


def test_who_prints_is_seen():
    """Known to be bad."""
    text = '''#include <stdio.h>
              #include <stdlib.h>
              #include <string.h>
              int says(char *to, char *from, int n)
              {
                  memcpy(to, from, (size_t)n);
                  return printf("{%d}", n) + (malloc((size_t)n) != NULL) +
                         (fopen(to, "w") != NULL);
              }'''
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(['cc', '-O1', '-shared', '-fPIC', '-x', 'c', '-', '-o',
                        f'{folder}/bad.so'], check=True, input=text, text=True)
        assert needs(f'{folder}/bad.so') == {'printf', 'malloc', 'fopen'}


def test_who_opens_devices_is_seen():
    """The library with these is another one: a program that opens them is told of."""
    assert {'malloc', 'opendir'} <= needs(DMIRROR), needs(DMIRROR)


def counted(options, *more):
    done = subprocess.run([UHMM, *options, '--', ALLOCATES, *more],
                          stdin=subprocess.DEVNULL, timeout=60, check=False,
                          capture_output=True, text=True)
    assert not done.returncode, done
    before, meanwhile = map(int, done.stdout.split())
    # It begins there, with what it allocates then.
    assert before, done
    return meanwhile


def test_nothing_is_allocated_meanwhile():
    """Neither by it nor, for it, by libc."""
    for options in (['run', '--guarantee', 'G0'], ['run', '--guarantee', 'G1'],
                    ['run', '--guarantee', 'G2'], ['watch'],
                    ['run', '--device', 'dmirror']):
        if platform.machine() == 'x86_64' or options[-1] in ('G0', 'dmirror'):
            allocated = counted(options)
            assert not allocated, f'{options}: {allocated} times'


def test_who_allocates_meanwhile_is_seen():
    """Known to be bad: a device that is opened is allocated."""
    if platform.machine() != 'x86_64':
        raise unittest.SkipTest('who opens one is not known on this machine')
    assert counted(['run', '--device', 'dmirror'], '/dev/hmm_dmirror0')


if __name__ == '__main__':
    sys.exit(run_cases(sys.modules['__main__']))
