#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The code of uhmm_mmu_notifier(7) and uhmm_rcache(7) works: test_man.py ARCHIVE.

That of the first is compiled with man_program.c, and run; and with each of the
mistakes below, which some check has to notice. That of the second is a program.
TAP out.
"""

import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from docs.doclib import ROOT, compiled, displays, replaced, run
from tap import Tap

PAGE = ROOT / 'man/uhmm_mmu_notifier.7'
PROGRAM = ROOT / 'tests/docs/man_program.c'

# name: (what stands in the page, what the mistake makes of it, who notices)
MISTAKES = {
    'set_seq is forgotten': (
        '''		return false;
	mmu_interval_set_seq(sub, cur_seq);
	for (int''', '''		return false;
	for (int''', 'collision'),
    'retry is forgotten': (
        'if (mmu_interval_read_retry(&view->sub, seq)) {',
        'if (0 * (int)seq) {', 'collision'),
    'an entry of the range stays': (
        'addr + PAGE > range->start)', 'addr + PAGE > range->end)', 'zap'),
    'entries beside the range go': (
        'addr + PAGE > range->start)', 'addr + PAGE >= range->start)', 'zap'),
    'the device runs on': ('\tmy_device_stop(view);\n', '', 'zap'),
    'the page table changes first': (
        '''	ret = mmu_notifier_invalidate_range_start(&range);
''', '''	my_clear_page_table(mm, start, end);
	ret = mmu_notifier_invalidate_range_start(&range);
''', 'zap'),
    'no end': (
        '''	ret = mmu_notifier_invalidate_range_start(&range);
	if (ret)
		return ret;
	my_clear_page_table(mm, start, end);
	mmu_notifier_invalidate_range_end(&range);
''', '''	ret = mmu_notifier_invalidate_range_start(&range);
	if (ret)
		return ret;
	my_clear_page_table(mm, start, end);
''', 'zap'),
    'a refusal is not returned': (
        '''start_nonblock(&range);
	if (ret)
''', '''start_nonblock(&range);
	if (!mm)
''', 'nonblock'),
    'the second pass is left out': (
        '		*finish = &gpu->finish;\n', '', 'two-passes'),
    'a finish object is used twice': (
        'if (gpu->finishing) {', 'if (!gpu) {', 'two-passes'),
    'set_seq for the first only': (
        'mmu_interval_set_seq(subs[i], cur_seq);',
        'mmu_interval_set_seq(subs[0], cur_seq);', 'batch'),
    'the tag is not looked at': (
        '''	while (entry->page != page ||
	       !uhmm_interval_tag_valid(tlb, entry->tag)) {''',
        '	while (entry->page != page || !entry->tag) {', 'tagged'),
    'the tag is taken after the entry': (
        '''		entry->tag = mmu_interval_read_begin(tlb);
		entry->page = page;
		entry->frame = my_frame_of(page);
''', '''		entry->page = page;
		entry->frame = my_frame_of(page);
		entry->tag = mmu_interval_read_begin(tlb);
''', 'tagged'),
    'the object stays': (
        '''	if (last)
		uhmm_interval_notifier_remove_async(sub);
''', '', 'remove-async'),
    'an end is taken for a start': (
        '((struct watcher *)notifier)->open--;',
        '((struct watcher *)notifier)->open++;', 'list'),
    'the reservation is kept': (
        '\t\tuhmm_interval_unreserve(&view->sub);\n', '', 'reservation'),
}

RCACHE_PAGE = ROOT / 'man/uhmm_rcache.7'
# What the program says 1 to.
RCACHE_MISTAKES = {
    'the change is not announced': (
        '\tmmu_notifier_invalidate_range_start(&range);\n',
        '\trange.slot = 0;\n'),
    'another page is announced': (
        '0, mm, 2 * PAGE,\n\t\t\t\t3 * PAGE);',
        '0, mm, PAGE,\n\t\t\t\t2 * PAGE);'),
    'the use does not end': ('\tuhmm_rcache_put(&reg);\n', ''),
}


def rcache_status(folder, code):
    """What the program of uhmm_rcache(7) exits with."""
    (folder / 'rcache.c').write_text(code)
    exe = compiled(folder / 'rcache', folder / 'rcache.c',
                   archive=sys.argv[1], werror=False)
    return run(exe, timeout=30)[0]


def say_rcache(tap, folder):
    code = '\n'.join(text for mark, _, text in
                     displays(RCACHE_PAGE.read_text()) if mark == 'code')
    status = rcache_status(folder, code)
    tap.say('the program of uhmm_rcache(7)', status and f'status {status}')
    for mistake, (old, new) in RCACHE_MISTAKES.items():
        status = rcache_status(folder, replaced(code, old, new))
        tap.say(f'uhmm_rcache(7) notices: {mistake}',
                None if status in (1, 2) else f'status {status}')


def program(folder, code, werror=True):
    (folder / 'man_code.h').write_text(code)
    return compiled(folder / 'program', PROGRAM, archive=sys.argv[1],
                    include=[folder], werror=werror)


def noticed(folder, code, mistake):
    """None, or why not."""
    old, new, check = mistake
    try:
        exe = program(folder, replaced(code, old, new), werror=False)
    except AssertionError as problem:
        return f'does not compile: {problem}'
    status, _ = run(exe, check, timeout=30)
    return None if status != 0 else f'{check} did not notice'


def main():
    blocks = list(displays(PAGE.read_text()))
    code = '\n'.join(text for mark, _, text in blocks if mark == 'code')
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        exe = program(folder, code)
        checks = run(exe)[1].split()
        tap = Tap(2 + len(checks) + len(MISTAKES) + len(RCACHE_MISTAKES))
        odd = [f'line {n}' for mark, n, _ in blocks
               if mark not in ('code', 'figure')]
        tap.say('each display is marked as code or figure', ', '.join(odd))
        for check in checks:
            status, output = run(exe, check)
            tap.say(check, output or f'status {status}' if status else None)
        for mistake, what in MISTAKES.items():
            tap.say(f'noticed: {mistake}', noticed(folder, code, what))
        say_rcache(tap, folder)
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
