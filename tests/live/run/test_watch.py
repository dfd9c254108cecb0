#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""uhmm watch: test_watch.py UHMM CHANGE. TAP out.

What is rebuilt from the stream is held against what the kernel says of a program
that changes its address space at random.
"""

import html.parser
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tap import Tap

UHMM = os.path.abspath(sys.argv[1])
CHANGE = os.path.abspath(sys.argv[2])
SEEDS = range(1, 9)
AREA = re.compile(r'([0-9a-f]+)-([0-9a-f]+) (....) \S+ \S+ \d+ *(.*)$')
OTHERS = ('[vdso]', '[vvar]', '[vvar_vclock]', '[vsyscall]',
          '/memfd:uhmm-board (deleted)')


def watch(command, *options):
    """Its output, and the objects that the tool prints."""
    with tempfile.NamedTemporaryFile() as out:
        done = subprocess.run([UHMM, 'watch', '--json', '--output', out.name,
                               *options, '--', *command], timeout=120,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              check=False)
        lines = [json.loads(line) for line in
                 pathlib.Path(out.name).read_text().splitlines()]
    if not lines or any(line['schema'] != 1 for line in lines):
        raise AssertionError(f'{done}: {lines}')
    return done, lines


def merged(areas):
    """Of neighbours that are alike the kernel makes one."""
    result = []
    for start, end, prot in sorted(areas):
        if result and result[-1][1:] == [start, prot]:
            result[-1][1] = end
        else:
            result.append([start, end, prot])
    return result


def printed(output):
    """By process: what it says of itself, its areas, and where its stack ends."""
    result = {}
    for line in output.splitlines():
        area = AREA.match(line)
        if line.startswith('pid '):
            words = line.split()
            it = {'maps': int(words[3]), 'unmaps': int(words[5]), 'areas': []}
            result[int(words[1])] = it
        elif area[4] == '[stack]':
            # It grows by itself.
            it['stack'] = int(area[2], 16)
        elif area[4] not in OTHERS:
            it['areas'].append((int(area[1], 16), int(area[2], 16), area[3]))
    return result


def differences(seed, *more):
    done, lines = watch([CHANGE, str(seed), '2000', *more], '--stream')
    kernel = printed(done.stdout.decode())
    if done.returncode or len(kernel) != 2:
        raise AssertionError(f'{done}')
    summary = lines[-1]
    if summary['lost'] or summary['torn']:
        raise AssertionError(f'lost: {summary}')
    found = []
    for line in lines:
        if line['type'] != 'process':
            continue
        it = kernel[line['pid']]
        have = [area for area in merged(line['at_end'])
                if area[1] != it['stack']]
        if have != merged(it['areas']):
            found.append((have, merged(it['areas'])))
    return kernel, lines, found


def only(a, b):
    return [area for area in a if area not in b]


def check_areas():
    for seed in SEEDS:
        found = differences(seed)[2]
        for have, want in found:
            return f'seed {seed}: {only(have, want)} instead of ' \
                f'{only(want, have)}'
    return None


def check_raw():
    """Known to be bad: a system call that nobody sees."""
    return None if differences(1, 'raw')[2] else 'nothing differs'


def check_calls():
    kernel, lines, _ = differences(3)
    for pid, it in kernel.items():
        calls = [line['call'] for line in lines
                 if line['type'] == 'change' and line['pid'] == pid]
        # libc and ld.so make some of their own.
        if calls.count('munmap') < it['unmaps'] or \
                calls.count('mmap') < it['maps']:
            return f'{calls.count("mmap")} maps and {calls.count("munmap")} ' \
                f'unmaps are seen of {pid}: {it}'
    if not any(line['type'] == 'site' and
               line['caller'].startswith('map_some_pages+')
               for line in lines):
        return f'no call site: {[x for x in lines if x["type"] == "site"]}'
    return None


CACHES = '''
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void)
{
	int fd = memfd_create("x", 0);
	for (int i = 0; i < 10; i++) {
		ftruncate(fd, 8192);
		char *p = mmap(0, 8192, 3, MAP_SHARED, fd, 0);
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
		munmap(p, 8192);
	}
	return 0;
}
'''


def compiled(folder, text):
    path = f'{folder}/program'
    subprocess.run(['cc', '-w', '-x', 'c', '-', '-o', path], input=text,
                   text=True, check=True)
    return path


def check_caches():
    """A hole in a file, ten times: who is not told is wrong ten times."""
    with tempfile.TemporaryDirectory() as folder:
        caches = watch([compiled(folder, CACHES)])[1][-1]['caches']
    if caches['uhmm']['wrong'] or caches['uhmm']['misses'] < 20:
        return f'{caches}'
    if caches['hooks in libc']['wrong'] < 10 or \
            caches['userfaultfd']['wrong'] < 10 or \
            caches['by address alone']['wrong'] < 10:
        return f'{caches}'
    return None


def check_status():
    done, _ = watch(['sh', '-c', 'echo out; echo err >&2; exit 7'])
    want = (7, b'out\n', b'err\n')
    got = (done.returncode, done.stdout, done.stderr)
    return None if got == want else f'{got}'


def check_killed():
    done, lines = watch(['sh', '-c', 'kill -KILL $$'])
    if done.returncode != -signal.SIGKILL or not lines[-1]['watched']:
        return f'{done} {lines}'
    return None


def check_interrupted():
    """^C is the program's; the picture comes when it has ended."""
    waits = 'trap "echo got; exit 3" INT; echo ready; ' \
        'while :; do sleep 0.05; done'
    with subprocess.Popen([UHMM, 'watch', '--', 'sh', '-c', waits],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True,
                          start_new_session=True) as tool:
        tool.stdout.readline()
        os.killpg(tool.pid, signal.SIGINT)
        out, err = tool.communicate(timeout=60)
    if (tool.returncode, out) != (3, 'got\n') or 'registration cache' not in err:
        return f'{tool.returncode} {out} {err}'
    return None


class Rectangles(html.parser.HTMLParser):
    count = 0

    def handle_starttag(self, tag, attrs):
        self.count += tag == 'rect'


def check_page():
    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder) / 'page.html'
        watch([CHANGE, '1', '200'], '--html', str(page))
        parser = Rectangles()
        parser.feed(page.read_text())
    return None if parser.count > 50 else f'{parser.count} areas are drawn'


LIBRARY = 'int f(int n) { return n ? f(n - 1) + 1 : 0; }'
CLOSES = r'''
#include <dlfcn.h>
#include <stdio.h>
int main(void)
{
	int sum = 0, (*f)(int);
	for (int i = 0; i < 20; i++) {
		void *library = dlopen("./library.so", RTLD_NOW);
		f = library ? (int (*)(int))dlsym(library, "f") : NULL;
		if (!f)
			return 1;
		sum += f(99);
		dlclose(library);
	}
	printf("%d\n", sum);
	return 4;
}
'''


def check_closed():
    """The stack is full of places in what is being unmapped."""
    with tempfile.TemporaryDirectory() as folder:
        for source, *options in ((LIBRARY, '-shared', '-fPIC', '-o',
                                  'library.so'),
                                 (CLOSES, '-ldl', '-o', 'closes')):
            subprocess.run(['cc', '-O0', '-x', 'c', '-', *options], cwd=folder,
                           input=source, text=True, check=True)
        done = subprocess.run([UHMM, 'watch', '--output', 'out', '--',
                               './closes'], cwd=folder, timeout=60,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              check=False)
    return None if (done.returncode, done.stdout) == (4, b'1980\n') else \
        f'{done}'


def check_valgrind():
    """It finds nothing that it would not find without, as nothing is watched."""
    command = ['valgrind', '-q', '--error-exitcode=9', 'sort', '/dev/null']
    done, lines = watch(command)
    if (done.returncode, done.stdout, done.stderr) != (0, b'', b''):
        return f'{done}'
    reasons = [line['reason'] for line in lines if line['type'] == 'process']
    return None if any('valgrind' in one for one in reasons) else f'{reasons}'


WAITING = 'import mmap, sys; sys.stdin.readline(); ' \
    'm = mmap.mmap(-1, 123 << 12); sys.stdin.readline()'


def wait_for(path, text):
    for _ in range(6000):
        if text in path.read_text():
            return True
        time.sleep(0.01)
    return False


def check_pid():
    with tempfile.TemporaryDirectory() as folder, \
            subprocess.Popen([sys.executable, '-c', WAITING],
                             stdin=subprocess.PIPE) as program:
        out = pathlib.Path(folder) / 'out'
        out.touch()
        with subprocess.Popen([UHMM, 'watch', '--pid', str(program.pid),
                               '--interval', '5', '--output', out]) as tool:
            begun = wait_for(out, 'nothing is guaranteed')
            program.stdin.write(b'\n')
            program.stdin.flush()
            seen = wait_for(out, '492 KiB')
            tool.send_signal(signal.SIGINT)
            tool.wait(timeout=60)
        program.stdin.close()
        text = out.read_text()
    if not begun or not seen or tool.returncode or 'guarantee      none' not in text:
        return f'{tool.returncode}: {text}'
    return None


def check_nobody():
    done = subprocess.run([UHMM, 'watch', '--pid', str(1 << 22 | 1)],
                          stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60, check=False)
    return None if done.returncode == 125 and done.stderr else f'{done}'


CASES = {
    'areas are what the kernel says': check_areas,
    'a raw munmap goes unseen: found': check_raw,
    'calls and who made them': check_calls,
    'what registration caches get wrong': check_caches,
    'a status passes through': check_status,
    'a program that is killed': check_killed,
    'SIGINT is the program\'s': check_interrupted,
    'a library that is closed': check_closed,
    'a program under valgrind': check_valgrind,
    'a page': check_page,
    'a process that runs': check_pid,
    'no such process': check_nobody,
}


def main():
    tap = Tap(len(CASES))
    for name, check in CASES.items():
        skip = 'there is no valgrind' if check is check_valgrind and \
            not shutil.which('valgrind') else None
        try:
            tap.say(name, None if skip else check(), skip)
        except Exception as problem:
            tap.say(name, repr(problem))
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
