#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""docs/scenarios.md: what came out of each scenario, and who fails what.

gen_scenarios.py UHMM [--write] runs them all and prints the page, or writes it,
and what of it is in README.md.
"""

import json
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
that `uhmm explore` looked at: `Never`, `Sometimes`, `Always`. Where it looked at
all there are, `uhmm explore NAME` says so. [explore.md](explore.md) has how, and
[designs.md](designs.md) what the schemes are.
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


def page(outcomes):
    """The page, given {scenario: outcome}."""
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
        *others, ''])


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
    return json.loads(subprocess.run(
        [uhmm, 'explore', name, '--json', '--seconds', '-1', '--output',
         '/dev/null'], check=False, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL).stdout)['outcome']


def main():
    names = subprocess.run([sys.argv[1], 'explore', '--list'], check=True,
                           text=True, stdout=subprocess.PIPE).stdout
    text = page({name: run(sys.argv[1], name) for name in
                 (line.split('\t')[0] for line in names.splitlines())})
    if '--write' in sys.argv:
        PAGE.write_text(text)
        README.write_text(inserted(README.read_text(), differences(text)))
    else:
        print(text, end='')


if __name__ == '__main__':
    main()
