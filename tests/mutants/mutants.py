#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Known-bad variants of the scheme, and the tests that have to catch them.

    mutants.py --root DIR --out DIR [--quick | --slow] [--only NAME...]
    mutants.py --root DIR --table               print docs/mutants.md
    mutants.py --root DIR --check FILE          is FILE that?

A mutant (table.py) is a replacement of text that must occur exactly once: who
changes the code changes the table. Each is built and given to its detectors,
and each of these has to catch it, within some tries, and has to pass what is
not changed; where a mutant widens a window first (a pause point), what is
widened only. --quick: those that are caught at once.
"""

import argparse
import os
import pathlib
import platform
import resource
import subprocess
import sys
import textwrap
import time

import building
import table

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from tap import Tap  # noqa: E402


class Stale(Exception):
    pass


def replace(texts, tree, edit):
    """Carry out one edit on texts, {path: text}."""
    name, old, new = edit
    text = texts.get(name) or tree.text(name)
    if text.count(old) != 1:
        raise Stale(f'{name}: {text.count(old)} times, not once:\n{old}')
    texts[name] = text.replace(old, new)


def apply(root, edits):
    """The tree with these edits."""
    tree, texts = building.Tree(root), {}
    for edit in edits:
        replace(texts, tree, edit)
    return building.Tree(root, texts)


def catches(program, detector, tries, limit=None):
    """None, or what a detector said when it failed, or that @limit was over."""
    env = dict(os.environ, UHMM_CHECK='')
    for seed in range(1, tries + 1):
        command = [str(program)] + detector.args
        if detector.seeded:
            command += ['--seed', str(seed)]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, errors='replace',
                                  text=True, timeout=limit, env=env,
                                  check=False)
        except subprocess.TimeoutExpired:
            return 'it hangs'
        if done.returncode:
            return done.stdout[-2000:] or f'status {done.returncode}'
    return None


class Busy(Exception):
    """Threads that have to meet had too little of the processors for that."""


class Share:
    """How many processors all that was run meanwhile had, on an average."""

    def __enter__(self):
        self.wall, self.cpu = time.monotonic(), self.used()
        return self

    def __exit__(self, *unused):
        self.wall = time.monotonic() - self.wall
        self.cpu = self.used() - self.cpu

    @staticmethod
    def used():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime


class Judge:
    """Builds mutants and gives them to their detectors."""

    def __init__(self, options):
        self.root = options.root
        self.builder = building.Builder(options.root, options.out,
                                        options.compiler)
        self.innocent = {}
        self.took = {}
        self.no_tsan = not self.builder.links('-fsanitize=thread')

    def skips(self, mutant):
        """None, or why the mutant cannot be judged here."""
        if mutant.why_not:
            return mutant.why_not
        if platform.machine() != 'x86_64':
            return 'what catches it is known for x86-64 only'
        if self.no_tsan and 'tsan' in [d.flavour for d in mutant.caught_by]:
            return 'this compiler has no ThreadSanitizer'
        return None

    def wrongly(self, detector, widen):
        """None, or what a detector says of what is right."""
        key = detector.key() + (tuple(widen),)
        if key not in self.innocent:
            program = self.builder.build(apply(self.root, widen),
                                         detector.program, detector.flavour)
            with Share() as share:
                self.innocent[key] = catches(program, detector, 1)
            self.took[key] = share.wall
        return self.innocent[key]

    def catch(self, mutant, detector, changed):
        """None, or that @detector does not catch it."""
        program = self.builder.build(changed, detector.program,
                                     detector.flavour)
        # What hangs takes much longer than what does not, on this machine.
        limit = max(detector.limit, 10 * self.took[
            detector.key() + (tuple(mutant.widen),)])
        with Share() as share:
            caught = catches(program, detector, detector.tries, limit)
        if caught:
            return None
        if detector.seeded and share.cpu < share.wall:
            raise Busy(f'{detector} had {share.cpu / share.wall:.2f} '
                       'processors for threads that have to meet')
        return f'not caught by {detector}'

    def judge(self, mutant):
        """None, or why the mutant is not dealt with as the table says."""
        changed = apply(self.root, mutant.widen + mutant.edits)
        for detector in mutant.caught_by:
            said = self.wrongly(detector, mutant.widen)
            if said:
                return f'{detector} fails without the mutation:\n{said}'
            problem = self.catch(mutant, detector, changed)
            if problem:
                return problem
        return None


def chosen(mutant, options):
    if options.only:
        return mutant.name in options.only
    if options.quick or options.slow:
        return mutant.quick == options.quick
    return True


def run(options):
    mutants = [m for m in table.MUTANTS if chosen(m, options)]
    judge = Judge(options)
    tap = Tap(len(mutants) + 1)
    stale = []
    for mutant in table.MUTANTS:
        try:
            apply(options.root, mutant.widen + mutant.edits)
        except Stale as problem:
            stale.append(f'{mutant.name}: {problem}')
    tap.say('each mutant changes exactly one place', '\n'.join(stale))
    for mutant in mutants:
        reason = judge.skips(mutant)
        if reason:
            tap.say(f'{mutant.name} is caught', skip=reason)
            continue
        try:
            problem = judge.judge(mutant)
        except Busy as reason:
            tap.say(f'{mutant.name} is caught', skip=str(reason))
            continue
        except (Stale, building.BuildError) as failure:
            problem = failure
        tap.say(f'{mutant.name} is caught', problem)
    return tap.status()


# ------------------------------------------------------------------- the table

HEAD = """<!-- SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause -->
# Known-bad variants

What the tests catch. Each line is the library with one thing removed or
weakened; `make test` builds those marked * and gives each to the tests named,
every one of which has to fail, and `make soak` does so with the others. Made by
`tests/mutants/mutants.py --root . --table`.

"""


def rows():
    for group in table.GROUPS:
        yield f'\n## {group.title}\n'
        if group.text:
            yield textwrap.fill(group.text, 80) + '\n'
        yield '| variant | what is wrong | caught by |'
        yield '|---|---|---|'
        for m in group.mutants:
            how = f'not caught here: {m.why_not}' if m.why_not else \
                '; '.join(str(d) for d in m.caught_by)
            star = ' *' if m.quick else ''
            yield f'| {m.name}{star} | {m.what} | {how} |'


def table_text():
    caught = sum(1 for m in table.MUTANTS if not m.why_not)
    total = f'{len(table.MUTANTS)} variants, {caught} are caught.\n'
    return HEAD + total + '\n'.join(rows()) + '\n'


def check(options):
    tap = Tap(1)
    there = building.read(options.check)
    tap.say('docs/mutants.md is what mutants.py --table prints',
            '' if there == table_text() else 'it is not: print it anew')
    return tap.status()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--root', required=True)
    parser.add_argument('--out')
    parser.add_argument('--compiler', default='cc')
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--slow', action='store_true')
    parser.add_argument('--only', nargs='*')
    parser.add_argument('--table', action='store_true')
    parser.add_argument('--check')
    options = parser.parse_args()
    if options.table:
        print(table_text(), end='')
        return 0
    if options.check:
        return check(options)
    return run(options)


if __name__ == '__main__':
    sys.exit(main())
