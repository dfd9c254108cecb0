/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * An execution, written down: only when it is run again for that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "names.h"
#include "world.h"

#define MAX_ROWS 20000
#define MAX_FRAMES 64
#define MAX_NAMES 256

void (*explore_at_row)(unsigned int row);
struct trace_event record_nowhere;

static struct {
	struct trace_event *rows;
	const void **pcs;
	unsigned int n;
	int stored_by[MAX_OBJECTS];	/* row of the last store, +1 */
	struct {
		unsigned int n;
		const void *pc[MAX_FRAMES];
	} frames[MAX_THREADS];
	const char *home;		/* path of the scenario's file */
} r;

/* -------------------------------------------------------------------- names */

static struct {
	const char *addr;
	size_t size;
	char name[48];
} named[MAX_NAMES];
static unsigned int nnamed, nkept;

void names_add(const void *addr, size_t size, const char *name)
{
	unsigned int i;

	for (i = 0; i < nnamed; i++)
		if (named[i].addr == addr && named[i].size == size)
			break;
	if (i == MAX_NAMES)
		return;
	nnamed += i == nnamed;
	named[i].addr = addr;
	named[i].size = size;
	snprintf(named[i].name, sizeof(named[i].name), "%s", name);
}

void names_mark(bool keep)
{
	if (keep)
		nkept = nnamed;
	nnamed = nkept;
}

void names_forget(void)
{
	nnamed = nkept = 0;
}

/* The innermost that was named. */
static bool name_given(const void *addr, char *buf, size_t size)
{
	size_t offset, best_size = ~(size_t)0;
	int best = -1;

	for (unsigned int i = 0; i < nnamed; i++) {
		offset = (size_t)((const char *)addr - named[i].addr);
		if (offset < named[i].size && named[i].size < best_size) {
			best = (int)i;
			best_size = named[i].size;
		}
	}
	if (best < 0)
		return false;
	offset = (size_t)((const char *)addr - named[best].addr);
	if (offset)
		snprintf(buf, size, "%s+%zu", named[best].name, offset);
	else
		snprintf(buf, size, "%s", named[best].name);
	return true;
}

/* What leads to it is looked for once in an execution. */
static struct {
	const void *addr;
	char name[64];
} led_to[64];
static unsigned int nled_to;

static bool name_led_to(const void *addr, char *buf, size_t size)
{
	size_t piece_size;
	const void *piece = heap_piece(addr, &piece_size);

	for (unsigned int i = 0; i < nled_to; i++)
		if (led_to[i].addr == addr) {
			snprintf(buf, size, "%s", led_to[i].name);
			return *buf;
		}
	if (!piece || nled_to == ARRAY_SIZE(led_to))
		return false;
	names_pointed((const void *)(uintptr_t)x.scenario->run, addr, piece,
		      heap_piece, buf, size);
	led_to[nled_to].addr = addr;
	snprintf(led_to[nled_to++].name, sizeof(led_to[0].name), "%s", buf);
	return *buf;
}

/* It takes its time: "" unless somebody is going to read it. */
const char *name_of(const void *addr, char *buf, size_t size)
{
	*buf = '\0';
	if (!x.record && !x.setup)
		return buf;
	if (!addr || name_given(addr, buf, size))
		return addr ? buf : "";
	if (!world_is_stack(addr) && names_object(addr, buf, size) && *buf)
		return buf;
	if (world_is_stack(addr)) {
		snprintf(buf, size, "stack");
		return buf;
	}
	if (name_led_to(addr, buf, size))
		return buf;
	if (heap_describe(addr, buf, size))
		return buf;
	snprintf(buf, size, "%p", addr);
	return buf;
}

/* --------------------------------------------------------------------- rows */

void record_begin(void)
{
	struct names_place place;

	if (!r.rows) {
		r.rows = calloc(MAX_ROWS, sizeof(*r.rows));
		r.pcs = calloc(MAX_ROWS * MAX_FRAMES, sizeof(*r.pcs));
	}
	r.n = nled_to = 0;
	memset(r.stored_by, 0, sizeof(r.stored_by));
	memset(r.frames, 0, sizeof(r.frames));
	names_place((const char *)(uintptr_t)x.scenario->run + 1, &place);
	r.home = place.path;
}

int record_at(void)
{
	return x.record ? (int)r.n - 1 : -1;
}

void record_read(int from, bool old)
{
	if (!x.record || !r.n)
		return;
	r.rows[r.n - 1].from = from;
	if (old)
		r.rows[r.n - 1].flags |= TRACE_OLD;
}

static bool is_read(enum trace_kind kind)
{
	return kind == TRACE_LOAD || kind == TRACE_RMW;
}

static bool is_write(enum trace_kind kind)
{
	return kind == TRACE_FLUSH || kind == TRACE_RMW ||
	       (kind == TRACE_STORE && x.model != UHMM_MODEL_TSO);
}

static struct trace_event *row_add(unsigned int thread, enum trace_kind kind,
				   const void *addr, const void *pc)
{
	struct trace_event *row;
	size_t offset, slot;
	const struct region *region;
	char name[64];

	if (!x.record || r.n == MAX_ROWS || !r.rows || !r.pcs)
		return &record_nowhere;
	if (explore_at_row)
		explore_at_row(r.n);
	row = &r.rows[r.n];
	memset(row, 0, sizeof(*row));
	row->thread = (unsigned char)thread;
	row->kind = (unsigned char)kind;
	row->step = (int)x.depth - 1;
	row->choice = x.depth ? x.nodes[x.depth - 1].choice : 0;
	row->from = -1;
	row->addr = addr;
	row->object = addr ? strdup(name_of(addr, name, sizeof(name))) : NULL;
	memset(&r.pcs[(size_t)r.n * MAX_FRAMES], 0, MAX_FRAMES * sizeof(*r.pcs));
	r.pcs[(size_t)r.n * MAX_FRAMES] = pc;
	for (unsigned int i = 1; i < MAX_FRAMES && i <= r.frames[thread].n; i++)
		r.pcs[(size_t)r.n * MAX_FRAMES + i] =
			r.frames[thread].pc[r.frames[thread].n - i];
	region = addr ? region_of(addr, &offset) : NULL;
	if (region && (is_read(kind) || is_write(kind))) {
		slot = region->objects[offset / 4];
		if (is_read(kind) && x.model != UHMM_MODEL_C11)
			row->from = r.stored_by[slot] - 1;
		if (is_write(kind))
			r.stored_by[slot] = (int)r.n + 1;
	}
	r.n++;
	return row;
}

struct trace_event *record_row_add(enum trace_kind kind, const void *addr,
				   const void *pc)
{
	return row_add(x.self, kind, addr, pc);
}

void record_flush(unsigned int thread)
{
	const struct buffered *b = &x.far[thread].buffered[0];
	struct trace_event *row = row_add(thread, TRACE_FLUSH, b->addr, b->pc);

	row->size = b->size;
	row->value = b->value;
	if (b->unlock)
		row->kind = TRACE_UNLOCK;
	else
		row->from = b->row;
}

void record_note(const char *text, const void *pc)
{
	row_add(x.self, TRACE_NOTE, NULL, pc)->note = strdup(text);
}

void record_enter(const void *pc)
{
	if (x.inside && r.frames[x.self].n < MAX_FRAMES)
		r.frames[x.self].pc[r.frames[x.self].n++] = pc;
}

void record_leave(void)
{
	if (x.inside && r.frames[x.self].n)
		r.frames[x.self].n--;
}

/* -------------------------------------------------------------------- traces */

static const char *known(const char *text)
{
	return text && *text ? text : NULL;
}

/* "file:line in function", allocated. */
char *place_text(const void *pc)
{
	struct names_place place;
	char *text = NULL;

	names_place(pc, &place);
	if (asprintf(&text, "%s:%u in %s", place.file, place.line,
		     place.function) < 0)
		return NULL;
	return text;
}

/* In the scenario's folder? What is not known may be. */
static bool is_home(const struct names_place *place)
{
	const char *slash = r.home ? strrchr(r.home, '/') : NULL;
	size_t n = slash ? (size_t)(slash - r.home) + 1 : 0;

	return !*place->path || (!strncmp(place->path, r.home ? r.home : "", n) &&
				 place->file == place->path + n);
}

/* From the innermost place outwards to the first in the scenario's folder. */
static void place_row(struct trace_event *row, const void *const *pcs)
{
	struct names_place place, inner;

	names_place(pcs[0], &place);
	row->function = known(place.function);
	row->file = known(place.file);
	row->line = (int)place.line;
	for (unsigned int i = 1; !is_home(&place); i++) {
		inner = place;
		if (i < MAX_FRAMES && pcs[i])
			names_place(pcs[i], &place);
		/* There is none for what follows on the end of a thread. */
		if (i == MAX_FRAMES || !pcs[i]) {
			row->caller_file = "";
			return;
		}
		if (is_home(&place)) {
			row->caller_file = known(place.file);
			row->caller_line = (int)place.line;
			row->call = known(inner.function);
			return;
		}
	}
}

/* An address that is another one in each run of the tool. */
static bool is_elsewhere(unsigned long value, char *buf, size_t size)
{
	const void *addr = (const void *)value;
	struct names_place place;
	size_t offset;

	if (value >> 32 == 0 || region_of(addr, &offset) == &regions[REGION_HEAP])
		return false;
	if (names_object(addr, buf, size))
		return true;
	names_place((const char *)addr + 1, &place);
	snprintf(buf, size, "%s", place.function);
	return strcmp(place.function, "?") || world_is_tls(addr);
}

/* Such values are told by name: the same in each run. */
static void name_values(struct trace_event *row)
{
	char name[64];

	if (row->kind > TRACE_WRITE)
		return;
	if (is_elsewhere(row->old, name, sizeof(name)))
		row->old = 0;
	if (!is_elsewhere(row->value, name, sizeof(name)))
		return;
	row->value = 0;
	row->flags |= TRACE_POINTER;
	free((void *)row->note);
	row->note = strdup(name);
}

static enum trace_kind kind_of(const struct op *op)
{
	static const unsigned char kinds[] = {
		[OP_LOAD] = TRACE_LOAD, [OP_STORE] = TRACE_STORE,
		[OP_RMW] = TRACE_RMW, [OP_FENCE] = TRACE_FENCE,
		[OP_MEMBARRIER] = TRACE_MEMBARRIER, [OP_LOCK] = TRACE_LOCK,
		[OP_TRYLOCK] = TRACE_TRYLOCK, [OP_UNLOCK] = TRACE_UNLOCK,
		[OP_READ_LOCK] = TRACE_READ_LOCK,
		[OP_READ_TRYLOCK] = TRACE_READ_TRYLOCK,
		[OP_READ_UNLOCK] = TRACE_READ_UNLOCK, [OP_WAIT] = TRACE_WAIT,
		[OP_SLEEP] = TRACE_WAIT, [OP_WAKE] = TRACE_WAKE,
		[OP_CREATE] = TRACE_CREATE, [OP_JOIN] = TRACE_JOIN,
		[OP_EXIT] = TRACE_EXIT, [OP_YIELD] = TRACE_YIELD,
		[OP_CHOOSE] = TRACE_CHOOSE, [OP_START] = TRACE_CREATE,
	};

	return op->kind < ARRAY_SIZE(kinds) ? kinds[op->kind] : TRACE_NOTE;
}

static int holder(const void *lock, unsigned int except)
{
	for (unsigned int i = 0; lock && i < x.nthreads; i++)
		for (unsigned int k = 0; k < x.threads[i].nheld; k++)
			if (i != except && x.threads[i].held[k] == lock)
				return (int)i;
	return -1;
}

static void thread_write(struct trace_thread *to, unsigned int number)
{
	const struct thread *t = &x.threads[number];
	char held[MAX_HELD * 66] = "", name[64];
	struct names_place place;

	names_place((const char *)(uintptr_t)t->fn + 1, &place);
	to->name = strdup(t->name ? t->name : number && place.function ?
			  place.function : number ? "" : "main");
	to->ended = t->ended;
	to->blocked_kind = (unsigned char)kind_of(&t->op);
	to->blocked_object = t->op.addr ?
		strdup(name_of(t->op.addr, name, sizeof(name))) : NULL;
	to->blocked_by = t->op.kind == OP_JOIN ? (int)t->op.value :
			 t->op.kind == OP_LOCK || t->op.kind == OP_READ_LOCK ?
			 holder(t->op.addr, number) : -1;
	for (unsigned int i = 0; i < t->nheld; i++) {
		strcat(held, i ? ", " : "");
		strcat(held, name_of(t->held[i], name, sizeof(name)));
	}
	to->held = strdup(held);
	names_place(t->op.pc, &place);
	to->file = known(place.file);
	to->line = (int)place.line;
}

static int row_of_step(int step)
{
	for (unsigned int i = 0; i < r.n; i++)
		if (r.rows[i].step >= step)
			return (int)i;
	return -1;
}

/* Of the execution that was just run with x.record. NULL: no memory. */
struct trace *record_trace(void)
{
	struct trace *trace = calloc(1, sizeof(*trace));
	struct names_place place;

	if (!trace)
		return NULL;
	trace->threads = calloc(x.nthreads, sizeof(*trace->threads));
	trace->events = calloc(r.n + 1, sizeof(*trace->events));
	trace->steps = calloc(x.depth + 1, sizeof(*trace->steps));
	trace->scenario = strdup(x.scenario->name);
	trace->text = strdup(x.text);
	trace->weaken = strdup(x.options->weaken ? x.options->weaken : "");
	if (!trace->threads || !trace->events || !trace->steps) {
		trace_free(trace);
		return NULL;
	}
	trace->model = x.model;
	trace->defect = x.defect;
	trace->defect_thread = x.defect_thread;
	trace->loop_from = x.loop_at < 0 ? -1 : row_of_step(x.loop_at);
	names_place(x.other_pc, &place);
	trace->other_file = x.other_pc ? known(place.file) : NULL;
	trace->other_line = x.other_pc ? (int)place.line : 0;
	trace->nsteps = steps_get(trace->steps);
	trace->preemptions = preemptions();
	trace->nthreads = x.nthreads;
	x.record = true;	/* for names */
	for (unsigned int i = 0; i < x.nthreads; i++)
		thread_write(&trace->threads[i], i);
	x.record = false;
	trace->nevents = r.n;
	memcpy(trace->events, r.rows, r.n * sizeof(*r.rows));
	for (unsigned int i = 0; i < r.n; i++) {
		place_row(&trace->events[i], &r.pcs[(size_t)i * MAX_FRAMES]);
		name_values(&trace->events[i]);
	}
	return trace;
}

void trace_free(struct trace *trace)
{
	if (!trace)
		return;
	for (unsigned int i = 0; i < trace->nthreads; i++) {
		free((void *)trace->threads[i].name);
		free((void *)trace->threads[i].blocked_object);
		free((void *)trace->threads[i].held);
	}
	for (unsigned int i = 0; i < trace->nevents; i++) {
		free((void *)trace->events[i].object);
		free((void *)trace->events[i].note);
	}
	free((void *)trace->scenario);
	free((void *)trace->text);
	free((void *)trace->weaken);
	free(trace->threads);
	free(trace->events);
	free(trace->steps);
	free(trace);
}
