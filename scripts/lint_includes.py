#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Who may include what: the arrows between the folders point down only."""

import os
import re
import sys

from lintlib import Lint

LIBC_TYPES = {'stdbool.h', 'stddef.h', 'stdint.h', 'limits.h', 'sys/types.h'}
THREADS = {'pthread.h', 'stdatomic.h', 'threads.h', 'semaphore.h',
           'linux/futex.h', 'linux/membarrier.h'}

# folder: (what of this tree it may include, its own folder apart;
#          which system headers: 'types', 'no threads' or 'all')
# The first folder that a file lies in counts.
RULES = {
    'include/uhmm': ([], 'types'),
    'src/sync': ([r'src/explore/hooks\.h$'], 'all'),
    # The public node of the index is the one public header that lib knows.
    'src/lib': ([r'src/sync/', r'include/uhmm/interval\.h$'], 'no threads'),
    'src/core': ([r'include/', r'src/lib/', r'src/sync/'], 'no threads'),
    'src/mm': ([r'include/', r'src/core/\w*internal\.h$', r'src/lib/',
                r'src/sync/'], 'no threads'),
    'src/designs': ([r'include/', r'src/core/\w*internal\.h$', r'src/lib/',
                     r'src/sync/'], 'no threads'),
    'src/rcache': ([r'include/', r'src/core/find\.h$', r'src/lib/', r'src/sync/'],
                   'no threads'),
    # Scenarios and what runs them agree on one public header.
    'src/explore': ([r'include/uhmm/explore\.h$', r'src/lib/'], 'all'),
    'src/agent': ([r'include/', r'src/mm/live/', r'src/sync/'], 'all'),
    'src/drivers': ([r'include/', r'src/lib/options\.h$'], 'all'),
    'cli': ([r'include/', r'src/explore/(explore|trace|ladder|replay)\.h$',
             r'src/agent/(board|loadable|stream)\.h$'], 'all'),
    'examples': ([r'include/'], 'all'),
    # Their table of operations is what all schemes have in common.
    'scenarios': ([r'include/', r'src/designs/design\.h$',
                   r'src/mm/live/(bracket|out)\.h$'], 'all'),
    'tests': ([r''], 'all'),
    'bench': ([r''], 'all'),
}

INCLUDE = re.compile(r'\s*#\s*include\s+(?:([<"])([^>"]+)[>"]|(\w+))')


def folder_of(name):
    for folder in RULES:
        if name.startswith(folder + '/'):
            return folder
    return None


def resolve(lint, path, how, what):
    """The included file below the root, or None for a system header."""
    places = [lint.root / 'include', lint.root / 'src']
    if how == '"':
        places.insert(0, path.parent)
    for place in places:
        found = place / what
        if found.is_file():
            return os.path.relpath(os.path.realpath(found),
                                   os.path.realpath(lint.root))
    return None


def check_system(system, what):
    if system == 'types' and what not in LIBC_TYPES:
        return f'a public header may include only {", ".join(sorted(LIBC_TYPES))}'
    if system == 'no threads' and what in THREADS:
        return f'only src/sync may include <{what}>'
    return None


def check_line(lint, path, number, match):
    name = str(lint.relative(path))
    folder = folder_of(name)
    if folder is None:
        lint.complain(path, number, 'this folder has no rule for includes')
        return
    allowed, system = RULES[folder]
    if match[3]:
        if match[3] != 'UHMM_PROBES_H' or not folder.startswith('src/'):
            lint.complain(path, number, 'an include by a macro other than '
                          'UHMM_PROBES_H')
        return
    found = resolve(lint, path, match[1], match[2])
    if found is None and match[1] == '"' and folder not in ('tests', 'bench'):
        lint.complain(path, number, f'there is no "{match[2]}"')
    elif found is None:
        message = check_system(system, match[2])
        if message:
            lint.complain(path, number, message)
    elif not found.startswith(folder + '/') and \
            not any(re.match(rule, found) for rule in allowed):
        lint.complain(path, number, f'{folder} may not include {found}')


def main():
    lint = Lint()
    folders = ('include', 'src', 'cli', 'examples', 'scenarios', 'tests',
               'bench')
    for path in lint.sources(*folders):
        for number, line in enumerate(path.read_text().split('\n'), 1):
            match = INCLUDE.match(line)
            if match:
                check_line(lint, path, number, match)
    return lint.finish()


if __name__ == '__main__':
    sys.exit(main())
