#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Each scenario has the outcome it declares: test_scenarios.py UHMM [--all].

How far the tool goes by itself is counted in executions and steps; a limit of
time would make the outcome depend on the machine. Those that show what single
barriers are for go less far, but with --all. TAP out.
"""

import concurrent.futures
import fnmatch
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from tap import Tap

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / 'scripts'))
import gen_scenarios

HEAD = re.compile(r'^ \* (?:Mail|Report|Source): ', re.M)
BARRIERS, FEW = '(barriers)', 300
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
    run = subprocess.run([uhmm, 'explore', name, '--seconds', '-1',
                          '--output', os.devnull, *options],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    return f'status {run.returncode}\n{run.stdout}' if run.returncode else None


def main():
    uhmm = sys.argv[1]
    listed = subprocess.run([uhmm, 'explore', '--list'], check=True, text=True,
                            stdout=subprocess.PIPE).stdout.splitlines()
    outcomes = dict(line.split('\t')[:2] for line in listed)
    names, results = list(outcomes), dict(outcomes)
    short = {line.split('\t')[0] for line in listed
             if line.endswith(BARRIERS) and '--all' not in sys.argv}
    files = sorted((ROOT / 'scenarios').glob('[0-9]*.c'))
    tap = Tap(len(files) + 2 + len(names))
    for path in files:
        tap.say(path.name, problem_of(path, results))
    tap.say('each is in a file', str(results) if results else None)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, problem in zip(names, pool.map(
                lambda name: explore(uhmm, name,
                                     ['--executions', str(FEW)] * (name in short)),
                names)):
            tap.say(name, problem)
    # What is declared has just been found to be what comes out.
    fresh = gen_scenarios.page(outcomes) == gen_scenarios.PAGE.read_text()
    tap.say('docs/scenarios.md is fresh', None if fresh else
            'run scripts/gen_scenarios.py UHMM --write')
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
