# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Fences, by their labels in docs/ordering.md."""

from detectors import (GET, INTERNAL, LIST, NOTIFIER, READ, RESERVE, SLOT, SUB,
                       SYNC, Group, Mutant, litmus)
from pauses import LATE_CALLS, NO_SPINS

LOCKED = 'on x86-64 the locked instruction before it is a full fence'

READ_FENCE = (READ, '\tsmp_mb();\n\tret = wait_for_open', '\tret = wait_for_open')
PUT_FENCE = (GET, '\t\tsmp_mb_others();\n', '\t\tsmp_mb();\n')

FENCES = Group(
    'Fences', 'Taken out. Where x86-64 has another instruction before it that '
    'is a fence there, that is made a plain one, too.', [
    Mutant('ANNOUNCE-FENCE', 'an announcement may come after the search',
           [(INTERNAL, 'smp_mb_after_store(&slot->word, id',
             'WRITE_ONCE(slot->word, id')],
           [litmus('insert and its first read'),
            litmus('remove meets a start')], LATE_CALLS, quick=True),
    Mutant('READ-FENCE', 'a read may look at the slots before the insert is '
           'seen', [READ_FENCE],
           why_not='not met: so much lies between the two that the stores '
           'have arrived'),
    Mutant('FIRST-FENCE', 'the first read of the cache may look at the slots '
           'before the insert is seen',
           [(READ, '\tsmp_mb();\n\treturn anything_open', '\treturn anything_open')],
           why_not='as READ-FENCE; the explorer finds it'),
    Mutant('REMOVE-FENCE', 'remove may look at the slots before it unlinks',
           [(SUB, '\tsmp_mb();\n}\n\n/* True', '}\n\n/* True')],
           [litmus('remove meets a start')], LATE_CALLS),
    Mutant('RELEASE-FENCE', 'the end may look at the slots before it says so',
           [(NOTIFIER, '\tsmp_mb();\n\tfor_each_slot(slot, block, mm) {\n'
             '\t\t/* Who', '\tfor_each_slot(slot, block, mm) {\n\t\t/* Who'),
            (NOTIFIER, 'fetch_or(&mm->flags, MM_RELEASED);',
             'WRITE_ONCE(mm->flags, mm->flags | MM_RELEASED);')],
           why_not='litmus "the end of the address space meets a start" '
           'catches it in some runs, but not in each'),
    Mutant('LIST-ADD-FENCE', 'register may look at the slots before it is '
           'listed',
           [(LIST, '\tsmp_mb();\n}', '}'),
            (LIST, 'fetch_or(&mm->flags, MM_LIST);',
             'WRITE_ONCE(mm->flags, mm->flags | MM_LIST);')],
           [litmus('register meets a start')]),
    Mutant('WALK-FENCE', 'a walk may begin before it says so',
           [(LIST, '\tsmp_mb();\n\t/* Ordering: (LIST-HEAD)',
             '\t/* Ordering: (LIST-HEAD)')],
           why_not='membarrier does the same; without it, ' + LOCKED),
    Mutant('LIST-CUT-FENCE', 'unregister may look at the walks before it cuts',
           [(LIST, '\tsmp_mb_others();\n\treturn mm->list_version;',
             '\treturn mm->list_version;')],
           [litmus('unregister meets a start', 3)]),
    Mutant('PUT-FENCE', 'put may look at the walks before it says what is to '
           'be freed', [PUT_FENCE],
           why_not='LIST-CUT-FENCE is one for it, but after the end'),
    Mutant('LIST-CUT-FENCE and PUT-FENCE of others',
           'they are fences for the caller alone',
           [PUT_FENCE, (LIST, '\tsmp_mb_others();\n\treturn mm->list_version;',
                        '\tsmp_mb();\n\treturn mm->list_version;')],
           [litmus('a notifier that was put', 5)]),
    Mutant('OLDEST-FENCE', 'the oldest search may be looked for before the '
           'nodes are replaced',
           [(SLOT, '\tsmp_mb();\n\tfor_each_slot', '\tfor_each_slot')],
           why_not='replaced nodes wait for many others, so their stores are '
           'long over when this looks'),
    Mutant('RESUME-FENCE', 'a search may go on before it says so',
           [(NOTIFIER, '\tsmp_mb();\n\tn = c->mm->index.search->resume',
             '\tn = c->mm->index.search->resume')],
           why_not='it would have to meet the freeing of a node, or of a '
           'subscription, within some instructions'),
    Mutant('RESERVE-FENCE', 'a reservation may look at the slots too early',
           [(RESERVE, '\tsmp_mb();\n\tfor_each_slot', '\tfor_each_slot')],
           why_not=LOCKED),
    Mutant('STALL-OVER', 'callbacks may be made before it stands still no more',
           [(RESERVE, '\tsmp_mb();\n}', '}')], why_not=LOCKED),
    Mutant('SLOT-CHANGED', 'a sleeper may be looked for before the change',
           [(INTERNAL, '\t\tsmp_mb();\n\t}\n\tif (unlikely(READ_ONCE(',
             '\t}\n\tif (unlikely(READ_ONCE(')],
           [litmus('an end wakes the reads', 3, exchange=True)], NO_SPINS),
    Mutant('SLOT-WAITER', 'a sleeper is no fence for who ends',
           [(SLOT, '\t\tsmp_mb_others();\n\t\tif (is_over(',
             '\t\tsmp_mb();\n\t\tif (is_over(')],
           [litmus('an end wakes the reads', 3)], NO_SPINS),
    Mutant('REAP-FENCE', 'an asynchronous remove is no fence for who calls',
           [(SUB, '\tsmp_mb_others();\n\tinterval_reap', '\tinterval_reap')],
           [litmus('an asynchronous remove meets a start')]),
    Mutant('fence of spin_lock_slow', 'a sleeper is no fence for who unlocks',
           [(SYNC, '\t\tsmp_mb_others();\n\t\twait_word(',
             '\t\tsmp_mb();\n\t\twait_word(')],
           why_not='a lock is not held long enough for anybody to sleep, and '
           'the next holder wakes him'),
])
