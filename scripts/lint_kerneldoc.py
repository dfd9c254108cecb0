#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""kernel-doc is clean, and the public functions have it in full.

Each public function has one that says Context: and, unless it returns nothing,
Return:. Declarations after a comment "private: ..." need none.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from lintlib import Lint, skip
from public_functions import public_functions

KERNEL_DOC = '/usr/lib/linux-kbuild-6.1/scripts/kernel-doc'


# Words of sync.h on struct members, which kernel-doc takes for members.
WORDS = re.compile(r'\b(__guarded_by\([^()]*\)|__cacheline_aligned\b)')


def check_clean(lint, copy):
    """Repeat what kernel-doc itself complains about."""
    for path in lint.sources('include', 'src'):
        name = lint.relative(path)
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(WORDS.sub('', path.read_text()))
        out = subprocess.run([KERNEL_DOC, '-none', '-v', '-Werror', name],
                             cwd=copy, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, check=False)
        # "info:" says of each comment that it is being read.
        told = [line for line in out.stdout.splitlines()
                if re.search(r'\b(warning|error): ', line)
                and 'no structured comments' not in line]
        for line in told:
            print(line)
            lint.complaints += 1
        if out.returncode and not told:
            lint.complain(path, 1, f'kernel-doc: status {out.returncode}')


def documented(lint):
    """{function: set of its section titles}"""
    headers = sorted((lint.root / 'include/uhmm').glob('*.h'))
    out = subprocess.run([KERNEL_DOC, '-man', *headers], text=True, check=False,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL)
    pages = {}
    for page in re.split(r'^\.TH ', out.stdout, flags=re.M)[1:]:
        name = page.split('"')[1]
        pages[name] = set(re.findall(r'^\.SH "?(\w+)', page, re.M))
    return pages


def private_lines(lint):
    """{header: lines between a "private:" comment and the next kernel-doc}"""
    private = {}
    for path in lint.sources('include'):
        lines, here = set(), False
        for n, line in enumerate(path.read_text().split('\n'), 1):
            if re.match(r'/\* private:', line):
                here = True
            elif line.startswith('/**'):
                here = False
            if here:
                lines.add(n)
        private[str(lint.relative(path))] = lines
    return private


def check_complete(lint):
    pages, private = documented(lint), private_lines(lint)
    for header, line, name, kind in public_functions(lint.root):
        if line in private.get(str(header), ()):
            continue
        if name not in pages:
            lint.complain(header, line, f'{name}() has no kernel-doc')
            continue
        if 'CONTEXT' not in pages[name]:
            lint.complain(header, line, f'{name}() does not say Context:')
        returns = not re.search(r'\bvoid$', kind)
        if returns and 'RETURN' not in pages[name]:
            lint.complain(header, line, f'{name}() does not say Return:')


def main():
    lint = Lint()
    if not os.access(KERNEL_DOC, os.X_OK):
        skip('kernel-doc is not there (package linux-kbuild-6.1)')
    with tempfile.TemporaryDirectory() as folder:
        check_clean(lint, pathlib.Path(folder))
    check_complete(lint)
    return lint.finish()


if __name__ == '__main__':
    sys.exit(main())
