/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "world.h"

#define NSEC_PER_SEC INT64_C(1000000000)
#define SECONDS 28
#define SECONDS_LONG 600
#define MAX_PAIRS 401
#define MIN_PAIRS 5
#define PER_ROUND 3
#define MIN_ROUNDS 3
#define MAX_TRIES (4 * MAX_PAIRS)
#define NUMBER 24
#define BUSY 0.8

static volatile sig_atomic_t interrupted;

int64_t bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

long bench_switches(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}

double bench_clock_cost(void)
{
	double took[101];

	for (unsigned int i = 0; i < 101; i++) {
		int64_t begun = bench_now();

		took[i] = bench_now() - begun;
	}
	return bench_quartiles(took, 101).median;
}

bool bench_over(const struct bench *b)
{
	return interrupted || bench_now() >= b->deadline;
}

void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench: %s failed%s%s\n", what, errno ? ": " : "",
		errno ? strerror(errno) : "");
	abort();
}

/* ------------------------------------------------------------------ numbers */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double at(const double *sorted, unsigned int count, double part)
{
	double where = part * (count - 1);
	unsigned int i = (unsigned int)where;

	if (i + 1 >= count)
		return sorted[count - 1];
	return sorted[i] + (where - i) * (sorted[i + 1] - sorted[i]);
}

struct quartiles bench_quartiles(double *values, unsigned int count)
{
	struct quartiles q = { 0 };

	if (!count)
		return q;
	qsort(values, count, sizeof(*values), compare);
	q.min = values[0];
	q.q1 = at(values, count, 0.25);
	q.median = at(values, count, 0.5);
	q.q3 = at(values, count, 0.75);
	q.p99 = at(values, count, 0.99);
	q.max = values[count - 1];
	q.count = count;
	return q;
}

struct quartiles bench_one(double value)
{
	return bench_quartiles(&value, 1);
}

/* ------------------------------------------------------------------- output */

static void json_string(const char *key, const char *value)
{
	printf(", \"%s\": ", key);
	if (!value) {
		printf("null");
		return;
	}
	putchar('"');
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			putchar('\\');
		if ((unsigned char)*value >= ' ')
			putchar(*value);
	}
	putchar('"');
}

static void json_begin(const struct bench *b, const char *kind)
{
	printf("{\"schema\": 1");
	json_string("bench", b->name);
	json_string("kind", kind);
}

static void json_quartiles(const char *key, const struct quartiles *q)
{
	printf(", \"%s\": {\"median\": %.4g, \"q1\": %.4g, \"q3\": %.4g, "
	       "\"min\": %.4g, \"p99\": %.4g, \"max\": %.4g, \"count\": %u}",
	       key, q->median, q->q1, q->q3, q->min, q->p99, q->max, q->count);
}

static void json_end(void)
{
	printf("}\n");
	fflush(stdout);
}

/* A new table where the heading changes. */
static void section(struct bench *b, const char *heading, const char *columns)
{
	if (b->section && !strcmp(b->section, heading))
		return;
	printf("\n%s\n%s\n", heading, columns);
	b->section = heading;
}

static const char *number(char buf[NUMBER], unsigned long n)
{
	if (!n)
		return "";
	snprintf(buf, NUMBER, "%lu", n);
	return buf;
}

static const char *where(char buf[64], const char *shape, const char *test)
{
	if (!shape)
		return test;
	snprintf(buf, 64, "%s %s", shape, test);
	return buf;
}

static void print_cell(struct bench *b, const struct cell *c)
{
	char what[64], n[NUMBER];

	if (b->json) {
		json_begin(b, "comparison");
		json_string("section", c->section);
		json_string("test", c->test);
		json_string("shape", c->shape);
		printf(", \"n\": %lu, \"unit\": \"ns\"", c->n);
		json_string("first", c->first.name);
		json_quartiles("first_ns", &c->first.ns);
		if (c->second.name) {
			json_string("second", c->second.name);
			json_quartiles("second_ns", &c->second.ns);
			json_quartiles("ratio", &c->ratio);
		}
		printf(", \"dropped\": %u", c->dropped);
		json_end();
		return;
	}
	section(b, c->section,
		"  test                            N        first     second"
		"   ratio  q1 .. q3      min     slices");
	printf("  %-28s %8s %9.2f", where(what, c->shape, c->test),
	       number(n, c->n), c->first.ns.median);
	if (c->second.name)
		printf(" %10.2f %7.2f  %.2f .. %.2f   %.2f  ",
		       c->second.ns.median, c->ratio.median, c->ratio.q1,
		       c->ratio.q3, c->second.ns.min / c->first.ns.min);
	printf("  %u-%u  %s%s%s\n", c->first.ns.count, c->dropped,
	       c->first.name, c->second.name ? ", " : "",
	       c->second.name ? c->second.name : "");
	fflush(stdout);
}

void bench_figure(struct bench *b, const struct figure *f)
{
	const struct quartiles *q = &f->value;
	char what[64], n[NUMBER];

	if (!q->count)
		return;
	if (b->json) {
		json_begin(b, "figure");
		json_string("section", f->section);
		json_string("test", f->test);
		json_string("who", f->who);
		json_string("shape", f->shape);
		printf(", \"n\": %lu", f->n);
		json_string("unit", f->unit);
		json_quartiles("value", q);
		json_end();
		return;
	}
	section(b, f->section,
		"  test                                       who"
		"             N     median           q1        q3"
		"       p99       max  count");
	printf("  %-42s %-8s %8s %10.4g %s", where(what, f->shape, f->test),
	       f->who ? f->who : "", number(n, f->n), q->median, f->unit);
	if (q->count > 1)
		printf(" %9.4g %9.4g %9.4g %9.4g %6u", q->q1, q->q3, q->p99,
		       q->max, q->count);
	putchar('\n');
	fflush(stdout);
}

void bench_missing(struct bench *b, const char *what, const char *reason)
{
	if (b->json) {
		json_begin(b, "missing");
		json_string("what", what);
		json_string("reason", reason);
		json_end();
		return;
	}
	printf("  %s: not measured: %s\n", what, reason);
}

void bench_note(struct bench *b, const char *key, const char *value)
{
	if (b->json) {
		json_begin(b, "note");
		json_string("key", key);
		json_string("value", value);
		json_end();
		return;
	}
	printf("%s: %s\n", key, value);
}

void bench_target(struct bench *b, const struct target *target)
{
	bench_target_within(b, target, 0);
}

void bench_target_within(struct bench *b, const struct target *t, double limit)
{
	bench_target_beside(b, t, limit, &(struct in_peers){ .peer = NULL });
}

void bench_target_beside(struct bench *b, const struct target *t, double limit,
			 const struct in_peers *in)
{
	bool holds = t->at_most ? t->value <= t->wanted : t->value >= t->wanted;
	bool beyond = t->value >= 0 && !holds && limit &&
		      (t->at_most ? limit > t->wanted : limit < t->wanted);
	const char *verdict = t->value < 0 ? "not measured" :
			      holds	   ? "holds" :
			      beyond	   ? "misses, as all would" :
					     "misses";
	char n[NUMBER];

	*(t->value < 0 ? &b->unmeasured : holds ? &b->held : &b->missed) += 1;
	b->beyond += beyond;
	if (b->json) {
		json_begin(b, "target");
		json_string("id", t->id);
		json_string("what", t->what);
		printf(", \"n\": %lu", t->n);
		json_string("unit", t->unit);
		if (t->value < 0)
			printf(", \"value\": null");
		else
			printf(", \"value\": %.4g", t->value);
		printf(", \"%s\": %.4g", t->at_most ? "at_most" : "at_least",
		       t->wanted);
		if (limit)
			printf(", \"limit\": %.4g", limit);
		if (in->peer) {
			json_string("peer", in->peer);
			printf(", \"of_peer\": %.4g, \"of_peer_%s\": %.4g",
			       in->value, t->at_most ? "at_most" : "at_least",
			       in->wanted);
		}
		json_string("verdict", verdict);
		json_end();
		return;
	}
	section(b, "Targets",
		"  id   what                                             N"
		"   measured  target");
	printf("  %-4s %-40s %9s ", t->id, t->what, number(n, t->n));
	if (t->value < 0)
		printf("%10s", "-");
	else
		printf("%10.4g", t->value);
	printf("  %s %.4g %s: %s", t->at_most ? "<=" : ">=", t->wanted,
	       t->unit, verdict);
	if (limit)
		printf(" (limit %.4g)", limit);
	if (in->peer)
		printf("; of %s's here %.2f, asked %.2f", in->peer, in->value,
		       in->wanted);
	putchar('\n');
}

/* ------------------------------------------------------------------ running */

void bench_plan(struct bench *b, double weight)
{
	b->left += weight;
}

int64_t bench_share(struct bench *b, double weight)
{
	int64_t left = b->deadline - bench_now();
	int64_t share = (int64_t)(left * weight / (b->left > 0 ? b->left : 1));

	b->left -= weight;
	return share > 0 ? share : 0;
}

/* Of three times the least: one that was disturbed says nothing. */
static int64_t time_of(const struct contender *c, unsigned long n)
{
	int64_t least = INT64_MAX, begun, took;

	for (int i = 0; i < 3; i++) {
		begun = bench_now();
		c->slice(c->arg, n);
		took = bench_now() - begun;
		if (took < least)
			least = took;
	}
	return least;
}

/* How many operations take @us. */
static unsigned long calibrate(const struct contender *c, unsigned int us)
{
	double ns = us * 1000.0;
	unsigned long n = 1;
	int64_t took;

	while ((took = time_of(c, n)) < us * 250 && n < 1UL << 40)
		n *= 2;
	/* Again, if all took long then, or nothing was in the caches yet. */
	do
		n = (unsigned long)((double)n * ns / (double)(took ?: 1)) + 1;
	while ((took = time_of(c, n)) < us * 500 && n < 1UL << 40);
	return n;
}

/* A slice's time per operation, < 0: it was disturbed. */
static double slice(const struct contender *c, unsigned long n)
{
	int64_t begun, took;
	long switches;

	/* What the other contender has pushed out of the caches comes back. */
	c->slice(c->arg, n / 4 + 1);
	switches = bench_switches();
	begun = bench_now();
	c->slice(c->arg, n);
	took = bench_now() - begun;
	return bench_switches() == switches ? (double)took / (double)n : -1;
}

void bench_run(struct bench *b, struct cell *c, double weight)
{
	int64_t until = bench_now() + bench_share(b, weight);
	double x[MAX_PAIRS], y[MAX_PAIRS], ratio[MAX_PAIRS];
	unsigned int us = c->slice_us ? c->slice_us : 500;
	unsigned long nx, ny = 0;
	unsigned int count = 0;

	if (bench_over(b))
		return;
	nx = calibrate(&c->first, us);
	if (c->second.name)
		ny = calibrate(&c->second, us);
	for (unsigned int i = 0; i < MAX_TRIES && count < MAX_PAIRS; i++) {
		if (interrupted || (count >= MIN_PAIRS && bench_now() >= until))
			break;
		if (i >= MIN_PAIRS && bench_over(b))
			break;
		x[count] = slice(&c->first, nx);
		y[count] = c->second.name ? slice(&c->second, ny) : x[count];
		if (x[count] < 0 || y[count] < 0) {
			c->dropped++;
			continue;
		}
		ratio[count] = y[count] / x[count];
		count++;
	}
	c->first.ns = bench_quartiles(x, count);
	c->second.ns = bench_quartiles(y, count);
	c->ratio = bench_quartiles(ratio, count);
	if (count)
		print_cell(b, c);
}

/* One cell's slices in rounds. */
struct track {
	double x[MAX_PAIRS], y[MAX_PAIRS], ratio[MAX_PAIRS];
	double now[PER_ROUND];	/* the first contender's, of this round */
	unsigned long nx, ny;
	unsigned int count;
};

static void play_round(struct cell *cells, unsigned int n, struct track *tracks,
		       void (*warm)(void *arg))
{
	double y;

	warm(cells[0].first.arg);
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int k = 0; k < PER_ROUND; k++)
			tracks[i].now[k] = slice(&cells[i].first, tracks[i].nx);
	warm(cells[0].second.arg);
	for (unsigned int i = 0; i < n; i++) {
		struct track *t = &tracks[i];

		for (unsigned int k = 0; k < PER_ROUND; k++) {
			y = slice(&cells[i].second, t->ny);
			if (t->now[k] < 0 || y < 0) {
				cells[i].dropped++;
				continue;
			}
			t->x[t->count] = t->now[k];
			t->y[t->count] = y;
			t->ratio[t->count++] = y / t->now[k];
		}
	}
}

void bench_run_rounds(struct bench *b, struct cell *cells, unsigned int n,
		      void (*warm)(void *arg), double weight)
{
	int64_t until = bench_now() + bench_share(b, weight * n);
	struct track *tracks = calloc(n, sizeof(*tracks));
	unsigned int i, round;

	if (!tracks)
		abort();
	for (i = 0; i < n; i++)
		tracks[i].nx = calibrate(&cells[i].first, cells[i].slice_us);
	for (i = 0; i < n; i++)
		tracks[i].ny = calibrate(&cells[i].second, cells[i].slice_us);
	for (round = 0; round < MAX_PAIRS / PER_ROUND; round++) {
		if (interrupted)
			break;
		if (round >= MIN_ROUNDS && bench_now() >= until)
			break;
		if (round && bench_over(b))
			break;
		play_round(cells, n, tracks, warm);
	}
	for (i = 0; i < n; i++) {
		struct track *t = &tracks[i];

		cells[i].first.ns = bench_quartiles(t->x, t->count);
		cells[i].second.ns = bench_quartiles(t->y, t->count);
		cells[i].ratio = bench_quartiles(t->ratio, t->count);
		if (t->count)
			print_cell(b, &cells[i]);
	}
	free(tracks);
}

/* ------------------------------------------------------------- begin and end */

static void on_interrupt(int signal)
{
	interrupted = 1;
}

static void *sleeper(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void second_thread(void)
{
	sigset_t all, old;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (!pthread_create(&thread, NULL, sleeper, NULL))
		pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void usage(const struct bench *b, FILE *to)
{
	fprintf(to,
		"usage: bench_%s [--json] [--long] [--pages small|huge]\n"
		"       [--search portable|best]\n"
		"  --json    one object a line\n"
		"  --long    everything, up to %d minutes; else %d seconds\n"
		"  --pages   what %lu and more subscriptions lie on\n"
		"  --search  how the index is searched; best: what users get\n",
		b->name, SECONDS_LONG / 60, SECONDS, WORLD_HUGE_FROM);
}

static const struct index_search *best_search(void)
{
	const struct index_search *vector = index_search_vector();

	return vector ? vector : &index_search_portable;
}

static void bad_usage(const struct bench *b)
{
	usage(b, stderr);
	exit(BENCH_USAGE);
}

static void parse(struct bench *b, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "long", no_argument, NULL, 'l' },
		{ "pages", required_argument, NULL, 'p' },
		{ "search", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'j') {
			b->json = true;
		} else if (c == 'l') {
			b->longer = true;
		} else if (c == 's' && !strcmp(optarg, "portable")) {
			b->search = &index_search_portable;
		} else if (c == 's' && !strcmp(optarg, "best")) {
			b->search = best_search();
		} else if (c == 'p' && (!strcmp(optarg, "small") ||
					!strcmp(optarg, "huge"))) {
			b->small_pages = *optarg == 's';
		} else if (c == 'h') {
			usage(b, stdout);
			exit(0);
		} else {
			if (c == 's' || c == 'p')
				fprintf(stderr, "bench_%s: no %s '%s'\n",
					b->name, c == 's' ? "search" : "pages",
					optarg);
			bad_usage(b);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "bench_%s: unknown argument '%s'\n", b->name,
			argv[optind]);
		bad_usage(b);
	}
}

void bench_init(struct bench *b, const char *name, int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_interrupt };

	*b = (struct bench){ .name = name, .search = best_search() };
	parse(b, argc, argv);
	b->begun = bench_now();
	b->deadline = b->begun +
		      (b->longer ? SECONDS_LONG : SECONDS) * NSEC_PER_SEC;
	sigaction(SIGINT, &action, NULL);
	second_thread();
	bench_note(b, "index search", b->search->name);
}

/* How much of the time this process had a CPU, all its threads together. */
static int64_t cpu_of(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * NSEC_PER_SEC +
	       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

static double cpu_share(const struct bench *b)
{
	int64_t wall = bench_now() - b->begun;
	int64_t cpu = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN);

	return (double)cpu / (double)wall;
}

int bench_finish(struct bench *b)
{
	char text[128];

	if (world_pages(text, sizeof(text)))
		bench_note(b, "large worlds", text);
	if (b->held + b->missed + b->unmeasured) {
		snprintf(text, sizeof(text),
			 "%u hold, %u missed, %u of them as all would, "
			 "%u not measured", b->held, b->missed, b->beyond,
			 b->unmeasured);
		bench_note(b, "targets", text);
	}
	snprintf(text, sizeof(text), "%.2f%s", cpu_share(b),
		 cpu_share(b) < BUSY ? ": others were busy, run it again" : "");
	bench_note(b, "share of a CPU", text);
	if (interrupted)
		bench_note(b, "ended early", "interrupted");
	snprintf(text, sizeof(text), "%.1f",
		 (double)(bench_now() - b->begun) / NSEC_PER_SEC);
	bench_note(b, "seconds", text);
	return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
