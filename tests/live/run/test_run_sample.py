#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The pages that the checker holds: test_run_sample.py UHMM PROGRAM. TAP out.

PROGRAM replaces one page after the other, at the same addresses. A device that is
deaf to 1 of 100 replacements uses old pages; without frames it can be found out
by their data alone, if they happen to be held: in one of a few runs.
"""

import ctypes
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tap import run_cases

UHMM = os.path.abspath(sys.argv[1])
PROGRAM = os.path.abspath(sys.argv[2])
ENDS = {'replaces': (6, b'replaces 719400\n'), 'shares': (8, b'shares 512 0\n')}
PR_CAPBSET_DROP, CAP_SYS_ADMIN = 24, 21
TRIES = 4


def as_an_ordinary_user():
    """What is executed is not told of frames."""
    if not os.geteuid():
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0)


def under(device, begin=as_an_ordinary_user, kind='replaces'):
    """Its first process."""
    with tempfile.NamedTemporaryFile() as out:
        done = subprocess.run([UHMM, 'run', '--device', device, '--json',
                               '--output', out.name, '--', PROGRAM, kind],
                              stdin=subprocess.DEVNULL, timeout=60,
                              capture_output=True, check=False,
                              preexec_fn=begin)
        lines = pathlib.Path(out.name).read_text().splitlines()
    assert (done.returncode, done.stdout) == ENDS[kind], done
    return json.loads(lines[0])


def test_nothing_is_stale_and_frames_are_not_known():
    process = under('checker')
    assert not process['frames'], process
    assert process['sampled'] > 100, process
    assert not process['stale'] and not process['confirmed'], process
    assert not process['moved'], process


def test_a_deaf_device_is_found_out_by_the_data():
    for _ in range(TRIES):
        process = under('checker,deaf')
        assert not process['frames'] and process['dropped'], process
        assert process['confirmed'] <= process['stale'], process
        if process['confirmed']:
            return
    raise AssertionError(process)


def test_frames_and_data_agree():
    process = under('checker', None)
    assert process['frames'] == (not os.geteuid()), process
    assert process['sampled'] > 100, process
    assert not process['stale'] and not process['moved'], process


def test_who_compares_moves_nothing():
    """What a fork shares stays shared: to look at it is not to copy it."""
    process = under('checker', None, 'shares')
    assert process['sampled'], process
    assert process['moved'] < 20, process


if __name__ == '__main__':
    sys.exit(run_cases(sys.modules[__name__]))
