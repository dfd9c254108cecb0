#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Words, lengths and licences of every file of the tree."""

import json
import os
import re
import shutil
import subprocess
import sys

from lintlib import LICENCE, Lint

MAX_COLUMNS = 100
MAX_FILE_LINES = 700
MAX_DRIVER_LINES = 300
MAX_FUNCTION_LINES = 70

FREE_LICENCE = ('examples/', 'scenarios/', 'tests/oracle/')
# Texts of others, and data that has no comments.
NO_LOOK = re.compile(r'LICENSE$|LICENSES/')
NO_SPDX = re.compile(r'.*\.(json|txt|sched|svg)$')
CODE = re.compile(r'.*\.(c|h|py|sh)$')

# Spelt so that this file does not find itself.
WORDS = re.compile(r'\b(TO' r'DO|FIX' r'ME|XX' r'X|st' r'ubs?|place' r'holders?)\b')


def listed_by_git(root):
    """What git tracks or would add, or None outside a checkout."""
    if not (root / '.git').exists() or not shutil.which('git'):
        return None
    out = subprocess.run(
        ['git', '-C', root, 'ls-files', '-z', '--cached', '--others',
         '--exclude-standard'], stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL, check=False)
    if out.returncode:
        return None
    return sorted(set(out.stdout.decode().split('\0')) - {''})


def walk(root):
    names = []
    for folder, folders, files in os.walk(root):
        # What is built is no source.
        folders[:] = [d for d in folders if d not in ('.git', '__pycache__')
                      and not d.startswith('build')]
        names += [os.path.relpath(os.path.join(folder, f), root) for f in files]
    return sorted(names)


def check_spdx(lint, path, name, lines):
    licence = '0BSD' if name.startswith(FREE_LICENCE) else LICENCE
    head = lines[:2] if lines[0].startswith(('#!', '#compdef')) else lines[:1]
    tag = 'SPDX-License-Identifier: ' + licence
    if not any(re.search(re.escape(tag) + r'( \*/| -->)?$', line)
               for line in head):
        lint.complain(path, 1, f'the first line does not say "{tag}"')


def check_lines(lint, path, name, lines):
    for n, line in enumerate(lines, 1):
        if line != line.rstrip():
            lint.complain(path, n, 'blanks at the end of the line')
        match = WORDS.search(line)
        if match:
            lint.complain(path, n, f'the word "{match[1]}"')
        # Data, tables and addresses cannot be broken.
        if name.endswith('.txt') or name.endswith('.md') and \
                (line.startswith('|') or '://' in line):
            continue
        columns = len(line.expandtabs(8))
        if columns > MAX_COLUMNS:
            lint.complain(path, n, f'{columns} columns, at most {MAX_COLUMNS}')


def check_file(lint, name):
    path = lint.root / name
    text = path.read_text(errors='replace')
    lines = text.split('\n')
    if not text:
        return
    if lines[-1]:
        lint.complain(path, len(lines), 'no newline at the end')
    if not NO_SPDX.match(name):
        check_spdx(lint, path, name, lines)
    check_lines(lint, path, name, lines)
    most = MAX_DRIVER_LINES if name.startswith('src/drivers/') else MAX_FILE_LINES
    if CODE.match(name) and len(lines) - 1 > most:
        lint.complain(path, most + 1, f'{len(lines) - 1} lines, at most {most}')


def check_functions(lint, names):
    names = [name for name in names if name.endswith(('.c', '.h'))]
    if not names or not shutil.which('ctags'):
        print('ctags: not there, lengths of functions not looked at',
              file=sys.stderr)
        return
    out = subprocess.run(
        ['ctags', '--output-format=json', '--languages=C', '--langmap=C:.c.h',
         '--kinds-C=f', '--fields=+ne', '-f', '-', '-L', '-'], cwd=lint.root,
        input='\n'.join(names), text=True, check=True, stdout=subprocess.PIPE)
    for line in out.stdout.splitlines():
        tag = json.loads(line)
        length = tag.get('end', tag['line']) - tag['line'] + 1
        if length > MAX_FUNCTION_LINES:
            lint.complain(lint.root / tag['path'], tag['line'],
                          f'{tag["name"]}() has {length} lines, '
                          f'at most {MAX_FUNCTION_LINES}')


def main():
    lint = Lint()
    names = listed_by_git(lint.root) or walk(lint.root)
    names = [name for name in names if not NO_LOOK.match(name)
             and (lint.root / name).is_file()
             and not (lint.root / name).is_symlink()]
    for name in names:
        check_file(lint, name)
    check_functions(lint, names)
    return lint.finish()


if __name__ == '__main__':
    sys.exit(main())
