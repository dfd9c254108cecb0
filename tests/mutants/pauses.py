# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Where a thread can be made to stand still (see interleave.c)."""

from detectors import INDEX_WRITE, NOTIFIER, READ, SEARCH, SLOT, SUB

DECLARE = 'void pause_here(const char *point);\n'

IN_SEARCH = '#include "index_match.h"\n'
IN_INDEX = '#include "index_filter.h"\n'
IN_READ = '#include UHMM_PROBES_H\n'
IN_SLOT = '#define CHUNK_BYTES SYNC_SIZE(16384UL, 4096UL)\n'
IN_SUB = '#include "reserve.h"\n'


def declared(path, behind):
    return (path, behind, behind + DECLARE)


def before(path, text, point, indent):
    return (path, text, f'pause_here("{point}");\n{indent}{text}')


BEFORE_A_NODE = [
    declared(SEARCH, IN_SEARCH),
    before(SEARCH, 'finger->leaf = node;\n', 'before a node', '\t\t\t\t'),
]
BEFORE_THE_INTERVAL = [
    declared(SEARCH, IN_SEARCH),
    (SEARCH, '*x = smp_load_acquire(at_slot(leaf, slot));',
     '*x = (pause_here("before the interval"),\n'
     '\t\tsmp_load_acquire(at_slot(leaf, slot)));'),
]
BEFORE_THE_LANES = [
    declared(SEARCH, IN_SEARCH),
    (SEARCH, 'index_match(leaf, &range->range);\n'
     '\tunsigned int n;',
     '(pause_here("before the lanes"),\n'
     '\t\tindex_match(leaf, &range->range));\n'
     '\tunsigned int n;'),
]
AFTER_THE_LANES = [
    declared(SEARCH, IN_SEARCH),
    (SEARCH, 'n = leaf_one(leaf, &range, start, last, out);',
     'n = leaf_one(leaf, &range, start, last, out);\n'
     '\tpause_here("after the lanes");'),
]
IN_AN_INSERT = [
    declared(INDEX_WRITE, IN_INDEX),
    before(INDEX_WRITE, 'WRITE_ONCE(leaf->lo[slot], lo);', 'in an insert', '\t'),
]
IN_A_FILL = [
    declared(INDEX_WRITE, IN_INDEX),
    before(INDEX_WRITE, 'smp_store_release(&leaf->at[slot], (void *)x);',
           'in an insert', '\t'),
]
REMOVED = 'smp_store_release(&leaf->perm, perm_remove(perm, pos, slot));'
IN_A_REMOVE = [
    declared(INDEX_WRITE, IN_INDEX),
    before(INDEX_WRITE, REMOVED, 'in a remove', '\t'),
]
BEFORE_A_SLEEP = [
    declared(SLOT, IN_SLOT),
    before(SLOT, 'ret = wait_word(&slot->phase, phase, left);',
           'before a sleep', '\t\t'),
]
BEFORE_THE_VERDICT = [
    declared(READ, IN_READ),
    before(READ, 'verify(sub, verified, *seq);', 'before the verdict', '\t'),
]
IN_THE_CURSOR = [
    declared(SUB, IN_SUB),
    before(SUB, 'order = smp_load_acquire(&slot->cursor_order);',
           'in the cursor', '\t'),
]
BEFORE_A_LOOK = [
    declared(SUB, IN_SUB),
    (SUB, 'slot_settle(slot);\n\t\tword = slot_covers(',
     'slot_settle(slot);\n\t\tpause_here("before a look");\n'
     '\t\tword = slot_covers('),
]
# Not a pause: who waits goes to sleep at once.
NO_SPINS = [('src/sync/sync.h', '#define SYNC_SPINS 100\n',
             '#define SYNC_SPINS 1\n')]
# Nor is this: who was found is called some hundred nanoseconds later.
LATE_CALLS = [(NOTIFIER, '\tslot_leave_index(range->slot, range->id);\n\tcall = ',
               '\tfor (int i = 0; i < 10; i++)\n\t\tcpu_relax();\n'
               '\tslot_leave_index(range->slot, range->id);\n\tcall = ')]
