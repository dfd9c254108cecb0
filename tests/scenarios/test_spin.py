#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The explorer on code, and spin on a model of it, come to the same verdict:
test_spin.py UHMM EXPLORED_TEST.so CC [SPIN]. TAP out.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from tap import Tap

MODEL = pathlib.Path(__file__).resolve().parent.parent / 'explore/protocol.pml'
# In the order of enum variant. Spin knows one kind of standstill.
SCENARIOS = ('good2', 'valid_bool', 'valid_count', 'read_under_lock',
             'waits_too_late')
SAME = {'stale access': 'assertion violated',
        'lock held across a wait': 'invalid end state',
        'lost wakeup': 'invalid end state',
        None: None}


def output_of(*args, folder=None, **environ):
    return subprocess.run(args, cwd=folder, env={**os.environ, **environ},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False).stdout


def build(spin, compiler, folder):
    said = output_of(spin, '-a', MODEL, folder=folder)
    said += output_of(compiler, '-w', '-O1', '-DSAFETY', '-o', 'pan', 'pan.c',
                      folder=folder)
    if not (folder / 'pan').exists():
        raise RuntimeError(said)


def verdict_of_spin(folder, variant):
    said = output_of('./pan', '-m100000', folder=folder, VARIANT=str(variant))
    for verdict in SAME.values():
        if verdict and verdict in said.split('(Spin')[0]:
            return verdict
    if 'errors: 0' not in said or 'max search depth too small' in said:
        raise RuntimeError(said)
    return None


def verdict_of_explorer(uhmm, scenarios, name):
    with tempfile.TemporaryDirectory() as folder:
        said = output_of(uhmm, 'explore', scenarios, name, '--json',
                         '--seconds', '-1', folder=folder)
    report = json.loads(said.splitlines()[0])
    if report['ladder']:
        return report['ladder']['defect']
    if not report['complete']:
        raise RuntimeError(said)
    return None


def problem_of(folder, uhmm, scenarios, variant):
    have = verdict_of_explorer(uhmm, scenarios, SCENARIOS[variant])
    model = verdict_of_spin(folder, variant)
    if SAME[have] != model:
        return f'the explorer says {have}, spin says {model}'
    return None


def main():
    uhmm, scenarios, compiler, *spin = sys.argv[1:]
    uhmm = pathlib.Path(uhmm).resolve()
    tap = Tap(len(SCENARIOS))
    if not spin:
        for name in SCENARIOS:
            tap.say(name, skip='spin is not installed')
        return tap.status()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        build(*spin, compiler, folder)
        for variant, scenario in enumerate(SCENARIOS):
            tap.say(scenario, problem_of(folder, uhmm, scenarios, variant))
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
