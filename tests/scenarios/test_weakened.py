#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Each barrier of the library is there for a reason: test_weakened.py UHMM [--write].

scenarios/weakened.txt has for each label a scenario that fails without it, and
the engine and seed that find that at once; or why there is none. --write looks
for faster engines and seeds, and for the first ones where it says "?". TAP out.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from tap import Tap

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / 'scripts'))
from gen_ordering import WEAKENED, weakened

UHMM = pathlib.Path(sys.argv[1]).resolve()
WAYS = [('preemptions', 0), ('dpor', 0)] + [
    (engine, seed) for seed in range(6) for engine in ('random', 'pct')]


def fails(label, scenario, engine, seed):
    """None: yes; else what came out."""
    run = subprocess.run(
        [UHMM, 'explore', scenario, '--weaken', label, '--engine', engine,
         '--seed', str(seed), '--bound', '2', '--executions', '10000',
         '--seconds', '-1',
         '--output', os.devnull],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False)
    if run.returncode == 1 and not re.search(r'^\S+: not supported', run.stdout,
                                             re.M):
        return None
    return f'status {run.returncode}\n{run.stdout}'


def fastest(label, scenario):
    """The engine and seed that find it in the least time, of a few."""
    best = None
    for engine, seed in WAYS:
        began = time.monotonic()
        if fails(label, scenario, engine, seed):
            continue
        took = time.monotonic() - began
        if not best or took < best[0]:
            best = took, engine, seed
        if took < 0.2:
            break
    return best and best[1:]


def write(rows):
    lines = WEAKENED.read_text().splitlines()
    for n, line in enumerate(lines):
        row = rows.get(line.split(' ')[0])
        if not row or not row.scenario or row.engine != '?':
            continue
        found = fastest(row.label, row.scenario)
        print(row.label, row.scenario, found, flush=True)
        if found:
            lines[n] = f'{row.label} {row.scenario} {found[0]} {found[1]}'
            WEAKENED.write_text('\n'.join(lines) + '\n')


def main():
    rows = weakened()
    if '--write' in sys.argv:
        return write(rows)
    labels = subprocess.run([UHMM, 'explore', '--labels'], check=True, text=True,
                            stdout=subprocess.PIPE).stdout.splitlines()
    labels = {line.split('\t')[0] for line in labels}
    tap = Tap(len(rows) + 1)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = pool.map(lambda row: row.scenario and
                        fails(row.label, row.scenario, row.engine, row.seed),
                        rows.values())
        for row, problem in zip(rows.values(), runs):
            tap.say(f'{row.label}: {row.scenario or row.reason}', problem)
    tap.say('each label is listed', None if labels == set(rows) else
            f'not listed: {labels - set(rows)}, not there: {set(rows) - labels}')
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
