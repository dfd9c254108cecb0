// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Tags as fences. A buffer that is taken out of its slot stays with the requests
 * that have it; that the last of them is over, and its pages are no longer
 * pinned, the kernel says by a completion with the tag that the buffer was
 * registered with.
 *
 * A buffer counts as held before the kernel is asked to take it out: its tag may
 * be handed over, by another thread, before that call returns.
 */
#include <errno.h>
#include <limits.h>

#include "internal.h"
#include "uring.h"

_Static_assert(PIN_FIRST * ((1UL << PIN_CHUNKS) - 1) <= 1UL << PIN_INDEX_BITS,
	       "an index fits into a tag");

static struct pin *pin_at(const struct pins *p, unsigned long i)
{
	unsigned long n = i / PIN_FIRST + 1;
	unsigned int k = (unsigned int)(63 - __builtin_clzl(n));

	return &p->chunk[k][i - PIN_FIRST * ((1UL << k) - 1)];
}

/* A chunk more, if there is memory. Lock held. */
static void pins_grow(struct pins *p)
{
	unsigned long i, n = PIN_FIRST;
	unsigned int k = 0;
	struct pin *pin;

	while (k < PIN_CHUNKS && p->chunk[k])
		k++;
	if (k == PIN_CHUNKS)
		return;
	n <<= k;
	p->chunk[k] = sync_alloc_pages(n * sizeof(*pin));
	if (!p->chunk[k])
		return;
	for (i = n; i--;) {
		pin = &p->chunk[k][i];
		pin->index = (unsigned int)(p->made + i);
		pin->next = p->free;
		p->free = pin;
	}
	p->made += n;
}

/* Their memory stays, for pins_destroy(). */
void pins_forget(struct pins *p)
{
	p->made = 0;
	p->free = p->first = p->last = NULL;
	p->in_slots = p->bytes = 0;
	p->held = p->held_bytes = 0;
	p->sleepers = 0;
}

void pins_destroy(struct uhmm_rcache_uring *u)
{
	struct pins *p = &u->pins;

	for (unsigned int k = 0; k < PIN_CHUNKS && p->chunk[k]; k++)
		sync_free_pages(p->chunk[k],
				sizeof(struct pin) * (PIN_FIRST << k));
}

static uint64_t tag_of(const struct uhmm_rcache_uring *u, const struct pin *pin)
{
	return u->options.tags |
	       (uint64_t)(pin->life % (1U << PIN_LIFE_BITS)) << PIN_INDEX_BITS |
	       pin->index;
}

/* NULL: there is none, or it has had another life since. Lock held. */
static struct pin *pin_of(const struct uhmm_rcache_uring *u, uint64_t tag)
{
	unsigned long i = tag % (1UL << PIN_INDEX_BITS);
	struct pin *pin = i < u->pins.made ? pin_at(&u->pins, i) : NULL;

	return pin && pin->state != PIN_FREE && tag_of(u, pin) == tag ? pin :
									NULL;
}

/* -------------------------------------------- what becomes of one. Lock held. */

static void pin_free(struct pins *p, struct pin *pin)
{
	pin->state = PIN_FREE;
	pin->next = p->free;
	p->free = pin;
}

static void to_slot(struct uhmm_rcache_uring *u, struct pin *pin)
{
	pin->state = PIN_IN_SLOT;
	u->slot[pin->slot].pin = pin;
	u->pins.in_slots++;
	u->pins.bytes += pin->length;
}

static void from_slot(struct uhmm_rcache_uring *u, const struct pin *pin)
{
	u->slot[pin->slot].pin = NULL;
	u->pins.in_slots--;
	u->pins.bytes -= pin->length;
}

static void to_held(struct pins *p, struct pin *pin)
{
	pin->state = PIN_HELD;
	pin->number = ++p->numbers;
	pin->next = NULL;
	pin->prev = p->last;
	*(p->last ? &p->last->next : &p->first) = pin;
	p->last = pin;
	p->held++;
	WRITE_ONCE(p->held_bytes, p->held_bytes + pin->length);
}

static void from_held(struct pins *p, const struct pin *pin)
{
	*(pin->prev ? &pin->prev->next : &p->first) = pin->next;
	*(pin->next ? &pin->next->prev : &p->last) = pin->prev;
	p->held--;
	WRITE_ONCE(p->held_bytes, p->held_bytes - pin->length);
}

/* ------------------------------------------------------------ by the device */

/* Of all devices: what one has left behind in a ring means nothing to the next. */
static unsigned int lives;

uint64_t pin_begin(struct uhmm_rcache_uring *u, unsigned int slot,
		   unsigned long start, size_t length)
{
	struct pins *p = &u->pins;
	struct pin *pin;
	uint64_t tag = 0;

	spin_lock(&u->lock);
	if (!p->free)
		pins_grow(p);
	pin = p->free;
	if (pin) {
		p->free = pin->next;
		pin->start = start;
		pin->length = length;
		pin->slot = slot;
		pin->life = fetch_add(&lives, 1);
		to_slot(u, pin);
		tag = tag_of(u, pin);
	}
	spin_unlock(&u->lock);
	return tag;
}

void pin_cancel(struct uhmm_rcache_uring *u, unsigned int slot)
{
	struct pin *pin;

	spin_lock(&u->lock);
	pin = u->slot[slot].pin;
	from_slot(u, pin);
	pin_free(&u->pins, pin);
	spin_unlock(&u->lock);
}

/* Lock held; a sleeper is woken by who calls. */
static void release(struct uhmm_rcache_uring *u, struct pin *pin)
{
	from_held(&u->pins, pin);
	pin_free(&u->pins, pin);
	u->pins.released++;
	WRITE_ONCE(u->pins.changed, u->pins.changed + 1);
}

uint64_t pin_hold(struct uhmm_rcache_uring *u, unsigned int slot)
{
	struct pin *pin;
	uint64_t tag = 0;

	spin_lock(&u->lock);
	pin = u->slot[slot].pin;
	if (pin) {
		tag = tag_of(u, pin);
		from_slot(u, pin);
		to_held(&u->pins, pin);
		if (BROKEN(rcache_broken, BROKEN_FENCE))
			release(u, pin);
	}
	spin_unlock(&u->lock);
	return tag;
}

void pin_unhold(struct uhmm_rcache_uring *u, uint64_t tag)
{
	struct pin *pin;

	spin_lock(&u->lock);
	pin = pin_of(u, tag);
	if (pin) {
		from_held(&u->pins, pin);
		to_slot(u, pin);
	}
	spin_unlock(&u->lock);
}

/* ----------------------------------------------------------- by the program */

bool uhmm_rcache_uring_tag(struct uhmm_rcache_uring *uring, uint64_t user_data)
{
	struct pins *p = &uring->pins;
	struct pin *pin;
	bool wake;

	if (!uring_tagged(uring) ||
	    user_data >> TAG_BITS != uring->options.tags >> TAG_BITS)
		return false;
	spin_lock(&uring->lock);
	pin = pin_of(uring, user_data);
	if (pin && pin->state == PIN_HELD) {
		release(uring, pin);
	} else {
		p->strays++;
		/* Somebody else has emptied the slot. */
		if (pin) {
			from_slot(uring, pin);
			pin_free(p, pin);
		}
	}
	wake = p->sleepers;
	spin_unlock(&uring->lock);
	if (wake)
		wake_word(&p->changed);
	return true;
}

/* How many bytes of those up to @number overlap it. Lock held. */
static long held(const struct pins *p, unsigned long addr, size_t length,
		 uint64_t number)
{
	unsigned long last = addr + length - 1, end, bytes = 0;
	const struct pin *pin;

	if (!length || last < addr)
		last = ~0UL;
	for (pin = p->first; pin && pin->number <= number; pin = pin->next) {
		end = pin->start + pin->length - 1;
		if (pin->start <= last && end >= addr)
			bytes += (end < last ? end : last) -
				 (pin->start > addr ? pin->start : addr) + 1;
	}
	return bytes > LONG_MAX ? LONG_MAX : (long)bytes;
}

long uhmm_rcache_uring_held(struct uhmm_rcache_uring *uring, unsigned long addr,
			    size_t length)
{
	long bytes;

	if (!uring_tagged(uring))
		return -EOPNOTSUPP;
	spin_lock(&uring->lock);
	bytes = held(&uring->pins, addr, length, uring->pins.numbers);
	spin_unlock(&uring->lock);
	return bytes;
}

int uhmm_rcache_uring_wait(struct uhmm_rcache_uring *uring, unsigned long addr,
			   size_t length, int64_t timeout_ns)
{
	int64_t end, left = timeout_ns;
	struct pins *p = &uring->pins;
	unsigned int changed;
	uint64_t number;
	int err = 0;

	if (!uring_tagged(uring))
		return -EOPNOTSUPP;
	/* What is behind the end of time never comes. */
	if (__builtin_add_overflow(ktime_get_ns(), timeout_ns, &end))
		left = timeout_ns = -1;
	spin_lock(&uring->lock);
	number = p->numbers;
	while (held(p, addr, length, number) && !err) {
		changed = p->changed;
		p->sleepers++;
		spin_unlock(&uring->lock);
		if (timeout_ns >= 0)
			left = end - ktime_get_ns();
		err = timeout_ns >= 0 && left <= 0 ? -ETIMEDOUT :
			wait_word(&p->changed, changed, left);
		spin_lock(&uring->lock);
		p->sleepers--;
	}
	/* What came as the time ran out has come. */
	if (err && !held(p, addr, length, number))
		err = 0;
	spin_unlock(&uring->lock);
	return err;
}
