#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Let libFuzzer think for some time.

    run_fuzz.py TARGET REPLAY CORPUS.txt DIR -runs=N|-max_total_time=SECONDS

Begins with the histories of CORPUS.txt, keeps what it finds in DIR. What it
finds wrong is printed as it would stand in CORPUS.txt.
"""

import pathlib
import shutil
import subprocess
import sys

MAX_LEN = 1500
MIN_RUNS = 1000
DIGITS = 96


def run(*command):
    return subprocess.run([str(word) for word in command],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False,
                          errors='replace')


def show(artifact):
    digits = artifact.read_bytes().hex()
    print(f'# {artifact.name}')
    for at in range(0, len(digits), DIGITS):
        print(digits[at:at + DIGITS])


def number_of_runs(text):
    for line in text.splitlines():
        if line.startswith('stat::number_of_executed_units:'):
            return int(line.split()[1])
    return 0


def fuzz(target, replay, corpus, folder, limit):
    folder = pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    for name in ('seeds', 'found', 'wrong'):
        (folder / name).mkdir(parents=True)
    done = run(replay, '--expand', folder / 'seeds', corpus)
    if done.returncode:
        print(done.stdout)
        return 1
    done = run(target, limit, f'-max_len={MAX_LEN}',
               f'-artifact_prefix={folder}/wrong/', '-print_final_stats=1',
               '-rss_limit_mb=4096', folder / 'found', folder / 'seeds')
    runs = number_of_runs(done.stdout)
    if done.returncode or runs < MIN_RUNS:
        print(done.stdout[-6000:])
        for artifact in sorted((folder / 'wrong').iterdir()):
            show(artifact)
        return 1
    print(f'{runs} histories')
    return 0


def main():
    if sys.argv[1:] == ['--missing']:
        print('no clang that has libFuzzer')
        return 77
    return fuzz(*sys.argv[1:])


if __name__ == '__main__':
    sys.exit(main())
