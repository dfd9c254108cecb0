#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The scripts that count and install: test_scripts.py SCRIPTS. TAP out."""

import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from tap import run_cases

SCRIPTS = pathlib.Path(sys.argv[1]).resolve()
sys.path.insert(0, str(SCRIPTS))
from run_tests import judge_plain, judge_tap


def equal(have, want):
    if have != want:
        raise AssertionError(f'{have!r}, not {want!r}')


def judged(stdout, status=0, result='OK', judge=judge_tap):
    """Names that passed, failed and were skipped."""
    cases = judge({'stdout': stdout, 'returncode': status, 'result': result})
    return ([name for name, _ in cases.passed],
            [name for name, _ in cases.failed], cases.skipped)


def test_cases_are_counted():
    equal(judged('1..2\nok 1 - a\nok 2 - b\n'), (['a', 'b'], [], []))


def test_failed_case_fails():
    equal(judged('1..2\nok 1 - a\nnot ok 2 - b\n# why\n', 1, 'FAIL'),
          (['a'], ['b'], []))


def test_failed_case_fails_whatever_the_exit_status():
    equal(judged('1..1\nnot ok 1 - a\n'), ([], ['a'], []))


def test_skip_as_cmocka_prints_it():
    equal(judged('1..2\nno such device\nnot ok 1 # SKIP a\nok 2 - b\n'),
          (['b'], [], [('a', 'no such device')]))


def test_skip_as_tap_has_it():
    equal(judged('1..1\nok 1 - a # SKIP no compiler\n'),
          ([], [], [('a', 'no compiler')]))


def test_skip_of_everything():
    equal(judged('1..0 # SKIP not here\n'), ([], [], [('(all)', 'not here')]))


def test_two_groups_are_added():
    equal(judged('1..1\nok 1 - a\n1..1\nok 1 - b\n'), (['a', 'b'], [], []))


def test_crash_fails():
    equal(judged('1..3\nok 1 - a\n', -11, 'FAIL'), (['a'], ['(ended early)'], []))


def test_early_exit_with_status_0_fails():
    equal(judged('1..3\nok 1 - a\n'), (['a'], ['(ended early)'], []))


def test_crash_before_the_plan_fails():
    equal(judged('', -6, 'FAIL'), ([], ['(no TAP plan)'], []))


def test_silence_fails():
    equal(judged(''), ([], ['(no TAP plan)'], []))


def test_crash_after_the_last_case_fails():
    equal(judged('1..1\nok 1 - a\n', 66, 'FAIL'), (['a'], ['(exit status)'], []))


def test_timeout_fails():
    equal(judged('1..2\nok 1 - a\n', -15, 'TIMEOUT'), (['a'], ['(timeout)'], []))


def test_case_too_many_fails():
    equal(judged('1..1\nok 1 - a\nok 2 - b\n'),
          (['a', 'b'], ['(wrong plan)'], []))


def test_bail_out_fails():
    equal(judged('1..2\nok 1 - a\nBail out! no memory\n', 1, 'FAIL')[1],
          ['(bailed out)'])


def test_plain_test_is_one_case():
    equal(judged('', judge=judge_plain), ([''], [], []))
    equal(judged('', 1, 'FAIL', judge_plain), ([], [''], []))
    equal(judged('', -15, 'TIMEOUT', judge_plain), ([], [''], []))
    equal(judged('talk\nno clang\n', 77, 'SKIP', judge_plain),
          ([], [], [('', 'no clang')]))


class Machine:
    """A PATH on which dpkg-query knows some packages and apt-get writes."""

    def __init__(self, folder, installed, user):
        self.folder = pathlib.Path(folder)
        self.write('dpkg-query', 'for p; do :; done\ncase " %s " in\n'
                   '*" $p "*) printf installed;;\n*) exit 1;;\nesac\n'
                   % ' '.join(installed))
        self.write('apt-get', f'echo "$@" >> {folder}/apt\n')
        self.write('id', f'echo {user}\n')

    def write(self, name, text):
        path = self.folder / name
        path.write_text('#!/bin/sh\n' + text)
        path.chmod(0o755)

    def deps(self, *args):
        run = subprocess.run(
            [SCRIPTS / 'deps.sh', *args], text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, PATH=f'{self.folder}:{os.environ["PATH"]}'))
        return run.returncode, run.stdout, run.stderr

    def installs(self):
        log = self.folder / 'apt'
        return log.read_text() if log.exists() else ''


def packages(purpose):
    out = subprocess.run([SCRIPTS / 'deps.sh', '--list', purpose], check=True,
                         stdout=subprocess.PIPE, text=True)
    return out.stdout.split()


def test_deps_touch_nothing_when_all_is_there():
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder, packages('build'), 0)
        equal(machine.deps('build'), (0, '', ''))
        equal(machine.installs(), '')


def test_deps_install_by_name_what_is_missing():
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder, set(packages('build')) - {'meson'}, 0)
        status, out, err = machine.deps('build')
        equal((status, out), (0, ''))
        equal(err.splitlines()[0], 'deps.sh: not installed: meson')
        equal(machine.installs().split()[0], 'install')
        equal(machine.installs().split()[-1], 'meson')


def test_deps_tell_an_ordinary_user_the_command():
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder, set(packages('build')) - {'meson'}, 1000)
        status, out, err = machine.deps('build')
        equal((status, out), (1, ''))
        equal(err.splitlines()[-1].strip(), 'sudo scripts/deps.sh build')
        equal(machine.installs(), '')


def test_deps_take_what_is_optional_along_only():
    optional = {'systemtap-sdt-dev', 'perl'}
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder, set(packages('build')) - optional, 0)
        equal(machine.deps('build'), (0, '', ''))
        equal(machine.installs(), '')
        machine = Machine(folder,
                          set(packages('build')) - optional - {'meson'}, 0)
        equal(machine.deps('build')[0], 0)
        equal(set(machine.installs().split()[-3:]), optional | {'meson'})


def test_deps_refuse_an_unknown_purpose():
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder, [], 0)
        equal(machine.deps('nonsense'),
              (129, '', "deps.sh: unknown purpose 'nonsense'\n"))
        equal(machine.installs(), '')


if __name__ == '__main__':
    sys.exit(run_cases(sys.modules[__name__]))
