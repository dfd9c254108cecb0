# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""TAP for the tests that are written in Python."""

import os
import re
import shlex
import unittest

# Where the build is for another machine: what runs its programs on this one.
EMULATOR = shlex.split(os.environ.get('MESON_EXE_WRAPPER', ''))


class Tap:
    """Prints cases; main returns status()."""

    def __init__(self, planned):
        self.count = 0
        self.failed = 0
        print(f'1..{planned}', flush=True)

    def say(self, name, problem=None, skip=None):
        """One case: it failed if there is a problem, skipped if a reason."""
        self.count += 1
        bad = 'not ' if problem else ''
        reason = f' # SKIP {skip}' if skip else ''
        print(f'{bad}ok {self.count} - {name}{reason}', flush=True)
        if problem:
            self.failed += 1
            print(re.sub('^', '# ', str(problem).rstrip(), flags=re.M))

    def status(self):
        return 1 if self.failed else 0


def run_cases(module):
    """Run each function test_* of a module; an exception is a failure, but for
    unittest.SkipTest with its reason."""
    cases = [(name, case) for name, case in sorted(vars(module).items())
             if name.startswith('test_')]
    tap = Tap(len(cases))
    for name, case in cases:
        try:
            case()
            tap.say(name.removeprefix('test_'))
        except unittest.SkipTest as reason:
            tap.say(name.removeprefix('test_'), skip=reason)
        except Exception as problem:  # a broken case must not hide the rest
            tap.say(name.removeprefix('test_'),
                    f'{type(problem).__name__}: {problem}')
    return tap.status()
