#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The documents say what the tree says: test_docs.py LIBRARY SDT. TAP out.

LIBRARY is the shared library, SDT 1 if it was built with probes.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from docs.doclib import ROOT, displays, replaced
from tap import run_cases

sys.path.insert(0, str(ROOT / 'scripts'))
import gen_figures
import gen_ordering
import gen_scenarios
import gen_symbols
from public_functions import public_functions

MY_PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')),
            *sorted((ROOT / 'man').glob('*.7'))]
QUOTE = re.compile(r'<!-- quoted from (\S+) -->\n```c\n(.*?)```\n', re.S)
OF_LIBC = {'malloc', 'pthread_atfork'}
PROBE = re.compile(r'\bUHMM_PROBE(\d)\((\w+),')


def text_of(name):
    return (ROOT / name).read_text()


def equal(have, want):
    if have != want:
        raise AssertionError(f'{have!r}, not {want!r}')


def fails(error, function, *args):
    """The function raises this exception; returns its text."""
    try:
        function(*args)
    except error as problem:
        return str(problem)
    raise AssertionError(f'{function.__name__} found nothing wrong')


# ------------------------------------------------------------------- README

def check_quotes(readme):
    """How many quotes there are, all of them right."""
    quotes = QUOTE.findall(readme)
    for name, code in quotes:
        if f'\n{code}' not in text_of(name):
            raise AssertionError(f'{name} does not have:\n{code}')
    return len(quotes)


def test_readme_quotes_the_example():
    equal(check_quotes(text_of('README.md')), 2)
    equal(text_of('README.md').count('```c\n'), 2)


def test_a_wrong_quote_is_noticed():
    wrong = replaced(text_of('README.md'), 'mmu_interval_set_seq(sub, cur_seq);',
                     'mmu_interval_set_seq(sub, 0);')
    fails(AssertionError, check_quotes, wrong)


def test_readme_is_short():
    if text_of('README.md').count('\n') > 150:
        raise AssertionError('README.md has more than 150 lines')


def test_first_example_is_short():
    if text_of('examples/01-first-mirror.c').count('\n') > 80:
        raise AssertionError('more than 80 lines')


def test_each_figure_names_a_benchmark_that_is_there():
    rows = [line for line in text_of('README.md').split('\n')
            if 'make bench' in line and line.startswith('|')]
    names = {re.search(r'`make bench BENCH=(\w+)`', row)[1] for row in rows}
    have = set(re.findall(r"'(\w+)': \[", text_of('bench/meson.build')))
    equal(names - have, set())


def planted_figures(skip=None):
    """Lines as benchmarks print them, each figure another; one left out."""
    wanted = []

    class Asked(gen_figures.Figures):
        """Notes what the table asks for."""

        def get(self, test, who, n, what='median'):
            wanted.append((test, who, n, what))
            return 1 + len(wanted)

    gen_figures.table(Asked([]))
    # A comparison of something else, which has no time an operation.
    yield json.dumps({'kind': 'comparison', 'test': 'compile', 'first': 'bare',
                      'second': 'bare', 'ms': 1, 'ratio': 1})
    for i, (test, who, n, what) in enumerate(wanted):
        if i != skip:
            yield json.dumps({'kind': 'figure', 'test': test, 'who': who,
                              'n': n, 'value': {'median': 0, what: 2 + i}})


def test_figures_are_put_into_their_places():
    rows = gen_figures.table(gen_figures.Figures(planted_figures()))
    readme = gen_figures.inserted(text_of('README.md'), rows)
    for row in ('| 2 / 3 / 4 / 5 ns | 6 / 7 / 8 / 9 ns | `make bench BENCH=not',
                'driver\'s lock | 18 ns | 19 ns | `make bench BENCH=notifier`'):
        if row not in readme:
            raise AssertionError(f'{row!r} is not in {rows}')
    equal(readme.count('\n'), text_of('README.md').count('\n'))


def test_a_missing_figure_is_noticed():
    for skip in (0, 5, 16):
        fails(gen_figures.Problem, gen_figures.table,
              gen_figures.Figures(planted_figures(skip)))


def test_table_has_the_rows_of_its_script():
    have = re.findall(r'^\| ([^|`]+) \|.*`make bench BENCH=(\w+)` \|$',
                      text_of('README.md'), re.M)
    equal(have, [(what, bench) for what, bench, _ in gen_figures.ROWS])


def check_differences(readme):
    lines = gen_scenarios.differences(gen_scenarios.PAGE.read_text())
    if len(lines) < 4 or '\n'.join(['', *lines, '']) not in readme:
        raise AssertionError('run scripts/gen_scenarios.py UHMM --write')


def test_readme_has_where_schemes_differ():
    check_differences(text_of('README.md'))


def test_a_wrong_outcome_is_noticed():
    wrong = replaced(text_of('README.md'), '| `refused` | Never |',
                     '| `refused` | Sometimes |')
    fails(AssertionError, check_differences, wrong)


def check_tests_of_rows(page, sources):
    """How many rows of its tables name tests, which are all there."""
    rows = [line for line in text_of(page).split('\n')
            if re.match(r'\|.*\| `\w+`.* \|$', line)]
    named = [name for row in rows
             for name in re.findall(r'`(\w+)`', row.rsplit(' | ', 1)[1])]
    have = re.findall(r'static void (\w+)\(void \*\*state\)', ''.join(
        path.read_text() for path in ROOT.glob(sources)))
    equal(set(named) - set(have), set())
    return len(rows)


def test_statements_of_the_scheme_have_tests():
    equal(check_tests_of_rows('docs/invariants.md', 'tests/unit/test_*.c'), 35)
    equal(set(re.findall(r'\b[IL]\d+', text_of('docs/invariants.md'))),
          {f'I{i}' for i in range(1, 33)} | {f'L{i}' for i in range(1, 5)})


def test_events_of_the_model_have_tests():
    equal(check_tests_of_rows('docs/model.md', 'tests/model/test_*.c') > 35,
          True)


# ---------------------------------------------------------- paths and names

def missing_paths(text):
    """Names of files and folders of the tree that are not there."""
    for name in re.findall(r'`([\w.-]+(?:/[\w.-]*)+)`', text):
        # What is built may be somewhere else.
        if not name.startswith('build/') and not (ROOT / name).exists():
            yield name
    for name in re.findall(r'^\.Pa (\S+)', text, re.M):
        if not (ROOT / name).exists():
            yield name


def test_paths_are_there():
    for page in MY_PAGES:
        equal((page.name, list(missing_paths(page.read_text()))),
              (page.name, []))


def test_a_missing_path_is_noticed():
    equal(list(missing_paths('see `src/nowhere/x.c`')), ['src/nowhere/x.c'])
    equal(list(missing_paths('.Pa docs/nowhere.md')), ['docs/nowhere.md'])


def missing_functions(text):
    """`name()` that occurs in no source."""
    sources = ''.join(path.read_text() for folder in ('include', 'src', 'tests')
                      for path in sorted((ROOT / folder).rglob('*.[ch]')))
    for name in sorted(set(re.findall(r'`(\w+)\(\)`', text))):
        if not re.search(rf'\b{name}\(', sources):
            yield name


def test_functions_are_there():
    for page in MY_PAGES:
        equal((page.name, list(missing_functions(page.read_text()))),
              (page.name, []))


def test_a_missing_function_is_noticed():
    equal(list(missing_functions('see `mmget()`, `no_such_thing()`')),
          ['no_such_thing'])


def public_names():
    return {name for _, _, name, _ in public_functions(ROOT)} | \
        {name.split()[-1] for name in gen_symbols.public_names(ROOT)}


def unknown_names(page):
    """What a page takes for a function of ours, or a page in section 3."""
    known = public_names()
    for name in re.findall(r'^\.(?:It )?Fn (\w+)$', page, re.M):
        if name not in known and not name.startswith('my_'):
            yield name
    for name in re.findall(r'^\.Xr (\S+) 3\b', page, re.M):
        if name not in known | OF_LIBC:
            yield name


def test_functions_of_the_manual_are_there():
    equal(list(unknown_names(text_of('man/uhmm_mmu_notifier.7'))), [])


def test_an_unknown_function_is_noticed():
    page = text_of('man/uhmm_mmu_notifier.7') + '.Fn mmu_nothing\n.Xr no_page 3 ,\n'
    equal(list(unknown_names(page)), ['mmu_nothing', 'no_page'])


def test_rules_of_the_checker_are_all_told():
    names = re.findall(r'\] = \{\n\t\t"([a-z-]+)",',
                       text_of('src/core/check_report.c'))
    told = re.findall(r'^\.It ([a-z-]+)\n', re.search(
        r'^\.Sh CONTRACT CHECKER\n(.*?)^\.Sh', text_of(
            'man/uhmm_mmu_notifier.7'), re.M | re.S)[1], re.M)
    equal(told, names)
    if not names:
        raise AssertionError('no rules were found')


def test_counters_are_all_told():
    struct = re.search(r'struct uhmm_mm_stats \{\n(.*?)\n\};',
                       text_of('include/uhmm/mm.h'), re.S)[1]
    told = re.findall(r'^\.It ([a-z_]+)\n', re.search(
        r'^\.Sh STATISTICS\n(.*?)^\.Sh', text_of('man/uhmm_mmu_notifier.7'),
        re.M | re.S)[1], re.M)
    equal(told, re.findall(r'(\w+);', struct))


# ------------------------------------------------------------------- probes

def probes_in_source():
    """{name: how many arguments}"""
    return {name: int(count) for path in (ROOT / 'src').rglob('*.c')
            for count, name in PROBE.findall(path.read_text())}


def probes_in_page():
    page = text_of('man/uhmm-probes.7')
    return {name: args.count('"') // 2 for name, args in
            re.findall(r'^\.It Fn (\w+)((?: "\w+")*)$', page, re.M)}


def test_page_has_the_probes_of_the_source():
    equal(probes_in_page(), probes_in_source())


def test_library_has_the_probes_of_the_page():
    out = subprocess.run(['readelf', '-n', '-W', sys.argv[1]], check=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True)
    notes = re.findall(r'Provider: uhmm\s+Name: (\w+)\s+Location: .*\s+'
                       r'Arguments:(.*)', out.stdout)
    have = {name: len(args.split()) for name, args in notes}
    equal(have, probes_in_page())


def test_examples_of_the_page_use_its_probes():
    shown = set(re.findall(r'\buhmm:(\w+)', ''.join(
        body for _, _, body in displays(text_of('man/uhmm-probes.7')))))
    equal(shown - set(probes_in_page()), set())


# ---------------------------------------------------------- generated pages

def test_ordering_is_fresh():
    if gen_ordering.page(ROOT) != text_of('docs/ordering.md'):
        raise AssertionError('run scripts/gen_ordering.py --write')


def test_symbols_are_fresh():
    if gen_symbols.page(ROOT) != text_of('docs/symbols.md'):
        raise AssertionError('run scripts/gen_symbols.py --write')


def test_an_ordering_comment_changes_the_page():
    with tempfile.TemporaryDirectory() as name:
        copy = copy_of(name, 'include', 'src')
        path = copy / 'src/core/internal.h'
        path.write_text(replaced(
            path.read_text(), 'Ordering: (ANNOUNCE-FENCE) pairs',
            'Ordering: (PLANTED-FENCE) pairs'))
        if '| PLANTED-FENCE | full fence | `slot_announce()` |' not in \
                gen_ordering.page(copy):
            raise AssertionError('the change does not show')


def copy_of(folder, *names):
    """The named parts of the tree."""
    copy = pathlib.Path(folder)
    for name in names:
        shutil.copytree(ROOT / name, copy / name)
    return copy


def symbols_with(old, new):
    """The page as it would be with another list."""
    with tempfile.TemporaryDirectory() as name:
        copy = copy_of(name, 'include', 'docs')
        path = copy / 'docs/symbols.txt'
        path.write_text(replaced(path.read_text(), old, new))
        return gen_symbols.page(copy)


def test_a_symbol_is_here_or_has_a_reason():
    for old, new, complaint in (
            ('\nmmget_not_zero\n', '\n', 'not in docs/symbols.txt: mmget_not_z'),
            ('\nmmget\n', '\nmmget later mm.h\n', 'mmget is said to be "later"'),
            ('\nmmget\n', '\nmmget\nmmgot\n', 'mmgot: no header has it'),
            ('\nmmget\n', '\nmmget\nmmgot no\n', 'mmgot: no reason'),
            ('\nmmget\n', '\nmmget\nmmget\n', 'mmget: stands twice'),
            ('\nmmget\n', '\nmmget ???\n', 'not understood')):
        problem = fails(gen_symbols.Problem, symbols_with, old, new)
        if complaint not in problem:
            raise AssertionError(f'{problem!r}, not {complaint!r}')


def test_a_symbol_in_the_list_is_in_the_page():
    page = symbols_with('\nmmget\n', '\nmmget\nmmgot later mm.h (some day)\n')
    if '| `mmgot` | later, `mm.h` | some day |' not in page:
        raise AssertionError('it is not')


if __name__ == '__main__':
    if sys.argv[2] != '1':
        # There is nothing to look at.
        del test_library_has_the_probes_of_the_page
    sys.exit(run_cases(sys.modules[__name__]))
