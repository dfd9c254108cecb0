#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Conditional compilation stands in few places: optional parts are whole files.

Free: include guards, __cplusplus, and the files below. tests/ and bench/ are
not looked at.
"""

import re
import sys

from lintlib import Lint, blank_comments

FREE = {
    # tells the native from the explored build, and clang from gcc
    'src/sync/sync.h',
    # one file for what differs between architectures
    'src/sync/arch.h',
    # compiled twice, with vectors and without
    'src/lib/index_match.h',
    # tells objects for tests, that can be broken, from the library's
    'src/lib/broken.h',
    # what older kernel headers lack
    'src/mm/live/uapi.h',
}

CONDITION = re.compile(r'\s*#\s*(if|ifdef|ifndef|elif|else)\b\s*(.*)')


def guard_line(lines):
    """Number of the #ifndef of the include guard, or 0."""
    code = [(n, line) for n, line in enumerate(lines, 1) if line.strip()]
    if len(code) < 3:
        return 0
    first = re.match(r'#ifndef\s+(\w+)$', code[0][1].strip())
    second = re.match(r'#define\s+(\w+)$', code[1][1].strip())
    if first and second and first[1] == second[1] and \
            code[-1][1].strip() == '#endif':
        return code[0][0]
    return 0


def main():
    lint = Lint()
    for path in lint.sources('include', 'src', 'cli', 'examples', 'scenarios'):
        if str(lint.relative(path)) in FREE:
            continue
        lines = blank_comments(path.read_text()).split('\n')
        guard = guard_line(lines)
        if path.suffix == '.h' and not guard:
            lint.complain(path, 1, 'a header without an include guard around '
                          'all of it')
        for n, line in enumerate(lines, 1):
            match = CONDITION.match(line)
            if not match or n == guard:
                continue
            if match[1] == 'ifdef' and match[2].strip() == '__cplusplus':
                continue
            lint.complain(path, n, f'#{match[1]} outside the files that may '
                          'have one')
    return lint.finish()


if __name__ == '__main__':
    sys.exit(main())
