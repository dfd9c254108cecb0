# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What the tables are written in: detectors, mutants, groups of them."""

SUB = 'src/core/subscription.c'
INTERNAL = 'src/core/internal.h'
NOTIFIER = 'src/core/mmu_notifier.c'
LIST = 'src/core/notifier_list.c'
GET = 'src/core/notifier_get.c'
READ = 'src/core/read.c'
RESERVE = 'src/core/reserve.c'
RESERVE_H = 'src/core/reserve.h'
SLOT = 'src/core/slot.c'
MM = 'src/core/mm.c'
SYNC = 'src/sync/native.c'
KEPT = 'src/sync/kept.c'
INDEX = 'src/lib/index.c'
INDEX_H = 'src/lib/index.h'
INDEX_WRITE = 'src/lib/index_write.h'
INDEX_MEMORY = 'src/lib/index_memory.c'
FILTER = 'src/lib/index_filter.c'
FILTER_H = 'src/lib/index_filter.h'
SEARCH = 'src/lib/index_search.c'
PUBLIC = 'include/uhmm/mmu_notifier.h'


class Detector:
    """A program, how it is built and run, how often, and for how long.

    A mutant that does not end within @limit seconds, or ten times as long as
    what is right took, hangs, and that is a catch.
    """

    def __init__(self, program, args=(), flavour='native', tries=1,
                 seeded=False, limit=120):
        self.program = program
        self.args = list(args)
        self.flavour = flavour
        self.tries = tries
        self.seeded = seeded
        self.limit = limit

    def key(self):
        return (self.program, tuple(self.args), self.flavour)

    def __str__(self):
        what = [self.program]
        if self.args[:1] == ['--case']:
            what.append(f'"{self.args[1]}"')
        elif self.args[:1] == ['--config']:
            what.append(self.args[1])
        elif self.args:
            what.append(self.args[0])
        if '--exchange' in self.args:
            what.append('without membarrier')
        if self.flavour == 'tsan':
            what.append('under ThreadSanitizer')
        return ' '.join(what)


def litmus(case, seconds=1, flavour='native', tries=20, exchange=False):
    return Detector('litmus', ['--case', case, '--seconds', str(seconds)] +
                    ['--exchange'] * exchange, flavour, tries, seeded=True)


def stress(config, seconds=2, flavour='native', tries=10):
    return Detector('stress', ['--config', config, '--seconds', str(seconds)],
                    flavour, tries, seeded=True)


def interleave(case):
    return Detector('interleave', [case], limit=30)


def unit(name, case=None, limit=30):
    return Detector('test_' + name, [case] if case else [], limit=limit)


class Mutant:
    """@edits: (file, old, new); @widen: pause points that are put in first."""

    def __init__(self, name, what, edits, caught_by=(), widen=(), quick=False,
                 why_not=None):
        self.name = name
        self.what = what
        self.edits = list(edits)
        self.widen = list(widen)
        self.caught_by = list(caught_by)
        self.quick = quick
        self.why_not = why_not


class Group:
    def __init__(self, title, text, mutants):
        self.title = title
        self.text = text
        self.mutants = mutants
