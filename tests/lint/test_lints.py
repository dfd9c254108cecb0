#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Plants mistakes and requires each lint to complain: test_lints.py SCRIPTS.

A small tree on which all lints are content is written first. Each mutant
changes one file of it, and its lint has to print the complaint, with file and
line, and to fail. TAP out.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from tap import Tap

SPDX = '/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */\n'
SKIP = 77

TREE = {
    'include/uhmm/mm.h': SPDX + '''#ifndef UHMM_MM_H
#define UHMM_MM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mm_struct;

/**
 * mmget() - take a use
 * @mm: the address space
 *
 * Context: any.
 */
void mmget(struct mm_struct *mm);

/**
 * mm_users() - count the uses
 * @mm: the address space
 *
 * Context: any.
 * Return: how many.
 */
size_t mm_users(struct mm_struct *mm);

/* private: no documentation needed */
void mm_users_slow(struct mm_struct *mm);

#ifdef __cplusplus
}
#endif
#endif
''',
    'src/sync/sync.h': SPDX + '''#ifndef SYNC_SYNC_H
#define SYNC_SYNC_H
#include <pthread.h>
#if defined(__clang__)
#define __capability(x) __attribute__((capability(x)))
#define __guarded_by(x) __attribute__((guarded_by(x)))
#else
#define __capability(x)
#define __guarded_by(x)
#endif
#define smp_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define smp_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
struct __capability("mutex") lock {
	int word;
};
#endif
''',
    'src/lib/list.h': SPDX + '''#ifndef LIB_LIST_H
#define LIB_LIST_H
#include "../sync/sync.h"
#endif
''',
    'src/core/internal.h': SPDX + '''#ifndef CORE_INTERNAL_H
#define CORE_INTERNAL_H
#include "../lib/list.h"

struct counted {
	struct lock lock;
	int value __guarded_by(&lock);
	int flag;
	int *data;
};

int *take(struct counted *c);
void give(struct counted *c, int *data);
#endif
''',
    'src/core/mm.c': SPDX + '''#include <uhmm/mm.h>

#include "internal.h"

int *take(struct counted *c)
{
	/*
	 * Ordering: (TAKE) pairs with (GIVE) in give() and (RESET) in reset():
	 * else the data could be older than the flag.
	 */
	if (!smp_load_acquire(&c->flag))
		return NULL;
	return c->data;
}

void give(struct counted *c, int *data)
{
	c->data = data;
	/* Ordering: (GIVE) pairs with (TAKE) in take(): see there. */
	smp_store_release(&c->flag,
			  1);
}

static void reset(struct counted *c)
{
	/* Ordering: (RESET) pairs with (TAKE) in take(): see there. */
	if (c->data) {
		smp_store_release(&c->flag, 0);
		c->data = NULL;
	} else {
		smp_store_release(&c->flag, 2);
	}
}

void mmget(struct mm_struct *mm)
{
	reset((struct counted *)mm);
}

size_t mm_users(struct mm_struct *mm)
{
	return mm != NULL;
}

void mm_users_slow(struct mm_struct *mm)
{
	mmget(mm);
}
''',
    'src/drivers/mirror.c': SPDX + '#include <uhmm/mm.h>\n',
    'examples/one.c': '/* SPDX-License-Identifier: 0BSD */\n'
                      '#include <uhmm/mm.h>\n',
    'libuhmm.map': SPDX + 'UHMM_0 {\nglobal:\n\tmm_users;\n\tmm_users_slow;\n'
                   '\tmmget;\nlocal:\n\t*;\n};\n',
    'page.1': '.\\" SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause\n'
              '.Dd November 20, 2026\n.Dt PAGE 1\n.Os\n.Sh NAME\n.Nm page\n'
              '.Nd a page\n.Sh DESCRIPTION\nText.\n',
    'docs/live.md': SPDX.replace('/* ', '<!-- ').replace(' */', ' -->') +
                    '# What is promised\n\n| clause | tests | known bad |\n|---|---|---|\n'
                    '| one | `live_run: it runs`, `live_coverage` | |\n'
                    '| two | | `live_rcache_fabric_g1: it_is_bad` |\n',
    'docs/rcache.md': SPDX.replace('/* ', '<!-- ').replace(' */', ' -->') +
                      '# What is promised\n\n| clause | tests | known bad |\n|---|---|---|\n'
                      '| one | `scenarios: it_ends` | `mutants: it lives` |\n',
    'build/meson-info/intro-tests.json': json.dumps([
        {'name': 'scenarios', 'cmd': ['tests/test_run.py']},
        {'name': 'mutants', 'cmd': ['tests/test_run.py']},
        {'name': 'live_run', 'cmd': ['tests/test_run.py']},
        {'name': 'live_coverage', 'cmd': ['nowhere/else']},
        {'name': 'live_rcache_fabric_g1', 'cmd': ['build/fabric', '4']}]),
    'build/meson-info/intro-targets.json': json.dumps([
        {'filename': ['build/fabric'],
         'target_sources': [{'sources': ['tests/fabric.c']}]}]),
    'tests/test_run.py': '# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause\n'
                         'from kinds import KINDS\n',
    'tests/kinds.py': '# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause\n'
                      "KINDS = {\n    'it runs': None,\n}\n",
    'scenarios/ends.c': '/* SPDX-License-Identifier: 0BSD */\n'
                        'UHMM_SCENARIO(it_ends, .run = ends);\n',
    'tests/mutants/lives.py': '# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause\n'
                              "MUTANTS = [\n    Mutant('it lives'),\n]\n",
    'tests/fabric.c': SPDX + 'CASE_BARE(it_is_bad)\n',
}

# lint: (name of the mutant, file, text to replace, new text, complaint)
# An empty text to replace appends; a file that is not in TREE is made.
MUTANTS = {
    'lint_includes.py': [
        ('a public header that includes stdio.h', 'include/uhmm/mm.h',
         '<stddef.h>', '<stdio.h>', r'include/uhmm/mm\.h:5: a public header'),
        ('pthread.h in core', 'src/core/mm.c',
         '#include "internal.h"', '#include <pthread.h>',
         r'src/core/mm\.c:4: only src/sync may include <pthread\.h>'),
        ('lib that includes core', 'src/lib/list.h',
         '../sync/sync.h', '../core/internal.h',
         r'src/lib/list\.h:4: src/lib may not include src/core/internal\.h'),
        ('the same by the include path', 'src/lib/list.h',
         '"../sync/sync.h"', '"core/internal.h"',
         r'src/lib/list\.h:4: src/lib may not include src/core/internal\.h'),
        ('a driver that includes an internal', 'src/drivers/mirror.c',
         '<uhmm/mm.h>', '"../core/internal.h"',
         r'src/drivers/mirror\.c:2: src/drivers may not include'),
        ('an example that includes an internal', 'examples/one.c',
         '<uhmm/mm.h>', '"../src/lib/list.h"',
         r'examples/one\.c:2: examples may not include src/lib/list\.h'),
        ('a file that is not there', 'src/core/mm.c',
         '"internal.h"', '"gone.h"', r'src/core/mm\.c:4: there is no "gone\.h"'),
        ('a folder without a rule', 'src/new/a.c', '', '#include <stddef.h>\n',
         r'src/new/a\.c:1: this folder has no rule'),
        ('an include by a macro', 'src/core/mm.c',
         '"internal.h"', 'INTERNAL_H', r'src/core/mm\.c:4: an include by a macro'),
    ],
    'lint_ordering.py': [
        ('no comment', 'src/core/mm.c',
         '\t/* Ordering: (GIVE) pairs with (TAKE) in take(): see there. */\n',
         '', r'src/core/mm\.c:20: smp_store_release without'),
        ('a comment that is not directly above', 'src/core/mm.c',
         '\tsmp_store_release(&c->flag,\n',
         '\tc->value = 1;\n\tsmp_store_release(&c->flag,\n',
         r'src/core/mm\.c:22: smp_store_release without'),
        ('a statement after the one with the comment', 'src/core/mm.c',
         '\t\tc->data = NULL;\n', '\t\tc->data = NULL;\n'
         '\t\tsmp_store_release(&c->flag, 3);\n',
         r'src/core/mm\.c:31: smp_store_release without'),
        ('a comment above the whole function', 'src/core/mm.c',
         '{\n\t/* Ordering: (RESET) pairs with (TAKE) in take(): see there. */\n',
         '/* Ordering: (RESET) pairs with (TAKE) in take(): see there. */\n{\n',
         r'src/core/mm\.c:29: smp_store_release without'),
        ('a comment that gives no reason', 'src/core/mm.c',
         '(RESET) pairs with (TAKE) in take(): see there.',
         '(RESET) pairs with (TAKE) in take():',
         r'src/core/mm\.c:27: not of the form'),
        ('a label that is not there', 'src/core/mm.c',
         '(GIVE) pairs with (TAKE)', '(GIVE) pairs with (TOOK)',
         r'src/core/mm\.c:21: \(GIVE\) names \(TOOK\), which is not there'),
        ('a function that is not there', 'src/core/mm.c',
         '(RESET) pairs with (TAKE) in take()',
         '(RESET) pairs with (TAKE) in took()',
         r'src/core/mm\.c:28: \(RESET\) names took\(\), which is not there'),
        ('a function that was renamed', 'src/core/mm.c',
         'int *take(struct', 'int *fetch(struct',
         r'src/core/mm\.c:21: \(GIVE\) names take\(\), which is not there'),
        ('the wrong function', 'src/core/mm.c',
         '(GIVE) pairs with (TAKE) in take()',
         '(GIVE) pairs with (TAKE) in reset()',
         r'src/core/mm\.c:21: .* but that is in take\(\)'),
        ('a partner that does not name it back', 'src/core/mm.c',
         ' and (RESET) in reset()', '',
         r'src/core/mm\.c:28: \(RESET\) .* does not name it back'),
        ('the same label twice', 'src/core/mm.c', '(RESET) pairs', '(GIVE) pairs',
         r'src/core/mm\.c:28: \(GIVE\) stands already at line 21'),
        ('a bare acquire in a macro', 'src/core/internal.h', 'int *take',
         '#define for_each(c) \\\n'
         '\tfor (; (c); (c) = smp_load_acquire(&(c)->flag))\n\nint *take',
         r'src/core/internal\.h:14: smp_load_acquire without'),
        ('a bare fence in a public header', 'include/uhmm/mm.h',
         'void mm_users_slow(struct mm_struct *mm);\n',
         'static inline void f(void)\n{\n'
         '\t__atomic_thread_fence(__ATOMIC_SEQ_CST);\n}\n',
         r'include/uhmm/mm\.h:33: __ATOMIC_SEQ_CST without'),
    ],
    'lint_ifdef.py': [
        ('an #ifdef in core', 'src/core/mm.c', '',
         '#ifdef EXPLORED\n#endif\n', r'src/core/mm\.c:\d+: #ifdef outside'),
        ('an #if 0', 'src/core/mm.c', '', '#if 0\n#endif\n',
         r'src/core/mm\.c:\d+: #if outside'),
        ('a header without a guard', 'src/lib/list.h',
         '#ifndef LIB_LIST_H\n#define LIB_LIST_H\n', '#pragma once\n',
         r'src/lib/list\.h:1: a header without an include guard'),
        ('a second #ifndef in a header', 'src/lib/list.h',
         '#include', '#ifndef X\n#endif\n#include',
         r'src/lib/list\.h:4: #ifndef outside'),
    ],
    'lint_words.py': [
        ('an unfinished thing', 'src/core/mm.c', '', '/* TO' 'DO: more */\n',
         r'src/core/mm\.c:\d+: the word "TO' r'DO"'),
        ('no licence', 'src/lib/list.h', SPDX, '',
         r'src/lib/list\.h:1: the first line does not say'),
        ('the wrong licence', 'examples/one.c', '0BSD', 'MIT',
         r'examples/one\.c:1: the first line does not say'),
        ('blanks at the end', 'src/core/mm.c',
         '\treturn c->data;\n', '\treturn c->data; \n',
         r'src/core/mm\.c:14: blanks at the end'),
        ('a long line', 'src/core/mm.c', '', '/* ' + 'long ' * 20 + '*/\n',
         r'src/core/mm\.c:\d+: 105 columns'),
        ('a line that is long by its tabs', 'src/core/mm.c', '',
         '\t' * 12 + 'a + bc;\n', r'src/core/mm\.c:\d+: 103 columns'),
        ('no newline at the end', 'src/core/mm.c', '', '/* end */',
         r'src/core/mm\.c:\d+: no newline'),
        ('a long file', 'src/core/mm.c', '', 'extern int x;\n' * 700,
         r'src/core/mm\.c:701: \d+ lines, at most 700'),
        ('a long driver', 'src/drivers/mirror.c', '', '/* more */\n' * 300,
         r'src/drivers/mirror\.c:301: 302 lines, at most 300'),
        ('a long function', 'src/core/mm.c', '',
         'int f(int x)\n{\n' + '\tx++;\n' * 70 + '\treturn x;\n}\n',
         r'src/core/mm\.c:\d+: f\(\) has 74 lines'),
    ],
    'lint_kerneldoc.py': [
        ('a parameter that was renamed', 'include/uhmm/mm.h',
         'void mmget(struct mm_struct *mm);',
         'void mmget(struct mm_struct *space);',
         r"include/uhmm/mm\.h:\d+: warning: Function parameter .*'space'"),
        ('a function without any', 'include/uhmm/mm.h',
         '/* private', 'void mmput(struct mm_struct *mm);\n\n/* private',
         r'include/uhmm/mm\.h:30: mmput\(\) has no kernel-doc'),
        ('no context', 'include/uhmm/mm.h',
         ' * Context: any.\n */', ' */',
         r'include/uhmm/mm\.h:18: mmget\(\) does not say Context:'),
        ('no return value', 'include/uhmm/mm.h', ' * Return: how many.\n', '',
         r'include/uhmm/mm\.h:27: mm_users\(\) does not say Return:'),
    ],
    'lint_headers.sh': [
        ('a type that is not declared', 'include/uhmm/mm.h',
         '#include <stddef.h>\n', '', r'include/uhmm/mm\.h:1: not clean as c99'),
        ('a word of C++', 'include/uhmm/mm.h',
         'void mmget(struct mm_struct *mm);',
         'void mmget(struct mm_struct *this);',
         r'include/uhmm/mm\.h:1: not clean as c\+\+17'),
        ('a C11 anonymous union', 'include/uhmm/mm.h', 'struct mm_struct;',
         'struct mm_struct;\nstruct u { union { int a; long b; }; };',
         r'include/uhmm/mm\.h:1: not clean as c99'),
        ('no include guard', 'include/uhmm/mm.h',
         'struct mm_struct;', 'struct mm_struct { int x; };\n#undef UHMM_MM_H',
         r'include/uhmm/mm\.h:1: not clean as c99'),
    ],
    'lint_context.sh': [
        ('a guarded word without its lock', 'src/core/mm.c',
         '\tc->data = data;', '\tc->data = data;\n\tc->value = 1;',
         r"src/core/mm\.c:20:.*requires holding mutex"),
    ],
    'lint_symbols.sh': [
        ('a name that the map lacks', 'libuhmm.map', '\tmmget;\n', '',
         r'libuhmm\.map:1: mmget is declared in a public header, but not in'),
        ('a name that no header has', 'include/uhmm/mm.h',
         'void mm_users_slow(struct mm_struct *mm);', '',
         r'libuhmm\.map:5: mm_users_slow is in the version script, but in no'),
        ('a name that is not compiled', 'libuhmm.map', '\tmmget;', '\tmmputs;',
         r'libuhmm\.map:\d+: mmputs is in the version script, but not exported'),
        ('a map that lets everything out', 'libuhmm.map',
         'local:\n\t*;\n', '', r'libuhmm\.map:1: take is exported, but not in'),
    ],
    'lint_clauses.py': [
        ('a test that is not there', 'docs/live.md', '`live_coverage`',
         '`live_covers`', r'docs/live\.md:6: there is no test live_covers'),
        ('a case that is not in its script', 'tests/kinds.py', 'it runs',
         'it ran', r'docs/live\.md:6: live_run has no case it runs'),
        ('a case that is not run', 'tests/fabric.c', 'CASE_BARE', 'ALONE',
         r'docs/live\.md:7: live_rcache_fabric_g1 has no case it_is_bad'),
        ('a scenario that is not there', 'scenarios/ends.c', 'it_ends', 'it_ended',
         r'docs/rcache\.md:6: scenarios has no case it_ends'),
        ('a mutant that is not there', 'tests/mutants/lives.py', 'it lives', 'it does',
         r'docs/rcache\.md:6: mutants has no case it lives'),
        ('a clause without a test', 'docs/live.md',
         '`live_rcache_fabric_g1: it_is_bad`', '', r'docs/live\.md:7: no test'),
    ],
    'lint_man.sh': [
        ('a macro that mandoc does not know', 'page.1', 'Text.\n', '.Xx text\n',
         r'page\.1:9:2: (WARNING|ERROR):'),
    ],
}


def write_tree(root, changed=None, text=None):
    for name, content in TREE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if name == changed else content)
    if changed and changed not in TREE:
        (root / changed).parent.mkdir(parents=True, exist_ok=True)
        (root / changed).write_text(text)


def arguments(lint, root):
    if lint == 'lint_man.sh':
        return [root / 'page.1']
    if lint != 'lint_symbols.sh':
        return [root]
    subprocess.run(
        ['gcc', '-std=gnu11', '-shared', '-fPIC', '-o', root / 'lib.so',
         '-I', root / 'include', root / 'src/core/mm.c',
         f'-Wl,--version-script={root}/libuhmm.map'],
        check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return [root, root / 'lib.so']


def run(scripts, lint, root):
    out = subprocess.run([scripts / lint, *arguments(lint, root)],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    return out.returncode, out.stdout


def missing_tool(mutant):
    """What the mutant cannot be caught without, if that is not there."""
    tool = {'a word of C++': 'g++', 'a long function': 'ctags'}.get(mutant)
    return tool if tool and not shutil.which(tool) else None


def try_mutant(scripts, lint, mutant):
    """None if the lint complains as it should, else what went wrong."""
    _, name, old, new, complaint = mutant
    before = TREE.get(name, '')
    after = before.replace(old, new, 1) if old else before + new
    if after == before:
        return 'the mutant changes nothing'
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        write_tree(root, name, after)
        status, out = run(scripts, lint, root)
    if status != 1 and lint != 'lint_man.sh' or status == 0:
        return f'exit status {status}: {out}'
    if not re.search(complaint, out):
        return f'no complaint like {complaint}: {out}'
    return None


def try_clean(scripts, lint):
    """(exit status, output) of a lint on the tree without mistakes."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        write_tree(root)
        return run(scripts, lint, root)


def main():
    scripts = pathlib.Path(sys.argv[1]).resolve()
    tap = Tap(len(MUTANTS) + sum(map(len, MUTANTS.values())))
    for lint, mutants in MUTANTS.items():
        status, out = try_clean(scripts, lint)
        skip = out.strip().split('\n')[-1] if status == SKIP else None
        tap.say(f'{lint}: nothing wrong',
                None if skip or status == 0 else f'status {status}: {out}',
                skip)
        for mutant in mutants:
            absent = skip or missing_tool(mutant[0])
            problem = None if absent else try_mutant(scripts, lint, mutant)
            tap.say(f'{lint}: {mutant[0]}', problem, absent)
    return tap.status()


if __name__ == '__main__':
    sys.exit(main())
