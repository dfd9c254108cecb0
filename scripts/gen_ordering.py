#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""docs/ordering.md: every ordering comment of the tree, as one table a file.

gen_ordering.py [ROOT] prints the page; gen_ordering.py --write writes it.
What is read, and what is a mistake, is in lint_ordering.py.
"""

import collections
import pathlib
import re
import sys

from lint_ordering import COMMENT, PARTNER, blank_comments, comments, \
    function_at, functions

HEAD = '''<!-- SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause -->
<!-- Made by scripts/gen_ordering.py from the comments; do not edit. -->
# Memory ordering

Every acquire, release and fence outside `src/sync` carries a comment that names
the place it pairs with, and that place names it back; a lint holds them to it.
This page is those comments, {places} places in {files} files. The reason is what
would go wrong without; "see" names the place that has it. The last column is the
scenario that fails without it, `uhmm explore SCENARIO --weaken LABEL`, or why
there is none; where it is empty the code is not explored. A test runs them all.
'''

ROOT = pathlib.Path(__file__).resolve().parent.parent
WEAKENED = ROOT / 'scenarios/weakened.txt'
Row = collections.namedtuple('Row', 'label scenario engine seed reason')

KINDS = (
    ('smp_mb_others', 'membarrier'),
    ('smp_mb', 'full fence'),
    ('smp_mb_after_store', 'full fence'),
    ('smp_mb__after_atomic', 'full fence'),
    ('smp_store_before_mb', 'release store'),
    ('smp_rmb', 'acquire fence'),
    ('smp_wmb', 'release fence'),
    ('smp_store_release', 'release store'),
    ('smp_load_acquire', 'acquire load'),
    ('try_cmpxchg', 'compare and exchange'),
    ('xchg', 'exchange'),
    (r'fetch_\w+', 'read-modify-write'),
    ('__ATOMIC_ACQUIRE', 'acquire load'),
    ('__ATOMIC_RELEASE', 'release store'),
)


def weakened(path=WEAKENED):
    """What scenarios/weakened.txt says: {label: Row}."""
    rows = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        if not line or line.startswith('#'):
            continue
        label, scenario, rest = line.split(' ', 2)
        if scenario == '-':
            rows[label] = Row(label, None, None, None, rest)
        else:
            rows[label] = Row(label, scenario, *rest.split(' '), None)
    return rows


def why(row):
    if not row:
        return ''
    return f'`{row.scenario}`' if row.scenario else row.reason


def kind_of(code, line):
    """What the comment that ends above a line (from 1) is about."""
    for at in code[line - 1:line + 5]:
        for word, kind in KINDS:
            if re.search(rf'\b{word}\b', at):
                return kind
    return ''


def places(path):
    """Yield (label, function, kind, partners, reason) of a file."""
    text = path.read_text()
    code = blank_comments(text).split('\n')
    spans = list(functions(text))
    for _, last, body in comments(text):
        match = COMMENT.search(body)
        if not match:
            continue
        partners = PARTNER.findall(match[2])
        reason = re.sub(r'^see there\b', f'see {partners[0][0]}',
                        body[match.end() - 1:].strip())
        yield (match[1], function_at(spans, last + 1),
               kind_of(code, last + 1), partners, reason)


def table(root, path, rows):
    lines = [f'\n## {path.relative_to(root)}\n',
             '| label | is | in | pairs with | reason | fails without it |',
             '|---|---|---|---|---|---|']
    for label, function, kind, partners, reason in places(path):
        pairs = '<br>'.join(f'{p} in `{f}()`' for p, f in partners)
        reason = reason.replace('|', '\\|')
        lines.append(f'| {label} | {kind} | `{function}()` | {pairs} '
                     f'| {reason} | {why(rows.get(label))} |')
    return lines


def page(root):
    files = [path for folder in ('include', 'src')
             for path in sorted((root / folder).rglob('*.[ch]'))
             if any(True for _ in places(path))]
    count = sum(1 for path in files for _ in places(path))
    rows = weakened(root / 'scenarios/weakened.txt')
    lines = [HEAD.format(places=count, files=len(files)).rstrip('\n')]
    for path in files:
        lines += table(root, path, rows)
    return '\n'.join(lines) + '\n'


def main():
    args = [arg for arg in sys.argv[1:] if arg != '--write']
    root = pathlib.Path(args[0]).resolve() if args else ROOT
    if '--write' in sys.argv:
        (root / 'docs/ordering.md').write_text(page(root))
    else:
        sys.stdout.write(page(root))


if __name__ == '__main__':
    main()
