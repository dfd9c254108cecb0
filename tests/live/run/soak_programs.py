# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Larger programs, and longer ones, under `uhmm run`: for `make soak`."""

import glob
import pathlib
import shutil

from programs import Program, text

ROOT = pathlib.Path(__file__).resolve().parents[3]

REDIS = '''
redis-server --port 0 --unixsocket s --save "" --appendonly no >log &
until redis-cli -s s ping 2>&1 | grep -q PONG; do sleep 0.1; done
redis-benchmark -s s -q -n 30000 -r 10000 -d 300 -t set,get,lpush,lrange_100 \
    >benchmark
redis-cli -s s set key value
redis-cli -s s get key
redis-cli -s s memory purge
redis-cli -s s flushall
redis-cli -s s shutdown nosave
wait $!
echo $?
'''

# It patches libc as well.
UCX = '''
export UCX_TLS=posix,tcp,self UCX_MEM_EVENTS=y
ucx_perftest >server 2>&1 &
sleep 1
ucx_perftest 127.0.0.1 -t tag_bw -n 3000 -s 200000 >client 2>&1
echo $?
wait $!
echo $?
'''

FABRIC = '''
export FI_MR_CACHE_MONITOR=memhooks
fi_pingpong -e msg -p tcp -I 30 >server 2>&1 &
sleep 1
fi_pingpong -e msg -p tcp -I 30 127.0.0.1 >client 2>&1
echo $?
wait $!
echo $?
'''

JAVA = '''
import java.util.*;

public class Churn {
    static long work(int n) {
        long sum = 0;
        Random random = new Random(n);
        List<byte[]> kept = new ArrayList<>();
        for (int i = 0; i < 20000; i++) {
            byte[] block = new byte[random.nextInt(60000)];
            Arrays.fill(block, (byte) i);
            if (kept.size() < 200) kept.add(block);
            else kept.set(random.nextInt(200), block);
            for (int k = 0; k < block.length; k += 4096) sum += block[k];
        }
        return sum;
    }

    public static void main(String[] args) throws Exception {
        long[] sums = new long[3];
        Thread[] threads = new Thread[3];
        for (int i = 0; i < 3; i++) {
            final int n = i;
            threads[i] = new Thread(() -> sums[n] = work(n));
            threads[i].start();
        }
        for (Thread thread : threads) thread.join();
        System.out.println(Arrays.toString(sums));
        System.exit(5);
    }
}
'''

NODE = '''
let sum = 0, kept = [];
for (let i = 0; i < 30000; i++) {
  const block = Buffer.alloc(1000 + (i * 7919) % 90000, i % 256);
  kept[i % 300] = block;
  for (let k = 0; k < block.length; k += 4096) sum += block[k];
}
console.log(sum);
process.exit(6);
'''

# Paths are in what is built, names are not.
BUILD = '''
meson setup build {} >setup 2>&1 && ninja -C build libuhmm.so.{} >built 2>&1
echo $?
nm -D --defined-only build/libuhmm.so.{} | cut -d' ' -f3 | cksum
'''


def version():
    build = (ROOT / 'meson.build').read_text()
    return build.split("version: '", 1)[1].split("'", 1)[0]


def java(folder):
    (folder / 'Churn.java').write_text(JAVA, encoding='ascii')


class Large(Program):
    """Its memory grows and goes faster than a device can look at it."""

    share = 0


class Server(Large):
    """A program that a script starts, and what asks it."""

    def missing(self):
        return None if shutil.which(self.name) else \
            f'{self.name} is not installed'


class Fabric(Server):
    """What has a registration cache of its own; most of its memory stays."""

    deaf = False


class Preloaded(Large):
    """A program with another library's malloc()."""

    def __init__(self, name, pattern, command, make):
        self.allocator = next(iter(glob.glob(pattern)), None)
        super().__init__(name, 'sh', '-c', f'''
            export LD_PRELOAD="$LD_PRELOAD:{self.allocator}"; {command}''',
            make=make)

    def missing(self):
        return None if self.allocator else f'{self.name} is not installed'


class Sanitized(Large):
    """Programs that are built with AddressSanitizer, beside the storm."""

    def __init__(self, storm):
        self.kinds = storm.with_name('kinds_asan')
        super().__init__('asan', 'sh', '-c', f"""
            {storm}_asan 30 || exit
            for kind in threads forks threads; do
                {self.kinds} $kind; echo $?
            done""")

    def missing(self):
        return None if self.kinds.exists() else \
            'the compiler has no AddressSanitizer'


def soak_programs(storm, seconds):
    storm = pathlib.Path(storm).resolve()   # they run in a folder of their own
    return [
        Sanitized(storm),
        Large('build', 'sh', '-c', BUILD.format(ROOT, version(), version())),
        Server('redis-server', 'sh', '-c', REDIS),
        Large('java', 'java', '-Xmx128m', 'Churn.java', make=java),
        Large('node', 'node', '-e', NODE),
        Preloaded('jemalloc', '/usr/lib/*/libjemalloc.so.2',
                  'sort -S 8M text | cksum; xz -T2 -c text | xz -dc | cksum',
                  text),
        Fabric('ucx_perftest', 'sh', '-c', UCX),
        Fabric('fi_pingpong', 'sh', '-c', FABRIC),
        Large('storm', str(storm), seconds),
    ]
