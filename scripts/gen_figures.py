#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The table of figures in README.md, from what the benchmarks print.

    make bench ARGS=--json >figures.json
    scripts/gen_figures.py figures.json             prints the table
    scripts/gen_figures.py --write figures.json     puts it into README.md
"""

import json
import pathlib
import sys

HEAD = ('| | kernel\'s scheme | here | printed by |', '|---|---|---|---|')
SIZES = (64, 4096, 262144, 1048576)
WHO = ('classic', 'uhmm')


class Problem(Exception):
    """What the benchmarks did not print."""


class Figures:
    """What the lines of a run say."""

    def __init__(self, lines):
        self.values = {}
        for line in lines:
            self.add(json.loads(line))

    def add(self, record):
        test, n = record.get('test'), record.get('n')
        if record.get('shape') not in (None, 'flat'):
            return
        if record['kind'] == 'comparison':
            for which in ('first', 'second'):
                if which + '_ns' in record:
                    self.values[test, record[which], n] = record[which + '_ns']
        elif record['kind'] == 'figure':
            self.values[test, record['who'], n] = record['value']

    def get(self, test, who, n, what='median'):
        if (test, who, n) not in self.values:
            raise Problem(f'no {test!r} of {who} with N = {n}')
        return self.values[test, who, n][what]


def digits(value):
    """Two of them, or all before the point."""
    return f'{value:.0f}' if value >= 9.95 else f'{value:.2g}'


def duration(ns):
    for unit, size in (('ms', 1e6), ('us', 1e3)):
        if ns >= size:
            return f'{digits(ns / size)} {unit}'
    return f'{digits(ns)} ns'


def sizes(test):
    """A cell with the times at four sizes."""
    def cell(figures, who):
        times = [figures.get(test, who, n) for n in SIZES]
        return ' / '.join(digits(ns) for ns in times) + ' ns'
    return cell


def one(test, n, what='median'):
    def cell(figures, who):
        return duration(figures.get(test, who, n, what))
    return cell


def of_alone(figures, who):
    alone = figures.get('a writer alone, hits its own', who, 4096)
    both = figures.get('each of two writers, own', who, 4096)
    return f'{100 * both / alone:.0f} %'


def retries(figures, who):
    if who == 'uhmm':
        return f'{figures.get("gap 10, body 100 us", who, 0, "max"):.0f} at most'
    tries = figures.get('gap 10, body 100 us, gave up', who, 0)
    return f'{tries:.0f}, then given up'


def memory(figures, who):
    n = 1048576 if who == 'uhmm' else 262144
    return f'{figures.get("flat, with its share of the index", who, n):.0f}'


# (what, the benchmark, its cell)
ROWS = (
    ('start + end, none hit, 64 / 4K / 256K / 1M intervals', 'notifier',
     sizes('hit0 random')),
    ('start + end, one hit, 64 / 4K / 256K / 1M', 'notifier',
     sizes('hit1 random')),
    ('read_begin + read_retry, without the driver\'s lock', 'notifier',
     one('read hot bare', 4096)),
    ('insert + remove, random, 64 / 4K / 256K / 1M', 'notifier',
     sizes('insert + remove random')),
    # Ours is shorter than the clock's step, as a rule.
    ('end, with 65536 inserts while it was open, the longest', 'notifier',
     one('end after so many inserts', 65536, 'max')),
    ('two threads on disjoint ranges, each against alone', 'concurrency',
     of_alone),
    ('fault begun in an invalidation of 1 ms elsewhere, p99', 'concurrency',
     one('fault, held for 1000 us', 4096, 'p99')),
    ('retries of a fault while a thread invalidates its page', 'concurrency',
     retries),
    ('bytes for a subscription, with its share of the index', 'memory', memory),
)


def table(figures):
    """Its lines."""
    lines = list(HEAD)
    for what, bench, cell in ROWS:
        theirs, ours = (cell(figures, who) for who in WHO)
        lines.append(f'| {what} | {theirs} | {ours} '
                     f'| `make bench BENCH={bench}` |')
    return lines


def inserted(readme, lines):
    """The README with another table."""
    old = readme.split('\n')
    first = old.index(HEAD[0])
    last = first
    while old[last].startswith('|'):
        last += 1
    return '\n'.join(old[:first] + lines + old[last:])


def main():
    write = '--write' in sys.argv
    names = [arg for arg in sys.argv[1:] if arg != '--write']
    lines = [line for name in names
             for line in pathlib.Path(name).read_text().splitlines()]
    try:
        rows = table(Figures(lines))
    except Problem as problem:
        print(f'gen_figures.py: {problem}', file=sys.stderr)
        return 1
    if write:
        readme = pathlib.Path(__file__).resolve().parent.parent / 'README.md'
        readme.write_text(inserted(readme.read_text(), rows))
    else:
        print('\n'.join(rows))
    return 0


if __name__ == '__main__':
    sys.exit(main())
