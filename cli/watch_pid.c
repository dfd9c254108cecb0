/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A process that nobody prepared: its areas are read again and again, and what
 * differs is said. How much is in memory comes from PAGEMAP_SCAN where the
 * kernel has it (6.7), else from statm.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "out.h"
#include "watch.h"

/* PAGEMAP_SCAN, which headers of 2022 lack; see fs.h of later ones. */
struct scan_region {
	uint64_t start, end, categories;
};

struct scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask;
	uint64_t return_mask;
};

#define SCAN _IOWR('f', 16, struct scan)
#define IS_PRESENT (1 << 3)
#define SCAN_REGIONS 256

/* A process, and what was seen of it. */
struct looked {
	const struct watch_options *options;
	FILE *out;
	int pagemap;
	struct spans areas;
	uint64_t looks;
	uint64_t appeared, gone, protected;
	uint64_t resident;
	uint64_t begun_ns;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = sig;
}

static bool read_areas(int pid, struct spans *areas)
{
	char path[64], prot[5], *line = NULL;
	unsigned long start, end, inode;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (getline(&line, &size, file) > 0)
		if (sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu", &start, &end,
			   prot, &inode) == 4)
			spans_set(areas, (struct span){
				.start = start, .end = end,
				.prot = (prot[0] == 'r' ? PROT_READ : 0) |
					(prot[1] == 'w' ? PROT_WRITE : 0) |
					(prot[2] == 'x' ? PROT_EXEC : 0),
				.flags = prot[3] == 's' ? MAP_SHARED :
							  MAP_PRIVATE,
			});
	free(line);
	fclose(file);
	return areas->n > 0;
}

/* Bytes in memory of an area; 0 also where the kernel cannot say. */
static uint64_t present(int pagemap, const struct span *area)
{
	struct scan_region regions[SCAN_REGIONS];
	struct scan scan = {
		.size = sizeof(scan),
		.start = area->start,
		.end = area->end,
		.vec = (uintptr_t)regions,
		.vec_len = SCAN_REGIONS,
		.category_mask = IS_PRESENT,
		.return_mask = IS_PRESENT,
	};
	uint64_t bytes = 0;
	int n;

	do {
		n = ioctl(pagemap, SCAN, &scan);
		for (int i = 0; i < n; i++)
			bytes += regions[i].end - regions[i].start;
		scan.start = scan.walk_end;
	} while (n > 0 && scan.walk_end < area->end);
	return bytes;
}

static uint64_t resident(const struct looked *l)
{
	uint64_t bytes = 0;

	for (size_t i = 0; l->pagemap >= 0 && i < l->areas.n; i++)
		bytes += present(l->pagemap, &l->areas.spans[i]);
	return bytes;
}

static void say(struct looked *l, const char *what, const struct span *area)
{
	double at = (double)(now_ns() - l->begun_ns);
	char bytes[32], prot[4] = {
		area->prot & PROT_READ ? 'r' : '-',
		area->prot & PROT_WRITE ? 'w' : '-',
		area->prot & PROT_EXEC ? 'x' : '-',
	};

	if (l->options->run.json) {
		print_json_to(l->out, json_pack(
			"{s:s, s:s, s:I, s:I, s:I, s:s}", "type", "difference",
			"what", what, "at_ns", (json_int_t)at, "start",
			(json_int_t)area->start, "length",
			(json_int_t)(area->end - area->start), "prot", prot));
		return;
	}
	watch_bytes(bytes, sizeof(bytes), area->end - area->start);
	fprintf(l->out, "%12.3f  %-9s %12" PRIx64 " + %9s  %s\n", at / 1e9, what,
		area->start, bytes, prot);
}

static void area_gone(void *arg, const struct span *area)
{
	struct looked *l = arg;

	l->gone++;
	say(l, "gone", area);
}

/* What is in @a and not in @b. */
static void without(const struct spans *a, const struct spans *b, span_fn fn,
		    void *arg)
{
	struct spans rest = { 0 };

	spans_copy(&rest, a);
	for (size_t i = 0; i < b->n; i++)
		spans_cut(&rest, b->spans[i].start, b->spans[i].end, NULL, NULL);
	for (size_t i = 0; i < rest.n; i++)
		fn(arg, &rest.spans[i]);
	spans_free(&rest);
}

static void area_appeared(void *arg, const struct span *area)
{
	struct looked *l = arg;

	l->appeared++;
	say(l, "appeared", area);
}

static void compare_protection(struct looked *l, const struct spans *now)
{
	const struct span *is, *was;
	struct span both;

	for (size_t i = 0; i < now->n; i++) {
		is = &now->spans[i];
		for (size_t k = spans_find(&l->areas, is->start);
		     k < l->areas.n && l->areas.spans[k].start < is->end; k++) {
			was = &l->areas.spans[k];
			if (was->prot == is->prot)
				continue;
			both = *is;
			if (was->start > both.start)
				both.start = was->start;
			if (was->end < both.end)
				both.end = was->end;
			l->protected++;
			say(l, "protected", &both);
		}
	}
}

/* False: it has ended. */
static bool look(struct looked *l)
{
	struct spans now = { 0 };

	if (!read_areas(l->options->pid, &now))
		return false;
	if (l->looks++) {
		without(&l->areas, &now, area_gone, l);
		compare_protection(l, &now);
		without(&now, &l->areas, area_appeared, l);
	}
	spans_free(&l->areas);
	l->areas = now;
	l->resident = resident(l);
	fflush(l->out);
	return true;
}

/* What is promised comes first. */
static int preface(const struct looked *l)
{
	if (l->options->run.json)
		return print_json_to(l->out, json_pack(
			"{s:s, s:i, s:s, s:i, s:I}", "type", "begin", "pid",
			l->options->pid, "guarantee", "none", "interval_ms",
			(int)l->options->interval_ms, "areas",
			(json_int_t)l->areas.n));
	fprintf(l->out, "uhmm watch: process %d, looked at every %u ms: what comes and goes in\n"
		"between is not seen, nothing is guaranteed; %zu areas\n",
		l->options->pid, l->options->interval_ms, l->areas.n);
	return fflush(l->out) ? EXIT_INTERNAL : EXIT_HOLDS;
}

static int summary(const struct looked *l)
{
	uint64_t mapped = 0;
	char text[32], in_memory[32];

	for (size_t i = 0; i < l->areas.n; i++)
		mapped += l->areas.spans[i].end - l->areas.spans[i].start;
	if (l->options->run.json)
		return print_json_to(l->out, json_pack(
			"{s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			"type", "summary", "pid", l->options->pid,
			"guarantee", "none", "looks", (json_int_t)l->looks,
			"appeared", (json_int_t)l->appeared, "gone",
			(json_int_t)l->gone, "protected",
			(json_int_t)l->protected, "areas",
			(json_int_t)l->areas.n, "mapped", (json_int_t)mapped,
			"resident", (json_int_t)l->resident));
	watch_bytes(text, sizeof(text), mapped);
	watch_bytes(in_memory, sizeof(in_memory), l->resident);
	fprintf(l->out, "uhmm watch: process %d: %" PRIu64 " looks, every %u ms: areas "
		"appeared %" PRIu64 ", gone %" PRIu64 ", protected %" PRIu64 "\n"
		"last           %zu areas, %s, of them in memory %s\n"
		"guarantee      none: what came and went between two looks was not seen\n",
		l->options->pid, l->looks, l->options->interval_ms, l->appeared,
		l->gone, l->protected, l->areas.n, text, in_memory);
	return ferror(l->out) ? EXIT_INTERNAL : EXIT_HOLDS;
}

int watch_pid(const struct watch_options *options, FILE *out)
{
	struct looked l = { .options = options, .out = out,
			    .begun_ns = now_ns() };
	const struct timespec rest = {
		options->interval_ms / 1000,
		(long)(options->interval_ms % 1000) * 1000000,
	};
	struct sigaction action = { .sa_handler = on_signal };
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", options->pid);
	l.pagemap = open(path, O_RDONLY | O_CLOEXEC);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (!look(&l)) {
		fprintf(stderr, "uhmm watch: process %d: its areas cannot be read\n",
			options->pid);
		return EXIT_CANNOT_TELL;
	}
	if (preface(&l))
		return EXIT_INTERNAL;
	do
		nanosleep(&rest, NULL);
	while (!interrupted && look(&l));
	return summary(&l);
}
