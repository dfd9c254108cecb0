/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What is timed, once for each scheme: the file that includes this has defined
 * the scheme's words (struct words_mm, words_sub, words_range, words_list,
 * words_start() and so on), all of them static inline.
 */
#ifndef BENCH_OPS_H
#define BENCH_OPS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "world.h"

struct object {
	struct words_sub sub;
} __attribute__((aligned(64)));

/* @order: which object the i-th interval belongs to. */
struct world {
	struct plan plan;
	struct words_mm mm;
	struct object *objects;
	struct object *spares;
	unsigned long rng;
	unsigned long next;	/* for those one after the other */
	unsigned long hot;	/* start of a subscription, always the same */
	struct object *hot_object;
	struct words_range opened;
	struct words_mm elsewhere;	/* empty */
	struct words_range opened_elsewhere;
	struct words_list list;
	enum callback callback;
};

static inline void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench: %s failed\n", what);
	abort();
}

/* ------------------------------------------------------------------- pieces */

/* Less than @n; costs an addition, two multiplications, no memory. */
static inline unsigned long draw(unsigned long *rng, unsigned long n)
{
	*rng = *rng * 6364136223846793005UL + 1442695040888963407UL;
	return (*rng >> 32) * n >> 32;
}

/* Start of a random subscription that nothing lies over. */
static inline unsigned long draw_slot(const struct world *w,
				      unsigned long *rng)
{
	return plan_slot(&w->plan, draw(rng, w->plan.slots));
}

static inline struct object *draw_object(const struct world *w,
					 unsigned long *rng)
{
	return &w->objects[draw(rng, w->plan.n)];
}

static inline void start_end(struct world *w, unsigned long start,
			     unsigned long end)
{
	struct words_range range;

	words_start(&range, &w->mm, start, end);
	words_end(&range);
}

/* The hole behind the subscription at @slot. */
static inline void start_end_hole(struct world *w, unsigned long slot)
{
	start_end(w, slot + w->plan.length, slot + w->plan.stride);
}

static inline void start_end_64(struct world *w, unsigned long slot)
{
	start_end(w, slot, slot + 63 * w->plan.stride + PAGE);
}

static inline void read_bare(struct object *object)
{
	unsigned long seq;

	do
		seq = words_begin(&object->sub);
	while (words_retry(&object->sub, seq));
}

static inline void read_locked(struct object *object)
{
	unsigned long seq;
	bool again;

	do {
		seq = words_begin(&object->sub);
		pthread_mutex_lock(&user_lock);
		again = words_retry(&object->sub, seq);
		pthread_mutex_unlock(&user_lock);
	} while (again);
}

static inline void insert(struct world *w, struct object *object,
			  unsigned long start, unsigned long length)
{
	check(!words_insert(&object->sub, &w->mm, start, length, w->callback),
	      "insert");
}

static inline void remove_insert(struct world *w, struct object *object)
{
	unsigned long start = words_sub_start(&object->sub);
	unsigned long length = words_sub_last(&object->sub) - start + 1;

	words_remove(&object->sub);
	insert(w, object, start, length);
}

/* No operation before this has one after it in flight. */
static inline void serialise(void)
{
#if defined(__x86_64__)
	__builtin_ia32_lfence();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#endif
}

/* ------------------------------------------------------------------- slices */

#define SLICE(name, what)                                                      \
	static void name(void *arg, unsigned long n)                           \
	{                                                                      \
		struct world *w = arg;                                         \
		unsigned long rng = w->rng;                                    \
									       \
		while (n--) {                                                  \
			what;                                                  \
			__asm__ volatile("" ::: "memory");                     \
		}                                                              \
		w->rng = rng;                                                  \
	}

SLICE(slice_loop, __asm__ volatile("" : : "r"(draw_slot(w, &rng))))
SLICE(slice_outside, start_end(w, PLAN_BASE / 2, PLAN_BASE / 2 + PAGE))
SLICE(slice_hit0_hot, start_end_hole(w, w->hot))
SLICE(slice_hit0_hot_serial, start_end_hole(w, w->hot); serialise())
SLICE(slice_hit0_random, start_end_hole(w, draw_slot(w, &rng)))
SLICE(slice_hit0_random_serial,
      start_end_hole(w, draw_slot(w, &rng)); serialise())
SLICE(slice_hit1_hot, start_end(w, w->hot, w->hot + PAGE))
SLICE(slice_hit1_random, unsigned long slot = draw_slot(w, &rng);
      start_end(w, slot, slot + PAGE))
SLICE(slice_hit1_random_serial, unsigned long slot = draw_slot(w, &rng);
      start_end(w, slot, slot + PAGE); serialise())
SLICE(slice_hit64_hot,
      start_end_64(w, plan_slot(&w->plan, (w->plan.slots - 64) / 2)))
SLICE(slice_hit64_random,
      start_end_64(w, plan_slot(&w->plan,
				draw(&rng, w->plan.slots - 63))))
SLICE(slice_read_hot, read_locked(w->hot_object))
SLICE(slice_read_random, read_locked(draw_object(w, &rng)))
SLICE(slice_read_hot_bare, read_bare(w->hot_object))
SLICE(slice_read_random_bare, read_bare(draw_object(w, &rng)))
SLICE(slice_read_each_bare, read_bare(&w->objects[w->next++ % w->plan.n]))
SLICE(slice_hit1_read_random, struct object *object = draw_object(w, &rng);
      unsigned long start = words_sub_start(&object->sub);
      start_end(w, start, start + PAGE); read_locked(object))
SLICE(slice_remove_insert_hot, remove_insert(w, w->hot_object))
SLICE(slice_remove_insert_random, remove_insert(w, draw_object(w, &rng)))
SLICE(slice_insert_read_remove,
      insert(w, w->spares, draw_slot(w, &rng), PAGE); read_locked(w->spares);
      words_remove(&w->spares->sub))
SLICE(slice_insert_remove_hot, insert(w, w->spares, w->hot, PAGE);
      words_remove(&w->spares->sub))
SLICE(slice_insert_remove_random,
      insert(w, w->spares, draw_slot(w, &rng), PAGE);
      words_remove(&w->spares->sub))

/* ------------------------------------------------------------------- worlds */

static struct object *make_objects(const struct setup *setup, unsigned long n)
{
	struct object *objects = world_memory(setup, n * sizeof(*objects));

	check(objects, "memory");
	return objects;
}

static struct world *create(const struct setup *setup)
{
	unsigned long start, length, n = setup->n;
	unsigned int *order = random_order(n, 1);
	unsigned int *place = random_order(n, 2);
	struct world *w = calloc(1, sizeof(*w));

	check(w, "memory");
	plan_init(&w->plan, setup->shape, n);
	check(!words_mm_create(&w->mm, setup), "mm_create");
	check(!words_mm_create(&w->elsewhere, setup), "mm_create");
	w->callback = setup->callback;
	w->objects = make_objects(setup, n);
	w->spares = make_objects(setup, SPARES);
	for (unsigned long i = 0; i < n; i++) {
		plan_interval(&w->plan, order[i], &start, &length);
		insert(w, &w->objects[place[i]], start, length);
	}
	w->rng = n;
	w->hot = plan_slot(&w->plan, w->plan.slots / 2);
	for (unsigned long i = 0; i < n; i++)
		if (words_sub_start(&w->objects[i].sub) == w->hot)
			w->hot_object = &w->objects[i];
	free(order);
	free(place);
	return w;
}

static void destroy(struct world *w)
{
	words_mm_destroy(&w->mm, w->plan.n);
	words_mm_destroy(&w->elsewhere, 0);
	free(w->objects);
	free(w->spares);
	free(w);
}

static void open_one(struct world *w)
{
	words_start(&w->opened, &w->mm, w->hot, w->hot + PAGE);
}

static void close_one(struct world *w)
{
	words_end(&w->opened);
}

static double end_after_inserts(struct world *w, unsigned long n,
				bool elsewhere)
{
	struct words_range *timed = elsewhere ? &w->opened_elsewhere : &w->opened;
	struct words_range *other = elsewhere ? &w->opened : &w->opened_elsewhere;
	unsigned long start, rng = w->rng;
	int64_t begun, took;

	open_one(w);
	words_start(&w->opened_elsewhere, &w->elsewhere, w->hot, w->hot + PAGE);
	for (unsigned long i = 0; i < n; i++) {
		do
			start = draw_slot(w, &rng);
		while (start == w->hot);
		insert(w, &w->spares[i], start, PAGE);
	}
	begun = bench_now();
	words_end(timed);
	took = bench_now() - begun;
	words_end(other);
	for (unsigned long i = 0; i < n; i++)
		words_remove(&w->spares[i].sub);
	w->rng = rng;
	return took;
}

static void list_register(struct world *w)
{
	check(!words_list_register(&w->list, &w->mm), "register");
}

static void list_unregister(struct world *w)
{
	words_list_unregister(&w->list, &w->mm);
}

static size_t own_bytes(struct world *w)
{
	return words_own_bytes(&w->mm);
}

/* ------------------------------------------------------------------ devices */

struct device {
	struct words_sub sub;
	pthread_mutex_t lock __attribute__((aligned(64)));
	struct world *world;
	unsigned long start;
	struct words_range open[2];
} __attribute__((aligned(128)));

static void device_hit(struct words_sub *sub, unsigned long cur_seq)
{
	struct device *d = (struct device *)sub;

	pthread_mutex_lock(&d->lock);
	words_set_seq(sub, cur_seq);
	pthread_mutex_unlock(&d->lock);
}

static void device_insert(struct device *d)
{
	check(!words_insert(&d->sub, &d->world->mm, d->start, PAGE,
			    CALL_DEVICE), "insert");
}

static void device_remove(struct device *d)
{
	words_remove(&d->sub);
}

static struct device *device_create(struct world *w, unsigned long slot)
{
	struct device *d = aligned_alloc(128, sizeof(*d));

	check(d, "memory");
	memset(d, 0, sizeof(*d));
	pthread_mutex_init(&d->lock, NULL);
	d->world = w;
	d->start = plan_slot(&w->plan, slot) + w->plan.length;
	device_insert(d);
	return d;
}

static void device_destroy(struct device *d)
{
	device_remove(d);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static inline bool device_read_once(struct device *d, int64_t body_ns)
{
	unsigned long seq = words_begin(&d->sub);
	int64_t until;
	bool again;

	if (body_ns) {
		until = bench_now() + body_ns;
		while (bench_now() < until)
			;
	}
	pthread_mutex_lock(&d->lock);
	again = words_retry(&d->sub, seq);
	pthread_mutex_unlock(&d->lock);
	return !again;
}

static void device_read(void *arg, unsigned long n)
{
	while (n--)
		while (!device_read_once(arg, 0))
			;
}

static void device_hit0(void *arg, unsigned long n)
{
	struct device *d = arg;

	while (n--)
		start_end(d->world, d->start + PAGE, d->start + 2 * PAGE);
}

static void device_hit1(void *arg, unsigned long n)
{
	struct device *d = arg;

	while (n--)
		start_end(d->world, d->start, d->start + PAGE);
}

static void device_reinsert(void *arg, unsigned long n)
{
	while (n--) {
		device_remove(arg);
		device_insert(arg);
	}
}

static long device_fault(struct device *d, int64_t body_ns, int64_t deadline)
{
	long collisions = 0;

	while (!device_read_once(d, body_ns)) {
		collisions++;
		if (bench_now() >= deadline) {
			words_give_up(&d->sub);
			return -1;
		}
	}
	return collisions;
}

static void device_open(struct device *d, unsigned int i)
{
	words_start(&d->open[i], &d->world->mm, d->start, d->start + PAGE);
}

static void device_close(struct device *d, unsigned int i)
{
	words_end(&d->open[i]);
}

static bool locked(struct world *w)
{
	return words_locked(&w->mm);
}

static unsigned long reserves_lost(struct world *w)
{
	return words_reserves_lost(&w->mm);
}

#define COMMON_OPS                                                             \
	.sub_size = sizeof(struct words_sub),                                  \
	.create = create,                                                      \
	.destroy = destroy,                                                    \
	.set_callback = words_set_callback,                                    \
	.slice = {                                                             \
		[OP_LOOP] = slice_loop,                                        \
		[OP_OUTSIDE] = slice_outside,                                  \
		[OP_HIT0_HOT] = slice_hit0_hot,                                \
		[OP_HIT0_HOT_SERIAL] = slice_hit0_hot_serial,                  \
		[OP_HIT0_RANDOM] = slice_hit0_random,                          \
		[OP_HIT0_RANDOM_SERIAL] = slice_hit0_random_serial,            \
		[OP_HIT1_HOT] = slice_hit1_hot,                                \
		[OP_HIT1_RANDOM] = slice_hit1_random,                          \
		[OP_HIT1_RANDOM_SERIAL] = slice_hit1_random_serial,            \
		[OP_HIT64_HOT] = slice_hit64_hot,                              \
		[OP_HIT64_RANDOM] = slice_hit64_random,                        \
		[OP_READ_HOT] = slice_read_hot,                                \
		[OP_READ_RANDOM] = slice_read_random,                          \
		[OP_READ_HOT_BARE] = slice_read_hot_bare,                      \
		[OP_READ_RANDOM_BARE] = slice_read_random_bare,                \
		[OP_READ_EACH_BARE] = slice_read_each_bare,                    \
		[OP_HIT1_READ_RANDOM] = slice_hit1_read_random,                \
		[OP_REMOVE_INSERT_HOT] = slice_remove_insert_hot,              \
		[OP_REMOVE_INSERT_RANDOM] = slice_remove_insert_random,        \
		[OP_INSERT_READ_REMOVE] = slice_insert_read_remove,            \
		[OP_INSERT_REMOVE_HOT] = slice_insert_remove_hot,              \
		[OP_INSERT_REMOVE_RANDOM] = slice_insert_remove_random,        \
		[OP_TAG_CHECK] = words_slice_tag_check,                        \
		[OP_CALLBACK_RANDOM] = words_slice_callback_random,            \
		[OP_MUTEX_ALONE] = words_slice_mutex_alone,                    \
		[OP_ANNOUNCE_ALONE] = words_slice_announce_alone,              \
	},                                                                     \
	.open = open_one,                                                      \
	.close = close_one,                                                    \
	.end_after_inserts = end_after_inserts,                                \
	.list_register = list_register,                                        \
	.list_unregister = list_unregister,                                    \
	.device_create = device_create,                                        \
	.device_destroy = device_destroy,                                      \
	.device_slice = {                                                      \
		[DEVICE_READ] = device_read,                                   \
		[DEVICE_HIT0] = device_hit0,                                   \
		[DEVICE_HIT1] = device_hit1,                                   \
		[DEVICE_INSERT] = device_reinsert,                             \
	},                                                                     \
	.device_fault = device_fault,                                          \
	.device_open = device_open,                                            \
	.device_close = device_close,                                          \
	.device_insert = device_insert,                                        \
	.device_remove = device_remove,                                        \
	.locked = locked,                                                      \
	.reserves_lost = reserves_lost,                                        \
	.own_bytes = own_bytes

#endif
