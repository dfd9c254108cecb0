#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""How uhmm run ends: test_run_ends.py UHMM. TAP out.

The program's status and signals pass through it, the counts are there however the
program ended, and what cannot have an agent is refused with the reason.
"""

import html.parser
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from protobuf import events
from tap import Tap

UHMM = os.path.abspath(sys.argv[1])
LIVE = pathlib.Path(__file__).resolve().parents[1]
CANNOT_TELL = 125
NOBODY = 65534
# Revision 2, permitted: bit 13.
CAP_NET_RAW = struct.pack('<5I', 0x02000000, 1 << 13, 0, 0, 0)
WAITS = 'trap "echo got; exit 3" {}; echo ready; while :; do sleep 0.05; done'


def check_status(folder):
    done = subprocess.run([UHMM, 'run', '--', 'sh', '-c', 'exit 7'],
                          stdin=subprocess.DEVNULL, timeout=60,
                          capture_output=True, check=False)
    if done.returncode != 7 or done.stdout:
        return f'{done}'
    return None


def check_killed(folder):
    """Nobody in the program could have written anything at its end."""
    out = folder / 'summary'
    done = subprocess.run([UHMM, 'run', '--json', '--output', out, '--', 'sh',
                           '-c', 'kill -KILL $$'], stdin=subprocess.DEVNULL,
                          timeout=60, capture_output=True, check=False)
    if done.returncode != -signal.SIGKILL:
        return f'{done}'
    *processes, summary = [json.loads(line) for line in
                           out.read_text().splitlines()]
    if len(processes) != 1 or not summary['faults'] or not summary['areas']:
        return f'counts are lost: {processes} {summary}'
    if summary['stale']:
        return f'{summary["stale"]} stale'
    if not processes[0]['ladder']['steps']:
        return f'no ladder: {processes}'
    return None


SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def signalled(name, send):
    """Sent by @send when the program is ready: it is the one to answer."""
    with subprocess.Popen([UHMM, 'run', '--', 'sh', '-c', WAITS.format(name)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True,
                          start_new_session=True) as tool:
        if tool.stdout.readline() != 'ready\n':
            tool.kill()
            return 'it did not start'
        send(tool.pid)
        out, err = tool.communicate(timeout=60)
    if (tool.returncode, out) != (3, 'got\n') or 'stale ' not in err:
        return f'{tool.returncode}: {out} {err}'
    return None


def check_term(folder):
    return signalled('TERM', lambda pid: os.kill(pid, signal.SIGTERM))


def check_hup(folder):
    return signalled('HUP', lambda pid: os.kill(pid, signal.SIGHUP))


def check_ignored(folder):
    """Under nohup it is sent to a program that will not hear of it."""
    program = 'echo ready; read line; echo "$line"'
    with subprocess.Popen(['nohup', UHMM, 'run', '--', 'sh', '-c', program],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as tool:
        if tool.stdout.readline() != 'ready\n':
            tool.kill()
            return 'it did not start'
        tool.send_signal(signal.SIGHUP)
        out, err = tool.communicate('on\n', timeout=60)
    if (tool.returncode, out) != (0, 'on\n') or 'stale ' not in err:
        return f'{tool.returncode}: {out} {err}'
    return None


def check_usr1(folder):
    return signalled('USR1', lambda pid: os.kill(pid, signal.SIGUSR1))


def check_usr2(folder):
    return signalled('USR2', lambda pid: os.kill(pid, signal.SIGUSR2))


def check_int(folder):
    return signalled('INT', lambda pid: os.killpg(pid, signal.SIGINT))


def refused(path, reason):
    done = subprocess.run([UHMM, 'run', '--', path], stdin=subprocess.DEVNULL,
                          timeout=60, capture_output=True, text=True,
                          check=False)
    if done.returncode != CANNOT_TELL or done.stdout:
        return f'{done}'
    return None if reason in done.stderr else done.stderr


def check_nowhere(folder):
    return refused(str(folder / 'nowhere'), 'No such file')


def check_static(folder):
    path = str(folder / 'static')
    subprocess.run(['cc', '-static', '-x', 'c', '-', '-o', path], check=True,
                   input='int main(void) { return 0; }', text=True)
    return refused(path, 'statically linked')


def check_setuid(folder):
    path = folder / 'setuid'
    shutil.copy('/bin/true', path)
    os.chown(path, 65534, -1)
    path.chmod(0o4755)
    return refused(str(path), 'set-user-ID')


def check_setgid(folder):
    path = folder / 'setgid'
    shutil.copy('/bin/true', path)
    os.chown(path, -1, 65534)
    path.chmod(0o2755)
    return refused(str(path), 'set-group-ID')


def as_user(command):
    """By one who has no privileges, in a folder that he may look into."""
    return subprocess.run(command, stdin=subprocess.DEVNULL, timeout=60,
                          capture_output=True, text=True, check=False,
                          user=NOBODY, group=NOBODY, extra_groups=[])


def check_capabilities(folder):
    """
    Root gains nothing by them, and has an agent; others do, and so have what they
    start.
    """
    path = folder / 'capable'
    shutil.copy('/bin/true', path)
    os.setxattr(path, 'security.capability', CAP_NET_RAW)
    folder.chmod(0o755)
    done = subprocess.run([UHMM, 'run', '--', path], stdin=subprocess.DEVNULL,
                          timeout=60, capture_output=True, text=True,
                          check=False)
    if done.returncode or '1 of 1 processes mirrored' not in done.stderr:
        return f'{done}'
    # Where the tool is he may not look.
    tool = shutil.copy(UHMM, folder)
    for library in pathlib.Path(UHMM).parent.glob('libuhmm*.so*'):
        if library.is_file():
            shutil.copy(library, folder)
    done = as_user([tool, 'run', '--', path])
    if done.returncode != CANNOT_TELL or 'file capabilities' not in done.stderr:
        return f'{done}'
    done = as_user([tool, 'run', '--', 'sh', '-c', f'{path}; exit 4'])
    return None if done.returncode == 4 and re.search(
        r'none instead of G1 in capable \(\d+\): it has file capabilities',
        done.stderr) else f'{done}'


def check_other(folder):
    """By its interpreter too; and what is no program for this machine at all."""
    path = folder / 'other'
    path.write_bytes(b'\x7fELF\x01' + bytes(100))
    path.chmod(0o755)
    script = folder / 'script'
    script.write_text(f'#! {path}\n')
    script.chmod(0o755)
    return refused(str(path), 'not a 64-bit ELF program') or \
        refused(str(script), 'not a 64-bit ELF program')


CHANGES_USER = r'''
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		return 1;
	if (!fork())
		execl("/bin/echo", "echo", "started", NULL);
	wait(NULL);
	return 5;
}
'''


def check_user(folder):
    """What runs as another user cannot open the board, and that is said."""
    path = folder / 'changes'
    subprocess.run(['cc', '-x', 'c', '-', '-o', path], check=True,
                   input=CHANGES_USER, text=True)
    folder.chmod(0o755)
    done = subprocess.run([UHMM, 'run', '--', path], stdin=subprocess.DEVNULL,
                          timeout=60, capture_output=True, text=True,
                          check=False)
    if (done.returncode, done.stdout) != (5, 'started\n'):
        return f'{done}'
    return None if 'user           65534 from changes' in done.stderr \
        else done.stderr


def check_valgrind(folder):
    """It finds nothing that it would not find without, as nothing is mirrored."""
    command = ['valgrind', '-q', '--error-exitcode=9', '/bin/echo', 'there']
    done = subprocess.run([UHMM, 'run', '--output', folder / 'out', '--',
                           *command], stdin=subprocess.DEVNULL, timeout=60,
                          capture_output=True, check=False)
    if (done.returncode, done.stdout, done.stderr) != (0, b'there\n', b''):
        return f'{done}'
    text = (folder / 'out').read_text()
    return None if 'valgrind knows no userfaultfd' in text else text


TURNED_OFF = 'int __lsan_is_turned_off(void) { return 0; }'
LEAK = 'char *p = malloc(9); p = malloc(1); free(p); return 0;'


def check_sanitizer(folder, option, more='', end=LEAK, reason=b''):
    """
    It runs as ever, and its leak, if it has one, is all that is found; mirrored,
    or not and for what reason.
    """
    path = str(folder / 'sanitized')
    subprocess.run(['cc', '-fsanitize=address', *option, '-x', 'c', '-', '-o',
                    path], check=True, text=True,
                   input='#include <stdlib.h>\n#include <stdio.h>\n'
                   f'{more} int main(void) {{ free(malloc(1)); puts("there"); '
                   f'{end} }}')
    bare = subprocess.run([path], stdin=subprocess.DEVNULL, timeout=60,
                          capture_output=True, check=False)
    done = subprocess.run([UHMM, 'run', '--', path], stdin=subprocess.DEVNULL,
                          timeout=60, capture_output=True, check=False)
    if (done.returncode, done.stdout) != (bare.returncode, bare.stdout):
        return f'{done}, bare {bare}'
    if (b'9 byte(s) leaked' in done.stderr) != (end == LEAK):
        return f'its own leak was not found: {done}'
    if reason:
        return None if reason in done.stderr else f'{done}'
    return None if b'1 of 1 processes mirrored, guarantee G1' in done.stderr \
        else f'{done}'


# With ld.so, but no libc.
NO_LIBC = r'''
#include "raw.h"
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\tcall begin\n");
#else
__asm__(".globl _start\n_start:\tbl begin\n");
#endif
void begin(void)
{
	static const long ms[2] = { 0, 1000000 };
	char *p;
	for (int i = 0; i < 200; i++) {
		p = (char *)raw_call(SYS_mmap, 0, 8192, 3, 0x22, -1, 0);
		p[4096] = 1;
		RAW2(SYS_nanosleep, ms, 0);
		RAW2(SYS_munmap, p, 8192);
	}
	RAW3(SYS_write, 1, "there\n", 6);
	RAW2(SYS_exit_group, 3, 0);
}
'''


def check_no_libc(folder):
    """Ours is there with the agent, and is patched; the program's calls are not in it."""
    path = folder / 'without'
    subprocess.run(['cc', '-x', 'c', '-', '-o', path, '-nostdlib', '-O1',
                    '-fno-stack-protector', '-fPIE', '-pie', f'-I{LIVE}'],
                   check=True, input=NO_LIBC, text=True)
    for guarantee in 'G0', 'G1', 'G2':
        out = folder / guarantee
        done = subprocess.run([UHMM, 'run', '--json', '--output', out,
                               '--guarantee', guarantee, '--', path],
                              stdin=subprocess.DEVNULL, timeout=60,
                              capture_output=True, check=False)
        process, summary = map(json.loads, out.read_text().splitlines())
        if (done.returncode, done.stdout, done.stderr) != (3, b'there\n', b''):
            return f'{done}'
        unmaps = summary['invalidations']['unmap']
        if summary['stale'] or process['guarantee'] != guarantee or \
                unmaps < {'G2': 200}.get(guarantee, 1):
            return f'{process} {summary}'
    return None


RAW = r'''
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "raw.h"
int main(void)
{
	for (int i = 0; i < 500; i++) {
		char *p = (char *)raw_call(SYS_mmap, 0, 8192, 3, 0x22, -1, 0);
		p[4096] = 1;
		if (RAW2(SYS_munmap, p, 8192))
			return 1;
	}
	long pid = RAW5(SYS_clone, 17, 0, 0, 0, 0);
	int status = 0;
	if (!pid)
		_exit(3);
	waitpid((int)pid, &status, 0);
	execl("/bin/echo", "echo", "started", NULL);
	printf("forked %d\n", WEXITSTATUS(status));
	return 5;
}
'''


def check_g2(folder):
    """What goes around libc is seen at G2; what it starts is not started."""
    path = folder / 'raw'
    subprocess.run(['cc', '-x', 'c', '-', '-o', path,
                    f'-I{LIVE}'],
                   check=True, input=RAW, text=True)
    seen = {}
    for guarantee, ended in (('G1', (0, b'started\n')),
                             ('G2', (5, b'forked 3\n'))):
        out = folder / guarantee
        done = subprocess.run([UHMM, 'run', '--json', '--output', out,
                               '--guarantee', guarantee, '--', path],
                              stdin=subprocess.DEVNULL, timeout=60,
                              capture_output=True, check=False)
        summary = json.loads(out.read_text().splitlines()[-1])
        if (done.returncode, done.stdout) != ended or summary['stale']:
            return f'{done} {summary}'
        seen[guarantee] = summary
    if seen['G2']['guarantee'] != 'G2':
        return f'{seen["G2"]}'
    unmaps = {name: one['invalidations']['unmap'] for name, one in seen.items()}
    if unmaps['G2'] < 500 or seen['G2']['exec_refused'] != 1:
        return f'{unmaps}, {seen["G2"]}'
    return None


class Drawing(html.parser.HTMLParser):
    """What is in a page: how many of each element."""

    def __init__(self):
        super().__init__()
        self.tags = {}

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1


def check_page(folder):
    page = folder / 'page.html'
    done = subprocess.run([UHMM, 'run', '--html', page, '--', 'sh', '-c',
                           '/bin/true; /bin/true'], stdin=subprocess.DEVNULL,
                          timeout=60, capture_output=True, check=False)
    drawing = Drawing()
    drawing.feed(page.read_text())
    # One for each process: the shell runs one in its own place, perhaps.
    if done.returncode or drawing.tags.get('rect', 0) < 2 or \
            drawing.tags.get('svg') != 2:
        return f'{done} {drawing.tags}'
    return None


def check_pftrace(folder):
    """As many slices end as begin, on tracks that have a name."""
    path = folder / 'trace'
    subprocess.run([UHMM, 'run', '--pftrace', path, '--', 'sh', '-c',
                    '/bin/true; exit 0'], stdin=subprocess.DEVNULL, timeout=60,
                   capture_output=True, check=True)
    tracks, happened = events(path.read_bytes())
    happened = [dict(event) for event in happened]
    named, used = set(tracks), {event[11] for event in happened}
    kinds = [event[9] for event in happened]
    if not used or used - named or kinds.count(1) != kinds.count(2) or \
            not kinds.count(3):
        return f'tracks {named}, used {used}, events {kinds}'
    return None


CASES = {
    'a page': check_page,
    'a trace': check_pftrace,
    'a status passes through': check_status,
    'the counts of a program that was killed': check_killed,
    'SIGTERM is handed on': check_term,
    'SIGHUP is handed on': check_hup,
    'SIGHUP is ignored under nohup': check_ignored,
    'SIGUSR1 is handed on': check_usr1,
    'SIGUSR2 is handed on': check_usr2,
    'SIGINT of a terminal is the program\'s': check_int,
    'no such program': check_nowhere,
    'a static program is refused': check_static,
    'a set-user-ID program is refused': check_setuid,
    'a set-group-ID program is refused': check_setgid,
    'a program with capabilities is refused': check_capabilities,
    'what is no such program is refused': check_other,
    'a program that changes its user': check_user,
    'raw system calls at G2': check_g2,
    'a program without a libc': check_no_libc,
    'a program under valgrind': check_valgrind,
    'a program with a sanitizer':
        lambda folder: check_sanitizer(folder, []),
    'the same, linked statically':
        lambda folder: check_sanitizer(folder, ['-static-libasan'],
                                       end='return 3;'),
    'the same, and leaks':
        lambda folder: check_sanitizer(folder, ['-static-libasan'],
                                       reason=b'until it looked for leaks'),
    'one whose leak check cannot be seen to runs unmirrored':
        lambda folder: check_sanitizer(folder, ['-rdynamic'], TURNED_OFF,
                                       reason=b"a sanitizer's leak check"),
}


def main():
    # Who started this may ignore some (nohup), and so would what is run here.
    for sig in SIGNALS:
        signal.signal(sig, signal.SIG_DFL)
    tap = Tap(len(CASES))
    for name, check in CASES.items():
        skip = None
        if check in (check_g2, check_no_libc) and os.uname().machine != 'x86_64':
            skip = 'nothing is trapped on this machine'
        if check is check_valgrind and not shutil.which('valgrind'):
            skip = 'there is no valgrind'
        if check in (check_setuid, check_setgid, check_capabilities,
                     check_user) and os.geteuid():
            skip = 'only root gives files, privileges or itself away'
        with tempfile.TemporaryDirectory() as folder:
            try:
                tap.say(name, None if skip else check(pathlib.Path(folder)),
                        skip)
            except Exception as problem:
                tap.say(name, repr(problem))
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
