#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The examples notice what they say they look for: test_examples.py ARCHIVE.

Each is compiled as it is, and once for each of the mistakes below, with which
it must exit with status 1 and say that something was stale. TAP out.
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
}

# What an example prints about stale reads; the first group is how many.
STALE = re.compile(r'(\d+) (?:stale|read though dropped)')


def outcome(folder, text):
    """(status, number of stale reads)"""
    (folder / 'example.c').write_text(text)
    exe = compiled(folder / 'example', folder / 'example.c',
                   archive=sys.argv[1], werror=False)
    status, output = run(exe)
    found = STALE.search(output)
    if not found:
        raise AssertionError(f'status {status}, and no count of stale reads:\n'
                             f'{output}')
    return status, int(found[1])


def problem(folder, text, status, stale):
    """None, or what is wrong with the outcome."""
    try:
        have = outcome(folder, text)
    except AssertionError as error:
        return error
    if have[0] == status and (have[1] > 0) == stale:
        return None
    return f'status {have[0]}, {have[1]} stale'


def main():
    examples = {path.stem: path.read_text() for path in EXAMPLES.glob('*.c')}
    tap = Tap(1 + len(examples) + sum(len(m) for m in MISTAKES.values()))
    missing = set(examples) ^ set(MISTAKES)
    tap.say('each example has its mistakes', ', '.join(sorted(missing)))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for example, text in sorted(examples.items()):
            tap.say(example, problem(folder, text, 0, False))
        for example, mistakes in MISTAKES.items():
            for mistake, (old, new) in mistakes.items():
                text = replaced(examples[example], old, new)
                tap.say(f'{example} notices: {mistake}',
                        problem(folder, text, 1, True))
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
