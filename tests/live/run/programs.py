# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Real programs: what each does under `uhmm run`, a second or so each."""

import shutil

ROWS = 'WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n ' \
       'WHERE i < 60000) '


class Program:
    """A command in a folder of its own, and the files that it needs there."""

    share = 0.9     # of its memory is mirrored, or more
    deaf = True     # it changes enough for a device to be caught deaf

    def __init__(self, name, *command, make=None):
        self.name = name
        self.command = command
        self.make = make or (lambda folder: None)

    def missing(self):
        return None if shutil.which(self.command[0]) else \
            f'{self.command[0]} is not installed'


def text(folder):
    """Some MiB that compress."""
    lines = (f'line {i * i % 9973} of a file that is about {i % 13} things\n'
             for i in range(120000))
    (folder / 'text').write_text(''.join(lines), encoding='ascii')


def tree(folder):
    for i in range(40):
        (folder / 'tree').mkdir(exist_ok=True)
        (folder / f'tree/{i}').write_text(f'{i}\n' * 20000, encoding='ascii')


def names(folder):
    """A folder whose list of names is long enough to be mapped."""
    (folder / 'names').mkdir()
    for i in range(8000):
        (folder / f'names/{i:040}').write_bytes(b'')


def programs(root):
    # A compiler that collects its garbage gives memory back.
    compile_it = ['cc', '-std=gnu11', '-O2', '-D_GNU_SOURCE',
                  '--param', 'ggc-min-expand=0', '--param',
                  'ggc-min-heapsize=4096',
                  '-DUHMM_PROBES_H="lib/probes_none.h"', f'-I{root}/include',
                  f'-I{root}/src', '-c', f'{root}/src/core/mmu_notifier.c',
                  '-o', 'out.o']
    return [
        Program('compile', *compile_it),
        Program('python3', '/usr/bin/python3', '-c', '''
import hashlib, threading, time
def work(n):
    for i in range(120):
        b = bytearray(300000 + 4096 * (i % 17) + n)
        b[::4096] = bytes(len(range(0, len(b), 4096)))
        time.sleep(0.002)
    print(n, hashlib.sha256(b).hexdigest()) if n == 0 else None
ts = [threading.Thread(target=work, args=(n,)) for n in range(3)]
[t.start() for t in ts]; [t.join() for t in ts]
'''),
        Program('perl', 'perl', '-e', '''
for my $i (1 .. 300) { my $s = "x" x (400000 + $i * 8192); $sum += length $s;
for (my $k = 0; $k < 40000; $k++) { $sum += $k } undef $s; } print "$sum\\n";
system("echo from a child");
'''),
        Program('sqlite3', 'sqlite3', 'db', 'CREATE TABLE t(a, b); ' + ROWS +
                'INSERT INTO t SELECT i, hex(i * 7919) FROM n; '
                'CREATE INDEX x ON t(b); SELECT count(*), max(b) FROM t; '
                'DELETE FROM t WHERE a % 2; VACUUM; SELECT sum(a) FROM t;'),
        Program('git', 'sh', '-c', 'git init -q . && git add tree && '
                'git -c user.name=a -c user.email=a@b -c commit.gpgsign=false '
                'commit -q -m one && git gc -q && git fsck 2>/dev/null && '
                'git ls-tree -r HEAD | wc -l', make=tree),
        Program('xz', 'sh', '-c', 'xz -T2 -1 --block-size=512KiB -c text | '
                'xz -T2 -dc | xz -T2 -0 -c | wc -c', make=text),
        Program('bash', 'bash', '-c', 'for i in $(seq 40); do '
                'x=$(echo $((i * i)) | cat); s="$s $x"; done; echo $s; '
                '(exit 7); echo $?; exit 3'),
        Program('tar', 'tar', '--sort=name', '--mtime=@0', '-cJf', '-', 'names',
                make=names),
    ]
