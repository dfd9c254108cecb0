# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What the tests of the documents share."""

import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def compiled(exe, *sources, archive, include=(), werror=True,
             libraries=()):
    """Compile and link with the archive; an exception with what cc said."""
    cc = os.environ.get('CC', 'cc').split()
    strict = ['-Werror'] if werror else ['-w']
    out = subprocess.run(
        [*cc, '-std=gnu11', '-O1', '-g', '-Wall', '-Wextra',
         '-Wno-unused-parameter', *strict, '-o', exe, *sources,
         *(f'-I{path}' for path in (ROOT / 'include', *include)), archive,
         *libraries, '-pthread'],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False)
    if out.returncode:
        raise AssertionError(out.stdout)
    return exe


def run(*command, timeout=60):
    """(status, output); status None: it did not end."""
    env = dict(os.environ, UHMM_CHECK='')
    try:
        out = subprocess.run(command, stdin=subprocess.DEVNULL, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env=env, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return None, f'not over after {timeout} s'
    return out.returncode, out.stdout


def replaced(text, old, new):
    """The text with the one place changed."""
    if text.count(old) != 1:
        raise AssertionError(f'{text.count(old)} places have {old!r}, not 1')
    return text.replace(old, new)


def displays(page):
    """Yield (mark, line, text) of each display of a manual page."""
    lines = page.split('\n')
    for n, line in enumerate(lines):
        if not line.startswith('.Bd'):
            continue
        mark = re.match(r'\.\\" (\w+)$', lines[n - 1])
        last = lines.index('.Ed', n)
        body = '\n'.join(lines[n + 1:last]) + '\n'
        yield (mark[1] if mark else None, n + 1,
               body.replace('\\e', '\\').replace('\\&', ''))
