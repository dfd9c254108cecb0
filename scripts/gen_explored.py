#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What the build of explored objects needs to know of the sources.

gen_explored.py link: the linker's arguments that give them the explorer's
functions in place of libc's, from src/explore/posix.h and unknown.h.
gen_explored.py labels: a C file with the line of each labelled ordering comment.
"""

import pathlib
import re
import sys

from gen_ordering import KINDS
from lint_ordering import COMMENT, blank_comments, comments

PRIMITIVE = re.compile('|'.join(rf'\b{word}\b' for word, _ in KINDS))
ROOT = pathlib.Path(__file__).resolve().parent.parent


def link():
    names = re.findall(r'\bW\((\w+)\)\(',
                       (ROOT / 'src/explore/posix.h').read_text())
    names += re.findall(r'^\tUNKNOWN\((\w+)\)',
                        (ROOT / 'src/explore/unknown.h').read_text(), re.M)
    for name in sorted(set(names) - {'name'}):
        print(f'-Wl,--wrap={name}')
    # libgcc.a has a __wrap_pthread_create() of its own, for split stacks.
    # What is explored is its own, not what the tool has of that name.
    print('-Wl,-Bsymbolic\n-Wl,-u,explore_labels')
    print('-nodefaultlibs\n-l:libgcc_s.so.1\n-lc')


def labels_of(path):
    """Yield (label, first line, last line) of each statement with a label."""
    text = path.read_text()
    code = blank_comments(text).split('\n')
    for _, last, body in comments(text):
        match = COMMENT.search(body)
        if not match:
            continue
        end = last
        while end < len(code) - 1 and not (
                re.search(r'[;{]\s*\\?$', code[end]) and
                PRIMITIVE.search('\n'.join(code[last:end + 1]))):
            end += 1
        if re.match(r'\s*else\b', code[end + 1]):
            end += 2
        yield match[1], last + 1, end + 1


def labels():
    print('/* Made by scripts/gen_explored.py from the ordering comments. */')
    print('#include "explore/hooks.h"\n')
    print('extern const struct explore_label explore_labels[];')
    print('const struct explore_label explore_labels[] = {')
    for folder in ('include', 'src/core', 'src/designs', 'src/lib', 'src/mm',
                   'src/rcache'):
        for path in sorted((ROOT / folder).rglob('*.[ch]')):
            for label, first, last in labels_of(path):
                print(f'\t{{ "{label}", "{path.relative_to(ROOT)}", '
                      f'{first}, {last} }},')
    print('\t{ 0 }\n};\n')
    print('static __attribute__((constructor)) void register_labels(void)')
    print('{\n\texplore_register_labels(explore_labels);\n}')


if __name__ == '__main__':
    {'link': link, 'labels': labels}[sys.argv[1]]()
