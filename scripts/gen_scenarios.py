#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""docs/scenarios.md: what came out of each scenario, and who fails what.

gen_scenarios.py UHMM [--write] runs them all and prints the page, or writes it,
and what of it is in README.md.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / 'docs/scenarios.md'
README = ROOT / 'README.md'
DESIGNS = ('uhmm', 'classic', 'active_list', 'valid_flag', 'valid_bool')
NAMES = re.compile(r'\bUHMM_SCENARIO\((?!NAME)(\w+),|'
                   r'\bSCENARIO_OF\((\w+), \w+, (\w+),|'
                   r'\bSCENARIOS\(\w+, \w+, \w+, \w+, \w+,\s+(\w+),|'
                   r'\bORDERED(?:_RUN)?\((?!NAME)(\w+),')

SUMMARY = '| the bad outcome of `uhmm explore NAME_SCHEME` |'

HEAD = '''<!-- SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause -->
<!-- Made by scripts/gen_scenarios.py from runs; do not edit. -->
# Scenarios, and who fails what

How often the bad outcome that a scenario names came about, in all executions
that `uhmm explore` looked at: `Never`, `Sometimes`, `Always`. At the end stands
how far it looked. [explore.md](explore.md) has how, and [designs.md](designs.md)
what the schemes are.
'''


FAR = '''## How far "Never" goes

What was covered of those where nothing bad came about, and the number of them.
More than that is a matter of time: `--engine dpor --seconds -1`.
'''


def names_of(text):
    """The scenarios that a file has."""
    for one, design, of_design, of_all, ordered in NAMES.findall(text):
        if ordered:
            yield f'ordered_{ordered}'
        elif one:
            yield one
        elif design:
            yield f'{of_design}_{design}'
        else:
            yield from (f'{of_all}_{design}' for design in DESIGNS)


def bad_of(text):
    body = re.search(r'^ \* Bad: (.*?)^ \* Result:', text, re.M | re.S)[1]
    return re.sub(r'\s+\*?\s*', ' ', body).strip().replace('|', '/')


def covered_in(said):
    """How far a run went, in its own words, or None: it found something."""
    words = re.findall(r'^covered: (.*)', said, re.M)
    found = re.match(r'\w+: (?!Never)', said)
    return None if found else '; '.join(words)


def page(outcomes, coverage):
    """The page, given {scenario: outcome} and {scenario: how far it went}."""
    schemes, others = [], []
    for path in sorted((ROOT / 'scenarios').glob('[0-9]*.c')):
        text = path.read_text()
        where = f'[{path.stem}](../scenarios/{path.name})'
        rows = {}
        for name in names_of(text):
            design = next((d for d in DESIGNS if name.endswith(f'_{d}')), None)
            if design:
                row = rows.setdefault(name.removesuffix(f'_{design}'), {})
                row[design] = outcomes[name]
            else:
                others.append(f'| {where} | {name} | {outcomes[name]} '
                              f'| {bad_of(text)} |')
        for name, row in rows.items():
            cells = ' | '.join(row.get(design, '-') for design in DESIGNS)
            schemes.append(f'| {where} | {name} | {cells} |')
    return '\n'.join([
        HEAD, '<!-- who fails what -->',
        '| from | scenario | ' + ' | '.join(f'`{d}`' for d in DESIGNS) + ' |',
        '|---|---|' + '---|' * len(DESIGNS), *schemes,
        '<!-- end of who fails what -->', '', '## Of one scheme alone', '',
        '| from | scenario | outcome | bad is that |', '|---|---|---|---|',
        *others, '', *how_far(coverage), ''])


def how_far(coverage):
    """Lines of a table: who went how far, the farthest first."""
    ways = {}
    for name, words in coverage.items():
        if words:
            ways.setdefault(words, []).append(f'`{name}`')
    return [FAR, '| covered | by |', '|---|---|',
            *(f'| {way} | {len(names)}: {", ".join(names)} |'
              for way, names in sorted(ways.items(), key=lambda way: (
                  'everything, ' not in way[0], 'races' not in way[0],
                  -int((re.findall(r'most (\d)', way[0]) or [-1])[0]), way[0])))]


def differences(page_text):
    """Lines of a table: where schemes differ, once for each way to do so."""
    ways = {}
    part = page_text.split('<!-- who fails what -->\n')[1]
    for row in part.split('<!-- end')[0].splitlines()[2:]:
        _, name, *cells = (cell.strip() for cell in row[1:-1].split('|'))
        if len(set(cells) - {'-'}) > 1:
            ways.setdefault(' | '.join(cells), []).append(f'`{name}`')
    return [SUMMARY + ' ' + ' | '.join(f'`{d}`' for d in DESIGNS) + ' |',
            '|---|' + '---|' * len(DESIGNS),
            *(f'| {", ".join(names)} | {way} |' for way, names in ways.items())]


def inserted(readme, lines):
    """The README with another table."""
    old = readme.split('\n')
    first = next(i for i, line in enumerate(old) if line.startswith(SUMMARY))
    last = first
    while old[last].startswith('|'):
        last += 1
    return '\n'.join(old[:first] + lines + old[last:])


def run(uhmm, name):
    """Its outcome, and what it covered."""
    said = subprocess.run([uhmm, 'explore', name, '--seconds', '-1', '--output',
                           '/dev/null'], check=False, text=True,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout
    return re.match(r'\w+: (\w+)', said)[1], covered_in(said)


def main():
    names = subprocess.run([sys.argv[1], 'explore', '--list'], check=True,
                           text=True, stdout=subprocess.PIPE).stdout
    names = [line.split('\t')[0] for line in names.splitlines()]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = dict(zip(names, pool.map(lambda name: run(sys.argv[1], name),
                                        names)))
    text = page({name: outcome for name, (outcome, _) in runs.items()},
                {name: covered for name, (_, covered) in runs.items()})
    if '--write' in sys.argv:
        PAGE.write_text(text)
        README.write_text(inserted(README.read_text(), differences(text)))
    else:
        print(text, end='')


if __name__ == '__main__':
    main()
