# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The model: what it announces, and what it counts."""

from detectors import Detector, Group, Mutant, unit

MODEL = 'src/mm/model/'
EVENTS = unit('model_events')
NEWER = unit('model_events_newer')
COUNTS = unit('model')
HUGE = unit('migrate_huge')
LIVES = Detector('fuzz_model', ['1', '40'], limit=120)

EVENT_ROWS = Group(
    'The model',
    'Events that are wrong: one variant for each way, and pages that are '
    'counted or found wrongly.', [
    Mutant('range of munmap', 'its last page is not announced',
           [(MODEL + 'map.c', 'MMU_NOTIFY_UNMAP, start, end, NULL);',
             'MMU_NOTIFY_UNMAP, start, end - PAGE_SIZE, NULL);')],
           [EVENTS], quick=True),
    Mutant('range of soft dirty', 'not all of the address space is announced',
           [(MODEL + 'machine.c', 'MMU_NOTIFY_SOFT_DIRTY, 0, ~0UL, NULL);',
             'MMU_NOTIFY_SOFT_DIRTY, 0, 1UL << 30, NULL);')], [EVENTS]),
    Mutant('event of fork', 'its protection is announced as a change',
           [(MODEL + 'fork.c', 'MMU_NOTIFY_PROTECTION_PAGE', 'MMU_NOTIFY_CLEAR')],
           [EVENTS]),
    Mutant('event of a copy', 'a copy on write is not announced',
           [(MODEL + 'fault.c',
             'event_start(space, &range, MMU_NOTIFY_CLEAR, addr, addr + PAGE_SIZE,'
             '\n\t\t    NULL);', '(void)range;'),
            (MODEL + 'fault.c', 'event_end(space, &range);\n', '')],
           [EVENTS, LIVES]),
    Mutant('order of munmap', 'it is announced when the pages are gone',
           [(MODEL + 'map.c',
             'event_start(space, &range, MMU_NOTIFY_UNMAP, start, end, NULL);\n',
             ''),
            (MODEL + 'map.c',
             'event_end(space, &range);\n\twhile ((vma = gone))',
             'event_start(space, &range, MMU_NOTIFY_UNMAP, start, end, NULL);\n'
             '\tevent_end(space, &range);\n\twhile ((vma = gone))')],
           [EVENTS]),
    Mutant('order of mprotect', 'it is announced when rights are gone',
           [(MODEL + 'protect.c',
             'event_start(space, &range, MMU_NOTIFY_PROTECTION_VMA, first, last,'
             '\n\t\t    NULL);\n', ''),
            (MODEL + 'protect.c', 'event_end(space, &range);',
             'event_start(space, &range, MMU_NOTIFY_PROTECTION_VMA, first, '
             'last, NULL);\n\tevent_end(space, &range);')], [EVENTS]),
    Mutant('who may sleep', 'the reaper lets callbacks sleep',
           [(MODEL + 'event.c',
             'ret = mmu_notifier_invalidate_range_start_nonblock(range);',
             'mmu_notifier_invalidate_range_start(range), ret = 0;')],
           [EVENTS]),
    Mutant('frame_unmap', 'a page that is unmapped is not given back',
           [(MODEL + 'frame.c', '->maps--;\n\tframe_unref(space, pfn);',
             '->maps--;')], [COUNTS]),
    Mutant('may_map', 'who was forked is not looked for',
           [(MODEL + 'rmap.c',
             'family_descends(space, vma->anon, frame->family);',
             'vma->anon == frame->family;')], [LIVES]),
    Mutant('exclusive_restore', 'a device is not told that a CPU is back',
           [(MODEL + 'migrate.c',
             'newest(space) ? MMU_NOTIFY_CLEAR : MMU_NOTIFY_EXCLUSIVE,\n'
             '\t\t    addr, addr + PAGE_SIZE, NULL);',
             'MMU_NOTIFY_CLEAR, 0, PAGE_SIZE, NULL);')], [unit('exclusive')]),
    Mutant('busy', 'a page that somebody holds moves away under him',
           [(MODEL + 'migrate.c', '|| frame_refs(space, pfn) > known;',
             '|| frame_refs(space, pfn) > known + 1;')], [HUGE]),
    Mutant('migrate_huge', 'who was forked is not told that a huge page goes',
           [(MODEL + 'rmap.c',
             'event_start(at, &range, MMU_NOTIFY_CLEAR, addr,\n'
             '\t\t\t    addr + LEAF_SIZE, NULL);', '(void)range;'),
            (MODEL + 'rmap.c',
             'huge_unmap(at, pfn);\n\t\t}\n\t\tevent_end(at, &range);',
             'huge_unmap(at, pfn);\n\t\t}')], [HUGE]),
    Mutant('FRAME_SMALL', 'of a huge page only what one entry leads to is found',
           [(MODEL + 'huge_split.c',
             'frame_get(space, pfn)->flags |= FRAME_SMALL;', ';')], [HUGE]),
    Mutant('split_device', 'pieces of a huge page are counted too often',
           [(MODEL + 'huge_split.c', '(moving ? 1 : frame->maps) +',
             '1 +')], [HUGE]),
    Mutant('event of UFFDIO_MOVE', 'where pages come to is announced',
           [(MODEL + 'uffd_move.c', 'MMU_NOTIFY_CLEAR, from, end, NULL);',
             'MMU_NOTIFY_CLEAR, to, to + end - from, NULL);')], [NEWER]),
    Mutant('event of PAGEMAP_SCAN', 'what is protected is not announced',
           [(MODEL + 'scan.c',
             'event_start(scan.space, &range, MMU_NOTIFY_PROTECTION_VMA, addr,'
             '\n\t\t\t    end, NULL);', '(void)range;'),
            (MODEL + 'scan.c', 'event_end(scan.space, &range);', ';')],
           [NEWER]),
    Mutant('event of huge zeroes', 'of those that are written a page is said',
           [(MODEL + 'huge.c',
             'event_start(space, &range, MMU_NOTIFY_CLEAR, addr, addr + '
             'LEAF_SIZE,\n\t\t    NULL);\n\tleaf = leaf_get(space, addr);\n'
             '\tif (leaf && leaf->huge && pte_zero(leaf->huge)) {',
             'event_start(space, &range, MMU_NOTIFY_CLEAR, addr, addr + '
             'PAGE_SIZE,\n\t\t    NULL);\n\tleaf = leaf_get(space, addr);\n'
             '\tif (leaf && leaf->huge && pte_zero(leaf->huge)) {')],
           [NEWER]),
    Mutant('event of a probe', 'code is replaced and nobody is told',
           [(MODEL + 'uprobe.c',
             'event_start(space, &range, MMU_NOTIFY_CLEAR, addr, addr + '
             'PAGE_SIZE,\n\t\t    NULL);', '(void)range;'),
            (MODEL + 'uprobe.c', 'event_end(space, &range);\n', '')],
           [NEWER]),
    Mutant('hugetlb_widen', 'of a shared table what changes only is announced',
           [(MODEL + 'huge.c', 'last <= first || *end', 'true || *end')],
           [NEWER]),
    Mutant('hugetlb_unshare', 'who leaves a shared table is not told',
           [(MODEL + 'huge_split.c', 'hugetlb_unshare(space, vma, addr);',
             ';')], [NEWER]),
])
