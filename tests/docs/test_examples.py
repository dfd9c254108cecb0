#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The examples notice what they say they look for: test_examples.py ARCHIVE URING.

Each is compiled as it is, and once for each of the mistakes below, with which
it must exit with status 1 and say that something was stale. URING is 1 if
liburing is there. TAP out.
"""

import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from docs.doclib import ROOT, compiled, replaced, run
from tap import Tap

EXAMPLES = ROOT / 'examples'
RETRY = ('!mmu_interval_read_retry(&mirror, seq)',
         '1 + mmu_interval_read_retry(&mirror, seq)')
SET_SEQ = ('\tmmu_interval_set_seq(sub, cur_seq);\n', '')
BRACKET = ('\tmmu_notifier_invalidate_range_start(&range);\n',
           '\trange.slot = 0;\n')

MISTAKES = {
    '01-first-mirror': {
        'retry is forgotten': RETRY,
        'set_seq is forgotten': SET_SEQ,
        'entries stay': ('device_table[at / PAGE] = NONE;', '(void)at;'),
        'the bracket is forgotten': BRACKET,
    },
    '02-guest-memory': {
        'retry is forgotten': (
            'if (mmu_interval_read_retry(&mirror, seq))',
            'if (mmu_interval_read_retry(&mirror, seq) && !mm)'),
        'set_seq is forgotten': SET_SEQ,
        'entries stay': ('device_table[page] = NULL;', '(void)page;'),
        'the bracket is forgotten': BRACKET,
    },
    '03-driver-on-the-model': {
        'entries stay': ('\tframe = 0;', '\t(void)frame;'),
        'the device is not told': ('\tuhmm_model_madvise(',
                                   '\tmmu_interval_notifier_remove(&mirror);\n'
                                   '\tuhmm_model_madvise('),
    },
    '04-file-into-malloc': {
        'the cache is not told': (
            'uhmm_mm_create_live(NULL, &mm) || uhmm_live_get_info(mm, &info)',
            'uhmm_mm_create(&mm)'),
    },
}
NEEDS_URING = {'04-file-into-malloc'}

# What an example prints about stale reads; the first group is how many.
STALE = re.compile(r'(\d+) (?:stale|read though dropped)')


class NotHere(Exception):
    """Why an example cannot run on this machine."""


def outcome(folder, name, text):
    """(status, number of stale reads)"""
    uring = ['-luring'] if name in NEEDS_URING else []
    if uring and sys.argv[2] != '1':
        raise NotHere('no liburing')
    (folder / 'example.c').write_text(text)
    exe = compiled(folder / 'example', folder / 'example.c',
                   archive=sys.argv[1], werror=False, libraries=uring)
    status, output = run(exe)
    if status == 77:
        raise NotHere(output.strip())
    found = STALE.search(output)
    if not found:
        raise AssertionError(f'status {status}, and no count of stale reads:\n'
                             f'{output}')
    return status, int(found[1])


def say(tap, folder, name, text, mistake=None):
    """A case: it is stale with a mistake, and only then."""
    case = f'{name} notices: {mistake}' if mistake else name
    try:
        status, stale = outcome(folder, name, text)
    except AssertionError as error:
        tap.say(case, error)
    except NotHere as reason:
        tap.say(case, skip=reason)
    else:
        good = status == bool(mistake) and (stale > 0) == bool(mistake)
        tap.say(case, None if good else f'status {status}, {stale} stale')


def main():
    examples = {path.stem: path.read_text() for path in EXAMPLES.glob('*.c')}
    tap = Tap(1 + len(examples) + sum(len(m) for m in MISTAKES.values()))
    missing = set(examples) ^ set(MISTAKES)
    tap.say('each example has its mistakes', ', '.join(sorted(missing)))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for example, text in sorted(examples.items()):
            say(tap, folder, example, text)
        for example, mistakes in MISTAKES.items():
            for mistake, (old, new) in mistakes.items():
                text = replaced(examples[example], old, new)
                say(tap, folder, example, text, mistake)
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
