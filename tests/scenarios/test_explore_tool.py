#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The explorer as its user sees it: test_explore_tool.py UHMM BUILD [--write].

--write: ladders as they are now become those that are expected. TAP out.
"""

import concurrent.futures
import html
import json
import os
import pathlib
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from protobuf import events
from tap import EMULATOR, run_cases

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
UHMM = [*EMULATOR, str(pathlib.Path(sys.argv[1]).resolve())]
BUGS = pathlib.Path(sys.argv[2]).resolve() / 'tests/explored_test.so'
HOLDS, VIOLATED, CANNOT_TELL, INTERNAL, USAGE = 0, 1, 125, 128, 129
# Found in the first second, and each of another kind.
BAD = ('acquire_missing', 'came_and_went_active_list', 'fence_locked',
       'insert_remove_classic', 'kept_active_list', 'ladder_valid_bool',
       'no_set_seq_uhmm', 'refused_classic', 'removed_twice',
       'starved_classic', 'unasked_classic')


def uhmm(*args, folder=None):
    return subprocess.run([*UHMM, *map(str, args)], cwd=folder,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)


def explore(*args, status=HOLDS):
    run = uhmm('explore', *args)
    if run.returncode != status:
        raise AssertionError(f'{args}: status {run.returncode}, not {status}: '
                             f'{run.stdout}{run.stderr}')
    return run.stdout


def equal(have, want):
    if have != want:
        raise AssertionError(f'{have!r}, not {want!r}')


def contains(text, part):
    if part not in text:
        raise AssertionError(f'no {part!r} in {text!r}')


def ladder_of(text):
    return text.split('\n\n', 1)[1]


def test_list_explores_nothing_and_has_three_columns():
    # All that are listed are a minute's work.
    limit = ['prlimit', '--cpu=5', '--'] if shutil.which('prlimit') else []
    lists = [subprocess.run([*limit, *UHMM, 'explore', '--list', *more], text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            check=True).stdout.splitlines()
             for more in ([], ['--json'])]
    if len(lists[0]) < 50:
        raise AssertionError(f'{len(lists[0])} scenarios')
    for line in lists[0]:
        name, result, source = line.split('\t')
        if not re.fullmatch(r'\w+', name) or not source or \
                result not in ('Never', 'Sometimes', 'Always'):
            raise AssertionError(line)
    objects = [json.loads(line) for line in lists[1]]
    equal([o['scenario'] for o in objects],
          [line.split('\t')[0] for line in lists[0]])
    equal({o['schema'] for o in objects}, {1})


def test_ladders_are_those_that_are_expected():
    """Rows and title; lines of the library change, so the foot is left out. Where
    in memory without a name something is differs between machines."""
    for name in BAD:
        path = HERE / 'golden' / f'{name}.txt'
        head = ladder_of(explore(name)).rsplit('\n\n', 1)[0] + '\n'
        if '--write' in sys.argv:
            path.write_text(head)
        want = path.read_text()
        if EMULATOR:
            head, want = (re.sub(r'\bmm\+\d+', 'mm+N', x) for x in (head, want))
        equal(head, want)


def test_a_ladder_fits_into_a_mail():
    for name in BAD:
        ladder = ladder_of(explore(name))
        if not ladder.isascii():
            raise AssertionError(f'{name}: not ASCII')
        rows = [line for line in ladder.split('\n\n')[1].splitlines()
                if re.match(r' ?\d+ ', line)]
        if len(rows) > 25 or max(map(len, ladder.splitlines())) > 72:
            raise AssertionError(f'{name}: too large\n{ladder}')


def test_a_replay_prints_the_same_ladder():
    with tempfile.TemporaryDirectory() as folder:
        for name in BAD:
            path = pathlib.Path(folder) / name
            ladder = ladder_of(explore(name, '--output', path))
            run = uhmm('replay', path)
            equal((run.returncode, run.stderr), (HOLDS, ''))
            equal(run.stdout, ladder)


def test_a_replay_that_takes_another_course_is_told():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'x'
        explore('acquire_missing', '--output', path)
        path.write_text(path.read_text().replace('scenario acquire_missing',
                                                 'scenario acquire_there'))
        run = uhmm('replay', path)
        equal((run.returncode, run.stdout), (CANNOT_TELL, ''))
        contains(run.stderr, 'uhmm replay: ')


def test_gdb_stops_in_the_code_of_a_row():
    if EMULATOR:
        raise unittest.SkipTest('a program that is emulated has no ptrace(2)')
    if not shutil.which('gdb'):
        raise unittest.SkipTest('no gdb')
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'bad'
        text = explore('no_set_seq_uhmm', '--output', path)
        row, = re.findall(r'^ *(\d+) +pte = 3, was 1$', text, re.M)
        contains(uhmm('replay', path, f'--gdb={row}').stdout,
                 'old = atomic_exchange_explicit(&pte, page')


def test_json_has_all_of_it():
    line, = explore('no_set_seq_uhmm', '--json').splitlines()
    report = json.loads(line)
    equal((report['schema'], report['outcome'], report['as_declared']),
          (1, 'Sometimes', True))
    ladder = report['ladder']
    equal((ladder['defect'], ladder['cpus']),
          ('stale access', ['device', 'unmap']))
    text = explore('no_set_seq_uhmm')
    for row in ladder['rows']:
        contains(text, row['text'])


def test_pages_and_traces_are_written():
    with tempfile.TemporaryDirectory() as folder:
        page, trace = (pathlib.Path(folder) / x for x in ('x.html', 'x.pftrace'))
        rows = json.loads(explore('no_set_seq_uhmm', '--json', '--html', page,
                                  '--pftrace', trace))['ladder']['rows']
        texts = [row['text'] for row in rows]
        drawn = page.read_text()
        for part in ('<svg', 'CPU0 device', 'CPU1 unmap', 'device.h',
                     '<th>executions', '<td>random'):
            contains(drawn, part)
        for text in texts:
            contains(drawn, html.escape(text.strip(), quote=False))
        tracks, happened = events(trace.read_bytes())
        slices = [dict(event) for event in happened]
        kinds = [event[9] for event in slices]
        equal(kinds.count(1), kinds.count(2))
        equal({event[11] for event in slices}, set(tracks))
        names = {event[23].decode() for event in slices if 23 in event}
        equal({text for text in texts if '=' in text} - names, set())
        # Each arrow has two ends.
        arrows = [value for event in happened for key, value in event if key == 47]
        if not arrows or any(arrows.count(a) < 2 for a in arrows):
            raise AssertionError(f'arrows: {arrows}')


def test_a_replay_is_a_page_and_json_too():
    with tempfile.TemporaryDirectory() as folder:
        bad, page = (pathlib.Path(folder) / x for x in ('bad', 'page'))
        found = json.loads(explore('no_set_seq_uhmm', '--json', '--output', bad))
        run = uhmm('replay', bad, '--json', '--html', page)
        equal(run.returncode, HOLDS)
        equal(json.loads(run.stdout)['ladder'], found['ladder'])
        contains(page.read_text(), '<svg')


def test_the_status_is_of_what_is_declared():
    for name, status in (('race', VIOLATED), ('race_not', HOLDS),
                         ('valid_bool', HOLDS), ('good1', HOLDS),
                         ('unknown_call', CANNOT_TELL)):
        explore(BUGS, name, '--output', os.devnull, status=status)


def test_a_loop_that_does_not_end_is_named():
    text = explore(BUGS, 'too_long', '--output', os.devnull, status=VIOLATED)
    if not re.search(r'^a loop did not end: (bugs\.c:\d+ in )?spin_hard', text,
                     re.M):
        raise AssertionError(text)


def test_what_is_measured_is_printed():
    for name, waits in (('sequence_1', 1), ('sequence_minus_1', 0)):
        contains(explore(name), f'\nmeasured: needless waits: {waits}\n')
        equal(json.loads(explore(name, '--json'))['measures'],
              {'needless waits': waits})


def test_progress_is_shown_on_a_terminal():
    terminal, end = pty.openpty()
    with subprocess.Popen([*UHMM, 'explore', 'fault2_uhmm', '--engine', 'states',
                           '--executions', '20000', '--seconds', '-1'],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=end) as run:
        os.close(end)
        said = b''
        try:
            while part := os.read(terminal, 4096):
                said += part
        except OSError:     # the other end is closed
            pass
    os.close(terminal)
    equal(run.returncode, HOLDS)
    if not re.search(rb'\rstates +\d+ executions +\d+/s +\d+ states  depth \d',
                     said):
        raise AssertionError(said)


def test_a_search_that_is_cut_short_says_so():
    text = explore('fault2_uhmm', '--engine', 'dpor', '--seconds', '0.001',
                   status=CANNOT_TELL)
    contains(text, 'fault2_uhmm: Unknown, declared Never')
    contains(text, 'covered: some executions (bounded)')
    contains(text, 'cut short: ')


def test_an_interrupt_ends_with_what_was_covered():
    for wait in (0.3, 3, 30):
        with subprocess.Popen([*UHMM, 'explore', 'fault2_uhmm', '--engine',
                               'brute', '--seconds', '-1', '--json'],
                              stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as run:
            time.sleep(wait)
            run.send_signal(signal.SIGINT)
            text = run.communicate()[0]
        # Too early is when nobody catches it yet.
        if run.returncode != -signal.SIGINT:
            break
    report = json.loads(text)
    equal((run.returncode, report['outcome'], report['cut_short'],
           report['complete'], report['violations']),
          (CANNOT_TELL, 'Unknown', True, False, 0))


def sum_of(lines):
    with tempfile.NamedTemporaryFile('w', suffix='.json') as file:
        file.write('\n'.join(lines))
        file.flush()
        return json.loads(explore('sequence_minus_1', '--json', '--merge',
                                  file.name))


def test_parts_add_up():
    whole = json.loads(explore('sequence_minus_1', '--engine', 'dpor', '--json',
                               '--seconds', '-1'))
    parts = explore('sequence_minus_1', '--split', 8).splitlines()
    if len(parts) < 10:
        raise AssertionError(f'{len(parts)} parts')
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        lines = list(pool.map(
            lambda part: explore('sequence_minus_1', '--engine', 'dpor',
                                 '--json', '--seconds', '-1', '--job', part),
            parts))
    merged = sum_of(lines)
    for key in ('executions', 'violations', 'complete', 'outcome'):
        equal((key, merged[key]), (key, whole[key]))


def test_a_part_that_does_not_fit_is_told():
    for part, named in (('7@0.0', 'does not fit'),
                        (' '.join(['0@0.0'] * 60), 'does not fit'),
                        ('0@0', 'is no prefix'),
                        (' '.join(['0@0.0'] * 65), 'more than 64 steps')):
        refuses(named, 'explore', 'fault2_uhmm', '--engine', 'dpor', '--json',
                '--job', part, status=CANNOT_TELL)


def test_what_is_no_part_is_not_added_up():
    part = explore('sequence_minus_1', '--split', 8).splitlines()[0]
    line = explore('sequence_minus_1', '--engine', 'dpor', '--json', '--job',
                   part)
    equal(sum_of([line, ''])['executions'], json.loads(line)['executions'])
    other = dict(json.loads(line), scenario='sequence_1')
    model = dict(json.loads(line), model='tso')
    with tempfile.TemporaryDirectory() as folder:
        done = pathlib.Path(folder) / 'done'
        for second in ('{}', line[:-9], json.dumps(other), json.dumps(model)):
            done.write_text(f'{line}{second}\n')
            refuses(f'{done}: line 2', 'explore', 'sequence_minus_1', '--merge',
                    done)
        done.write_text('')
        refuses('nothing to merge', 'explore', 'sequence_minus_1', '--merge',
                done)


# What starts programs on many machines, played by the shell on this one.
STARTERS = {
    'parallel': '''#!/bin/sh
[ "$1" = -a ] || exit 9
parts=$2
shift 2
while read -r part; do
    words=
    for word; do
        [ "$word" = {} ] && word="'$part'"
        words="$words $word"
    done
    sh -c "$words" </dev/null || exit
done < "$parts"
''',
    'sbatch': '''#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
    --array=1-*) last=${1#--array=1-} ;;
    --output=done.%a) ;;
    --wrap) wrap=$2; shift ;;
    --wait) ;;
    *) exit 9 ;;
    esac
    shift
done
for n in $(seq "$last"); do
    SLURM_ARRAY_TASK_ID=$n sh -c "$wrap" > done.$n || exit
done
''',
    'mpirun': '''#!/bin/sh
for rank in 0 1; do
    OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=$rank "$@" || exit
done
''',
}


def test_the_documented_ways_to_many_machines_add_up():
    text = (ROOT / 'docs/explore.md').read_text()
    ways = [way for way in re.findall(r'```sh\n(.*?)```', text, re.S)
            if '--split' in way]
    equal(len(ways), len(STARTERS))
    whole = re.search(r'  dpor +(\d+ executions)',
                      explore('sequence_minus_1', '--engine', 'dpor'))[1]
    for way, (name, script) in zip(ways, STARTERS.items()):
        contains(way, name)
        way = way.replace('fault2_uhmm', 'sequence_minus_1')
        with tempfile.TemporaryDirectory() as folder:
            for file, body in ((name, script), ('uhmm', '#!/bin/sh\nexec ' +
                                                f'{shlex.join(UHMM)} "$@"\n')):
                path = pathlib.Path(folder) / file
                path.write_text(body)
                path.chmod(0o755)
            way = way.replace('--split 12', '--split 6')
            run = subprocess.run(
                ['sh', '-ec', way], cwd=folder, text=True, check=False,
                env={**os.environ, 'PATH': f'{folder}:{os.environ["PATH"]}'},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT)
            equal((name, run.returncode), (name, HOLDS))
            contains(run.stdout, 'covered: everything, memory model sc')
            contains(run.stdout, whole)


def test_a_barrier_is_weakened():
    contains(explore('--labels'), 'CLASSIC-CLOSE\tsrc/designs/classic.c:')
    text = explore('ordered_classic', '--weaken', 'CLASSIC-CLOSE', '--output',
                   '/dev/null', status=VIOLATED)
    contains(text, 'weakened: CLASSIC-CLOSE')
    explore('ordered_classic', '--weaken', 'NO-SUCH-LABEL', status=CANNOT_TELL)


def example():
    """The scenario and the three lines of docs/explore.md."""
    text = (ROOT / 'docs/explore.md').read_text()
    code = re.search(r'```c\n(.*?)```', text, re.S)[1]
    lines = re.search(r'```sh\n(cc .*?)```', text, re.S)[1]
    return code, lines


def test_the_documented_example_is_built_and_run():
    code, lines = example()
    build = pathlib.Path(sys.argv[2]).resolve()
    lines = lines.replace('$(pkg-config --variable=scenario uhmm)',
                          f'@{build}/explore.link {build}/libuhmm-explored.a')
    lines = lines.replace('-c mine.c', f'-I{ROOT}/include -c mine.c')
    lines = re.sub(r'^uhmm ', f'{shlex.join(UHMM)} ', lines, flags=re.M)
    lines = re.sub(r'^cc ', f'{os.environ.get("CC", "cc")} ', lines, flags=re.M)
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / 'mine.c').write_text(code)
        run = subprocess.run(['sh', '-ec', lines], cwd=folder, text=True,
                             stdin=subprocess.DEVNULL, check=False,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        equal(run.returncode, HOLDS)
        contains(run.stdout, 'lost_update: Sometimes, as declared')
        contains(run.stdout, 'assertion')
        again = uhmm('explore', './mine.so', '--output', 'bad', folder=folder)
        replay = uhmm('replay', 'bad', folder=folder)
        equal(replay.stdout, ladder_of(again.stdout))


def refuses(named, *args, status=USAGE):
    run = uhmm(*args)
    equal((args, run.returncode, run.stdout), (args, status, ''))
    contains(run.stderr, named)


def test_a_wrong_command_line_is_told():
    refuses('which scenario?', 'explore')
    refuses("no scenario 'no_such'", 'explore', 'no_such')
    refuses('./no_such.so', 'explore', './no_such.so')
    refuses("unexpected argument 'more'", 'explore', 'fault2_uhmm', 'more')
    for command, option, value in (
            ('explore', 'engine', 'warp'), ('explore', 'model', 'x87'),
            ('explore', 'bound', 'many'), ('explore', 'executions', '-1'),
            ('explore', 'seconds', 'nan'), ('explore', 'split', '0'),
            ('replay', 'gdb', '0'), ('replay', 'gdb', 'first')):
        refuses(f"option '{option}' does not take '{value}'", command,
                'fault2_uhmm', f'--{option}={value}')
    refuses("option '--html' needs a value", 'replay', 'x', '--html')


def test_a_file_that_cannot_be_read_is_told():
    refuses('/no/such: No such file', 'replay', '/no/such', status=INTERNAL)
    refuses('/: Is a directory', 'replay', '/', status=INTERNAL)
    refuses('without a scenario', 'replay', '/dev/null')


def test_a_file_that_cannot_be_written_is_told_before_the_work():
    for option in ('--html', '--pftrace', '--output'):
        run = uhmm('explore', 'fault2_uhmm', option, '/no/such/folder')
        equal((run.returncode, run.stdout), (INTERNAL, ''))
        contains(run.stderr, '/no/such/folder: No such file')


def test_one_file_is_not_written_for_many_scenarios():
    scenarios = pathlib.Path(sys.argv[2]).resolve() / 'scenarios/scenarios.so'
    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder) / 'page'
        run = uhmm('explore', str(scenarios), '--html', page)
        equal((run.returncode, run.stdout, page.exists()), (USAGE, '', False))
        contains(run.stderr, 'which of')


if __name__ == '__main__':
    sys.exit(run_cases(sys.modules[__name__]))
