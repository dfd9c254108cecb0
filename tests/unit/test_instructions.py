#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Instructions per operation: test_instructions.py DRIVER CONFIG. TAP out.

Counts near the recorded ones, the baseline no slower than the kernel's own
code, a read that is what it claims to be, and a contract checker that costs
nothing where it is off.
"""

import pathlib
import platform
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path += [str(ROOT / 'tests'), str(ROOT / 'scripts'),
             str(ROOT / 'tests/mutants')]
import building
import instructions as ins
from tap import Tap

DRIVER, CONFIG = sys.argv[1:3]
READ_MOST = 16
BASELINE_MOST = 1.1
# What the checker may cost where it is off, and the library without it.
OFF_MOST = {'read': 1, 'read-bare': 1, 'hit0-hot': 3, 'hit0-random': 3}
WITHOUT_CHECKER = {
    'src/core/internal.h': ('#define MM_CHECK 2U', '#define MM_CHECK 0U'),
    'src/core/mmu_notifier.c': ('#define LISTED_CHECKED (1UL << 63)',
                                '#define LISTED_CHECKED 0UL'),
}


def missing(tool):
    if shutil.which(tool):
        return None
    return f'{tool} is not there'


def count_cases(counts, config, recorded):
    """(name, problem, skip) for each count and each row of the kernel."""
    other = None
    if config != CONFIG:
        other = f'recorded for "{config}", this is "{CONFIG}"'
    for key, have in counts.items():
        name = 'count {} {} {}'.format(*key)
        yield name, not other and ins.differs(have, recorded.get(key)), other
    for key in recorded:
        if key[0] != 'kernel' and key not in counts:
            yield 'count {} {} {}'.format(*key), not other and 'gone', other
        elif key[0] == 'kernel':
            yield baseline_case(counts, key, recorded[key])
    for n in sorted({key[2] for key in counts}):
        have = counts['uhmm', 'read-bare', n]
        yield (f'a read takes {READ_MOST} instructions at most, {n}',
               have > READ_MOST and f'{have:.1f}', None)


def baseline_case(counts, key, kernel):
    name = 'classic is no slower than the kernel: {} {}'.format(*key[1:])
    have = counts.get(('classic', *key[1:]))
    problem = None
    if have is None:
        problem = 'not counted'
    elif have > kernel * BASELINE_MOST:
        problem = f'{have:.1f} instructions, the kernel {kernel:.1f}'
    return name, problem, None


def without_checker(tree):
    """{path: text} of the files that make it so."""
    changed = {}
    for name, (old, new) in WITHOUT_CHECKER.items():
        text = tree.text(name)
        if text.count(old) != 1:
            raise RuntimeError(f'{name}: {old}: not there once')
        changed[name] = text.replace(old, new)
    return changed


def checker_cases():
    """The checker, off, against no checker at all."""
    tree = building.Tree(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        builder = building.Builder(ROOT, folder)
        off, none = (ins.count(str(builder.build(each, 'count_operations')))
                     for each in (tree, building.Tree(ROOT,
                                                      without_checker(tree))))
    for key, have in off.items():
        more = have - none[key]
        most = OFF_MOST.get(key[1])
        if key[0] == 'uhmm' and most is not None:
            yield ('the checker, off, costs {} at most: {} {}'.format(
                most, *key[1:]), more > most and f'{more:.1f}', None)
    same = all(off[key] == none[key] for key in off if key[0] == 'uhmm')
    yield ('the library without the checker is another one',
           same and 'all counts are equal', None)


def code_cases():
    """What the compiled read looks like; and that the looking works."""
    read = ins.disassemble(DRIVER, 'read_uhmm')
    bad = ins.disassemble(DRIVER, 'read_badly')
    yield 'the read is there', not read and 'no instructions', None
    yield 'a read has no locked instruction', ins.locked(read), None
    yield 'a read touches one line', ins.beyond_one_line(read), None
    yield ('a locked instruction is found where there is one',
           not ins.locked(bad) and f'none in {bad}', None)
    yield ('a second line is found where there is one',
           not ins.beyond_one_line(bad) and f'none in {bad}', None)


def own_cases():
    """The comparison catches what it is for."""
    yield 'a count is near', ins.differs(104, 100), None
    yield 'a greater count is not', not ins.differs(106, 100) and 'near', None
    yield 'a lesser count is not', not ins.differs(94, 100) and 'near', None
    yield 'a new count is not', not ins.differs(1, None) and 'near', None
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, 'recorded')
        path.write_text('# Of this tree\nuhmm a 1 2\nkernel a 1 3\n')
        ins.update('new', {('uhmm', 'b', 4): 5.0}, path)
        have = ins.read_recorded(path)
    want = ('new', {('uhmm', 'b', 4): 5.0, ('kernel', 'a', 1): 3.0})
    yield 'an update replaces all but the kernel', \
        have != want and f'{have}', None


def gather():
    cases = list(own_cases())
    if platform.machine() != 'x86_64':
        skip = f'written for x86_64, this is {platform.machine()}'
    else:
        skip = missing('objdump')
    cases += [('compiled code of a read', None, skip)] if skip else code_cases()
    skip = missing('valgrind')
    if skip:
        return cases + [('instruction counts', None, skip)]
    cases += count_cases(ins.count(DRIVER), *ins.read_recorded())
    return cases + list(checker_cases())


def main():
    cases = gather()
    tap = Tap(len(cases))
    for name, problem, skip in cases:
        tap.say(name, problem, skip)
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
