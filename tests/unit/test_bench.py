#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""How the benchmarks behave, not what they measure: test_bench.py BUILD. TAP."""

import json
import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / 'tests'))
from tap import run_cases

BENCH = pathlib.Path(sys.argv[1]) / 'bench'
USAGE = 129
KINDS = {'note', 'missing', 'comparison', 'figure', 'target'}


def run(name, *args):
    return subprocess.run([BENCH / f'bench_{name}', *args], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          check=False)


def interrupt(name, lines):
    """Interrupt once @lines are out, return (status, stdout)."""
    with subprocess.Popen([BENCH / f'bench_{name}', '--json'], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        first = ''.join(process.stdout.readline() for _ in range(lines))
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
        return process.returncode, first + rest


def check_json(text):
    lines = text.splitlines()
    assert lines, 'nothing on stdout'
    objects = [json.loads(line) for line in lines]
    for o in objects:
        assert o['schema'] == 1, o
        assert o['kind'] in KINDS, o
        assert o['kind'] not in ('comparison', 'figure') or o['section'], o
    return objects


def check_refused(done, word):
    assert done.returncode == USAGE, done.returncode
    assert not done.stdout, done.stdout
    assert word in done.stderr, done.stderr


def test_unknown_option_is_refused():
    check_refused(run('notifier', '--fast'), '--fast')


def test_unknown_argument_is_refused():
    check_refused(run('memory', 'everything'), 'everything')


def test_unknown_search_is_refused():
    check_refused(run('memory', '--search', 'linear'), 'linear')


def test_json_is_an_object_a_line():
    done = run('memory', '--json')
    assert done.returncode == 0, done.stderr
    objects = check_json(done.stdout)
    targets = [o for o in objects if o['kind'] == 'target']
    assert [t['id'] for t in targets] == ['T14'], targets
    assert targets[0]['verdict'] in ('holds', 'misses'), targets


def test_search_can_be_chosen():
    done = run('memory', '--json', '--search', 'portable')
    notes = [o for o in check_json(done.stdout) if o['kind'] == 'note']
    assert notes[0]['value'] == 'portable', notes


def test_table_is_the_default():
    done = run('memory')
    assert done.returncode == 0, done.stderr
    assert 'T14' in done.stdout and 'schema' not in done.stdout


def test_interrupted_it_prints_what_it_has():
    status, text = interrupt('notifier', 3)
    assert status == 0, status
    objects = check_json(text)
    assert any(o['kind'] == 'comparison' for o in objects), text
    notes = [o for o in objects if o['kind'] == 'note']
    assert any(o['value'] == 'interrupted' for o in notes), notes
    targets = [o for o in objects if o['kind'] == 'target']
    assert targets and any(o['verdict'] == 'not measured' for o in targets)


def test_two_threads_interrupted():
    status, text = interrupt('concurrency', 1)
    assert status == 0, status
    check_json(text)


sys.exit(run_cases(sys.modules[__name__]))
