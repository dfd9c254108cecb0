/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 *	litmus [--case NAME] [--seconds N] [--seed N] [--exchange]
 *
 * Runs each test, or those whose name begins so, for N seconds (0.3) in a
 * process of its own, and says in TAP what came out.
 */
#include "litmus.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "refuse_membarrier.h"

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER true
#define STUCK_SECONDS 20
#else
#define THREAD_SANITIZER false
#define STUCK_SECONDS 5
#endif

#define MAX_HELPERS 2

static struct {
	const char *name;
	double seconds;
	unsigned long seed;
} options = { .name = "", .seconds = 0.3 };

static const struct litmus *running;
static unsigned long round_now;
static bool leave;
static unsigned long rounds_done[MAX_HELPERS];
static __thread uint64_t random_state;

struct mm_struct *litmus_mm;

void forbidden(const char *what)
{
	printf("# forbidden: %s\n# %s, round %lu, seed %lu\n", what,
	       running->name, READ_ONCE(round_now), options.seed);
	fflush(stdout);
	_exit(1);
}

unsigned int litmus_random(unsigned int n)
{
	random_state = random_state * 6364136223846793005U +
		       1442695040888963407U;
	return (unsigned int)(random_state >> 33) % n;
}

void litmus_spin(unsigned int n)
{
	while (n--)
		__asm__ volatile("" ::: "memory");
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

bool litmus_await(const int *word)
{
	double until = now() + 2;

	while (!seen(word)) {
		if (now() > until)
			return false;
		sched_yield();
	}
	return true;
}

void litmus_make_mm(void)
{
	if (uhmm_mm_create(&litmus_mm))
		abort();
}

void litmus_end_mm(void)
{
	mmput(litmus_mm);
}

void litmus_start(struct mmu_notifier_range *range, unsigned int first,
		  unsigned int n)
{
	mmu_notifier_range_init(range, MMU_NOTIFY_UNMAP, 0, litmus_mm,
				PG(first), PG(first + n));
	if (mmu_notifier_invalidate_range_start(range))
		forbidden("a blockable start failed");
}

/* -------------------------------------------------------------------- rounds */

static void wait_until(const unsigned long *word, unsigned long value)
{
	for (unsigned int i = 1; smp_load_acquire(word) != value; i++) {
		if (i % 2000)
			cpu_relax();
		else
			sched_yield();
	}
}

/* Sometimes at once, sometimes as late as a call takes, or several. */
static void stagger(void)
{
	static const unsigned int most[] = { 1, 30, 100, 300, 1000 };

	if (!running->slow)
		litmus_spin(litmus_random(most[litmus_random(5)]));
}

/* False: it is over. */
static bool wait_for_round(unsigned long round)
{
	for (unsigned int i = 1; smp_load_acquire(&round_now) < round; i++) {
		if (smp_load_acquire(&leave))
			return false;
		if (i % 2000)
			cpu_relax();
		else
			sched_yield();
	}
	return true;
}

static void *helper(void *arg)
{
	unsigned int me = (unsigned int)(uintptr_t)arg;
	unsigned long round;

	random_state = options.seed + 77 * (me + 1);
	for (round = 1; wait_for_round(round); round++) {
		stagger();
		if (me)
			running->c();
		else
			running->b();
		smp_store_release(&rounds_done[me], round);
	}
	return NULL;
}

/* Rounds that take for ever. */
static void *watch(void *unused)
{
	struct timespec ts = { 0, 20000000 };
	unsigned long last = 0, round;
	double since = now();

	while (!smp_load_acquire(&leave)) {
		nanosleep(&ts, NULL);
		round = READ_ONCE(round_now);
		if (round != last) {
			last = round;
			since = now();
		} else if (now() - since > STUCK_SECONDS) {
			forbidden("somebody does not get on");
		}
	}
	return NULL;
}

static unsigned long run_rounds(unsigned int helpers)
{
	double until = now() + options.seconds;
	unsigned long round = 0;

	do {
		round++;
		if (running->before)
			running->before();
		smp_store_release(&round_now, round);
		stagger();
		running->a();
		for (unsigned int i = 0; i < helpers; i++)
			wait_until(&rounds_done[i], round);
		if (running->after)
			running->after();
	} while ((!running->slow && round % 8) || now() < until);
	return round;
}

static void run(const struct litmus *litmus)
{
	unsigned int helpers = litmus->c ? 2 : 1, i;
	pthread_t threads[MAX_HELPERS], watcher;
	unsigned long rounds;

	running = litmus;
	random_state = options.seed;
	if (litmus->begin)
		litmus->begin();
	if (pthread_create(&watcher, NULL, watch, NULL))
		abort();
	for (i = 0; i < helpers; i++)
		if (pthread_create(&threads[i], NULL, helper,
				   (void *)(uintptr_t)i))
			abort();
	rounds = run_rounds(helpers);
	smp_store_release(&leave, true);
	for (i = 0; i < helpers; i++)
		pthread_join(threads[i], NULL);
	pthread_join(watcher, NULL);
	if (litmus->end)
		litmus->end();
	printf("# %lu rounds\n", rounds);
}

/* ---------------------------------------------------------------------- main */

static bool run_apart(const struct litmus *litmus)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		abort();
	if (!pid) {
		run(litmus);
		exit(0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		printf("# ended by signal %d\n", WTERMSIG(status));
	return !status;
}

static const struct litmus *const all[] = { meeting_litmus, waiting_litmus,
					    ending_litmus };

static bool chosen(const struct litmus *litmus)
{
	return !strncmp(litmus->name, options.name, strlen(options.name));
}

static unsigned int run_all(bool count_only)
{
	unsigned int n = 0, failed = 0;
	bool ok;

	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++) {
		for (const struct litmus *l = all[i]; l->name; l++) {
			if (!chosen(l) || (++n && count_only))
				continue;
			if (l->forks && THREAD_SANITIZER) {
				printf("ok %u - %s # SKIP it forks while other "
				       "threads run\n", n, l->name);
				continue;
			}
			ok = run_apart(l);
			failed += !ok;
			printf("%sok %u - %s\n", ok ? "" : "not ", n, l->name);
		}
	}
	return count_only ? n : failed;
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{ "case", required_argument, NULL, 'c' },
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'r' },
		{ "exchange", no_argument, NULL, 'x' },
		{ 0 },
	};
	int option;

	options.seed = (unsigned long)time(NULL) ^ (unsigned long)getpid() << 20;
	while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0) {
		if (option == 'c')
			options.name = optarg;
		else if (option == 's')
			options.seconds = atof(optarg);
		else if (option == 'r')
			options.seed = strtoul(optarg, NULL, 0);
		else if (option == 'x')
			refuse_membarrier = true;
		else
			return 129;
	}
	printf("1..%u\n# seed %lu\n", run_all(true), options.seed);
	return run_all(false) ? 1 : 0;
}
