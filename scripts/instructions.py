#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Count instructions per operation under callgrind.

instructions.py DRIVER CONFIG            print the counts of this build
instructions.py DRIVER CONFIG --update   and write them to the recorded ones

DRIVER is the build's bench/count_operations, CONFIG says how it was built. The
index is searched the portable way: valgrind knows no AVX-512. What is recorded
stands in bench/instructions.txt; tests/unit/test_instructions.py compares.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

RECORDED = pathlib.Path(__file__).resolve().parent.parent / \
    'bench' / 'instructions.txt'
TOLERANCE = 0.05


def count(driver):
    """Run the driver: {(scheme, operation, subscriptions): instructions}."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, 'out')
        run = subprocess.run(
            ['valgrind', '--tool=callgrind', f'--callgrind-out-file={out}',
             '--collect-atstart=no', '--toggle-collect=counted',
             '--zero-before=counted', '--dump-after=counted', driver],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, check=False,
            # Memory that a test fills before it is used would be counted.
            env=dict(os.environ, MALLOC_PERTURB_='0'))
        if run.returncode:
            raise RuntimeError(f'{driver}: status {run.returncode}\n'
                               + run.stderr[-2000:])
        return {key: total / times for (key, times), total in
                zip(parse_labels(run.stdout), dumps(folder), strict=True)}


def parse_labels(text):
    for line in text.splitlines():
        scheme, operation, n, times = line.split()
        yield (scheme, operation, int(n)), int(times)


def dumps(folder):
    """Totals of the dumps, in their order."""
    numbers = sorted(int(path.suffix[1:])
                     for path in pathlib.Path(folder).glob('out.*'))
    for number in numbers:
        text = pathlib.Path(folder, f'out.{number}').read_text()
        yield int(re.search(r'^totals: (\d+)', text, re.M)[1])


def read_recorded(path=RECORDED):
    """(config, {key: instructions}), those of the kernel among them."""
    config, counts = '', {}
    for line in path.read_text().splitlines():
        words = line.split()
        if line.startswith('config:'):
            config = line.removeprefix('config:').strip()
        elif len(words) == 4 and not line.startswith('#'):
            counts[words[0], words[1], int(words[2])] = float(words[3])
    return config, counts


def row(key, value):
    return f'{key[0]:8} {key[1]:22} {key[2]:6} {value:9.1f}'


def update(config, counts, path=RECORDED):
    """Replace what is recorded of the schemes; comments and kernel stay."""
    kept = [line for line in path.read_text().splitlines()
            if line.startswith(('#', 'kernel')) or not line]
    at = next((i for i, line in enumerate(kept)
               if line.startswith('# Of this tree')), len(kept) - 1) + 1
    rows = [f'config: {config}'] + [row(k, v) for k, v in counts.items()]
    path.write_text('\n'.join(kept[:at] + rows + kept[at:]) + '\n')


def differs(have, recorded, tolerance=TOLERANCE):
    """What is wrong with a count, or None."""
    if recorded is None:
        return f'{have:.1f} instructions, none recorded'
    if abs(have - recorded) <= recorded * tolerance:
        return None
    return f'{have:.1f} instructions, {recorded:.1f} recorded'


def disassemble(driver, function):
    """The instructions of a function, without those that it calls."""
    text = subprocess.run(
        ['objdump', '-d', '--no-show-raw-insn', f'--disassemble={function}',
         driver], check=True, stdout=subprocess.PIPE, text=True).stdout
    body = text.partition(f'<{function}>:')[2]
    return [line.split('\t', 1)[1].strip() for line in body.splitlines()
            if re.match(r'\s+[0-9a-f]+:\t', line)]


def locked(instructions):
    """Those that are a read-modify-write of shared memory, or a full fence."""
    return [i for i in instructions
            if re.match(r'(lock|mfence)\b', i)
            or re.match(r'xchg.*\(', i)]


def beyond_one_line(instructions, line=64):
    """Those that touch memory beyond a line behind the argument.

    The function has one pointer, so all that is not stack lies behind that.
    """
    bad = []
    for i in instructions:
        for offset, inside in re.findall(r'(-?0x[0-9a-f]+)?\(([^)]*)\)', i):
            if re.match(r'(nop|lea)', i) or inside.startswith('%rsp'):
                continue
            if ',' in inside or not 0 <= int(offset or '0', 16) <= line - 8:
                bad.append(i)
    return bad


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[3:] not in ([], ['--update']):
        print(__doc__, file=sys.stderr)
        return 129
    counts = count(sys.argv[1])
    for key, value in counts.items():
        print(row(key, value))
    if sys.argv[3:]:
        update(sys.argv[2], counts)
    return 0


if __name__ == '__main__':
    sys.exit(main())
