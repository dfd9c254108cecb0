# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The model: what it announces, and what it counts."""

from detectors import Detector, Group, Mutant, unit

MODEL = 'src/mm/model/'
EVENTS = unit('model_events')
NEWER = unit('model_events_newer')
COUNTS = unit('model')
HUGE = unit('migrate_huge')
LIVES = Detector('fuzz_model', ['1', '40'], limit=120)
LONG_LIVES = Detector('fuzz_model', ['1', '1000'], limit=300)

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
           [EVENTS], quick=True),
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
           [EVENTS], quick=True),
    Mutant('frame_unmap', 'a page that is unmapped is not given back',
           [(MODEL + 'frame.c', '->maps--;\n\tframe_unref(space, pfn);',
             '->maps--;')], [COUNTS], quick=True),
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
    Mutant('frame_pinned', 'of a huge page only the first is known as pinned',
           [(MODEL + 'frame.c',
             'return frame_get(space, frame_head(space, pfn))->pins;',
             'return frame_get(space, pfn)->pins;')], [LONG_LIVES]),
    Mutant('copy_pinned without a frame', 'a child is without what was pinned',
           [(MODEL + 'fork.c', 'return copy ? 0 : -ENOMEM;', 'return 0;')],
           [COUNTS, LONG_LIVES]),
    Mutant('hugetlb_copy', "a child is without a pool's page that was pinned",
           [(MODEL + 'fork.c', 'hugetlb_copy(child, to, addr, pfn) : 1;',
             '1 : 1;')], [COUNTS, LONG_LIVES]),
    Mutant('copy_pinned', 'a page that is pinned is shared by a fork',
           [(MODEL + 'fork.c', 'frame_pinned(space, pte_payload(pte)) &&',
             'false &&')], [LIVES]),
    Mutant('gather_merged', 'of a merged page one place is found',
           [(MODEL + 'rmap.c', 'if (frame->flags & FRAME_KSM)', 'if (false)')],
           [LONG_LIVES]),
    Mutant('references of merging', 'a merged page is counted too often',
           [(MODEL + 'machine.c', '\t\tframe_map(space, kept);\n',
             '\t\tframe_map(space, kept);\n\t\tframe_map(space, kept);\n')],
           [LIVES]),
    Mutant('split_entry', 'of a huge page all entries lead to its first',
           [(MODEL + 'huge_split.c', 'pte += 1UL << PTE_PAYLOAD_SHIFT;', ';')],
           [LIVES]),
    Mutant('file_punch', 'who has mapped a file keeps what is punched',
           [(MODEL + 'file.c', 'unmap_pages(space, file, first, end, false);',
             ';')], [LIVES]),
    Mutant('truncate_to', 'copies of a file outlive its end',
           [(MODEL + 'file.c', '\tif (zap)\n\t\tunmap_pages(space, file, first, '
             '~0UL, true);\n\tforget', '\tif (zap)\n\t\tunmap_pages(space, file,'
             ' first, ~0UL, false);\n\tforget'),
            (MODEL + 'file.c', '\tif (zap)\n\t\tunmap_pages(space, file, first, '
             '~0UL, true);\n\treturn', '\treturn')], [LIVES]),
    Mutant('fill_one', 'a file is filled in behind its end',
           [(MODEL + 'uffd.c', 'if (private && vma->file &&', 'if (false &&')],
           [LONG_LIVES]),
    Mutant('move_one', 'UFFDIO_MOVE leaves the page where it was, too',
           [(MODEL + 'uffd_move.c', '\tif (!ret)\n\t\tpte_put(space, from, '
             'PTE_NONE);', '\tif (!ret)\n\t\treturn 0;')], [LONG_LIVES]),
    Mutant('change_present', 'a hint of NUMA makes a page be lost',
           [(MODEL + 'protect.c', 'return pte | PTE_HINT;', 'return 0;')],
           [LIVES]),
    Mutant('poison_at', 'broken memory stays in the tables of a device',
           [(MODEL + 'machine.c',
             'event_start(at, &range, MMU_NOTIFY_CLEAR, list[i].addr,\n'
             '\t\t\t    list[i].addr + PAGE_SIZE, NULL);', '(void)range;'),
            (MODEL + 'machine.c', '\t\tevent_end(at, &range);\n', '')],
           [LONG_LIVES]),
    Mutant('event of the reaper', 'what it takes stays in a device\'s tables',
           [(MODEL + 'machine.c', '\t\t\t\t\t vma->start, vma->end)) {',
             '\t\t\t\t\t vma->start, vma->start + PAGE_SIZE)) {')], [LIVES]),
    Mutant('only_guards', 'guards are put over pages',
           [(MODEL + 'madvise.c', 'if (type != PTE_NONE && type != PTE_GUARD)',
             'if (false)')], [LIVES]),
    Mutant('split_device in a life', 'pieces of a huge page are counted wrong',
           [(MODEL + 'huge_split.c', '(moving ? 1 : frame->maps) +',
             '1 +')], [LONG_LIVES]),
])
