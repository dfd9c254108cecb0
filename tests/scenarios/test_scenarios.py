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


def problem_of_ladder(said):
    """It can be pasted into a mail, and be read there."""
    ladder = said.partition('\n\n')[2]
    rows = [line for line in ladder.partition('\n\n')[2].partition('\n\n')[0]
            .splitlines() if re.match(r' *\d+ ', line)]
    if not ladder.isascii() or len(rows) > 25 or \
            any(len(line) > 72 for line in ladder.splitlines()):
        return f'{len(rows)} rows, or too wide\n{ladder}'
    return None


def explore(uhmm, name, options):
    """What is wrong, whether it is but that the outcome has yet to come, and what
    was covered."""
    run = subprocess.run([*uhmm, 'explore', name, '--seconds', '-1',
                          '--output', os.devnull, *options],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    if not run.returncode:
        return problem_of_ladder(run.stdout), False, \
            gen_scenarios.covered_in(run.stdout)
    early = run.returncode == CANNOT_TELL and \
        f'{name}: Never, declared Sometimes' in run.stdout
    return f'status {run.returncode}\n{run.stdout}', early, None


def say_whether_fresh(tap, page, short):
    """What is declared has just been found to be what comes out; how far it went
    is as the page has it only if all went as far as they do by themselves."""
    there = gen_scenarios.PAGE.read_text()
    readme = gen_scenarios.README.read_text()
    stale = 'run scripts/gen_scenarios.py UHMM --write'
    if short:
        page, there = (text.partition('## How far')[0] for text in (page, there))
    tap.say('docs/scenarios.md is fresh', None if page == there else stale)
    fresh = gen_scenarios.inserted(readme, gen_scenarios.differences(page)) == readme
    tap.say('so is what README.md has of it', None if fresh else stale)


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
    tap = Tap(len(files) + 3 + len(names))
    for path in files:
        tap.say(path.name, problem_of(path, results))
    tap.say('each is in a file', str(results) if results else None)
    coverage = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, (problem, early, covered) in zip(names, pool.map(
                lambda name: explore(uhmm, name,
                                     ['--executions', str(most)] * (name in short)),
                names)):
            coverage[name] = covered
            if few and early:
                tap.say(name, skip=f'not found in {most} executions of an engine')
            else:
                tap.say(name, problem)
    say_whether_fresh(tap, gen_scenarios.page(outcomes, coverage), bool(short))
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
