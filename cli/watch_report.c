/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What `uhmm watch` says when the program has ended. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>

#include "cli.h"
#include "out.h"
#include "watch.h"

#define TOP_SITES 10

void watch_bytes(char *buf, size_t size, uint64_t bytes)
{
	if (bytes < 1 << 10)
		snprintf(buf, size, "%" PRIu64 " B", bytes);
	else if (bytes < 10 << 20)
		snprintf(buf, size, "%" PRIu64 " KiB", bytes / 1024);
	else if (bytes < 10ULL << 30)
		snprintf(buf, size, "%.1f MiB", (double)bytes / (1 << 20));
	else
		snprintf(buf, size, "%.1f GiB", (double)bytes / (1 << 30));
}

static uint64_t changes(const struct watch *watch)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < STREAM_KINDS; i++)
		if (watch_is_change(i))
			n += watch->kinds[i];
	return n;
}

static unsigned int nbins(const struct watch *watch)
{
	return watch->bin_ns ? (unsigned int)((watch->last_ns -
					       watch->begun_ns) /
					      watch->bin_ns) + 1 : 0;
}

static uint64_t most_changes(const struct watch *watch)
{
	uint64_t most = 0;

	for (unsigned int i = 0; i < nbins(watch); i++)
		if (watch->bins[i].changes > most)
			most = watch->bins[i].changes;
	return most;
}

static unsigned int watched(const struct board *board, unsigned int *ret_all)
{
	unsigned int n = 0;

	*ret_all = board->used < BOARD_PROCESSES ? board->used : BOARD_PROCESSES;
	for (unsigned int i = 0; i < *ret_all; i++)
		n += board_state(&board->processes[i]) == BOARD_RUNS ||
		     board_state(&board->processes[i]) == BOARD_ENDED;
	return n;
}

/* ----------------------------------------------------------------------- text */

static void print_head(FILE *out, const struct watch *watch,
		       const struct run_result *result)
{
	const struct board *board = watch->board->board;
	unsigned int all, n = watched(board, &all);

	fprintf(out, "uhmm watch: %s: %u of %u processes watched, %" PRIu64
		" changes in %.0f ms\n", watch->options->run.program[0], n,
		board->used, changes(watch), (double)result->wall_ns / 1e6);
	for (unsigned int i = 0; i < all; i++)
		if (board->processes[i].reason[0])
			fprintf(out, "not watched    %s (%d): %s\n",
				board->processes[i].name,
				board->processes[i].pid,
				board->processes[i].reason);
	fprintf(out, "seen           what libc and ld.so do; not system calls that go around\n"
		"               them, nor what the kernel or other processes do\n");
	if (watch->board->stream->lost || watch->torn)
		fprintf(out, "lost           %" PRIu64 " changes for which there was no room, %"
			PRIu64 " torn\n", watch->board->stream->lost, watch->torn);
}

static void print_calls(FILE *out, const struct watch *watch,
			const struct run_result *result)
{
	double s = (double)result->wall_ns / 1e9;
	const char *comma = "";
	char bytes[32], most[32];

	fprintf(out, "calls          ");
	for (unsigned int i = 0; i < STREAM_KINDS; i++) {
		if (!watch_is_change(i) || !watch->kinds[i])
			continue;
		fprintf(out, "%s%s %" PRIu64, comma, watch_kind_name(i),
			watch->kinds[i]);
		comma = ", ";
	}
	fprintf(out, "%s; %.1f ms in the kernel\n", *comma ? "" : "none",
		(double)watch->took_ns / 1e6);
	fprintf(out, "rate           %.0f/s, at most %.0f/s\n",
		s > 0 ? (double)changes(watch) / s : 0,
		watch->bin_ns ? (double)most_changes(watch) * 1e9 /
					(double)watch->bin_ns : 0);
	watch_bytes(bytes, sizeof(bytes), watch->bytes_mapped);
	watch_bytes(most, sizeof(most), watch->mapped_most);
	fprintf(out, "mapped         %s altogether; at most %s in %" PRIu64
		" areas at a time\n", bytes, most, watch->nareas_most);
}

/* A column for each piece of time, of so many rows. */
static void print_bars(FILE *out, const char *name, const uint64_t *values,
		       unsigned int n, const char *most)
{
	static const char levels[] = " .:-=+*#";
	const int steps = sizeof(levels) - 2;
	uint64_t max = 1;

	for (unsigned int i = 0; i < n; i++)
		if (values[i] > max)
			max = values[i];
	for (int row = 1; row >= 0; row--) {
		fprintf(out, "%s|", row ? name : "         ");
		for (unsigned int i = 0; i < n; i++) {
			/* Whatever is there shows. */
			int level = (int)(values[i] * (uint64_t)(2 * steps) /
					  max) + !!values[i] - row * steps;

			level = level < 0 ? 0 : level > steps ? steps : level;
			putc(levels[level], out);
		}
		fprintf(out, "|%s%s\n", row ? " " : "", row ? most : "");
	}
}

static void print_time_line(FILE *out, const struct watch *watch)
{
	uint64_t mapped[WATCH_BINS], rate[WATCH_BINS];
	unsigned int n = nbins(watch);
	char most[32];

	for (unsigned int i = 0; i < n; i++) {
		mapped[i] = watch->bins[i].mapped;
		rate[i] = watch->bins[i].changes;
	}
	fprintf(out, "\none column is %.1f ms\n", (double)watch->bin_ns / 1e6);
	watch_bytes(most, sizeof(most), watch->mapped_most);
	print_bars(out, "mapped   ", mapped, n, most);
	snprintf(most, sizeof(most), "%" PRIu64, most_changes(watch));
	print_bars(out, "changes  ", rate, n, most);
}

static void print_sites(FILE *out, struct watch *watch)
{
	size_t n = sites_top(&watch->sites, TOP_SITES);
	char site[200], caller[200], bytes[32];
	const struct watch_site *s;

	fprintf(out, "\n%8s %12s  called from, and for\n", "changes", "bytes");
	for (size_t i = 0; i < n; i++) {
		s = &watch->sites.sites[i];
		site_text(watch->board->stream, s->site, site, sizeof(site));
		site_text(watch->board->stream, s->caller, caller,
			  sizeof(caller));
		watch_bytes(bytes, sizeof(bytes), s->bytes);
		fprintf(out, "%8" PRIu64 " %12s  %s%s%s\n", s->changes, bytes,
			site, s->caller != s->site && s->caller ? ", " : "",
			s->caller != s->site && s->caller ? caller : "");
	}
}

static void print_caches(FILE *out, const struct watch *watch)
{
	fprintf(out, "\na registration cache that is told by   hits   misses    wrong\n");
	for (int i = 0; i < CACHES; i++)
		fprintf(out, "  %-32s %8" PRIu64 " %8" PRIu64 " %8" PRIu64 "\n",
			cache_name((enum cache_kind)i), watch->caches[i].hits,
			watch->caches[i].misses, watch->caches[i].wrong);
}

int watch_text(FILE *out, struct watch *watch, const struct run_result *result)
{
	print_head(out, watch, result);
	print_calls(out, watch, result);
	print_time_line(out, watch);
	print_sites(out, watch);
	print_caches(out, watch);
	return ferror(out) ? EXIT_INTERNAL : EXIT_HOLDS;
}

/* ----------------------------------------------------------------------- JSON */

static json_t *areas_json(const struct spans *areas)
{
	json_t *array = json_array();
	const struct span *span;
	char prot[5];

	for (size_t i = 0; i < areas->n; i++) {
		span = &areas->spans[i];
		snprintf(prot, sizeof(prot), "%c%c%c%c",
			 span->prot & PROT_READ ? 'r' : '-',
			 span->prot & PROT_WRITE ? 'w' : '-',
			 span->prot & PROT_EXEC ? 'x' : '-',
			 span->flags & MAP_SHARED ? 's' : 'p');
		json_array_append_new(array,
			json_pack("[I, I, s]", (json_int_t)span->start,
				  (json_int_t)span->end, prot));
	}
	return array;
}

static int process_json(FILE *out, const struct watch *watch, unsigned int i)
{
	const struct board_process *p = &watch->board->board->processes[i];
	const struct watch_process *process = &watch->processes[i];

	return print_json_to(out, json_pack(
		"{s:s, s:i, s:i, s:b, s:s, s:s, s:I, s:I, s:o}", "type",
		"process", "pid", p->pid, "parent", p->parent, "forked",
		p->forked, "name", p->name, "reason", p->reason, "changes",
		(json_int_t)process->changes, "own_ns",
		(json_int_t)p->counts.own_ns, "at_end",
		areas_json(&process->at_end)));
}

static int site_json(FILE *out, const struct watch *watch,
		     const struct watch_site *s)
{
	char site[200], caller[200];

	site_text(watch->board->stream, s->site, site, sizeof(site));
	site_text(watch->board->stream, s->caller, caller, sizeof(caller));
	return print_json_to(out, json_pack("{s:s, s:s, s:s, s:I, s:I}", "type",
					    "site", "site", site, "caller",
					    caller, "changes",
					    (json_int_t)s->changes, "bytes",
					    (json_int_t)s->bytes));
}

static json_t *kinds_json(const struct watch *watch)
{
	json_t *kinds = json_object();

	for (unsigned int i = 0; i < STREAM_KINDS; i++)
		if (watch_is_change(i))
			json_object_set_new(kinds, watch_kind_name(i),
				json_integer((json_int_t)watch->kinds[i]));
	return kinds;
}

static json_t *caches_json(const struct watch *watch)
{
	json_t *caches = json_object();

	for (int i = 0; i < CACHES; i++)
		json_object_set_new(caches, cache_name((enum cache_kind)i),
			json_pack("{s:I, s:I, s:I}", "hits",
				  (json_int_t)watch->caches[i].hits, "misses",
				  (json_int_t)watch->caches[i].misses, "wrong",
				  (json_int_t)watch->caches[i].wrong));
	return caches;
}

static json_t *bins_json(const struct watch *watch)
{
	json_t *bins = json_array();

	for (unsigned int i = 0; i < nbins(watch); i++)
		json_array_append_new(bins,
			json_pack("[I, I]", (json_int_t)watch->bins[i].mapped,
				  (json_int_t)watch->bins[i].changes));
	return bins;
}

int watch_json(FILE *out, struct watch *watch, const struct run_result *result)
{
	unsigned int all, n = watched(watch->board->board, &all);
	size_t sites = sites_top(&watch->sites, TOP_SITES);
	int status = EXIT_HOLDS;

	for (unsigned int i = 0; i < all && !status; i++)
		status = process_json(out, watch, i);
	for (size_t i = 0; i < sites && !status; i++)
		status = site_json(out, watch, &watch->sites.sites[i]);
	if (status)
		return status;
	return print_json_to(out, json_pack(
		"{s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:o, s:I, s:o, s:o}", "type", "summary", "program",
		watch->options->run.program[0], "processes", (int)all,
		"watched", (int)n, "changes", (json_int_t)changes(watch),
		"lost", (json_int_t)watch->board->stream->lost, "torn",
		(json_int_t)watch->torn, "wall_ns", (json_int_t)result->wall_ns,
		"kernel_ns", (json_int_t)watch->took_ns, "bytes_mapped",
		(json_int_t)watch->bytes_mapped, "mapped_most",
		(json_int_t)watch->mapped_most, "areas_most",
		(json_int_t)watch->nareas_most, "calls", kinds_json(watch),
		"bin_ns", (json_int_t)watch->bin_ns, "bins", bins_json(watch),
		"caches", caches_json(watch)));
}
