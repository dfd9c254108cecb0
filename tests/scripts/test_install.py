#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What `make install` leaves works: test_install.py BUILD. TAP out."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from tap import run_cases

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / 'examples/01-first-mirror.c'
FOLDER = pathlib.Path(tempfile.mkdtemp())


def run(*command, **env):
    """stdout of a command; an exception with its stderr if it fails."""
    out = subprocess.run(command, stdin=subprocess.DEVNULL, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env=dict(os.environ, **env), check=False)
    if out.returncode:
        raise AssertionError(f'{command[0]}: status {out.returncode}: '
                             f'{out.stdout}{out.stderr}')
    return out.stdout


def install():
    run('meson', 'install', '--no-rebuild', '-C', sys.argv[1], '--destdir',
        FOLDER)


def installed(pattern):
    found = sorted(p for p in FOLDER.rglob('*') if p.is_file()
                   and re.search(pattern, str(p.relative_to(FOLDER))))
    if not found:
        raise AssertionError(f'{pattern} is not installed')
    return found


def pkg_config(*args):
    path = installed(r'/pkgconfig/uhmm\.pc$')[0].parent
    return run('pkg-config', *args, 'uhmm', PKG_CONFIG_PATH=str(path),
               PKG_CONFIG_SYSROOT_DIR=str(FOLDER)).split()


def test_all_public_headers_are_there():
    have = [p.name for p in installed(r'include/uhmm/\w+\.h$')]
    want = sorted(p.name for p in (ROOT / 'include/uhmm').glob('*.h'))
    if have != want:
        raise AssertionError(f'{have}, not {want}')


def test_example_builds_with_pkg_config_and_runs():
    library = installed(r'libuhmm\.so\.0\.')[0]
    exe = FOLDER / 'shared'
    run('cc', '-o', exe, EXAMPLE, *pkg_config('--cflags', '--libs'), '-pthread')
    run(exe, LD_LIBRARY_PATH=str(library.parent))


def test_example_builds_with_the_archive_and_runs():
    exe = FOLDER / 'static'
    run('cc', '-o', exe, EXAMPLE, *pkg_config('--cflags'),
        installed(r'libuhmm\.a$')[0], '-pthread')
    run(exe)


def test_what_a_scenario_is_linked_with_is_there():
    if not list(FOLDER.rglob('explore.link')):
        return                          # a build without the explorer
    words = pkg_config('--variable=scenario')
    for word, want in zip(words, (r'explore\.link$', r'libuhmm-explored\.a$'),
                          strict=True):
        path = word.lstrip('@').removeprefix(str(FOLDER))
        if FOLDER / path.lstrip('/') not in installed(want):
            raise AssertionError(f'{path} is not installed')


def test_no_library_can_be_broken():
    """What tests leave out nobody else can, see src/lib/broken.h."""
    for library in installed(r'lib(uhmm|uhmm-\w+)\.(a|so\S*)$'):
        symbols = run('nm', '--print-file-name', library)
        if re.search(r' \w*_broken$', symbols, re.M):
            raise AssertionError(f'{library.name} has a switch of tests')


def test_manual_pages_are_there():
    installed(r'man/man1/uhmm\.1$')
    installed(r'man/man7/uhmm_mmu_notifier\.7$')
    if os.path.exists('/usr/lib/linux-kbuild-6.1/scripts/kernel-doc'):
        installed(r'man/man3/uhmm_mm_create\.3$')
        for name in 'mmu_interval_read_begin', 'mmu_notifier_range':
            page = installed(rf'man/man3/{name}\.3$')[0].read_text()
            for part in (f'.TH "{name}" 3 ', f'.SH NAME\n{name} \\-',
                         '#include <uhmm/mmu_notifier.h>', '.SH "SEE ALSO"'):
                if part not in page:
                    raise AssertionError(f'{name}.3 does not have {part!r}')


def test_bash_completion_asks_the_program():
    script = installed(r'bash-completion/completions/uhmm$')[0]
    installed(r'site-functions/_uhmm$')
    installed(r'vendor_completions\.d/uhmm\.fish$')
    for words, want in ((('uhmm', 'fea'), 'features'),
                        (('uhmm', 'help', 'ver'), 'version'),
                        (('uhmm', 'features', '--j'), '--json'),
                        (('uhmm', 'explore', 'ladder_valid_b'),
                         'ladder_valid_bool')):
        out = run('bash', '-c', f'. {script}; COMP_WORDS=({" ".join(words)}); '
                  f'COMP_CWORD={len(words) - 1}; _uhmm; echo ${{COMPREPLY[@]}}',
                  PATH=f'{sys.argv[1]}:{os.environ["PATH"]}')
        if out.split() != [want]:
            raise AssertionError(f'{words} completes to {out!r}, not {want}')


if __name__ == '__main__':
    try:
        install()
        sys.exit(run_cases(sys.modules[__name__]))
    finally:
        shutil.rmtree(FOLDER)
