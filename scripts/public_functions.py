#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Lists the functions of the public headers, as gcc reads them.

public_functions.py [ROOT]: "file:line name type" a line, without arguments;
the type of an inline function starts with "static".
"""

import pathlib
import re
import subprocess
import sys
import tempfile

PROTOTYPE = re.compile(r'/\* (.*?):(\d+):\w+ \*/ (.*?)\s*\b(\w+) \(')
ATTRIBUTE = re.compile(r'__attribute__\s*\(\(.*?\)\)\s*')


def public_functions(root):
    """Yield (header, line, name, type)."""
    include = pathlib.Path(root, 'include').resolve()
    headers = sorted((include / 'uhmm').glob('*.h'))
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, 'all.c')
        source.write_text(''.join(f'#include <uhmm/{h.name}>\n'
                                  for h in headers))
        listing = pathlib.Path(folder, 'prototypes')
        subprocess.run(['gcc', '-std=gnu11', '-fsyntax-only', '-I', include,
                        '-aux-info', listing, source], check=True,
                       stdin=subprocess.DEVNULL)
        for line in listing.read_text().splitlines():
            match = PROTOTYPE.match(ATTRIBUTE.sub('', line))
            if match and include in pathlib.Path(match[1]).parents:
                name = pathlib.Path(match[1]).relative_to(include.parent)
                yield name, int(match[2]), match[4], \
                    match[3].removeprefix('extern ')


def main():
    for header, line, name, kind in public_functions(*sys.argv[1:] or '.'):
        print(f'{header}:{line} {name} {kind}')


if __name__ == '__main__':
    main()
