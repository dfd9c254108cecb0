#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Each scenario has the outcome it declares:
test_scenarios.py UHMM [--all | --few].

How far the tool goes by itself is counted in executions and steps; a limit of
time would make the outcome depend on the machine. Those that show what single
barriers are for go less far, but with --all; with --few all do, and an outcome
that has not come by then is skipped. TAP out.
"""

import concurrent.futures
import fnmatch
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from tap import EMULATOR, Tap

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / 'scripts'))
import gen_scenarios

HEAD = re.compile(r'^ \* (?:Mail|Report|Source): ', re.M)
BARRIERS = '(barriers)'
CANNOT_TELL = 125
BAD = re.compile(r'^ \* Bad: ', re.M)
RESULT = re.compile(r'^ \* Result: (Never|Sometimes|Always)(?: (.*))?$', re.M)


def declared_in(text, name):
    """What the comment says; of several lines the first that fits."""
    for result, patterns in RESULT.findall(text):
        if any(fnmatch.fnmatchcase(name, pattern)
               for pattern in (patterns or '*').split(', ')):
            return result
    return None


def problem_of(path, results):
    """What is wrong with the file of a scenario."""
    text = path.read_text()
    if len(text.splitlines()) > 80:
        return 'more than 80 lines'
    if not HEAD.search(text) or not BAD.search(text):
        return 'no mail, or no bad outcome'
    for name in gen_scenarios.names_of(text):
        if declared_in(text, name) != results.pop(name, None):
            return f'{name}: the comment says {declared_in(text, name)}'
    return None


def explore(uhmm, name, options):
    """What is wrong, and whether it is but that the outcome has yet to come."""
    run = subprocess.run([*uhmm, 'explore', name, '--seconds', '-1',
                          '--output', os.devnull, *options],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    if not run.returncode:
        return None, False
    early = run.returncode == CANNOT_TELL and \
        f'{name}: Never, declared Sometimes' in run.stdout
    return f'status {run.returncode}\n{run.stdout}', early


def main():
    uhmm = [*EMULATOR, sys.argv[1]]
    few = '--few' in sys.argv
    most = 100 if few else 300
    listed = subprocess.run([*uhmm, 'explore', '--list'], check=True, text=True,
                            stdout=subprocess.PIPE).stdout.splitlines()
    outcomes = dict(line.split('\t')[:2] for line in listed)
    names, results = list(outcomes), dict(outcomes)
    short = {line.split('\t')[0] for line in listed
             if few or line.endswith(BARRIERS) and '--all' not in sys.argv}
    files = sorted((ROOT / 'scenarios').glob('[0-9]*.c'))
    tap = Tap(len(files) + 2 + len(names))
    for path in files:
        tap.say(path.name, problem_of(path, results))
    tap.say('each is in a file', str(results) if results else None)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, (problem, early) in zip(names, pool.map(
                lambda name: explore(uhmm, name,
                                     ['--executions', str(most)] * (name in short)),
                names)):
            if few and early:
                tap.say(name, skip=f'not found in {most} executions of an engine')
            else:
                tap.say(name, problem)
    # What is declared has just been found to be what comes out.
    fresh = gen_scenarios.page(outcomes) == gen_scenarios.PAGE.read_text()
    tap.say('docs/scenarios.md is fresh', None if fresh else
            'run scripts/gen_scenarios.py UHMM --write')
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
