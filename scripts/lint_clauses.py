#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The tests that docs/live.md and docs/rcache.md name for their clauses are there.

lint_clauses.py [ROOT [BUILD]]. `TEST` or `TEST: CASE` in the columns of a table
behind the first: TEST is in what meson would run, CASE in the sources of that.
"""

import json
import pathlib
import re
import sys

from lintlib import Lint, skip

PAGES = 'docs/live.md', 'docs/rcache.md'
# Tests whose cases are in other files than their own.
FOLDERS = {'scenarios': 'scenarios/*.c', 'mutants': 'tests/mutants/*.py'}
# Without these a build has not all tests.
NEEDED = 'live_run', 'live_rcache_fabric_g1', 'live_coverage'


def introspect(build, what):
    return json.loads((build / f'meson-info/intro-{what}.json').read_text())


def imported(script):
    """A script, and what it imports from its own folder."""
    yield script
    for name in re.findall(r'^from (\w+) import', script.read_text(), re.M):
        module = script.with_name(name + '.py')
        if module.exists():
            yield module


class Tests:
    """What meson runs, and the text of its sources."""

    def __init__(self, root, build):
        self.root = root
        self.commands = {test['name']: test['cmd'][0] for test in
                         introspect(build, 'tests')}
        self.targets = {name: target for target in introspect(build, 'targets')
                        for name in target['filename']}
        self.texts = {}

    def files(self, name):
        command = self.commands[name]
        yield from self.root.glob(FOLDERS.get(name, 'nowhere'))
        if command in self.targets:
            for source in self.targets[command]['target_sources']:
                yield from map(self.root.joinpath, source.get('sources', []))
        else:
            yield from imported(self.root / command)

    def has_case(self, name, case):
        if name not in self.texts:
            self.texts[name] = '\n'.join(path.read_text() for path in
                                         self.files(name) if path.exists())
        said = re.escape(case)
        macros = r'(CASE(_BARE)?|BOTH|WITH_\w+|UHMM_SCENARIO|cmocka_unit_test)'
        return re.search(rf'{macros}\({said}[,)]|def test_{said}\(|'
                         rf'"([^"]* - )?{said}[":]|^ +(\w+\()?\'{said}\'',
                         self.texts[name].replace("\\'", "'"), re.M)


def named(line):
    """The items of a row: what stands in backticks behind its first column."""
    for cell in line.strip().strip('|').split(' | ')[1:]:
        for item in re.findall(r'`([^`]*)`', cell):
            name, _, case = item.partition(': ')
            yield name, case


def check(lint, tests, path, lines):
    clauses = False
    for number, line in enumerate(lines, 1):
        if not line.startswith('|'):
            clauses = False
        elif re.search(r'\| tests \|', line):
            clauses = True
        elif clauses and not line.startswith('|-'):
            items = list(named(line))
            if not items:
                lint.complain(path, number, 'no test')
            for name, case in items:
                if name not in tests.commands:
                    lint.complain(path, number, f'there is no test {name}')
                elif case and not tests.has_case(name, case):
                    lint.complain(path, number, f'{name} has no case {case}')


def main():
    lint = Lint()
    build = pathlib.Path(sys.argv[2]) if sys.argv[2:] else lint.root / 'build'
    if not (build / 'meson-info/intro-tests.json').exists():
        skip(f'{build} is no build')
    tests = Tests(lint.root, build)
    lacks = [name for name in NEEDED if name not in tests.commands]
    if lacks:
        skip(f'this build has no {", ".join(lacks)}')
    for path in map(lint.root.joinpath, PAGES):
        check(lint, tests, path, path.read_text().split('\n'))
    return lint.finish()


if __name__ == '__main__':
    sys.exit(main())
