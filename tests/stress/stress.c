/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The stress: threads of all kinds on one address space, for some time, under
 * the eyes of the model (model.h).
 *
 *	stress [--design NAME] [--config NAME] [--seconds N] [--seed N]
 *	        [--exchange] [--search NAME] [--check]
 *	       [--expect-violation]
 *
 * Runs each configuration for N seconds (of a fraction, too) and says so in
 * TAP. --exchange: as where the kernel refuses membarrier. --expect-violation:
 * the scheme is known to be bad, and that has to be seen.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "actors.h"
#include "core/internal.h"
#include "refuse_membarrier.h"

#if defined(__SANITIZE_THREAD__)
#define STUCK_SECONDS 60
#else
#define STUCK_SECONDS 20
#endif

#define ALL_KINDS ((1U << KINDS) - 1)

static const struct config configs[] = {
	/* name, pages, residents, guests, range, { inv, fault, churn, list,
	 * spawn, pest }, gap, reserve, kinds
	 */
	{ "one-page", 1, 2, 2, 1, { 1, 1, 1, 0, 0, 0 }, 0, 0, ALL_KINDS },
	{ "hot", 6, 6, 3, 6, { 2, 2, 2, 0, 1, 0 }, 0, 0, ALL_KINDS },
	{ "wide", 2048, 64, 300, 12, { 2, 1, 2, 0, 1, 0 }, 0, 0, ALL_KINDS },
	{ "crowded", 40, 40, 200, 8, { 2, 2, 1, 0, 1, 0 }, 0, 0, ALL_KINDS },
	{ "lists", 16, 8, 4, 8, { 2, 1, 1, 2, 1, 0 }, 20, 0, ALL_KINDS },
	{ "reserve", 3, 4, 2, 3, { 2, 3, 1, 0, 0, 0 }, 0, 64, ALL_KINDS },
	{ "signals", 6, 6, 3, 6, { 2, 2, 1, 1, 0, 1 }, 5, 16, ALL_KINDS },
	{ "many", 64, 32, 40, 16, { 5, 5, 3, 1, 1, 1 }, 5, 16, ALL_KINDS },
};

static struct {
	const struct uhmm_design *design;
	const char *config;
	double seconds;
	unsigned long seed;
	const char *search;
	bool expect_violation;
} options = { .seconds = 1, .design = &uhmm_as_uhmm };

static void on_signal(int number)
{
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---------------------------------------------------------------- residents */

static enum mirror_kind resident_kind(unsigned int i)
{
	static const enum mirror_kind kinds[] = { ONE_PASS, TAGGED, BATCHED,
						  TWO_PASS };
	enum mirror_kind kind = kinds[i % ARRAY_SIZE(kinds)];

	return kind_works(kind) ? kind : ONE_PASS;
}

static void insert_residents(void)
{
	const struct config *config = stress.config;

	for (unsigned int i = 0; i < config->residents; i++) {
		unsigned int first = i * config->pages / config->residents;
		/* Some of one page, some over all that is near. */
		unsigned int n = 1 + i * 3 % MIRROR_PAGES;

		stress.seats[i].busy = true;
		mirror_insert(&stress.seats[i], resident_kind(i), first, n);
	}
}

/* The address space ends: each hears it once, and nothing after it. */
static void end_address_space(void)
{
	struct mirror_of_pages *m;

	WRITE_ONCE(stress.released, true);
	stress.design->release(stress.mm);
	for (unsigned int i = 0; i < stress.config->residents; i++) {
		m = stress.seats[i].mirror;
		if (m->kind != TAGGED && m->releases != 1)
			violated("RELEASE was heard %d times", m->releases);
		mirror_remove(m);
	}
	stress.design->mm_destroy(stress.mm);
}

/* ------------------------------------------------------------------- threads */

/*
 * List notifiers of the kernel's scheme are registered under a lock that its
 * invalidations hold: only the library's own can come and go beside them.
 */
static void start_workers(void)
{
	for (enum actor actor = 0; actor < ACTORS; actor++) {
		unsigned int n = stress.config->threads[actor];

		if (actor == LISTER && stress.design != &uhmm_as_uhmm)
			n = 0;
		for (unsigned int i = 0; i < n && n_workers < MAX_THREADS; i++) {
			struct worker *w = &workers[n_workers++];

			memset((void *)w, 0, sizeof(*w));
			w->actor = actor;
			w->number = i;
			w->beat.doing = "starting";
			w->random = stress.seed * 1000003 + n_workers;
			if (pthread_create(&w->thread, NULL, work, w))
				abort();
			WRITE_ONCE(w->joinable, true);
		}
	}
}

/* Everybody has to get on. */
static void watch(unsigned long *seen, double *since)
{
	for (unsigned int i = 0; i < n_workers; i++) {
		unsigned long beats = READ_ONCE(workers[i].beat.beats);

		if (READ_ONCE(workers[i].done) || beats != seen[i]) {
			seen[i] = beats;
			since[i] = now();
		} else if (now() - since[i] > STUCK_SECONDS) {
			my_beat = &workers[i].beat;
			violated("a thread does not get on");
		}
	}
}

static void run_workers(double seconds)
{
	double until = now() + seconds, since[MAX_THREADS];
	unsigned long seen[MAX_THREADS] = { 0 };
	struct timespec ts = { 0, 20000000 };
	unsigned int i, done;

	for (i = 0; i < MAX_THREADS; i++)
		since[i] = now();
	do {
		nanosleep(&ts, NULL);
		watch(seen, since);
		if (now() >= until) {
			WRITE_ONCE(stress.stop, true);
			end_what_is_left();
		}
		for (i = done = 0; i < n_workers; i++)
			done += smp_load_acquire(&workers[i].done);
	} while (done < n_workers);
	for (i = 0; i < n_workers; i++)
		pthread_join(workers[i].thread, NULL);
}

/* Nothing is under way any more: nothing may be left over either. */
static void nothing_is_left(void)
{
	if (stress.design != &uhmm_as_uhmm)
		return;
	invalidate_everything();
	if (stress.async_begun != stress.async_done)
		violated("%lu asynchronous removals were begun, %lu done",
			 stress.async_begun, stress.async_done);
	mmu_notifier_synchronize();
}

static void choose_search(void)
{
	struct mm_struct *mm = (struct mm_struct *)stress.mm;

	if (stress.design != &uhmm_as_uhmm || !options.search)
		return;
	if (!strcmp(options.search, "portable"))
		mm->index.search = &index_search_portable;
	else if (!index_search_vector())
		violated("there is no vector search");
}

/* One configuration, in a process of its own. */
static void run(const struct config *config)
{
	static struct beat beat;
	unsigned long rounds[ACTORS] = { 0 };

	my_beat = &beat;
	my_random = options.seed;
	stress.design = options.design;
	stress.config = config;
	stress.seed = options.seed;
	stress.n_seats = config->residents +
			 config->guests * config->threads[CHURNER];
	pthread_mutex_init(&stress.shared_lock, NULL);
	for (unsigned int i = 0; i < MAX_PAGES; i++)
		stress.pages[i].now = 1;
	signal(SIGUSR1, on_signal);
	if (stress.design->mm_create(&stress.mm))
		abort();
	choose_search();
	mirrors_prepare();
	lists_prepare();
	insert_residents();
	start_workers();
	run_workers(options.seconds);
	nothing_is_left();
	end_address_space();
	for (unsigned int i = 0; i < n_workers; i++)
		rounds[workers[i].actor] += workers[i].rounds;
	printf("# %s: %lu invalidations, %lu faults, %lu inserts and removes, "
	       "%lu lists, %lu threads\n", config->name, rounds[INVALIDATOR],
	       rounds[FAULTER], rounds[CHURNER], rounds[LISTER],
	       rounds[SPAWNER]);
	fflush(stdout);
}

/* ---------------------------------------------------------------------- main */

static int run_apart(const struct config *config)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		abort();
	if (!pid) {
		run(config);
		exit(0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		printf("# ended by signal %d\n", WTERMSIG(status));
	return status;
}

static bool parse_option(int option)
{
	switch (option) {
	case 'd':
		options.design = uhmm_design_by_name(optarg);
		return options.design;
	case 'c':
		options.config = optarg;
		return true;
	case 's':
		options.seconds = atof(optarg);
		return options.seconds > 0;
	case 'r':
		options.seed = strtoul(optarg, NULL, 0);
		return true;
	case 'S':
		options.search = optarg;
		return true;
	case 'x':
		refuse_membarrier = true;
		return true;
	case 'k':
		return !setenv("UHMM_CHECK", "1", 1);
	case 'v':
		options.expect_violation = true;
		return true;
	default:
		return false;
	}
}

static bool parse_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "design", required_argument, NULL, 'd' },
		{ "config", required_argument, NULL, 'c' },
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'r' },
		{ "search", required_argument, NULL, 'S' },
		{ "exchange", no_argument, NULL, 'x' },
		{ "check", no_argument, NULL, 'k' },
		{ "expect-violation", no_argument, NULL, 'v' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0)
		if (!parse_option(option))
			return false;
	return optind == argc;
}

static bool chosen(const struct config *config)
{
	return !options.config || !strcmp(options.config, config->name);
}

int main(int argc, char **argv)
{
	unsigned int n = 0, failed = 0, i;
	bool bad;

	options.seed = (unsigned long)time(NULL) ^ (unsigned long)getpid() << 20;
	if (!parse_options(argc, argv)) {
		fprintf(stderr, "see the head of tests/stress/stress.c\n");
		return 129;
	}
	for (i = 0; i < ARRAY_SIZE(configs); i++)
		n += chosen(&configs[i]);
	printf("1..%u\n# seed %lu\n", n, options.seed);
	for (i = n = 0; i < ARRAY_SIZE(configs); i++) {
		if (!chosen(&configs[i]))
			continue;
		bad = run_apart(&configs[i]) != 0;
		if (bad != options.expect_violation)
			failed++;
		printf("%sok %u - %s%s: %s\n",
		       bad != options.expect_violation ? "not " : "", ++n,
		       options.design->name,
		       options.expect_violation ? " is found out" : "",
		       configs[i].name);
	}
	return failed ? 1 : 0;
}
