/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the parts of `uhmm watch` share. */
#ifndef UHMM_CLI_WATCH_H
#define UHMM_CLI_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "run.h"

#define WATCH_BINS 64

struct watch_options {
	struct run_options run;
	bool stream;
	const char *html;
	int pid;			/* 0: a program is started */
	unsigned int interval_ms;
};

/* ---------------------------------------------------------- watch_spans.c
 * Ranges that do not overlap, by their start.
 */
struct span {
	uint64_t start;
	uint64_t end;
	uint64_t born_ns;
	uint32_t prot;
	uint32_t flags;		/* of mmap(); of a cache's entry: SPAN_STALE */
};

#define SPAN_STALE 1

struct spans {
	struct span *spans;
	size_t n;
	size_t room;
};

typedef void (*span_fn)(void *arg, const struct span *span);

/* The first that ends behind @start; spans->n: there is none. */
size_t spans_find(const struct spans *spans, uint64_t start);
/* What was there goes first. */
void spans_set(struct spans *spans, struct span span);
/*
 * Cut a hole; what is on both sides of it stays. @fn: called with each piece
 * that goes; may be NULL.
 */
void spans_cut(struct spans *spans, uint64_t start, uint64_t end, span_fn fn,
	       void *arg);
/* Those that overlap go as a whole. */
void spans_drop(struct spans *spans, uint64_t start, uint64_t end);
void spans_copy(struct spans *to, const struct spans *from);
void spans_free(struct spans *spans);

/* ---------------------------------------------------------- watch_cache.c
 * What registration caches would have made of it. Each piece of memory that may be
 * read and written is looked up when it appears and before it goes.
 */
enum cache_kind {
	CACHE_ADDRESS,		/* asks nobody whether an entry is good */
	CACHE_HOOKS,		/* hooks in libc */
	CACHE_EVENTS,		/* userfaultfd */
	CACHE_UHMM,
	CACHES,
};

struct cache_counts {
	uint64_t hits;
	uint64_t misses;
	uint64_t wrong;		/* hits on what had gone */
};

/* Of one process. */
struct caches {
	struct spans buffers;
	struct spans entries[CACHES];
	struct cache_counts *counts;	/* of all processes */
};

const char *cache_name(enum cache_kind kind);
void cache_appears(struct caches *caches, uint64_t start, uint64_t end);
/* @record: what did it; @gone: the memory too, not its contents alone. */
void cache_changes(struct caches *caches, const struct stream_record *record,
		   uint64_t start, uint64_t end, bool gone);
void caches_free(struct caches *caches);

/* ----------------------------------------------------------- watch_site.c */
struct watch_site {
	uint64_t site;
	uint64_t caller;
	uint64_t changes;
	uint64_t bytes;
};

struct watch_sites {
	struct watch_site *sites;
	size_t n;
	size_t room;		/* a power of two */
};

void sites_add(struct watch_sites *sites, const struct stream_record *record);
/* The most frequent first, at most @max; returns how many. */
size_t sites_top(struct watch_sites *sites, size_t max);
/* "malloc+0x12 (libc.so.6)"; "?": not known. */
void site_text(const struct stream *stream, uint64_t place, char *buf,
	       size_t size);

/* ---------------------------------------------------------- watch_state.c */

/* A process, from its start or exec to its end or exec. */
struct watch_process {
	struct spans areas;
	struct spans at_fork;
	struct spans at_end;
	struct caches caches;
	uint64_t changes;
	bool begun;
	bool ended;
};

/* An area that has come and gone, or is there at the end. */
struct watch_life {
	uint32_t process;
	uint32_t prot;
	uint32_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t born_ns;
	uint64_t died_ns;
};

struct watch_bin {
	uint64_t mapped;	/* most of it */
	uint64_t changes;
};

/* Everything that is known, at some point of the stream. */
struct watch {
	const struct watch_options *options;
	const struct run_board *board;
	FILE *out;			/* of the stream; NULL: it is not printed */
	uint64_t next;			/* number of the record to come */
	uint64_t torn;			/* whose writer has gone */
	uint64_t waits_ns;		/* since when for that one; 0: not */
	uint64_t begun_ns;
	uint64_t last_ns;
	struct watch_process processes[BOARD_PROCESSES];
	uint64_t kinds[STREAM_KINDS];
	uint64_t took_ns;
	uint64_t bytes_mapped;		/* over all time */
	uint64_t mapped;
	uint64_t mapped_most;
	uint64_t nareas;
	uint64_t nareas_most;
	struct watch_sites sites;
	struct cache_counts caches[CACHES];
	uint64_t bin_ns;
	struct watch_bin bins[WATCH_BINS];
	struct watch_life *lives;	/* the longest, by bytes and time */
	size_t nlives;
	size_t lives_room;
	uint64_t lives_lost;
};

const char *watch_kind_name(unsigned int kind);
bool watch_is_change(unsigned int kind);
void watch_record(struct watch *watch, const struct stream_record *record);
/* What is still there is so until now. */
void watch_finish(struct watch *watch);

/* --------------------------------------------------------- watch_stream.c */

/* All records that are complete; @all: wait for none that is not. */
void stream_drain(struct watch *watch, bool all);
void stream_print(struct watch *watch, const struct stream_record *record);

/* watch_report.c, watch_html.c: the status; 0, or -1 with errno */
int watch_text(FILE *out, struct watch *watch, const struct run_result *result);
int watch_json(FILE *out, struct watch *watch, const struct run_result *result);
int watch_html(FILE *out, struct watch *watch, const char *program);
void watch_bytes(char *buf, size_t size, uint64_t bytes);

/* watch_pid.c: until it or the user ends it. The exit status. */
int watch_pid(const struct watch_options *options, FILE *out);

#endif
