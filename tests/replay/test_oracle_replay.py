#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What oracle_replay refuses, and what it lets differ.

    test_oracle_replay.py ORACLE_REPLAY
"""

import pathlib
import random
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / 'tests'))
from tap import run_cases

ORACLE = ROOT / 'tests/oracle'
HEAD = '# oracle 1 variant=k2\n'
NOT_PLAYED = 2
KNOWN = 'kernel 0\nreason because of this test\n'


def run(*args):
    done = subprocess.run([sys.argv[1], *args], text=True, check=False,
                          errors='replace', stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode in (0, 1, NOT_PLAYED), \
        f'exit status {done.returncode}: {done.stderr}'
    return done


def run_on(content, *args, known=None):
    """Run on a file FILE.txt of that content, with those ops known."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'FILE.txt'
        path.write_bytes(content if isinstance(content, bytes) else
                         content.encode())
        if known is not None:
            ops = pathlib.Path(folder) / 'known'
            ops.write_text(KNOWN + ''.join(f'FILE {op} because\n'
                                           for op in known))
            args = [*args, f'--differences={ops}']
        return run(*args, path)


def refused(content, line, *args):
    """It is not played, and the line is named."""
    done = run_on(content, *args)
    assert done.returncode == NOT_PLAYED, (content, done)
    assert not done.stdout, done.stdout
    assert f'FILE.txt:{line}: ' in done.stderr, done.stderr


def refused_op(*ops):
    for op in ops:
        refused(f'{HEAD}0 mmap A 0 24 anon rw\n r 0\n1 {op}\n r 0\nend\n', 4)


# ------------------------------------------------------------- what is refused

def test_files_that_are_none():
    for path in ('/nonexistent/file', '/'):
        done = run(path)
        assert done.returncode == NOT_PLAYED and path in done.stderr, done
    for content in (b'', b'\n', b'0 fork\n', b'# oracle 2 \n',
                    random.Random(1).randbytes(4096)):
        refused(content, 1)


def test_bytes_that_are_no_text():
    refused(HEAD.encode() + b'0 fork\n\0\n', 3)
    refused(HEAD.encode() + b'0 f\xffrk\n', 2)


def test_ops_that_there_are_not():
    refused_op('', 'c:', 'jump A 0 1', 'mmapp A 0 1 anon rw', 'c: c: fork',
               'x' * 3000)


def test_numbers_out_of_range():
    refused_op('cr A 24 1', 'cr A 0 25', 'cr A 0 0', 'cr A -1 2', 'cr A 0 -1',
               'cr A 18446744073709551615 1', 'cr A 1 18446744073709551615',
               'cr A 99999999999999999999 1', 'cr L 1024 1', 'cr A 0x1 1',
               'cr A 1e1 1', 'dr 4 A 0 1', 'dr -1 A 0 1', 'pin 8 A 0 1',
               'fw T 0 99999999999 1', 'fr X 4096 1', 'trunc T -3',
               'cw A 0 1 18446744073709551616', 'cw A 0 1 many')


def test_words_that_nobody_knows():
    refused_op('cr E 0 1', 'cr AA 0 1', 'mmap A 0 1 anon xr',
               'mmap A 0 1 annon rw', 'mprotect A 0 1 wr', 'madv A 0 1 wish',
               'mremap A 0 1 B 0 1 jump', 'fsync Y')


def test_arguments_too_few_and_too_many():
    refused_op('cr', 'cr A', 'cr A 0', 'cr A 0 1 2', 'mmap A 0 1 anon',
               'mremap A 0 1 B 0', 'fsync', 'fork 1', 'dw 0 A 0 1',
               'pin 0 A 0 1 1 1 1 1 1 1 1 1 1')


def test_ops_out_of_their_turn():
    refused_op('c: cr A 0 1', 'c: exit', 'exit', 'close 2', 'open 0', 'dr 2 A 0 1')
    refused(HEAD + '0 fork\n1 fork\n', 3)


def test_known_differences_that_are_none():
    for known in (['1 cr'], ['1'], ['x' * 100]):
        done = run_on(HEAD + '0 fork\nend\n', known=known)
        assert done.returncode, done


def test_what_a_process_can_play_is_listed():
    played = {str(path) for path in ORACLE.glob('*/*.txt')
              if not re.search(r'^\d+ (c: )?(ureg|uwp|ucopy|uzero|mmap \w+ \d+ \d+ dev) ',
                               path.read_text(), re.M)}
    assert set(run('--list-live').stdout.split()) == played
    some = sorted(ORACLE.glob('uffd/*.txt')) + sorted(ORACLE.glob('pin/*.txt'))
    assert run('--list-live', *some).stdout.split() == \
        [str(path) for path in some if str(path) in played]
    assert not run('--compare').stdout


def test_files_cut_anywhere_and_altered_anywhere():
    good = (ORACLE / 'scn/own-two_files_one_device.txt').read_bytes()
    dice = random.Random(1)
    for _ in range(60):
        cut = good[:dice.randrange(len(good))]
        at = dice.randrange(len(cut) + 1)
        run_on(cut, '--compare')
        run_on(cut[:at] + dice.randbytes(3) + cut[at:], '--compare')


def test_a_file_cut_short_differs():
    good = (ORACLE / 'scn/own-mremap.txt').read_text()
    assert run_on(good, '--compare').returncode == 0
    for end in (good.index('\nend\n') + 1, good.index(' fin '), -8):
        done = run_on(good[:end], '--compare')
        assert done.returncode == 1 and 'C1 0' not in done.stdout, done


# ---------------------------------------------------------- what may differ

OPS = HEAD + '''0 mmap A 0 8 anon rw
 r 0
1 mmap B 0 8 anon rw
 r 0
2 cw A 0 4 100
 r 0
3 cw B 0 4 200
 r 0
'''


def differs(ops, known, answers=()):
    """Replay, with some of the answers other than they are; what is said."""
    played = run_on(OPS + ops).stdout
    assert played, ops
    for old, new in answers:
        assert played.count(old) == 1, (old, played)
        played = played.replace(old, new)
    done = run_on(played, known=known)
    assert (done.returncode == 1) == bool(done.stdout), done
    return done.stdout


READS = '4 mprotect A 0 2 none\n5 cr A 0 4\n6 cr B 0 4\nend\n'
FAILS = ('4 mprotect A 0 2 none\n r 0\n', '4 mprotect A 0 2 none\n r EACCES\n')


def test_what_is_the_same_may_be():
    assert not differs(READS, [])


def test_an_op_that_differs_is_to_be_listed():
    assert '4 mprotect' in differs(READS, [], [FAILS])
    assert not differs(READS, ['4 mprotect'], [FAILS])


def test_a_listed_op_is_to_differ():
    assert '4 mprotect because, but' in differs(READS, ['4 mprotect'])


def test_later_ops_may_differ_where_it_left_a_mark():
    read = ('5 cr A 0 4\n r SEGV@0\n', '5 cr A 0 4\n r 0\n v 0*4\n')
    assert not differs(READS, ['4 mprotect'], [FAILS, read])
    read = (read[0], '5 cr A 0 4\n r SEGV@2\n v 0*2\n')
    assert not differs(READS, ['4 mprotect'], [FAILS, read])


def test_and_nowhere_else():
    known = ['4 mprotect']
    read = ('6 cr B 0 4\n r 0\n', '6 cr B 0 4\n r SEGV@0\n')
    assert '6 cr' in differs(READS, known, [FAILS, read])
    read = ('\n v 200..203\nend', '\n v 200 7 202 203\nend')
    assert '6 cr' in differs(READS, known, [FAILS, read])


def test_rights_are_no_content():
    ops = '4 mprotect A 0 2 r\n5 cr A 0 4\nend\n'
    fails = (FAILS[0].replace('none', 'r'), FAILS[1].replace('none', 'r'))
    read = (' v 100..103\nend', ' v 7 101 102 103\nend')
    assert '5 cr' not in differs(ops, ['4 mprotect'], [fails])
    assert '5 cr' in differs(ops, ['4 mprotect'], [fails, read])


def test_the_last_reads_are_held_page_by_page():
    ops = '4 cw A 0 1 300\nend\n'
    write = ('4 cw A 0 1 300\n r 0\n', '4 cw A 0 1 300\n r BUS@0\n')
    for page, good in ((300, True), (101, False)):
        values = [300, 101, 102, 103]
        new = ' '.join(str(v if v != page else 7) for v in values)
        said = differs(ops, ['4 cw'], [write, (' v 300 101..103 0*4', f' v {new} 0*4')])
        assert bool(said) != good, (page, said)


def test_marks_go_where_pages_go():
    ops = '4 cw A 0 1 300\n5 mremap A 0 2 B 4 2 move\n6 cr B 3 3\nend\n'
    write = ('4 cw A 0 1 300\n r 0\n', '4 cw A 0 1 300\n r BUS@0\n')
    for page, good in ((0, False), (1, True), (2, False)):
        values = [203, 300, 101]
        values[page] = 7
        new = ' '.join(map(str, values))
        said = differs(ops, ['4 cw'], [write, (' v 203 300 101\n', f' v {new}\n')])
        assert bool(said) != good, (page, said)


def test_and_end_where_pages_end():
    ops = ('4 cw A 0 1 300\n5 cw A 0 1 400\n6 cr A 0 1\n'
           '7 mmap A 0 1 anon rw\n8 cr A 0 2\nend\n')
    write = ('4 cw A 0 1 300\n r 0\n', '4 cw A 0 1 300\n r BUS@0\n')
    assert not differs(ops, ['4 cw'], [write])
    for old, new in ((' v 400\n', ' v 7\n'), (' v 0 101\n', ' v 7 101\n')):
        assert differs(ops, ['4 cw'], [write, (old, new)])


if __name__ == '__main__':
    sys.exit(run_cases(sys.modules[__name__]))
