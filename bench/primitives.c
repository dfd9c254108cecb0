/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "primitives.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sync/sync.h"
#include "world.h"

#define SECTION "What this machine's parts cost"
#define CELLS 15
#define WEIGHT (PRIMITIVES_WEIGHT / CELLS)

struct chain {
	void **at;
};

static void chase(void *arg, unsigned long n)
{
	struct chain *chain = arg;
	void **at = chain->at;

	while (n--)
		at = *at;
	chain->at = at;
}

/* A circle through all lines of @bytes, in random order. */
static void **make_chain(size_t bytes)
{
	unsigned long lines = bytes / CACHE_LINE;
	unsigned int *order = random_order(lines, 3);
	char *memory = aligned_alloc(CACHE_LINE, bytes);

	if (!memory)
		abort();
	for (unsigned long i = 0; i < lines; i++)
		*(void **)(memory + (size_t)order[i] * CACHE_LINE) =
			memory + (size_t)order[(i + 1) % lines] * CACHE_LINE;
	free(order);
	return (void **)memory;
}

static void locked_rmw(void *arg, unsigned long n)
{
	unsigned long *word = arg;

	while (n--)
		fetch_add(word, 1);
}

static void store_fence(void *arg, unsigned long n)
{
	unsigned long *word = arg;

	while (n--) {
		WRITE_ONCE(*word, n);
		smp_mb();
	}
}

static void lock_pair(void *arg, unsigned long n)
{
	spinlock_t *lock = arg;

	while (n--) {
		spin_lock(lock);
		spin_unlock(lock);
	}
}

static void mutex_pair(void *arg, unsigned long n)
{
	pthread_mutex_t *mutex = arg;

	while (n--) {
		pthread_mutex_lock(mutex);
		pthread_mutex_unlock(mutex);
	}
}

static void nothing(void)
{
	barrier();
}

static void indirect_call(void *arg, unsigned long n)
{
	void (**fn)(void) = arg;

	while (n--)
		READ_ONCE(*fn)();
}

static void system_call(void *arg, unsigned long n)
{
	while (n--)
		syscall(SYS_getppid);
}

static void membarriers(void *arg, unsigned long n)
{
	while (n--)
		smp_mb_others();
}

struct rcu {
	void (*lock)(void);
	void (*unlock)(void);
};

static void rcu_pair(void *arg, unsigned long n)
{
	struct rcu *rcu = arg;

	while (n--) {
		rcu->lock();
		rcu->unlock();
	}
}

static struct quartiles one(struct bench *b, const char *test,
			    void (*slice)(void *arg, unsigned long n), void *arg)
{
	struct cell cell = {
		.section = SECTION, .test = test, .slice_us = 100,
		.first = { .name = "machine", .slice = slice, .arg = arg },
	};

	bench_run(b, &cell, WEIGHT);
	return cell.first.ns;
}

static void memory(struct bench *b)
{
	static const struct {
		const char *name;
		size_t bytes;
	} levels[] = {
		{ "load, 16 KiB", 16 << 10 },
		{ "load, 512 KiB", 512 << 10 },
		{ "load, 8 MiB", 8 << 20 },
		{ "load, 256 MiB", 256 << 20 },
	};
	struct chain chain;
	void **base;

	for (unsigned int i = 0; i < ARRAY_SIZE(levels); i++) {
		base = chain.at = make_chain(levels[i].bytes);
		one(b, levels[i].name, chase, &chain);
		free(base);
	}
}

/* The read side of user-space RCU, as something to look at beside ours. */
static void peer_rcu(struct bench *b)
{
	void *lib = dlopen("liburcu-memb.so.8", RTLD_NOW);
	void (*join)(void);
	struct rcu rcu;

	bench_share(b, lib ? 0 : WEIGHT);
	if (!lib) {
		bench_missing(b, "rcu_read_lock + unlock (liburcu)", dlerror());
		return;
	}
	*(void **)&join = dlsym(lib, "urcu_memb_register_thread");
	*(void **)&rcu.lock = dlsym(lib, "urcu_memb_read_lock");
	*(void **)&rcu.unlock = dlsym(lib, "urcu_memb_read_unlock");
	if (!join || !rcu.lock || !rcu.unlock) {
		bench_missing(b, "rcu_read_lock + unlock (liburcu)", dlerror());
		return;
	}
	join();
	one(b, "rcu_read_lock + unlock", rcu_pair, &rcu);
}

/* ----------------------------------------------------------- two threads */

struct partner {
	unsigned int word __cacheline_aligned;
	unsigned int stop;
	bool futex;
};

/* Answers each odd number with the next even one. */
static void *answer(void *arg)
{
	struct partner *p = arg;
	unsigned int word;

	while (!READ_ONCE(p->stop)) {
		word = READ_ONCE(p->word);
		if (!(word & 1)) {
			if (p->futex)
				wait_word(&p->word, word, 1000000);
			continue;
		}
		fetch_add(&p->word, 1);
		if (p->futex)
			wake_word(&p->word);
	}
	return NULL;
}

static void ask(void *arg, unsigned long n)
{
	struct partner *p = arg;
	unsigned int word;

	while (n--) {
		word = fetch_add(&p->word, 1) + 1;
		if (p->futex)
			wake_word(&p->word);
		while (READ_ONCE(p->word) == word)
			if (p->futex)
				wait_word(&p->word, word, 1000000);
	}
}

static void *spin(void *arg)
{
	struct partner *p = arg;

	while (!READ_ONCE(p->stop))
		cpu_relax();
	return NULL;
}

static void with_partner(struct bench *b, const char *test, bool futex,
			 void *(*thread_fn)(void *arg),
			 void (*slice)(void *arg, unsigned long n))
{
	struct partner p = { .futex = futex };
	pthread_t thread;

	if (pthread_create(&thread, NULL, thread_fn, &p))
		abort();
	one(b, test, slice, &p);
	WRITE_ONCE(p.stop, 1);
	pthread_join(thread, NULL);
}

static void threads(struct bench *b)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		bench_share(b, 3 * WEIGHT);
		bench_missing(b, "line and futex hand-over", "only one CPU");
		return;
	}
	with_partner(b, "line handed over and back", false, answer, ask);
	with_partner(b, "futex handed over and back", true, answer, ask);
	with_partner(b, "membarrier, other CPU busy", false, spin, membarriers);
}

void bench_primitives(struct bench *b, struct primitives *ret)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	static unsigned long word __cacheline_aligned;
	void (*fn)(void) = nothing;
	spinlock_t lock;

	sync_register_membarrier();
	spin_lock_init(&lock);
	memory(b);
	ret->rmw = one(b, "locked read-modify-write", locked_rmw, &word).median;
	one(b, "store + full fence", store_fence, &word);
	one(b, "spin lock + unlock", lock_pair, &lock);
	one(b, "pthread mutex pair", mutex_pair, &mutex);
	one(b, "indirect call", indirect_call, &fn);
	one(b, "system call", system_call, NULL);
	one(b, "membarrier, alone", membarriers, NULL);
	peer_rcu(b);
	threads(b);
}
