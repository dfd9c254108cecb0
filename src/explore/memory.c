/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What loads read.
 *
 * sc: memory. tso: the thread's own buffer of stores, then memory; stores go
 * to memory from the buffer, in their order. c11: each word that is stored to
 * has all its stores, in the order that all agree on; each thread a view, for
 * each word the oldest store that it may still read. A load takes any from
 * there on, a store goes to any place behind there. With a store goes the view
 * that an acquire of it gets; seq_cst fences meet in one view of their own.
 * Idea: the views of Kang and others 2017, without promises: no load reads what
 * is stored after it in its own thread (no load buffering). The rules for
 * seq_cst accesses are those of RC11 as far as each acts on its own word. Since
 * C20 a release sequence goes on through read-modify-writes only.
 *
 * Memory itself holds the last store of each word.
 */
#include "memory.h"

#include <string.h>

#include "internal.h"
#include "world.h"

#define MAX_MESSAGES 40
/* Between two neighbours, so that others find place there. */
#define TIME_STEP 64

struct message {
	int16_t time;
	bool taken;		/* a read-modify-write stands right behind it */
	int32_t event;		/* that stored it, -1: before all */
	uint64_t value;
	union times hb;
	union view view;
};

struct location {
	uint64_t *word;
	uint16_t object;
	uint8_t size;
	uint8_t n;
	bool plain;		/* written plainly since */
	int16_t floor;		/* older ones are gone */
	struct message messages[MAX_MESSAGES];
};

static struct {
	unsigned int nlocations;
	union view sc;
	struct location locations[MAX_LOCATIONS];
} m;

unsigned int view_words;

void memory_begin(void)
{
	m.nlocations = 0;
	view_clear(&m.sc);
}

/* -------------------------------------------------------------- bytes in words */

/* The part of a word's value that op is about. */
static uint64_t part_of(const struct location *l, const struct op *op,
			uint64_t word)
{
	uint64_t value = 0;

	memcpy(&value, (char *)&word + ((char *)op->addr - (char *)l->word),
	       op->size);
	return value;
}

static uint64_t with_part(const struct location *l, const struct op *op,
			  uint64_t word, uint64_t value)
{
	memcpy((char *)&word + ((char *)op->addr - (char *)l->word), &value,
	       op->size);
	return word;
}

/* ---------------------------------------------------------------- locations */

/* All there is is what memory holds, and who comes here sees it. */
static void restart(struct location *l, int16_t time)
{
	l->n = 1;
	l->floor = time;
	l->plain = false;
	memset(&l->messages[0], 0, offsetof(struct message, view));
	view_clear(&l->messages[0].view);
	l->messages[0].time = time;
	l->messages[0].event = -1;
	l->messages[0].value = read_bytes(l->word, l->size);
}

static struct object_c11 *c11_now(uint16_t number)
{
	object_now(number);
	return &x.objects_c11[number];
}

static struct location *location_of(const struct op *op, bool make)
{
	uint16_t number = op->touch->object;
	struct object_c11 *object = c11_now(number);
	struct location *l;

	if (object->location >= 0) {
		l = &m.locations[object->location];
		if (l->plain)
			restart(l, (int16_t)(l->messages[l->n - 1].time +
					     TIME_STEP));
		return l;
	}
	if (!make)
		return NULL;
	if (m.nlocations == MAX_LOCATIONS)
		execution_bad(UHMM_DEFECT_UNSUPPORTED, op->pc,
			      "more than %d words are stored to under c11",
			      MAX_LOCATIONS);
	if (m.nlocations == 8 * view_words)
		view_words++;
	object->location = (int16_t)m.nlocations;
	l = &m.locations[m.nlocations++];
	l->size = object_is_wide(op->addr) ? 8 : 4;
	l->word = (uint64_t *)((uintptr_t)op->addr & ~(l->size - 1UL));
	l->object = number;
	restart(l, 0);
	return l;
}

static int16_t lowest(const struct location *l, const struct op *op)
{
	unsigned int i = (unsigned int)(l - m.locations);
	int16_t low = far_of(self())->view.at[i];

	if (l->floor > low)
		low = l->floor;
	if (op->order == __ATOMIC_SEQ_CST && m.sc.at[i] > low)
		low = m.sc.at[i];
	return low;
}

bool memory_has_newer(const struct thread *t, uint16_t object)
{
	int at = x.objects_c11[object].location;
	const struct location *l;

	if (at < 0)
		return false;
	l = &m.locations[at];
	return l->messages[l->n - 1].time > far_of(t)->view.at[at];
}

/* Who yields gets to see, of each word it read, one newer store at least. */
void memory_yielded(void)
{
	struct thread *t = self();

	for (unsigned int i = 0; i < t->nwatched; i++) {
		int at = c11_now(t->watched[i].object)->location;
		const struct location *l;
		unsigned int k = 0;

		if (at < 0)
			continue;
		l = &m.locations[at];
		while (k + 1 < l->n && l->messages[k].time <= far_of(t)->view.at[at])
			k++;
		if (l->messages[k].time > far_of(t)->view.at[at])
			far_of(t)->view.at[at] = l->messages[k].time;
	}
}

/* --------------------------------------------------------------- c11: accesses */

static void see(struct location *l, const struct message *message,
		unsigned int order)
{
	unsigned int i = (unsigned int)(l - m.locations);
	struct thread *t = self();

	if (message->time > far_of(t)->view.at[i])
		far_of(t)->view.at[i] = message->time;
	if (acquires(order)) {
		view_join(&far_of(t)->view, &message->view);
		times_join(&t->hb, &message->hb);
	} else {
		view_join(&far_of(t)->view_acquire, &message->view);
		times_join(&t->hb_acquire, &message->hb);
	}
}

static void message_copy(struct message *to, const struct message *from)
{
	memcpy(to, from, offsetof(struct message, view));
	view_copy(&to->view, &from->view);
}

/* Make place behind message @k. */
static struct message *insert(struct location *l, unsigned int k,
			      const struct op *op)
{
	int16_t before = l->messages[k].time, time;
	struct message *message;

	time = k + 1 == l->n ? (int16_t)(before + TIME_STEP) :
	       (int16_t)((before + l->messages[k + 1].time) / 2);
	if (l->n == MAX_MESSAGES || time == before)
		execution_bad(UHMM_DEFECT_UNSUPPORTED, op->pc,
			      "one word is stored to more than %d times under "
			      "c11", MAX_MESSAGES - 1);
	for (unsigned int i = l->n++; i > k + 1; i--)
		message_copy(&l->messages[i], &l->messages[i - 1]);
	message = &l->messages[k + 1];
	message->time = time;
	message->taken = false;
	message->event = (int32_t)record_at();
	return message;
}

static void publish(struct location *l, struct message *message,
		    const struct op *op, uint64_t value)
{
	unsigned int i = (unsigned int)(l - m.locations);
	struct thread *t = self();

	if (message[-1].value != value)
		object_changed(l->object);
	message->value = value;
	far_of(t)->view.at[i] = message->time;
	view_copy(&message->view,
		  releases(op->order) ? &far_of(t)->view : &far_of(t)->view_release);
	message->view.at[i] = message->time;
	message->hb = *released_by(t, op->order);
	if (op->order == __ATOMIC_SEQ_CST && m.sc.at[i] < message->time)
		m.sc.at[i] = message->time;
	if (message == &l->messages[l->n - 1])
		write_bytes(l->word, l->size, value);
}

static uint64_t c11_load(const struct op *op)
{
	struct location *l = location_of(op, false);
	unsigned int first, pick;
	int16_t low;

	if (!l)
		return read_bytes(op->addr, op->size);
	low = lowest(l, op);
	for (first = l->n; first && l->messages[first - 1].time >= low; first--)
		;
	pick = l->n - 1U - op_choose(l->n - first);
	record_read(l->messages[pick].event, pick + 1U != l->n);
	see(l, &l->messages[pick], op->order);
	return part_of(l, op, l->messages[pick].value);
}

static void c11_store(const struct op *op)
{
	struct location *l = location_of(op, true);
	uint8_t places[MAX_MESSAGES];
	int16_t low = lowest(l, op);
	unsigned int n = 0, k;

	for (k = l->n; k && l->messages[k - 1].time >= low; k--)
		if (!l->messages[k - 1].taken)
			places[n++] = (uint8_t)(k - 1);
	k = places[op_choose(n)];
	publish(l, insert(l, k, op), op,
		with_part(l, op, l->messages[k].value, op->value));
}

static uint64_t c11_rmw(const struct op *op, update_fn update, uint64_t arg,
			bool *stored)
{
	struct location *l = location_of(op, true);
	struct message *from, *message;
	uint8_t places[MAX_MESSAGES];
	int16_t low = lowest(l, op);
	unsigned int n = 0, k;
	uint64_t old, value;

	for (k = l->n; k && l->messages[k - 1].time >= low; k--)
		if (!l->messages[k - 1].taken)
			places[n++] = (uint8_t)(k - 1);
	k = places[op_choose(n)];
	from = &l->messages[k];
	record_read(from->event, k + 1U != l->n);
	old = value = part_of(l, op, from->value);
	*stored = update(&value, op, arg);
	see(l, from, *stored ? op->order : op->failure_order);
	if (!*stored)
		return old;
	message = insert(l, k, op);
	from->taken = true;
	publish(l, message, op, with_part(l, op, from->value, value));
	view_join(&message->view, &from->view);
	times_join(&message->hb, &from->hb);
	return old;
}

/* Written plainly: all who come after it are ordered behind it. */
void memory_plain_write(struct region *region, size_t offset, size_t size)
{
	for (size_t at = offset / 4; at <= (offset + size - 1) / 4; at++) {
		uint16_t object = region->objects[at];

		if (object && object_used(&x.objects[object]) &&
		    x.objects_c11[object].location >= 0)
			m.locations[x.objects_c11[object].location].plain = true;
	}
}

/* ------------------------------------------------------------- sc, tso: accesses */

static uint64_t plain_read(const struct op *op)
{
	struct thread *t = self();
	uint64_t value = read_bytes(op->addr, op->size);

	for (unsigned int i = 0; i < t->nbuffered; i++) {
		const struct buffered *b = &far_of(t)->buffered[i];
		ptrdiff_t at = (char *)b->addr - (char *)op->addr;

		for (unsigned int k = 0; k < b->size; k++)
			if (at + (ptrdiff_t)k >= 0 &&
			    at + (ptrdiff_t)k < op->size)
				((char *)&value)[at + (ptrdiff_t)k] =
					((const char *)&b->value)[k];
	}
	return value;
}

uint64_t memory_load_late(const struct op *op)
{
	if (x.model == UHMM_MODEL_C11)
		return c11_load(op);
	get_released(object_touched(op), op->order);
	return plain_read(op);
}

static void buffer(const struct op *op)
{
	struct thread *t = self();
	struct buffered *b = &far_of(t)->buffered[t->nbuffered++];

	b->addr = op->addr;
	b->value = op->value;
	b->size = op->size;
	b->object = op->store_object;
	b->clock = t->clock;
	b->pc = op->pc;
	b->unlock = op->kind == OP_UNLOCK;
	b->hb = *released_by(t, op->order);
	b->row = record_at();
}

void memory_store_late(const struct op *op)
{
	if (x.model == UHMM_MODEL_C11)
		c11_store(op);
	else if (op->order != __ATOMIC_SEQ_CST)
		buffer(op);
	else
		store_at_once(op, op->size);
}

void memory_buffer_unlock(const struct op *op)
{
	buffer(op);
}

static void flush_first(struct thread *t)
{
	struct buffered *b = &far_of(t)->buffered[0];

	if (!b->unlock)
		object_now(b->object)->hb = b->hb;
	else
		times_join(&object_now(b->object)->hb, &b->hb);
	change(b->addr, b->size, b->value, b->object);
	t->nbuffered--;
	memmove(b, b + 1, t->nbuffered * sizeof(*b));
}

void memory_flush(unsigned int thread)
{
	flush_first(&x.threads[thread]);
}

/* Nobody is left to see the difference. */
void memory_drain_alone(void)
{
	while (self()->nbuffered)
		flush_first(self());
}

uint64_t memory_rmw(const struct op *op, update_fn update, uint64_t arg,
		    bool *stored)
{
	struct object *object;
	uint64_t old, value;

	if (unlikely(x.model == UHMM_MODEL_C11))
		return c11_rmw(op, update, arg, stored);
	old = value = read_bytes(op->addr, op->size);
	*stored = update(&value, op, arg);
	object = object_touched(op);
	get_released(object, *stored ? op->order : op->failure_order);
	if (*stored) {
		change(op->addr, op->size, value, op->touch->object);
		times_join(&object->hb, released_by(self(), op->order));
	}
	return old;
}

/* ------------------------------------------------------------ fences and locks */

static void fence(struct thread *t, unsigned int order)
{
	if (acquires(order)) {
		view_join(&far_of(t)->view, &far_of(t)->view_acquire);
		times_join(&t->hb, &t->hb_acquire);
	}
	if (order == __ATOMIC_SEQ_CST) {
		view_join(&m.sc, &far_of(t)->view);
		view_copy(&far_of(t)->view, &m.sc);
	}
	if (releases(order)) {
		view_copy(&far_of(t)->view_release, &far_of(t)->view);
		t->hb_release = t->hb;
	}
}

void memory_fence(unsigned int order)
{
	fence(self(), order);
}

void memory_step(unsigned int thread)
{
	times_tick(&x.threads[thread].hb, thread);
}

void memory_membarrier(unsigned int thread)
{
	memory_step(thread);
	fence(&x.threads[thread], __ATOMIC_SEQ_CST);
}

static union view *view_of(const struct object *object)
{
	return &x.objects_c11[object - x.objects].view;
}

void memory_join_view(const struct object *object)
{
	view_join(&far_of(self())->view, view_of(object));
}

void memory_leave_view(const struct object *object)
{
	view_join(view_of(object), &far_of(self())->view);
}

void memory_thread(unsigned int parent, unsigned int child)
{
	x.threads[child].hb = x.threads[parent].hb;
	view_copy(&x.far[child].view, &x.far[parent].view);
}

void memory_joined(unsigned int thread)
{
	times_join(&self()->hb, &x.threads[thread].hb);
	view_join(&far_of(self())->view, &x.far[thread].view);
}

/* ------------------------------------------------------------------ snapshots */

static size_t view_bytes(unsigned int words)
{
	return words * sizeof(words8);
}

size_t memory_save_bytes(void)
{
	size_t size = 2 * sizeof(unsigned int) + view_bytes(view_words);

	for (unsigned int i = 0; i < m.nlocations; i++)
		size += offsetof(struct location, messages) +
			m.locations[i].n * (offsetof(struct message, view) +
					    view_bytes(view_words));
	return size;
}

/* What of it means anything. */
char *memory_save(char *to)
{
	to = bytes_put(to, &m.nlocations, sizeof(m.nlocations));
	to = bytes_put(to, &view_words, sizeof(view_words));
	to = bytes_put(to, &m.sc, view_bytes(view_words));
	for (unsigned int i = 0; i < m.nlocations; i++) {
		const struct location *l = &m.locations[i];

		to = bytes_put(to, l, offsetof(struct location, messages));
		for (unsigned int k = 0; k < l->n; k++) {
			to = bytes_put(to, &l->messages[k],
				 offsetof(struct message, view));
			to = bytes_put(to, &l->messages[k].view,
				 view_bytes(view_words));
		}
	}
	return to;
}

/* There may be more words now than there were then. */
static const char *get_view(union view *to, const char *from,
			    unsigned int words)
{
	view_clear(to);
	return bytes_get(to, from, view_bytes(words));
}

const char *memory_restore(const char *from)
{
	unsigned int words;

	from = bytes_get(&m.nlocations, from, sizeof(m.nlocations));
	from = bytes_get(&words, from, sizeof(words));
	from = get_view(&m.sc, from, words);
	for (unsigned int i = 0; i < m.nlocations; i++) {
		struct location *l = &m.locations[i];

		from = bytes_get(l, from, offsetof(struct location, messages));
		for (unsigned int k = 0; k < l->n; k++) {
			from = bytes_get(&l->messages[k], from,
				   offsetof(struct message, view));
			from = get_view(&l->messages[k].view, from, words);
		}
	}
	return from;
}

uint64_t memory_hash(uint64_t hash)
{
	size_t views = view_bytes(view_words);

	hash = hash_bytes(hash, &m.sc, views);
	for (unsigned int i = 0; i < m.nlocations; i++) {
		const struct location *l = &m.locations[i];

		hash = hash_bytes(hash, l, offsetof(struct location, messages));
		for (unsigned int k = 0; k < l->n; k++) {
			hash = hash_bytes(hash, &l->messages[k],
					  offsetof(struct message, view));
			hash = hash_bytes(hash, &l->messages[k].view, views);
		}
	}
	return hash;
}
