#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What uhmm run and uhmm watch say: test_run_says.py UHMM FOLDER. TAP out.

The text that is read, line by line; what is in JSON, and that the manual pages
have each of its words; what the kernel moves; and `make run`. FOLDER has programs.
"""

import itertools
import json
import os
import pathlib
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tap import run_cases

ROOT = pathlib.Path(__file__).resolve().parents[3]
UHMM = os.path.abspath(sys.argv[1])
FOLDER = pathlib.Path(sys.argv[2]).resolve()
KINDS = str(FOLDER / 'kinds')


def skip(reason):
    raise unittest.SkipTest(reason)


def run(command, **more):
    return subprocess.run(command, stdin=subprocess.DEVNULL, timeout=100,
                          capture_output=True, text=True, check=False, **more)


def says(text, *patterns):
    """Each in a line of its own, in this order; their groups, as numbers."""
    found, at = [], 0
    for pattern in patterns:
        match = re.compile(f'^{pattern}$', re.M).search(text, at)
        assert match, f'no {pattern!r} in {text[at:]!r}, of {text!r}'
        found += map(float, match.groups())
        at = match.end()
    return found


def objects(command, *options, tool='run'):
    with tempfile.NamedTemporaryFile() as out:
        done = run([UHMM, tool, '--json', '--output', out.name, *options, '--',
                    *command])
        lines = [json.loads(line) for line in
                 pathlib.Path(out.name).read_text().splitlines()]
    return done, lines


def only_patched():
    if platform.machine() != 'x86_64':
        skip('no G1 on this machine')


# ------------------------------------------------------------------- uhmm run

LADDER = (r'the most contended fault: \S+, process \d+, \d+ retr(?:y|ies), '
          r'[\d.]+ us', r' +us  device +a thread of the program',
          r' +[\d.]+  read_begin = [0-9a-f]+',
          r' +[\d.]+  read_retry: no; install')


def test_the_summary():
    only_patched()
    done = run([UHMM, 'run', '--', KINDS, 'replaces'])
    assert (done.returncode, done.stdout) == (6, 'replaces 719400\n'), done
    share, all_, unmaps, faults, reads, looks, stale, overhead, ms = says(
        done.stderr,
        r'uhmm run: \S+kinds: 1 of 1 processes mirrored, guarantee G1',
        r'areas +\d+, ([\d.]+) % of resident memory mirrored',
        r'invalidations +(\d+) \(unmap (\d+)(?:, [a-z-]+ \d+)*\)',
        r'device +faults (\d+), reads (\d+), looks (\d+)',
        r'collisions +retries \d+, waits \d+, longest [\d.]+ us',
        r'stale +(\d+) \(no event told of 0\)',
        r'moved +\d+ \(copied on a write \d+\): seen by no process, .*',
        r'sample +\d+ pages held and compared by their data: stale 0',
        r'overhead +([\d.]+) % of (\d+) ms: .*', '.*', *LADDER)
    assert share > 90 and all_ >= unmaps >= 1199, done.stderr
    assert faults and reads and looks and not stale, done.stderr
    assert 0 < overhead <= 100 and ms, done.stderr


def test_less_than_was_asked_for():
    only_patched()
    done = run([UHMM, 'run', '--', str(FOLDER / 'kinds_early'), 'plain'])
    says(done.stderr, r'uhmm run: \S+kinds_early: 1 of 1 processes mirrored, '
         'guarantee G0', r'G0 instead of G1 in kinds_early \(\d+\): .*more than '
         'one thread.*')


def test_a_deaf_device():
    done = run([UHMM, 'run', '--device', 'checker,deaf', '--', KINDS, 'replaces'])
    says(done.stderr, r'deaf +[1-9]\d* invalidations dropped on purpose')


def test_a_deaf_device_that_had_nothing_to_miss():
    done = run([UHMM, 'run', '--device', 'checker,deaf', '--', 'true'])
    says(done.stderr, 'deaf +to nothing: .*', ' +stale 0 says nothing here')
    done = run([UHMM, 'run', '--', 'true'])
    assert 'deaf' not in done.stderr, done.stderr


def test_who_is_refused_is_told_while_he_tries():
    """Before the program ends, which it may never do."""
    only_patched()
    if not shutil.which('perl'):
        skip('no perl')
    with tempfile.NamedTemporaryFile() as out:
        done = run([UHMM, 'run', '--guarantee', 'G2', '--output', out.name, '--',
                    'perl', '-e', 'system("/bin/true"); sleep 3;'
                    'print STDERR "end\\n"'])
    says(done.stderr, 'uhmm run: at G2 the program cannot start another one .*',
         'end')


def test_a_program_that_ends_before_its_agent_begins():
    """It may not have a userfaultfd."""
    number = {'x86_64': -323}.get(platform.machine(), -282)
    _, (*processes, summary) = objects([str(FOLDER / 'sandbox'), str(number),
                                        '/bin/echo'])
    assert [one['reason'] for one in processes[1:]] == \
        ['it ended before its agent had begun'], processes
    assert (summary['processes'], summary['with_agent']) == (2, 1), summary


# By a list of arguments; what is started prints them, and HERE.
LISTS = '''
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	char *const env[] = { "HERE=there", NULL };
	setenv("HERE", "here", 1);
	if (!strcmp(argv[1], "execl"))
		execl(argv[2], "one", "two", "", "four", NULL);
	if (!strcmp(argv[1], "execlp"))
		execlp(argv[2], "one", NULL);
	if (!strcmp(argv[1], "execle"))
		execle(argv[2], "one", "two", NULL, env);
	return 1;
}
'''
LISTED = {'execl': 'one\ntwo\n\nfour\nhere\n', 'execlp': 'one\nhere\n',
          'execle': 'one\ntwo\nthere\n'}
STARTED = '''
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	for (; *argv; argv++)
		puts(*argv);
	puts(getenv("HERE") ? getenv("HERE") : "");
	return 0;
}
'''
STRANGERS = {'./static': 'it is statically linked.*',
             'env -i /bin/echo': 'it was started without LD_PRELOAD'}


def compiled(path, text, *options):
    subprocess.run(['cc', *options, '-x', 'c', '-', '-o', path], check=True,
                   input=text, text=True)
    return path


def test_also_if_its_arguments_are_a_list():
    with tempfile.TemporaryDirectory() as folder:
        static = compiled(f'{folder}/static', STARTED, '-static')
        lists = compiled(f'{folder}/lists', LISTS)
        for device, start in itertools.product(('checker', 'dmirror'), LISTED):
            done, (*processes, _) = objects([lists, start, static],
                                            '--device', device)
            assert (done.returncode, done.stdout) == (0, LISTED[start]), done
            assert [one['name'] for one in processes if one['reason']] == \
                ['static'], (start, processes)


def test_a_program_without_an_agent_is_told_of():
    """By each function of libc that starts one."""
    with tempfile.TemporaryDirectory() as folder:
        static = compiled(f'{folder}/static', STARTED, '-static')
        for program, why in STRANGERS.items():
            done = run([UHMM, 'run', '--', 'sh', '-c', f'{program}; exit 4'],
                       cwd=folder)
            assert done.returncode == 4, done
            says(done.stderr, r'uhmm run: sh: (?:1 of 2|2 of 3) processes '
                 'mirrored, guarantee .*', r'none instead of G1 in (?:static|echo) '
                 rf'\(\d+\): {why}')
            watched = run([UHMM, 'watch', '--', 'sh', '-c', program],
                          cwd=folder)
            says(watched.stderr, r'not watched +(?:static|echo) \(\d+\): ' + why)
        # A shell reads it, or finds that it may not.
        pathlib.Path(f'{folder}/script').write_text('exit 0\n')
        os.chmod(f'{folder}/script', 0o755)
        pathlib.Path(f'{folder}/data').write_bytes(
            pathlib.Path(static).read_bytes())
        _, (*_, summary) = objects(['sh', '-c', f'{folder}/script; '
                                    f'{folder}/data; :'])
        assert summary['processes'] == summary['with_agent'], summary
        for start in ('execv(p, [p])', 'execve(p, [p], os.environ)',
                      'execvp(p, [p])', 'execvpe(p, [p], os.environ)',
                      'posix_spawn(p, [p], os.environ)',
                      'posix_spawnp(p, [p], os.environ)'):
            _, (*processes, _) = objects(
                [sys.executable, '-c', f'import os; p = "{static}"\n'
                 f'os.{start}'])
            assert [one['name'] for one in processes if one['reason']] == \
                ['static'], (start, processes)


def frames_or_skip(processes):
    if not all(process['frames'] for process in processes):
        skip('who is not told of frames sees nothing move')


def test_copies_on_a_write_are_counted():
    done, (*processes, summary) = objects([KINDS, 'copies'])
    assert (done.returncode, done.stdout) == (15, 'copies 2 0\n'), done
    frames_or_skip(processes)
    assert summary['moved'] >= summary['copied'] >= 400, summary
    assert not summary['stale'], summary


def test_pages_that_the_kernel_moves_are_counted():
    done, (*processes, summary) = objects([KINDS, 'moves'])
    assert done.returncode == 16, done
    frames_or_skip(processes)
    if done.stdout != 'moves 0\n':
        skip('the kernel makes no huge page of it')
    assert summary['moved'] - summary['copied'] >= 400, summary
    assert not summary['stale'], summary


def test_make_run():
    """What it runs, as it is written there."""
    only_patched()
    made = run(['make', '-n', '--no-print-directory',
                f'BUILD={FOLDER.parents[2]}', 'run'], cwd=ROOT)
    command = made.stdout.replace('\\\n', ' ').splitlines()[-1]
    words = shlex.split(command)
    assert words[1] == 'run' and 'src/core/mmu_notifier.c' in words, made
    with tempfile.TemporaryDirectory() as folder:
        words[0], words[-1] = UHMM, f'{folder}/run.o'
        done = run(words, cwd=ROOT)
        assert pathlib.Path(words[-1]).stat().st_size > 10000
    assert not done.returncode and not done.stdout, done
    says(done.stderr, r'uhmm run: cc: (\d+) of \1 processes mirrored, '
         'guarantee G1', r'stale +0 \(no event told of 0\)', *LADDER)


# ----------------------------------------------------------------- uhmm watch


def test_the_picture():
    only_patched()
    done = run([UHMM, 'watch', '--', KINDS, 'threads'])
    assert done.returncode == 3, done
    changes, ms, maps, unmaps, rate, most = says(
        done.stderr,
        r'uhmm watch: \S+kinds: 1 of 1 processes watched, (\d+) changes in (\d+) ms',
        r'seen +what libc and ld\.so do; .*',
        r'calls +mmap (\d+), munmap (\d+).*; [\d.]+ ms in the kernel',
        r'rate +(\d+)/s, at most (\d+)/s',
        r'mapped +[\d.]+ MiB altogether; at most .* in \d+ areas at a time',
        r'one column is [\d.]+ ms',
        r'mapped +\|[ .:=+*#-]*[.:=+*#-][ .:=+*#-]*\| [\d.]+ MiB',
        r'changes +\|[ .:=+*#-]+\| \d+',
        r' +changes +bytes  called from, and for',
        r' +\d+ +[\d.]+ (?:B|KiB|MiB)  .*churn_thread\+.*',
        r'a registration cache that is told by   hits   misses    wrong',
        r' +by address alone +\d+ +\d+ +\d+',
        r' +uhmm +\d+ +\d+ +0')
    assert changes >= maps + unmaps and unmaps > 3, done.stderr
    # Over all of its time, not up to the last of them.
    assert changes * 900 / (ms + 1) < rate < most, done.stderr
    assert rate < changes * 1100 / (ms - 0.5), done.stderr


# ----------------------------------------------------------------------- JSON


def manual(page):
    """The words that its part on JSON explains."""
    text = (ROOT / f'man/{page}.1').read_text()
    part = text.split('.Sh JSON\n', 1)[1].split('.Sh ', 1)[0]
    return {word for line in re.findall(r'^\.(?:It )?Va (.*)$', part, re.M)
            for word in line.split() if word not in ',.;:'}


def words(value):
    """Of an object, and of those in it, but for names that are data."""
    if isinstance(value, list):
        for one in value:
            yield from words(one)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key == 'caches':
                yield from words(list(inner.values()))
            elif key not in ('commands', 'calls'):
                yield from words(inner)


def compare(page, lines, but=()):
    printed, explained = set(words(lines)), manual(page)
    assert printed - explained == set(but), printed - explained
    assert explained - printed <= {'_ns'}, explained - printed


def test_the_manual_has_the_words_of_run():
    compare('uhmm-run', objects([KINDS, 'forks'])[1])


def watch_pid():
    waits = subprocess.Popen([sys.executable, '-c', '''
import mmap, time
while True:
    m = mmap.mmap(-1, 1 << 20); time.sleep(0.05); m.close(); time.sleep(0.05)
'''], stdin=subprocess.DEVNULL)
    with waits, subprocess.Popen(
            [UHMM, 'watch', '--json', '--interval', '5', '--pid',
             str(waits.pid)], stdin=subprocess.DEVNULL, text=True,
            stderr=subprocess.PIPE) as tool:
        lines = [tool.stderr.readline() for _ in range(4)]
        tool.send_signal(signal.SIGINT)
        lines += tool.stderr.readlines()
        waits.kill()
    return [json.loads(line) for line in lines]


def test_the_manual_has_the_words_of_watch():
    only_patched()
    lines = objects([str(FOLDER / 'change'), '3', '300'], '--stream',
                    tool='watch')[1]
    assert {line['type'] for line in lines} == \
        {'change', 'process', 'site', 'summary'}
    of_a_pid = watch_pid()
    assert {line['type'] for line in of_a_pid} == \
        {'begin', 'difference', 'summary'}
    compare('uhmm-watch', lines + of_a_pid)


if __name__ == '__main__':
    sys.exit(run_cases(sys.modules[__name__]))
