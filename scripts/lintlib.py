# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What the lints share: the root to look at, complaints, C without comments."""

import pathlib
import re
import sys

SKIP = 77
LICENCE = 'LGPL-2.1-only OR BSD-2-Clause'


class Lint:
    """Collects complaints; finish() is the exit status."""

    def __init__(self):
        default = pathlib.Path(__file__).resolve().parent.parent
        self.root = pathlib.Path(sys.argv[1]) if sys.argv[1:] else default
        self.complaints = 0

    def complain(self, path, line, message):
        print(f'{self.relative(path)}:{line}: {message}')
        self.complaints += 1

    def relative(self, path):
        return path.relative_to(self.root) if path.is_absolute() else path

    def sources(self, *folders, suffixes=('.c', '.h')):
        """Files of the folders, as paths below the root."""
        for folder in folders:
            for path in sorted((self.root / folder).rglob('*')):
                if path.suffix in suffixes and path.is_file():
                    yield path

    def finish(self):
        return 1 if self.complaints else 0


def skip(reason):
    print(reason, file=sys.stderr)
    sys.exit(SKIP)


def blank_comments(text):
    """The text with comments and string contents as spaces, lines kept."""
    def blank(match):
        token = match[0]
        if token[0] == '/':
            return re.sub(r'[^\n]', ' ', token)
        return token[0] + ' ' * (len(token) - 2) + token[-1]
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'',
                  blank, text, flags=re.S)


def functions(text):
    """Yield (name, first line, last line) of each function of a C file.

    Kernel style is relied upon: a body starts with "{" and ends with "}", each
    alone in column 0. A macro with arguments counts as a function.
    """
    lines = blank_comments(text).split('\n')
    head = 0
    for n, line in enumerate(lines):
        if line.startswith('{'):
            name = function_name(' '.join(lines[head:n]))
            last = next((m for m in range(n, len(lines))
                         if lines[m].startswith('}')), len(lines) - 1)
            if name:
                yield name, head + 1, last + 1
        macro = re.match(r'#\s*define\s+(\w+)\(', line)
        if macro:
            last = n
            while lines[last].endswith('\\'):
                last += 1
            yield macro[1], n + 1, last + 1
        if not line.strip() or line[0] in '}#' or line.rstrip().endswith(';'):
            head = n + 1


def function_name(head):
    """The name in a function head, attributes and context words left out."""
    head = re.sub(r'__attribute__\s*\(\(.*?\)\)', '', head)
    for name in re.findall(r'\b(\w+)\s*\(', head):
        if not name.startswith('__') or name in ('__init',):
            return name
    names = re.findall(r'\b(\w+)\s*\(', head)
    return names[0] if names else None
