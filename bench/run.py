#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What uhmm run and uhmm watch cost a program: bench_run [--json] [--long].

The same program bare, under each, and with the agent's library preloaded but not
at work, in turns: what counts is the median of the ratios of neighbours. By the
clock, and by the processor's time of all that runs, the tool itself too.
"""

import json
import os
import pathlib
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(__file__).resolve().parent.parent
UHMM = str(BUILD / 'uhmm')
LIBRARY = str(BUILD / 'libuhmm-preload.so')
WAYS = {
    'bare': [],
    'library alone': ['env', f'LD_PRELOAD={LIBRARY}'],
    'uhmm watch': [UHMM, 'watch', '--output', '/dev/null', '--'],
    'uhmm run': [UHMM, 'run', '--output', '/dev/null', '--'],
    'uhmm run, G0': [UHMM, 'run', '--guarantee', 'G0', '--output', '/dev/null',
                     '--'],
}
# Of the compile job: by the clock, over bare.
TARGETS = {'uhmm watch': 1.03, 'uhmm run': 1.05}

# Long enough that a process's start is not all of it.
SOURCE = '#include <stdio.h>\n' + ''.join(
    f'int f{i}(int *a, int n) {{ int s = {i}; for (int k = 0; k < n; k++) '
    f'{{ s += a[k] * {i + 3}; if (s & 1) s ^= k << ({i} & 7); }} '
    f'printf("%d\\n", s); return s; }}\n' for i in range(150))

interrupted = False


def interrupt(sig, frame):
    global interrupted
    interrupted = True


def cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def once(command, folder):
    began, used = time.perf_counter(), cpu()
    # In a group of its own: ^C is for who counts.
    subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   check=True, start_new_session=True)
    return time.perf_counter() - began, cpu() - used


def measure(command, rounds, seconds, folder):
    """By way: (seconds, processor's seconds) of each round; three at least."""
    samples = {way: [] for way in WAYS}
    end = time.perf_counter() + seconds
    for n in range(rounds):
        if n >= 3 and time.perf_counter() > end:
            break
        round_ = {way: once(prefix + command, folder)
                  for way, prefix in WAYS.items()}
        if interrupted:
            break
        for way, sample in round_.items():
            samples[way].append(sample)
    return samples


def ratio(samples, way, what):
    return statistics.median(one[what] / bare[what] for one, bare in
                             zip(samples[way], samples['bare']))


def report(job, samples, as_json):
    if not samples['bare']:
        return
    for way, rounds in samples.items():
        line = {'schema': 1, 'bench': 'run', 'kind': 'comparison', 'test': job,
                'first': 'bare', 'second': way, 'rounds': len(rounds),
                'ms': 1e3 * statistics.median(one[0] for one in rounds),
                'cpu_ms': 1e3 * statistics.median(one[1] for one in rounds),
                'ratio': ratio(samples, way, 0),
                'cpu_ratio': ratio(samples, way, 1)}
        if as_json:
            print(json.dumps(line), flush=True)
        else:
            print(f'{job:<14} {way:<14} {line["ms"]:9.1f} {line["ratio"]:6.3f} '
                  f'{line["cpu_ms"]:9.1f} {line["cpu_ratio"]:6.3f}', flush=True)


def targets(samples, as_json):
    for way, most in TARGETS.items():
        if not samples['bare']:
            continue
        have = ratio(samples, way, 0)
        if as_json:
            print(json.dumps({'schema': 1, 'bench': 'run', 'kind': 'target',
                              'test': f'{way}, a compile job over bare',
                              'most': most, 'have': have,
                              'held': have <= most}), flush=True)
        else:
            print(f'target: {way}, a compile job: {have:.3f} of bare, at most '
                  f'{most}: {"held" if have <= most else "missed"}')


def main():
    if set(sys.argv[1:]) - {'--json', '--long'}:
        print(f'usage: bench_run [--json] [--long], not {sys.argv[1:]}',
              file=sys.stderr)
        return 129
    as_json = '--json' in sys.argv
    rounds, seconds = (60, 3600) if '--long' in sys.argv else (9, 26)
    signal.signal(signal.SIGINT, interrupt)
    if not as_json:
        print(f'medians; load {os.getloadavg()[0]:.1f}, '
              f'{os.cpu_count()} processors\n'
              f'{"program":<14} {"how":<14} {"ms":>9} {"ratio":>6} '
              f'{"CPU ms":>9} {"ratio":>6}')
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / 'job.c').write_text(SOURCE)
        compiled = measure(['cc', '-O2', '-c', 'job.c', '-o', 'job.o'], rounds,
                           seconds, folder)
        report('compile', compiled, as_json)
        report('true', measure(['true'], 3 * rounds, seconds / 5, folder), as_json)
    targets(compiled, as_json)
    return 0


if __name__ == '__main__':
    sys.exit(main())
