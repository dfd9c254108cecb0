# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Releases and acquires, by their labels in docs/ordering.md."""

from detectors import (INDEX, INDEX_H, INDEX_WRITE, INTERNAL, LIST, NOTIFIER,
                       PUBLIC, READ, RESERVE, SEARCH, SLOT, SUB, Group, Mutant,
                       litmus, stress)

NO_PLAIN = 'x86-64 orders it, and no plain word is ordered by it'
NOT_MET = 'x86-64 orders it, and no run met the end of one only looked at'
NO_FENCE = 'x86-64 orders it, and ThreadSanitizer does not model fences'


def masked(by):
    return f'x86-64 orders it, and for plain words {by} does, too'


def sometimes(by):
    return f'x86-64 orders it; {by} under ThreadSanitizer catches it in some ' \
        'runs, but not in each'


def watched(case, seconds=2):
    return litmus(case, seconds, 'tsan')


END = watched('an end wakes the reads')
INDEXES = watched('a search meets writers of the index')
PUTS = watched('a notifier that was put')
REGISTERS = watched('register meets a start')
REMOVES = watched('remove meets a start')
TAGS = watched('a tag is checked')
LEAVERS = watched('the last two removes')
PASSERS = watched('unregister does not wait for other')
CALLBACKS = watched('the end of a callback wakes')
WALKS = watched('unregister is woken')
ONE_PAGE = stress('one-page', flavour='tsan')
HOT = stress('hot', flavour='tsan')
SIGNALS = stress('signals', flavour='tsan')


def release(label, path, args, behind='', **rest):
    return Mutant(label, 'a plain store',
                  [(path, f'smp_store_release(&{args}){behind}',
                    f'WRITE_ONCE({args}){behind}')], **rest)


def acquire(label, path, word, before='', behind='', **rest):
    where = word[1:] if word.startswith('*') else '&' + word
    return Mutant(label, 'a plain load',
                  [(path, f'{before}smp_load_acquire({where}){behind}',
                    f'{before}READ_ONCE({word}){behind}')], **rest)


def exchange(label, path, word, old, new, **rest):
    return Mutant(label, 'a compare and exchange that orders nothing',
                  [(path, f'try_cmpxchg(&{word}, &{old}, {new})',
                    f'__atomic_compare_exchange_n(&{word}, &{old}, {new}, '
                    'false,\n\t\t__ATOMIC_RELAXED, __ATOMIC_RELAXED)')], **rest)


def edits(*mutants):
    return [edit for mutant in mutants for edit in mutant.edits]


FILL = release('IX-FILL', INDEX_WRITE, 'leaf->at[slot], (void *)x',
               why_not=sometimes('stress hot'))
PUBLISH = release('IX-PUBLISH', INDEX_WRITE,
                  'leaf->perm, perm_insert(perm, pos)',
                  why_not=masked('IX-ADDED'))
ADDED = release('IX-ADDED', INDEX_WRITE, 'leaf->tag, tag + INDEX_FILLING',
                why_not=masked('IX-PUBLISH'))
TAKE = acquire('IX-TAKE', SEARCH, '*at_slot(leaf, slot)',
               why_not=sometimes('stress hot'))
LEAF = acquire('IX-LEAF', SEARCH, 'leaf->perm', 'perm = ',
               why_not=masked('IX-WHOLE'))
WHOLE = acquire('IX-WHOLE', SEARCH, 'leaf->tag', why_not=masked('IX-LEAF'))

MUTANTS = [
    Mutant('READ-VERIFIED', 'a plain load',
           [(PUBLIC, '__ATOMIC_ACQUIRE) == seq, 1', '__ATOMIC_RELAXED) == seq, 1')], [END]),
    Mutant('TAG-CHECK', 'a plain load',
           [(PUBLIC, '__ATOMIC_ACQUIRE) == (tag', '__ATOMIC_RELAXED) == (tag')],
           [TAGS]),
    acquire('BLOCKS-SEEN', INTERNAL, 'mm->blocks', caught_by=[REMOVES]),
    acquire('SLOT-REUSE', INTERNAL, 'block->slots[0].word',
            caught_by=[HOT]),
    release('HOLD-END', INTERNAL, 'block->holds, block->holds - 1',
            caught_by=[LEAVERS]),
    release('SLOT-START', INTERNAL, 'slot->start, start', why_not=NO_PLAIN),
    release('SLOT-LAST', INTERNAL, 'slot->last, last', why_not=NO_PLAIN),
    Mutant('SLOT-ANNOUNCE', 'a plain store',
           [(INTERNAL, 'smp_store_before_mb(&slot->word, id + (state | SLOT_SEARCH));',
             'WRITE_ONCE(slot->word, id + (state | SLOT_SEARCH));')],
           why_not=NO_PLAIN),
    release('SEARCH-LEAVE', INTERNAL, 'slot->word, word', ';\n}',
            why_not=sometimes('stress hot')),
    release('SLOT-STATE', INTERNAL, 'slot->word, word', ';\n\tslot_changed(slot)',
            caught_by=[CALLBACKS, ONE_PAGE]),
    acquire('SLOT-SEEN', INTERNAL, 'slot->word', 'return ',
            caught_by=[END]),
    acquire('SLOT-OVER', INTERNAL, 'slot->word', 'SLOT_ID(', ') != SLOT_ID',
            why_not=sometimes('litmus "an end wakes the reads"')),
    Mutant('SLOT-RECHECK', 'no fence',
           [(INTERNAL, '\tsmp_rmb();\n\t/*\n\t * Ordering: (SLOT-OVER)',
             '\t/*\n\t * Ordering: (SLOT-OVER)')],
           why_not=NO_FENCE),
    release('TAG-STAMP', NOTIFIER, 'sub->invalidate_seq, c->id',
            caught_by=[TAGS]),
    release('CURSOR-ORDER', NOTIFIER, 'slot->cursor_order, order',
            caught_by=[ONE_PAGE]),
    release('CURSOR', NOTIFIER, 'slot->cursor, start',
            why_not=masked('CURSOR-ORDER')),
    release('CURSOR-RESET', NOTIFIER, 'c->slot->cursor, 0', why_not=NO_PLAIN),
    release('FINISHED', NOTIFIER, 'c->slot->finishing, 0',
            caught_by=[ONE_PAGE]),
    release('RESUME-VERSION', NOTIFIER,
            'slot->version, READ_ONCE(c->mm->index.version)',
            why_not='x86-64 orders it, and who is removed asynchronously is not '
            'met between two batches'),
    release('LIST-PASS', LIST, 'slot->listed, subscription->seq',
            caught_by=[PASSERS]),
    acquire('LIST-HEAD', LIST, 'mm->list', caught_by=[REGISTERS]),
    release('LIST-LEFT', LIST, 'w->slot->listed, 0', caught_by=[SIGNALS]),
    release('LIST-AGAIN', LIST,
            'slot->list_version, READ_ONCE(mm->list_version)',
            why_not=sometimes('stress signals')),
    acquire('LIST-AGAIN-SEEN', LIST, 'slot->list_version',
            why_not=sometimes('stress signals')),
    release('LIST-VERSION', LIST, 'mm->list_version, mm->list_version + 1',
            why_not=NO_PLAIN),
    acquire('LIST-PASSED', LIST, 'slot->listed', caught_by=[PASSERS]),
    acquire('WALKER-TRY', LIST, 'slot->word', caught_by=[PUTS]),
    release('LIST-ADD', LIST, 'mm->list, subscription', caught_by=[REGISTERS]),
    release('LIST-SEQ', LIST, 'mm->list_seq, subscription->seq',
            why_not=masked('LIST-ADD')),
    Mutant('STALL-RECHECK', 'no fence', [(READ, 'smp_rmb();', 'barrier();')],
           why_not=NO_FENCE),
    exchange('VERIFY', READ, 'sub->verified', 'verified', 'new',
             caught_by=[END]),
    acquire('READ-VERIFIED-TIMED', READ, 'interval_sub->verified',
            why_not='x86-64 orders it, and no test begins a timed read behind '
            'the wait of another'),
    exchange('CHUNK-PUSH', SLOT, 'mm->chunks', 'chunk->next', 'chunk',
             why_not=NO_PLAIN),
    acquire('CHUNK-SEEN', SLOT, 'mm->chunks', why_not=NO_PLAIN),
    exchange('BLOCKS-PUSH', SLOT, 'mm->blocks', 'block->next', 'block',
             caught_by=[REMOVES], quick=True),
    exchange('BLOCK-TAKE', SLOT, 'block->owner', 'owner', 'me',
             why_not=masked('SLOT-AGAIN')),
    acquire('SLOT-AGAIN', SLOT, 'block->slots[i].word',
            why_not=sometimes('stress hot')),
    release('BLOCK-GIVE', SLOT, 'block->owner, 0', why_not=masked('SLOT-STATE')),
    acquire('HOLD-SEEN', SLOT, 'block->holds', caught_by=[LEAVERS], quick=True),
    acquire('SLOT-WAITED', SLOT, 'slot->word', '', ', arg)',
            caught_by=[WALKS, ONE_PAGE]),
    acquire('SEARCH-MOVED', SLOT, 'slot->cursor', '', ' != cursor',
            why_not=NOT_MET),
    acquire('SEARCH-OLD', SLOT, 'slot->word', '', ' & SLOT_SEARCH',
            why_not='x86-64 orders it, and a node is filled again long after '
            'the last search that could see it'),
    acquire('VERSION-OLD', SLOT, 'slot->version', why_not='as SEARCH-OLD'),
    acquire('CURSOR-SEEN', SUB, 'slot->cursor', why_not=masked('ORDER-SEEN')),
    acquire('ORDER-SEEN', SUB, 'slot->cursor_order', caught_by=[ONE_PAGE]),
    acquire('FINISHED-SEEN', SUB, 'slot->finishing', caught_by=[ONE_PAGE]),
    acquire('VERSION-SEEN', SUB, 'slot->version', why_not='as RESUME-VERSION'),
    release('IX-VERSION', INDEX, 'ix->version, ix->version + 1',
            why_not=NO_PLAIN),
    Mutant('IX-REPLACE', 'a plain store',
           [(INDEX, 'smp_store_release(&ix->root, node)',
             'WRITE_ONCE(ix->root, node)'),
            (INDEX, 'smp_store_release(\n\t\t\t&p->step',
             'WRITE_ONCE(\n\t\t\tp->step')], [INDEXES]),
    FILL,
    PUBLISH,
    ADDED,
    Mutant('IX-FILL, IX-PUBLISH and IX-ADDED', 'plain stores',
           edits(FILL, PUBLISH, ADDED), [INDEXES, ONE_PAGE]),
    release('IX-UNPUBLISH', INDEX_WRITE,
            'leaf->perm, perm_remove(perm, pos, slot)', why_not=NO_PLAIN),
    acquire('IX-FINGER', SEARCH, 'ix->version', 'version = ',
            why_not=NO_PLAIN),
    TAKE,
    LEAF,
    WHOLE,
    Mutant('IX-TAKE, IX-LEAF and IX-WHOLE', 'plain loads', edits(TAKE, LEAF, WHOLE),
           [INDEXES, ONE_PAGE]),
    acquire('IX-ROOT', SEARCH, 'ix->root', caught_by=[INDEXES]),
    acquire('IX-CHILD', SEARCH, '*at_slot(node, i)', caught_by=[INDEXES]),
    Mutant('IX-REFILL-FENCE', 'no fence',
           [(INDEX_WRITE, 'smp_wmb();', 'barrier();')],
           why_not=NO_FENCE),
    Mutant('IX-SAME-TAG', 'no fence', [(SEARCH, 'smp_rmb();', 'barrier();')],
           why_not=NO_FENCE),
]

ORDERS = Group(
    'Releases and acquires', 'Made plain. No machine that orders loads with '
    'loads and stores with stores shows it; ThreadSanitizer does, where a '
    'plain word is ordered by it.', MUTANTS)
