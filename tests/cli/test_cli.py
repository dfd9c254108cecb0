#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The tool as its user sees it: test_cli.py UHMM [WRAPPER...]. TAP out."""

import json
import os
import re
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from tap import run_cases

HOLDS, INTERNAL, USAGE = 0, 128, 129
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def uhmm(*args, stdout=subprocess.PIPE, **env):
    return subprocess.run([sys.argv[1], *args], stdin=subprocess.DEVNULL,
                          stdout=stdout, stderr=subprocess.PIPE, text=True,
                          env=dict(os.environ, **env), check=False)


def equal(have, want):
    if have != want:
        raise AssertionError(f'{have!r}, not {want!r}')


def contains(text, part):
    if part not in text:
        raise AssertionError(f'no {part!r} in {text!r}')


def refuses(named, *args):
    """A wrong command line: its own status, the culprit named on stderr."""
    run = uhmm(*args)
    equal(run.returncode, USAGE)
    equal(run.stdout, '')
    contains(run.stderr, named)


def commands():
    return uhmm('--list-commands').stdout.split()


def test_bare_call_prints_help_and_is_a_usage_error():
    run = uhmm()
    equal(run.returncode, USAGE)
    equal(run.stdout, '')
    contains(run.stderr, 'usage: uhmm')


def test_help_lists_every_command():
    run = uhmm('--help')
    equal((run.returncode, run.stderr), (HOLDS, ''))
    for name in commands():
        contains(run.stdout, f'\n  {name} ')


def test_every_command_has_help_and_answers_to_its_option():
    for name in commands():
        run = uhmm('help', name)
        equal((run.returncode, run.stderr), (HOLDS, ''))
        contains(run.stdout, f'usage: uhmm {name}')
        equal(uhmm(name, '--help').stdout, run.stdout)
        equal(uhmm(name, '-h').stdout, run.stdout)


def test_manual_page_describes_every_command():
    page = (ROOT / 'man/uhmm.1').read_text()
    for name in commands():
        contains(page, f'.It Cm {name}')


def test_version_is_that_of_the_project():
    build = (ROOT / 'meson.build').read_text()
    version = build.split("version: '", 1)[1].split("'", 1)[0]
    equal(uhmm('--version').stdout, f'uhmm {version}\n')
    equal(uhmm('version').stdout, f'uhmm {version}\n')
    for word in 'version', '--version':
        equal(json.loads(uhmm(word, '--json').stdout),
              {'schema': 1, 'version': version})


def test_unknown_command_is_named():
    refuses("unknown command 'explode'", 'explode')
    refuses("unknown command 'explode'", 'help', 'explode')


def test_unknown_option_is_named():
    refuses("unknown option '--jsn'", '--jsn')
    refuses("unknown option '--jsn'", 'features', '--jsn')
    refuses("unknown option '-x'", 'version', '-x')


def test_what_run_and_watch_do_not_take_is_named():
    for command, option, value in (
            ('run', 'device', 'gpu'), ('run', 'device', 'dmirror,deaf'),
            ('run', 'guarantee', 'G3'), ('run', 'guarantee', '1'),
            ('run', 'kernel-level', '5.4'), ('run', 'error-exitcode', '0'),
            ('run', 'error-exitcode', '256'), ('run', 'error-exitcode', 'x'),
            ('watch', 'pid', '0'), ('watch', 'pid', 'x'),
            ('watch', 'interval', '-1'), ('watch', 'interval', '5ms')):
        refuses(f"option '{option}' does not take '{value}'", command,
                f'--{option}={value}', '--', 'echo', 'it ran')
    for command in 'run', 'watch':
        refuses('which program?', command)
        refuses('which program?', command, '--json', '--')
        refuses("option '--output' needs a value", command, '--output')
        for value in '--', '-', '--json':
            refuses(f"option 'html' needs a value, not '{value}'", command,
                    '--html', value, 'echo')
        refuses("unknown option '--frobnicate'", command, '--frobnicate')
    refuses('a program or --pid, not both', 'watch', '--pid', '1', 'echo')
    refuses('--pid has no --html', 'watch', '--pid', '1', '--html', 'x')


def test_unexpected_argument_is_named():
    refuses("unexpected argument 'more'", 'features', 'more')
    refuses("unexpected argument 'more'", 'help', 'features', 'more')
    refuses("unexpected argument 'more'", '--version', 'more')
    refuses("unexpected argument 'more'", '--list-commands', 'more')
    refuses("unknown command 'more'", '--help', 'more')


def test_features_as_json_is_one_object_a_line():
    run = uhmm('features', '--json')
    equal((run.returncode, run.stderr), (HOLDS, ''))
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    for line in lines:
        equal(sorted(line), ['feature', 'present', 'schema', 'value'])
        equal(line['schema'], 1)
        equal(type(line['present']), bool)
    names = [line['feature'] for line in lines]
    equal(len(names), len(set(names)))
    text = uhmm('features').stdout.splitlines()
    equal([line.split()[0] for line in text], names)


def feature(name, **env):
    for line in uhmm('features', '--json', **env).stdout.splitlines():
        if json.loads(line)['feature'] == name:
            return json.loads(line)
    raise AssertionError(f'no feature {name}')


def test_features_names_the_kernel():
    contains(feature('kernel')['value'], os.uname().release)


def test_features_say_what_a_live_process_can_have():
    there = {name: feature(name)['present'] for name in
             ('G0', 'G1', 'userfaultfd')}
    equal(there['G0'], there['userfaultfd'])
    without = {'UHMM_LIVE_WITHOUT': 'userfaultfd'}
    for name in there:
        line = feature(name, **without)
        equal(line['present'], False)
        contains(line['value'], ' ')
    contains(feature('wp-async', UHMM_LIVE_WITHOUT='wp-async')['value'], 'Linux')


def test_features_that_are_missing_say_what_brings_them():
    names = ('userfaultfd', 'userfaultfd-kernel', 'event-fork', 'wp-async', 'move',
             'pagemap-scan', 'procmap-query', 'frames')
    for name in names:
        line = feature(name, UHMM_LIVE_WITHOUT=','.join(names))
        equal((name, line['present']), (name, False))
        if not re.search(r': .*(Linux \d|CAP_\w+|vm\.\w+|seccomp)', line['value']):
            raise AssertionError(f'{line}')
    for name, setting in (('areas', 'vm.max_map_count'), ('open-files', 'ulimit -n'),
                          ('locked-memory', 'ulimit -l')):
        contains(feature(name)['value'], setting)


def test_features_shows_the_environment():
    line = feature('UHMM_CHECK', UHMM_CHECK='1')
    equal((line['present'], line['value']), (True, '1'))
    for value in ('', '0', 'banana'):
        equal(feature('UHMM_CHECK', UHMM_CHECK=value)['present'], False)
    equal(feature('UHMM_CHECK', UHMM_CHECK='abort')['present'], True)


def test_full_disk_is_an_internal_error():
    with open('/dev/full', 'w', encoding='ascii') as full:
        for args in (['--help'], ['features'], ['features', '--json']):
            run = uhmm(*args, stdout=full)
            equal(run.returncode, INTERNAL)
            contains(run.stderr, 'stdout')


def test_a_file_that_cannot_be_written_is_told_before_the_program_runs():
    for command, option in (('run', '--output'), ('run', '--html'),
                            ('run', '--pftrace'), ('watch', '--output'),
                            ('watch', '--html')):
        for path, why in (('/no/such/folder', 'No such file'),
                          ('/', 'Is a directory')):
            run = uhmm(command, option, path, '--', 'echo', 'it ran')
            equal((option, run.returncode, run.stdout), (option, INTERNAL, ''))
            contains(run.stderr, f'uhmm {command}: {path}: {why}')


if __name__ == '__main__':
    sys.exit(run_cases(sys.modules[__name__]))
