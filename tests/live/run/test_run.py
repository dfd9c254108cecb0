#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""uhmm run on real programs: test_run.py UHMM [NAME...], or, on larger ones,
test_run.py UHMM --soak STORM SECONDS [NAME...]. TAP out.

Each runs bare, mirrored, and mirrored by a device that is deaf to 1 of 100
invalidations. Mirrored, its output and status are what they were bare, and
nothing stale was used; the deaf device must have used something stale, in one of
three runs: it may be that nothing was mirrored yet of what went.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tap import Tap
from programs import programs
from soak_programs import soak_programs

ROOT = pathlib.Path(__file__).resolve().parents[3]
UHMM = os.path.abspath(sys.argv[1])
SOAK = sys.argv[2:3] == ['--soak']
SECONDS = 3000 if SOAK else 120


def run(program, *prefix):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        program.make(folder)
        done = subprocess.run([*prefix, *program.command], cwd=folder,
                              stdin=subprocess.DEVNULL, timeout=SECONDS,
                              capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


def under(program, *options):
    """What `uhmm run` did to the program, and its summary by processes."""
    with tempfile.NamedTemporaryFile() as out:
        ended = run(program, UHMM, 'run', '--json', '--output', out.name,
                    *options, '--')
        lines = [json.loads(line) for line in
                 pathlib.Path(out.name).read_text().splitlines()]
    assert lines and all(line['schema'] == 1 for line in lines)
    return ended, lines[:-1], lines[-1]


def check_mirrored(program, bare):
    if bare[0] in (126, 127):       # of a shell that could not start it
        return f'bare it did not run: {bare}'
    ended, processes, summary = under(program)
    if ended != bare:
        return f'ended with {ended}, bare with {bare}'
    if summary['stale']:
        return f'stale entries were used: {processes}'
    if summary['with_agent'] != summary['processes']:
        return f'a process without an agent: {processes}'
    if summary['share'] < program.share:
        return f'{summary["share"]:.3f} of memory mirrored: {processes}'
    if not summary['faults'] or not summary['reads']:
        return f'the device did nothing: {summary}'
    return None


def check_deaf(program, bare):
    for _ in range(3):
        problem = check_deaf_once(program, bare)
        if not problem:
            break
    return problem


def check_deaf_once(program, bare):
    ended, processes, summary = under(program, '--device', 'checker,deaf')
    if ended != bare:
        return f'ended with {ended}, bare with {bare}'
    if not summary['dropped']:
        return f'nothing was dropped: {processes}'
    if not summary['stale']:
        return f'nothing stale was found: {processes}'
    return None


def main():
    todo = soak_programs(*sys.argv[3:5]) if SOAK else programs(ROOT)
    names = sys.argv[5:] if SOAK else sys.argv[2:]
    todo = [program for program in todo if not names or program.name in names]
    tap = Tap(sum(1 + program.deaf for program in todo))
    for program in todo:
        bare = None if program.missing() else run(program)
        for name, check in (('mirrored', check_mirrored),
                            ('deaf device', check_deaf))[:1 + program.deaf]:
            missing = program.missing()
            if not missing and check is check_deaf and os.geteuid():
                missing = 'without frames a sample shows it, now and then'
            try:
                tap.say(f'{program.name}: {name}',
                        None if missing else check(program, bare), missing)
            except Exception as problem:
                tap.say(f'{program.name}: {name}', repr(problem))
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
