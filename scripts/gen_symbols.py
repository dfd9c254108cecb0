#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""docs/symbols.md: each kernel symbol and whether it is here.

gen_symbols.py [ROOT] prints the page; gen_symbols.py --write writes it. The
symbols are in docs/symbols.txt, which says what the words mean. What is here is
looked up in include/uhmm: one that is there and said not to be, or the other way
round, or a public name of the kernel's that the list lacks, is an error.
"""

import pathlib
import re
import sys

from lintlib import blank_comments

HEAD = '''<!-- SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause -->
<!-- Made by scripts/gen_symbols.py from symbols.txt; do not edit. -->
# The kernel's symbols

What Linux offers for mirroring an address space, up to the newest kernel that
was read, and what of it is in this library: {here} symbols are, {no} mean
nothing outside a kernel or nothing any more, {later} belong to parts that are
not here yet. Names, arguments, fields and errors are Linux's; how the behaviour
differs stands in uhmm_mmu_notifier(7). What Linux has no word for starts with
`uhmm_` and is not listed.
'''

LINE = re.compile(r'((?:struct |enum )?[\w.]+)\s*(?:(no|later)\b\s*(.*?))?'
                  r'\s*(?:!\s*(.*))?$')
WORDS = {'no': 'meaningless here', 'later': 'later'}


class Problem(Exception):
    """What is wrong with the list."""


def bodies(text, keyword):
    """Yield (name, body) of each struct or enum that is defined."""
    for match in re.finditer(keyword + r'\s+(\w+)\s*\{(.*?)\n\}', text, re.S):
        yield match[1], match[2]


def members(body):
    """Names of the members of a struct."""
    for item in body.split(';'):
        match = re.search(r'\(\*(\w+)\)|(\w+)(?:\[[^]]*\])?\s*$', item.strip())
        if match:
            yield match[1] or match[2]


def names_of(path):
    """What a header declares: names, STRUCT.MEMBER for members."""
    text = blank_comments(path.read_text())
    text = re.sub(r'extern\s*"\s*"\s*\{', '', text)
    yield from re.findall(r'^#\s*define\s+(\w+)\s+\S', text, re.M)
    for name, body in bodies(text, 'struct'):
        yield f'struct {name}'
        yield from (f'{name}.{m}' for m in members(body))
    for name, body in bodies(text, 'enum'):
        yield f'enum {name}'
        yield from re.findall(r'^\s*(\w+)', body, re.M)
    flat = re.sub(r'\n\{.*?\n\}', ';', text, flags=re.S)
    flat = re.sub(r'\{.*?\n\}', '', flat, flags=re.S)
    flat = re.sub(r'^#.*(?:\\\n.*)*', '', flat, flags=re.M)
    for item in flat.split(';'):
        match = re.search(r'\b(\w+)\s*\(', item)
        if match:
            yield match[1]


def public_names(root):
    """{name: header}"""
    headers = sorted((root / 'include/uhmm').glob('*.h'))
    names = {name: path.name for path in headers for name in names_of(path)}
    texts = {path.name: path.read_text() for path in headers}
    # One that is opaque belongs where it is mentioned most.
    for name in re.findall(r'^(struct \w+);', ''.join(texts.values()), re.M):
        names.setdefault(name, max(texts, key=lambda t: texts[t].count(name)))
    return names


def entries(root):
    """Yield (title, None) and (name, (word, reason, remark))."""
    for n, line in enumerate((root / 'docs/symbols.txt').read_text().split('\n'),
                             1):
        if line.startswith('== '):
            yield line[3:], None
        elif line and not line.startswith('#'):
            match = LINE.match(line)
            if not match:
                raise Problem(f'docs/symbols.txt:{n}: not understood')
            yield match[1], match.groups()[1:]


def state_of(public, name, word, reason):
    """(state, remark) of a symbol."""
    if name in public:
        if word:
            raise Problem(f'{name} is said to be "{word}", but '
                          f'{public[name]} has it')
        return f'`<uhmm/{public[name]}>`', ''
    if not word:
        raise Problem(f'{name}: no header has it')
    if not reason:
        raise Problem(f'{name}: no reason')
    if word == 'later':
        header, _, more = reason.partition(' ')
        return f'later, `{header}`', more.strip('()')
    return WORDS[word], reason


def is_kernels(name):
    """Not ours, and no member: those are listed where they matter."""
    return '.' not in name and not re.search(r'\buhmm_|\bUHMM_', name)


def page(root):
    public, listed, lines = public_names(root), set(), []
    count = {'here': 0, 'no': 0, 'later': 0}
    for name, entry in entries(root):
        if entry is None:
            lines += [f'\n## {name}\n', '| symbol | here | remark |',
                      '|---|---|---|']
            continue
        word, reason, remark = entry
        state, more = state_of(public, name, word, reason)
        if name in listed:
            raise Problem(f'{name}: stands twice in the list')
        listed.add(name)
        count[word or 'here'] += 1
        remark = '; '.join(part for part in (more, remark) if part)
        lines.append(f'| `{name}` | {state} | {remark} |')
    missing = sorted(n for n in set(public) - listed if is_kernels(n))
    if missing:
        raise Problem(f'not in docs/symbols.txt: {", ".join(missing)}')
    return HEAD.format(**count).rstrip('\n') + '\n' + '\n'.join(lines) + '\n'


def main():
    here = pathlib.Path(__file__).resolve().parent.parent
    args = [arg for arg in sys.argv[1:] if arg != '--write']
    root = pathlib.Path(args[0]).resolve() if args else here
    try:
        text = page(root)
    except Problem as problem:
        print(f'gen_symbols.py: {problem}', file=sys.stderr)
        return 1
    if '--write' in sys.argv:
        (root / 'docs/symbols.md').write_text(text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == '__main__':
    sys.exit(main())
