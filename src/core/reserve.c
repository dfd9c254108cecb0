/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Reservations: forward progress for the fault side.
 *
 * Collision-retry lets invalidations always go first, so a fault on a range
 * that is invalidated faster than it can be faulted never ends. The review of
 * 1 September 2015 asked for a lock inside the API instead; but a lock that a
 * fault holds while it waits for page tables can be one that their owner waits
 * for. So it is a reservation: blockable invalidations wait for it before they
 * call anybody, for a limited time, and those that could close a circle do not
 * wait at all:
 *  - a non-blockable one;
 *  - one whose thread has another invalidation open: a read may wait for that;
 *  - one whose thread has a reservation itself, not older than the limit: a
 *    lost one is not held against it for ever.
 * One that waits says so in its slot (SLOT_STALLED): a read that it has not
 * called yet need not wait for it.
 * What circles remain go through locks of the callers, and end with the limit.
 * Lock order: mmap_lock, reservation, user_lock.
 */
#include "reserve.h"

#include <errno.h>
#include <string.h>

#include "check.h"
#include UHMM_PROBES_H

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "the reservers are in the half of the word that is slept on");

/* What is not touched takes no memory. */
#define MORE_BYTES SYNC_SIZE(1UL << 20, 4096UL)

__thread struct reserve_thread reserve_thread;

/* One that is not lost; what is known of one that is lost is forgotten. */
static struct reservation *find(const struct mmu_interval_notifier *sub)
{
	unsigned long verified = READ_ONCE(sub->verified);

	for (unsigned int i = 0; i < reserve_thread.nheld; i++) {
		if (reserve_thread.held[i].sub != sub)
			continue;
		if (VERIFIED_RESERVERS(verified) &&
		    verified >> VERIFIED_NUMBER_SHIFT == reserve_thread.held[i].number)
			return &reserve_thread.held[i];
		reserve_thread.held[i--] = reserve_thread.held[--reserve_thread.nheld];
	}
	return NULL;
}

bool reserve_held(const struct mmu_interval_notifier *sub)
{
	return reserve_thread.nheld && find(sub);
}

/* -------------------------------------------------------- take and give back */

/*
 * For one more; the address space @mm sees to it that it is freed. Not by malloc(),
 * nor given back before the thread ends: the caller has a lock that callbacks
 * take, and in a live process malloc() may wait for one.
 */
static int make_room(struct mm_struct *mm)
{
	struct reserve_thread *t = &reserve_thread;
	struct reservation *more;

	if (t->nheld < t->room)
		return 0;
	if (!slot_counters(mm) || t->room > ARRAY_SIZE(t->first))
		return -ENOMEM;
	if (!t->room) {
		t->held = t->first;
		t->room = ARRAY_SIZE(t->first);
		return 0;
	}
	more = sync_alloc_pages(MORE_BYTES);
	if (!more)
		return -ENOMEM;
	memcpy(more, t->first, sizeof(t->first));
	t->held = more;
	t->room = MORE_BYTES / sizeof(*more);
	return 0;
}

/*
 * No invalidation is open that could be one that does not know @sub; those
 * that start from here on do.
 */
static bool known_to_all(const struct mmu_interval_notifier *sub)
{
	struct thread_block *block;
	struct slot *slot;

	/*
	 * Ordering: (RESERVE-FENCE) pairs with (ANNOUNCE-FENCE) in
	 * slot_announce(): as (READ-FENCE).
	 */
	smp_mb();
	for_each_slot(slot, block, sub->mm)
		if (slot_covers(slot, sub->interval_tree.start,
				sub->interval_tree.last))
			return false;
	return true;
}

static int reserve(struct mmu_interval_notifier *interval_sub)
{
	/* Of all address spaces: memory of a subscription may come again. */
	static unsigned long last_number;
	struct mm_struct *mm = interval_sub->mm;
	unsigned long number, old, new, known = 0;
	int ret;

	if (find(interval_sub))
		return 0;
	ret = make_room(mm);
	if (ret)
		return ret;
	number = fetch_add(&last_number, 1) + 1;
	old = READ_ONCE(interval_sub->verified);
	if (verified_known(old) || known_to_all(interval_sub))
		known = VERIFIED_KNOWN;
	do {
		if (VERIFIED_RESERVERS(old) == VERIFIED_MAX)
			return -EBUSY;
		if (VERIFIED_RESERVERS(old))
			new = old + VERIFIED_ONE;
		else
			new = number << VERIFIED_NUMBER_SHIFT | VERIFIED_ONE |
			      known;
	} while (!try_cmpxchg(&interval_sub->verified, &old, new));
	reserve_thread.held[reserve_thread.nheld++] = (struct reservation){
		.sub = interval_sub,
		.number = new >> VERIFIED_NUMBER_SHIFT,
		.until = ktime_get_ns() + mm->reserve_limit_ns,
	};
	fetch_add(&mm->reserves, 1);
	UHMM_PROBE2(reserve, interval_sub, number);
	return 0;
}

void reserve_thread_exit(void)
{
	if (reserve_thread.room > ARRAY_SIZE(reserve_thread.first))
		sync_free_pages(reserve_thread.held, MORE_BYTES);
	reserve_thread.held = NULL;
	reserve_thread.nheld = reserve_thread.room = 0;
}

int uhmm_interval_reserve(struct mmu_interval_notifier *interval_sub)
{
	if (mm_checked(interval_sub->mm) &&
	    !check_reserve(interval_sub, CHECK_FROM))
		return -EINVAL;
	return reserve(interval_sub);
}

void uhmm_interval_unreserve(struct mmu_interval_notifier *interval_sub)
{
	struct reservation *held = find(interval_sub);
	unsigned long old, number;

	if (!held)
		return;
	number = held->number;
	*held = reserve_thread.held[--reserve_thread.nheld];
	old = READ_ONCE(interval_sub->verified);
	do {
		/* Lost to the limit, and perhaps others have reserved since. */
		if (!VERIFIED_RESERVERS(old) ||
		    old >> VERIFIED_NUMBER_SHIFT != number)
			return;
	} while (!try_cmpxchg(&interval_sub->verified, &old,
			      old - VERIFIED_ONE));
	wake_word((unsigned int *)(void *)&interval_sub->verified);
}

/* ------------------------------------------------------------- by collisions */

bool reserve_colliding(const struct mmu_interval_notifier *sub)
{
	return reserve_thread.colliding == sub || reserve_held(sub);
}

void reserve_result(struct mmu_interval_notifier *sub, bool collided)
{
	if (!collided) {
		if (reserve_thread.colliding == sub)
			reserve_thread.colliding = NULL;
		if (reserve_held(sub))
			uhmm_interval_unreserve(sub);
		return;
	}
	if (reserve_thread.colliding != sub) {
		reserve_thread.colliding = sub;
		reserve_thread.collisions = 0;
	}
	/* Without memory it goes on as before, as a bare collision-retry. */
	if (++reserve_thread.collisions >= sub->mm->reserve_after &&
	    sub->mm->reserve_after != UHMM_RESERVE_NEVER)
		reserve(sub);
}

/* --------------------------------------------------------- the invalidation */

static void stall(struct slot *slot)
{
	WRITE_ONCE(slot->stalls, slot->stalls + 1);
	slot_set(slot, slot->word | SLOT_STALLED);
}

static void unstall(struct slot *slot)
{
	slot_set(slot, slot->word & ~SLOT_STALLED);
	WRITE_ONCE(slot->stalls, slot->stalls + 1);
	/*
	 * Ordering: (STALL-OVER) pairs with (READ-FENCE) in read_begin_wait()
	 * and (STALL-RECHECK) in not_called_yet(): who reads our number, or a
	 * cursor of later, sees that we stand still no more.
	 */
	smp_mb();
}

/* The reservers had their time. */
static void lose(struct mm_struct *mm, struct mmu_interval_notifier *sub)
{
	unsigned long old = READ_ONCE(sub->verified);

	while (VERIFIED_RESERVERS(old)) {
		if (try_cmpxchg(&sub->verified, &old, old & VERIFIED_KNOWN)) {
			fetch_add(&mm->reserves_lost, VERIFIED_RESERVERS(old));
			return;
		}
	}
}

static void wait_unreserved(struct mm_struct *mm,
			    struct mmu_interval_notifier *sub,
			    int64_t deadline)
{
	unsigned long verified;
	int64_t left;

	for (;;) {
		verified = READ_ONCE(sub->verified);
		if (!VERIFIED_RESERVERS(verified))
			return;
		left = deadline - ktime_get_ns();
		if (left <= 0) {
			lose(mm, sub);
			return;
		}
		wait_word((unsigned int *)(void *)&sub->verified,
			  (unsigned int)verified, left);
	}
}

/* Whether one is lost cannot be asked: its subscription may be gone. */
static bool holds_some(void)
{
	for (unsigned int i = 0; i < reserve_thread.nheld; i++)
		if (reserve_thread.held[i].until > ktime_get_ns())
			return true;
	return false;
}

void reserve_wait(struct mm_struct *mm, struct slot *slot,
		  struct uhmm_interval_node *const *hits, unsigned int n,
		  int64_t *deadline)
{
	if (holds_some() || slot_thread_busy(mm, slot))
		return;
	if (!*deadline)
		*deadline = ktime_get_ns() + mm->reserve_limit_ns;
	stall(slot);
	for (unsigned int i = 0; i < n; i++)
		wait_unreserved(mm, sub_of(hits[i]), *deadline);
	unstall(slot);
}
