# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Builds the library, changed or not, with the tests that look for mistakes.

Small and without meson: dozens of builds that differ in one file each. Objects
are shared by what they were made from: a file whose text, headers and options
are those of an earlier build is not compiled again.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import platform
import re
import shlex
import subprocess

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"|^\s*#\s*include\s+<(uhmm/[^>]+)>',
                     re.M)

PROBES = 'src/lib/probes_none.h'
COMMON = ['-std=gnu11', '-g', '-D_GNU_SOURCE', '-D_FILE_OFFSET_BITS=64',
          '-Wno-unused-parameter',
          f'-DUHMM_PROBES_H="{PROBES.removeprefix("src/")}"']
# As in the project's meson.build: the search, for two kinds of vectors.
VECTORS = [['-mavx512f', '-mavx512dq', '-mavx512vl', '-mbmi',
            '-DINDEX_SEARCH_AVX512'],
           ['-mavx2', '-mbmi', '-DINDEX_SEARCH_AVX2']]

FLAVOURS = {
    'native': ['-O2'],
    'tsan': ['-O1', '-fsanitize=thread', '-Wno-tsan'],
    'asan': ['-O1', '-fsanitize=address'],
}

LIBRARY = ['src/sync/*.c', 'src/lib/*.c', 'src/core/*.c', 'src/mm/bare/*.c']

CACHE = [f'src/rcache/{name}.c'
         for name in ('hints', 'hold', 'miss', 'rcache', 'reap', 'region', 'report')]

# The detectors and what is counted: their sources and how they are linked.
PROGRAMS = {
    'stress': (['tests/stress/stress.c', 'tests/stress/model.c',
                'tests/stress/actors.c', 'tests/stress/refuse_membarrier.c',
                'src/designs/*.c'],
               ['-Wl,--wrap=syscall']),
    'litmus': (['tests/stress/litmus*.c', 'tests/stress/refuse_membarrier.c'],
               ['-Wl,--wrap=syscall']),
    'count_operations': (['bench/instructions.c', 'bench/bench.c',
                          'bench/world.c', 'bench/ops_*.c',
                          'src/designs/*.c', 'src/mm/live/none/*.c',
                          *CACHE], []),
    'interleave': (['tests/mutants/interleave*.c'], []),
    'test_index': (['tests/unit/test_index.c', 'tests/fuzz/index_history.c'],
                   ['-Wl,--wrap=sync_alloc_pages', '-lcmocka']),
    'test_index_filter': (['tests/unit/test_index_filter.c',
                           'tests/fuzz/index_history.c'],
                          ['-Wl,--wrap=sync_alloc_pages,--wrap=sync_yield',
                           '-lcmocka']),
}

PROGRAMS['test_words'] = (['tests/unit/test_words.c'], ['-lcmocka'])

UTIL = ['tests/cases.c', 'tests/unit/util.c']
for name in ['async_remove', 'batch', 'filtered', 'fork', 'insert',
             'invalidate', 'kept', 'list', 'list_get', 'memremap', 'mm', 'read',
             'release', 'reserve', 'reserve_progress', 'tagged', 'threads',
             'timed', 'two_pass']:
    PROGRAMS['test_' + name] = ([f'tests/unit/test_{name}.c', *UTIL],
                                ['-lcmocka'])
for name in ['steps', 'steps_list', 'steps_end']:
    PROGRAMS['test_' + name] = (
        [f'tests/unit/test_{name}.c', 'tests/unit/duel.c', *UTIL],
        ['-lcmocka'] + ['-Wl,--wrap=free'] * (name == 'steps_end'))
PROGRAMS['test_membarrier'] = (
    ['tests/unit/test_membarrier.c', *UTIL, 'tests/stress/refuse_membarrier.c'],
    ['-lcmocka', '-Wl,--wrap=syscall'])
PROGRAMS['test_rcache'] = (
    ['tests/unit/test_rcache.c', 'tests/unit/rcache_util.c', *UTIL,
     'src/mm/live/none/*.c'] + CACHE,
    ['-lcmocka'])
PROGRAMS['test_rcache_threads'] = (
    ['tests/unit/test_rcache_threads.c'] + PROGRAMS['test_rcache'][0][1:],
    ['-lcmocka'])
PROGRAMS['test_rcache_uring'] = (
    ['tests/unit/test_rcache_uring.c', 'src/rcache/uring*.c'] +
    PROGRAMS['test_rcache'][0][1:],
    ['-lcmocka', '-Wl,--wrap=sync_alloc_pages'])
PROGRAMS['test_live_patch'] = (
    ['tests/live/test_patch.c', 'tests/live/live_util.c', 'tests/cases.c',
     'src/mm/live/[!p]*.c', 'src/mm/live/pa[!t]*.c', 'src/mm/live/patch.c',
     'src/mm/live/patch_[!n]*.c'],
    ['-lcmocka', '-Wl,--wrap=dlopen,--wrap=live_patch_machine,--wrap=pwrite64'])
MODEL = ['src/mm/model/*.c', 'src/drivers/*.c']
PROGRAMS['fuzz_model'] = (
    ['tests/model/fuzz_' + name for name in ('model.c', 'kernel.c', 'world.c')] +
    MODEL, [])
EAR = ['tests/model/ear.c', 'tests/model/model_util.c']
HMM_UTIL = ['tests/model/hmm_util.c']
for name, util in {'model': EAR[1:], 'model_events': EAR,
                   'model_events_newer': EAR, 'exclusive': HMM_UTIL,
                   'migrate_huge': HMM_UTIL}.items():
    PROGRAMS['test_' + name] = (
        [f'tests/model/test_{name}.c'] + util + MODEL, ['-lcmocka'])


class BuildError(Exception):
    pass


def read(path):
    return pathlib.Path(path).read_text()


class Tree:
    """The project with some files replaced: {path: text}."""

    def __init__(self, root, changed=None):
        self.root = pathlib.Path(root)
        self.changed = changed or {}
        self.texts = {}

    def text(self, name):
        if name not in self.texts:
            self.texts[name] = self.changed[name] if name in self.changed \
                else read(self.root / name)
        return self.texts[name]

    def exists(self, name):
        return (self.root / name).is_file()

    def glob(self, pattern):
        return sorted(str(path.relative_to(self.root))
                      for path in self.root.glob(pattern))

    def closure(self, name):
        """A file and all that it includes of this tree, in order."""
        seen, todo = [], [name]
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.append(name)
            if 'include UHMM_PROBES_H' in self.text(name):
                todo.append(PROBES)
            for own, public in INCLUDE.findall(self.text(name)):
                places = ([os.path.dirname(name), 'src', 'tests',
                           'tests/stress', 'include'] if own else ['include'])
                for place in places:
                    path = os.path.normpath(os.path.join(place, own or public))
                    if self.exists(path):
                        todo.append(path)
                        break
        return sorted(seen)


class Builder:
    """Compiles trees into @out, with @jobs compilers at a time."""

    def __init__(self, root, out, compiler='cc', jobs=2):
        self.root = pathlib.Path(root)
        self.out = pathlib.Path(out)
        self.compiler = shlex.split(compiler)
        self.jobs = jobs
        self.vector = platform.machine() == 'x86_64'
        self.out.mkdir(parents=True, exist_ok=True)

    def links(self, *options):
        """Is there what a program needs that is built like that?"""
        target = self.out / f'empty.{os.getpid()}'
        done = subprocess.run(
            self.compiler + list(options) + ['-x', 'c', '-', '-o', str(target)],
            input='int main(void) { return 0; }', text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        target.unlink(missing_ok=True)
        return not done.returncode

    def sources(self, tree, program, flavour):
        """(file, more options) of a program."""
        own, _ = PROGRAMS[program]
        names = [name for pattern in LIBRARY + own
                 for name in tree.glob(pattern)]
        vector = self.vector and flavour != 'tsan'
        for name in names:
            base = os.path.basename(name)
            if base == 'index_search_novector.c' and vector or \
                    base == 'index_search_vector.c' and not vector:
                continue
            yield name, []
            if base == 'index_search.c' and vector:
                for options in VECTORS:
                    yield name, options

    def compile(self, tree, name, options):
        """The object of one file, made if it is not there."""
        digest = hashlib.sha256(
            repr((self.compiler, COMMON, options)).encode())
        parts = tree.closure(name)
        for part in parts:
            digest.update(part.encode() + b'\0' + tree.text(part).encode())
        stem = os.path.basename(name)[:-2] + '-' + digest.hexdigest()[:20]
        target = self.out / (stem + '.o')
        if target.exists():
            return target
        place = self.out / ('tree-' + stem)
        for part in parts:
            path = place / part
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(tree.text(part))
        partial = self.out / f'{stem}.{os.getpid()}.o'
        command = self.compiler + COMMON + options + [
            '-I' + str(place / folder)
            for folder in ('include', 'src', 'tests', 'tests/stress')]
        command += ['-c', str(place / name), '-o', str(partial)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        if done.returncode:
            raise BuildError(f'{name}: {done.stdout}')
        partial.rename(target)
        return target

    def build(self, tree, program, flavour='native'):
        """The path of a program."""
        options = FLAVOURS[flavour]
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            objects = list(pool.map(
                lambda source: self.compile(tree, source[0],
                                            options + source[1]),
                self.sources(tree, program, flavour)))
        digest = hashlib.sha256(repr(objects).encode()).hexdigest()[:20]
        target = self.out / f'{program}-{flavour}-{digest}'
        if target.exists():
            return target
        command = self.compiler + options + [str(o) for o in objects] + \
            PROGRAMS[program][1] + ['-pthread', '-o', str(target)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        if done.returncode:
            raise BuildError(f'{program}: {done.stdout}')
        return target
