/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The readers' side of the stream, and each record as a line. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "out.h"
#include "watch.h"

#define GONE_NS 1000000000ULL

/* Nobody writes any more what was begun: it was killed while it did. */
static bool is_torn(struct watch *watch, const struct stream_record *record)
{
	const struct board *board = watch->board->board;
	uint64_t number = __atomic_load_n(&record->number, __ATOMIC_RELAXED);
	uint32_t process = record->process;

	if (!watch->waits_ns)
		watch->waits_ns = now_ns();
	if (now_ns() - watch->waits_ns < GONE_NS)
		return false;
	/* Not even its writer's name is there. */
	if (number != 2 * (watch->next + 1) || process >= BOARD_PROCESSES)
		return true;
	return kill(board->processes[process].pid, 0) && errno == ESRCH;
}

void stream_drain(struct watch *watch, bool all)
{
	struct stream *stream = watch->board->stream;
	struct stream_record *record;

	while (watch->next != __atomic_load_n(&stream->taken,
					      __ATOMIC_RELAXED)) {
		record = &stream->records[watch->next % STREAM_RECORDS];
		if (stream_complete(record, watch->next))
			watch_record(watch, record);
		else if (all || is_torn(watch, record))
			watch->torn++;
		else
			break;
		watch->waits_ns = 0;
		watch->next++;
		stream_done(stream, watch->next);
	}
}

/* ------------------------------------------------------------------- as lines */

static const char *prot_text(uint32_t prot, char *text)
{
	text[0] = prot & PROT_READ ? 'r' : '-';
	text[1] = prot & PROT_WRITE ? 'w' : '-';
	text[2] = prot & PROT_EXEC ? 'x' : '-';
	text[3] = '\0';
	return text;
}

static const char *advice_text(uint32_t advice)
{
	switch (advice) {
	case MADV_DONTNEED:
		return "dontneed";
	case MADV_FREE:
		return "free";
	case MADV_REMOVE:
		return "remove";
	case MADV_PAGEOUT:
		return "pageout";
	case 24:
		return "dontneed-locked";
	case 25:
		return "collapse";
	case 102:
		return "guard";
	}
	return "other";
}

static const char *const from_names[] = { "libc", "ld.so", "syscall" };

/* The lower end: what the calls have of addresses is not alike. */
static uint64_t start_of(const struct stream_record *r)
{
	if (r->kind == STREAM_BRK)
		return r->addr < r->to ? r->addr : r->to;
	return r->kind == STREAM_MMAP || r->kind == STREAM_SHMAT ? r->to :
								     r->addr;
}

static void print_json_record(struct watch *watch, const struct stream_record *r)
{
	const struct board_process *p =
		&watch->board->board->processes[r->process];
	char prot[4], site[200], caller[200];
	json_t *line;

	site_text(watch->board->stream, r->site, site, sizeof(site));
	site_text(watch->board->stream, r->caller, caller, sizeof(caller));
	line = json_pack("{s:s, s:s, s:I, s:i, s:i, s:I, s:I}", "type",
			 "change", "call", watch_kind_name(r->kind), "at_ns",
			 (json_int_t)(r->at_ns - watch->begun_ns), "pid",
			 p->pid, "tid", (int)r->tid, "start",
			 (json_int_t)start_of(r), "length",
			 (json_int_t)r->length);
	if (line && r->kind == STREAM_MREMAP)
		json_object_update_new(line,
			json_pack("{s:I, s:I}", "to", (json_int_t)r->to,
				  "to_length", (json_int_t)r->to_length));
	if (line && (r->kind == STREAM_MMAP || r->kind == STREAM_MPROTECT ||
		     r->kind == STREAM_AREA))
		json_object_set_new(line, "prot",
				    json_string(prot_text(r->prot, prot)));
	if (line && r->kind == STREAM_MADVISE)
		json_object_set_new(line, "advice",
				    json_string(advice_text(r->flags)));
	if (line && watch_is_change(r->kind) && r->kind != STREAM_FORK)
		json_object_update_new(line,
			json_pack("{s:I, s:s, s:s, s:s}", "took_ns",
				  (json_int_t)r->took_ns, "by",
				  from_names[r->from % 3], "site", site,
				  "caller", caller));
	print_json_to(watch->out, line);
}

static void detail(const struct stream_record *r, char *buf, size_t size)
{
	char text[4];

	buf[0] = '\0';
	switch (r->kind) {
	case STREAM_MMAP:
		snprintf(buf, size, "%s %s%s%s", prot_text(r->prot, text),
			 r->flags & MAP_SHARED ? "shared" : "private",
			 r->flags & MAP_ANONYMOUS ? "" : " file",
			 r->flags & MAP_FIXED ? " fixed" : "");
		break;
	case STREAM_MPROTECT:
	case STREAM_AREA:
		prot_text(r->prot, buf);
		break;
	case STREAM_MADVISE:
		snprintf(buf, size, "%s", advice_text(r->flags));
		break;
	case STREAM_MREMAP:
		snprintf(buf, size, "to %" PRIx64 " + %" PRIu64 " KiB", r->to,
			 r->to_length / 1024);
		break;
	case STREAM_BRK:
		snprintf(buf, size, "%s", r->to < r->addr ? "down" : "up");
		break;
	}
}

void stream_print(struct watch *watch, const struct stream_record *r)
{
	const struct board_process *p =
		&watch->board->board->processes[r->process];
	char bytes[32], words[64], caller[200];

	if (watch->options->run.json) {
		print_json_record(watch, r);
		return;
	}
	watch_bytes(bytes, sizeof(bytes), r->length);
	detail(r, words, sizeof(words));
	site_text(watch->board->stream, r->caller, caller, sizeof(caller));
	fprintf(watch->out, "%12.6f %d %-8s %12" PRIx64 " + %9s  %s%s%s\n",
		(double)(r->at_ns - watch->begun_ns) / 1e9, p->pid,
		watch_kind_name(r->kind), start_of(r), bytes, words,
		r->caller ? "  " : "", r->caller ? caller : "");
}
