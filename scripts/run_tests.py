#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Run the tests of a build and count test cases.

meson runs them; the cases are read from what each test printed (TAP), a test
that does not speak TAP is one case. Failures are shown with their output,
skipped cases by name with the reason. The last line is
"N passed, N failed, N skipped"; the exit status is 1 when a case failed or
when nothing ran.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

CASE = re.compile(r'(not )?ok\b\s*(\d+)?\s*-?\s*([^#]*?)\s*(?:#\s*(\w+)\s*(.*))?$')
PLAN = re.compile(r'1\.\.(\d+)\s*(?:#\s*SKIP\s*(.*))?$', re.I)


class Cases:
    """The outcome of one test: names, and a reason where there is one."""

    def __init__(self):
        self.passed = []
        self.failed = []
        self.skipped = []

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def parse_tap(text):
    """Return (cases, number planned, None or the reason to skip all)."""
    cases, planned, skip_all, talk = Cases(), None, None, []
    for line in text.splitlines():
        line = line.strip()
        plan, case = PLAN.match(line), CASE.match(line)
        if plan:
            planned = (planned or 0) + int(plan[1])
            if int(plan[1]) == 0:
                skip_all = plan[2] or 'no reason given'
        elif line.startswith('Bail out!'):
            cases.failed.append(('(bailed out)', line))
        elif case and (case[2] or case[3]):
            add_case(cases, case, talk)
            talk = []
        elif line and not line.startswith('#'):
            talk.append(line)
    return cases, planned, skip_all


def add_case(cases, case, talk):
    bad, number, name, word, rest = case.groups()
    if word and word.upper() == 'SKIP':
        if name:
            cases.skipped.append((name, rest or 'no reason given'))
        else:
            # cmocka 1.1.5: the reason is printed before
            # "not ok 3 # SKIP name".
            cases.skipped.append((rest, ' '.join(talk) or 'no reason given'))
    elif bad:
        cases.failed.append((name or number, ''))
    else:
        cases.passed.append((name or number, ''))


def judge_tap(entry):
    """Cases of a test that speaks TAP; its exit status has a say too."""
    cases, planned, skip_all = parse_tap(entry.get('stdout') or '')
    ran = len(cases.passed) + len(cases.failed) + len(cases.skipped)
    status = entry.get('returncode')

    if entry['result'] == 'TIMEOUT':
        cases.failed.append(('(timeout)', f'after {ran} of {planned} cases'))
    elif planned is None:
        cases.failed.append(('(no TAP plan)', f'exit status {status}'))
    elif ran < planned:
        cases.failed.append(
            ('(ended early)',
             f'after {ran} of {planned} cases, exit status {status}'))
    elif ran > planned:
        cases.failed.append(('(wrong plan)', f'{ran} cases, {planned} planned'))
    elif status and not cases.failed:
        cases.failed.append(('(exit status)', f'{status}, no case failed'))
    elif entry['result'] in ('ERROR', 'INTERRUPT') and not cases.failed:
        cases.failed.append((f'({entry["result"].lower()})', ''))
    elif skip_all and ran == 0:
        cases.skipped.append(('(all)', skip_all))
    return cases


def last_line(entry):
    for stream in ('stderr', 'stdout'):
        lines = (entry.get(stream) or '').strip().splitlines()
        if lines:
            return lines[-1].strip()
    return 'no reason given'


def judge_plain(entry):
    """A test without TAP is one case."""
    cases = Cases()
    result = entry['result']
    if result in ('OK', 'EXPECTEDFAIL'):
        cases.passed.append(('', ''))
    elif result == 'SKIP':
        cases.skipped.append(('', last_line(entry)))
    else:
        status = entry.get('returncode')
        cases.failed.append(('', f'{result.lower()}, exit status {status}'))
    return cases


def introspect(build):
    out = subprocess.run(['meson', 'introspect', '--tests', build], check=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    tests = {}
    for test in json.loads(out.stdout):
        name = test['name']
        if name in tests:
            sys.exit(f'run_tests.py: two tests are named {name}')
        tests[name] = {
            'suites': {s.split(':', 1)[-1] for s in test['suite']},
            'tap': test['protocol'] == 'tap'
                   or test['env'].get('CMOCKA_MESSAGE_OUTPUT') == 'TAP',
        }
    return tests


def choose(tests, options):
    """Split the tests into names to run and {name: reason} to skip."""
    run, skip = [], {}
    reasons = dict(s.split('=', 1) for s in options.skip_suite)
    for name, test in tests.items():
        if options.suite:
            if not test['suites'] & set(options.suite):
                continue
        if 'soak' in test['suites'] and 'soak' not in options.suite:
            continue
        why = [reasons[s] for s in sorted(test['suites']) if s in reasons]
        if why:
            skip[name] = why[0]
        else:
            run.append(name)
    return run, skip


def run_meson(names, options):
    """Run the named tests and return what meson logged of each."""
    logs = pathlib.Path(options.build_dir, 'meson-logs')
    for old in logs.glob('testlog*.json'):
        old.unlink()
    command = ['meson', 'test', '-C', options.build_dir, '--setup', 'all',
               '--timeout-multiplier', str(options.timeout_multiplier)]
    if options.wrapper:
        command += ['--wrapper', options.wrapper]
    command += names

    talk = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors='replace') as meson:
        for line in meson.stdout:
            talk.append(line)
            if re.match(r'\s*\d+/\d+ ', line):
                print(line, end='', flush=True)
    entries = [json.loads(line) for log in logs.glob('testlog*.json')
               for line in log.read_text(errors='replace').splitlines()]
    if not entries:
        print(''.join(talk[-200:]), end='')
    return entries


def plain_name(name, tests):
    """meson logs "project:suite / name" or "project / name"."""
    short = name.rsplit(' / ', 1)[-1]
    return short if short in tests else name


def show_failure(name, cases, entry):
    print(f'\nFAILED {name}')
    for case, why in cases.failed:
        print('  ' + ' '.join(filter(None, (case, why))))
    for stream in ('stdout', 'stderr'):
        text = (entry.get(stream) or '').rstrip()
        if text:
            print(f'--- {stream} of {name}')
            print(text[-20000:])


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--build-dir', default='build')
    parser.add_argument('--suite', action='append', default=[],
                        help='only this suite (may be repeated)')
    parser.add_argument('--skip-suite', action='append', default=[],
                        metavar='SUITE=REASON',
                        help='count the tests of SUITE as skipped')
    parser.add_argument('--timeout-multiplier', type=float, default=1)
    parser.add_argument('--wrapper', help='run each test under this command')
    parser.add_argument('--env', action='append', default=[],
                        metavar='NAME=VALUE')
    return parser.parse_args()


def main():
    options = parse_options()
    for setting in options.env:
        name, value = setting.split('=', 1)
        os.environ[name] = value

    tests = introspect(options.build_dir)
    run, skip = choose(tests, options)
    total = Cases()
    for name, why in skip.items():
        total.skipped.append((name, why))

    logged = set()
    for entry in run_meson(run, options) if run else []:
        name = plain_name(entry['name'], tests)
        logged.add(name)
        judge = judge_tap if tests.get(name, {}).get('tap') else judge_plain
        cases = judge(entry)
        if cases.failed:
            show_failure(name, cases, entry)
        for case, why in cases.skipped:
            total.skipped.append((f'{name}: {case}' if case else name, why))
        cases.skipped = []
        total.add(cases)

    for name in run:
        if name not in logged:
            print(f'FAILED {name}: it did not run')
            total.failed.append((name, 'did not run'))

    if total.skipped:
        print()
    for name, why in total.skipped:
        print(f'SKIPPED {name}: {why}')
    if not total.passed and not total.failed:
        print('run_tests.py: nothing ran', file=sys.stderr)
    print(f'{len(total.passed)} passed, {len(total.failed)} failed, '
          f'{len(total.skipped)} skipped')
    return 1 if total.failed or not total.passed else 0


if __name__ == '__main__':
    sys.exit(main())
