#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Ordering comments: every fence, acquire and release says what it is for.

Directly above the statement stands

    Ordering: (LABEL) pairs with (PARTNER) in function(): what would go wrong
    without it

with several partners as "(P) in f(), (Q) in g() and (R) in h()". A label
stands for one place of a file, or for several of one function that pair alike;
where it occurs in several files, the one of the same file is meant. Each
partner has to stand in the function that is named, and to name the label back.
Code in src/sync need not be commented, but its labels count. The explorer
speaks of orders; it runs on one thread.
"""

import re
import sys

from lintlib import Lint, blank_comments, functions

PRIMITIVE = re.compile(
    r'\b(smp_(?:mb|rmb|wmb|mb_others|mb__\w+|load_acquire|store_release'
    r'|store_before_mb|mb_after_store)(?=\()'
    # what the public headers, which have no words of their own, use
    r'|__ATOMIC_(?:ACQUIRE|RELEASE|ACQ_REL|SEQ_CST))')
LABEL = r'\(([A-Z][A-Z0-9-]*)\)'
PARTNER = re.compile(LABEL + r' in (\w+)\(\)')
COMMENT = re.compile(
    r'Ordering: ' + LABEL + r' pairs with (' + LABEL + r' in \w+\(\)'
    r'(?:(?:,| and|, and) ' + LABEL + r' in \w+\(\))*): \S')


class Place:
    """A labelled statement."""

    def __init__(self, path, line, function, partners):
        self.path = path
        self.line = line
        self.function = function
        self.partners = partners


def comments(text):
    """Yield (first line, last line, text as one line) of each comment."""
    for match in re.finditer(r'/\*.*?\*/', text, re.S):
        first = text.count('\n', 0, match.start()) + 1
        body = re.sub(r'\s*\n\s*\*?\s*', ' ', match[0].strip('/*').strip())
        yield first, first + match[0].count('\n'), body


def statement_start(lines, n):
    """First line of the statement, or macro, that line n (from 1) is part of."""
    while n > 1 and lines[n - 2].endswith('\\'):
        n -= 1
    while n > 1 and not lines[n - 1].startswith('#'):
        above = lines[n - 2].strip()
        if not above or above[-1] in ';{}:' or above.startswith('#'):
            break
        n -= 1
    if re.match(r'\s*(} )?else\b', lines[n - 1]):
        return if_of(lines, n)
    return n


def is_commented(code, n, above):
    """Does a comment of `above` stand directly above line n's statement?

    What is first in a block may have it above the "if" or loop.
    """
    while True:
        n = statement_start(code, n)
        if n - 1 in above:
            return True
        if n == 1 or not code[n - 2].rstrip().endswith('{') or \
                code[n - 2].startswith('{'):
            return False
        n -= 1


def if_of(lines, n):
    """The line of the "if" that the "else" in line n belongs to."""
    indent = re.match(r'\s*', lines[n - 1])[0]
    while n > 1 and not re.match(indent + r'if\b', lines[n - 1]):
        n -= 1
    return n


def function_at(spans, line):
    for name, first, last in spans:
        if first <= line <= last:
            return name
    return None


def scan(lint, path, labels, names):
    """Collect the labels of a file, complain about primitives without."""
    text = path.read_text()
    code = blank_comments(text).split('\n')
    spans = list(functions(text))
    names.update(name for name, _, _ in spans)

    above = {}
    for first, last, body in comments(text):
        if 'Ordering: (' not in body:
            continue
        match = COMMENT.search(body)
        if not match:
            lint.complain(path, first, 'not of the form "Ordering: (A) pairs '
                          'with (B) in f(): what goes wrong without it"')
            above[last] = None
            continue
        partners = PARTNER.findall(match[2])
        place = Place(path, last + 1, function_at(spans, last + 1), partners)
        add_label(lint, labels, match[1], place)
        above[last] = place

    if lint.relative(path).parts[:2] in (('src', 'sync'), ('src', 'explore')):
        return
    for n, line in enumerate(code, 1):
        match = PRIMITIVE.search(line)
        if match and not is_commented(code, n, above):
            lint.complain(path, n, f'{match[1]} without a comment "Ordering: '
                          '(A) pairs with (B) in f(): ..." directly above')


def add_label(lint, labels, label, place):
    places = labels.setdefault(label, {})
    first = places.get(place.path)
    if first and (first.function, first.partners) != \
            (place.function, place.partners):
        lint.complain(place.path, place.line, f'({label}) stands already at '
                      f'line {first.line}')
    elif not first:
        places[place.path] = place


def find_place(labels, label, path):
    """The place of a label as seen from a file: (place, how many)."""
    places = labels.get(label, {})
    if path in places:
        return places[path], 1
    return next(iter(places.values()), None), len(places)


def check(lint, labels, names, label, place):
    for partner, function in place.partners:
        there, count = find_place(labels, partner, place.path)
        if function not in names:
            lint.complain(place.path, place.line,
                          f'({label}) names {function}(), which is not there')
        elif there is None:
            lint.complain(place.path, place.line,
                          f'({label}) names ({partner}), which is not there')
        elif count > 1:
            lint.complain(place.path, place.line, f'({label}) names '
                          f'({partner}), which {count} other files have')
        elif there.function != function:
            lint.complain(place.path, place.line,
                          f'({label}) names ({partner}) in {function}(), '
                          f'but that is in {there.function}()')
        elif (label, place.function) not in there.partners:
            lint.complain(place.path, place.line,
                          f'({label}) in {place.function}() names ({partner}), '
                          'which does not name it back')


def main():
    lint = Lint()
    labels, names = {}, set()
    for path in lint.sources('include', 'src'):
        scan(lint, path, labels, names)
    for label, places in sorted(labels.items()):
        for place in places.values():
            check(lint, labels, names, label, place)
    return lint.finish()


if __name__ == '__main__':
    sys.exit(main())
