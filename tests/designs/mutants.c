/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Wrong designs: the kernel's with one operation replaced. One is in use at a
 * time.
 */
#include "conform.h"

static struct uhmm_design wrong;
static const struct uhmm_design *const right = &uhmm_as_classic;

static struct uhmm_design *copy(void)
{
	wrong = *right;
	return &wrong;
}

/* ------------------------------------------------- starts that go elsewhere */

static int starts_left;

static int start_elsewhere(struct design_range *range, struct design_mm *mm,
			   unsigned long start, unsigned long end,
			   bool blockable, enum mmu_notifier_event event,
			   void *owner)
{
	if (starts_left-- > 0)
		return right->start(range, mm, start, end, blockable, event,
				    owner);
	return right->start(range, mm, PG(5000), PG(5001), true, event, owner);
}

static struct uhmm_design *calls_nobody(void)
{
	copy()->start = start_elsewhere;
	starts_left = 0;
	return &wrong;
}

static struct uhmm_design *calls_nobody_twice(void)
{
	copy()->start = start_elsewhere;
	starts_left = 1;
	return &wrong;
}

static int start_without_owner(struct design_range *range, struct design_mm *mm,
			       unsigned long start, unsigned long end,
			       bool blockable, enum mmu_notifier_event event,
			       void *owner)
{
	return right->start(range, mm, start, end, blockable, event, NULL);
}

static struct uhmm_design *forgets_owner(void)
{
	copy()->start = start_without_owner;
	return &wrong;
}

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static int start_locked(struct design_range *range, struct design_mm *mm,
			unsigned long start, unsigned long end, bool blockable,
			enum mmu_notifier_event event, void *owner)
{
	int ret;

	pthread_mutex_lock(&one_at_a_time);
	ret = right->start(range, mm, start, end, blockable, event, owner);
	pthread_mutex_unlock(&one_at_a_time);
	return ret;
}

static struct uhmm_design *holds_a_lock(void)
{
	copy()->start = start_locked;
	return &wrong;
}

/* ---------------------------------------------------------------- refusals */

static int start_and_end(struct design_range *range, struct design_mm *mm,
			 unsigned long start, unsigned long end, bool blockable,
			 enum mmu_notifier_event event, void *owner)
{
	int ret;

	ret = right->start(range, mm, start, end, true, event, owner);
	right->end(range);
	return ret;
}

static void end_nothing(struct design_range *range)
{
}

static struct uhmm_design *takes_no_refusal(void)
{
	copy()->start = start_and_end;
	wrong.end = end_nothing;
	return &wrong;
}

static int start_refused(struct design_range *range, struct design_mm *mm,
			 unsigned long start, unsigned long end, bool blockable,
			 enum mmu_notifier_event event, void *owner)
{
	start_and_end(range, mm, start, end, blockable, event, owner);
	return -EAGAIN;
}

static struct uhmm_design *refuses_all(void)
{
	copy()->start = start_refused;
	return &wrong;
}

static int start_again(struct design_range *range, struct design_mm *mm,
		       unsigned long start, unsigned long end, bool blockable,
		       enum mmu_notifier_event event, void *owner)
{
	int ret;

	ret = right->start(range, mm, start, end, blockable, event, owner);
	if (ret)
		right->start(range, mm, start, end, true, event, owner);
	return ret;
}

static struct uhmm_design *leaves_refused_open(void)
{
	copy()->start = start_again;
	return &wrong;
}

/* --------------------------------------------------------- insert and remove */

static int insert_refused(struct design_sub *sub, struct design_mm *mm,
			  unsigned long start, unsigned long length,
			  const struct design_client *client)
{
	return -EINVAL;
}

static struct uhmm_design *inserts_nothing(void)
{
	copy()->insert = insert_refused;
	return &wrong;
}

static struct design_sub *removed;

static void remove_later(struct design_sub *sub)
{
	__atomic_store_n(&removed, sub, __ATOMIC_SEQ_CST);
}

static int remove_then_start(struct design_range *range, struct design_mm *mm,
			     unsigned long start, unsigned long end,
			     bool blockable, enum mmu_notifier_event event,
			     void *owner)
{
	struct design_sub *sub = xchg(&removed, NULL);

	if (sub)
		right->remove(sub);
	return right->start(range, mm, start, end, blockable, event, owner);
}

static struct uhmm_design *removes_later(void)
{
	copy()->remove = remove_later;
	wrong.start = remove_then_start;
	removed = NULL;
	return &wrong;
}

static void release_nothing(struct design_mm *mm)
{
}

static void release_and_destroy(struct design_mm *mm)
{
	right->release(mm);
	right->mm_destroy(mm);
}

static struct uhmm_design *releases_nothing(void)
{
	copy()->release = release_nothing;
	wrong.mm_destroy = release_and_destroy;
	return &wrong;
}

/* ----------------------------------------------------------------- the reads */

static bool never(struct design_sub *sub, unsigned long seq)
{
	return false;
}

static bool always(struct design_sub *sub, unsigned long seq)
{
	return true;
}

static unsigned long begin_even(struct design_sub *sub)
{
	return right->read_begin(sub) & ~1UL;
}

static struct uhmm_design *never_retries(void)
{
	copy()->read_retry = never;
	return &wrong;
}

static struct uhmm_design *always_retries(void)
{
	copy()->read_retry = always;
	return &wrong;
}

static struct uhmm_design *always_checks_true(void)
{
	copy()->check_retry = always;
	return &wrong;
}

static struct uhmm_design *has_even_numbers(void)
{
	copy()->read_begin = begin_even;
	return &wrong;
}

/* ------------------------------------------------------- passes and the list */

static int prepare_one_pass(struct design_client *client)
{
	client->finish = NULL;
	return right->prepare(client);
}

static struct uhmm_design *has_no_second_pass(void)
{
	copy()->prepare = prepare_one_pass;
	return &wrong;
}

static void prepare_start_only(struct design_list_client *client)
{
	client->release = NULL;
	right->prepare_list(client);
	client->native.classic.invalidate_range_end = NULL;
}

static struct uhmm_design *list_hears_starts_only(void)
{
	copy()->prepare_list = prepare_start_only;
	return &wrong;
}

const struct mutant mutants[] = {
	{ "each start calls every subscription that overlaps, once",
	  "a start calls nobody", calls_nobody },
	{ "callbacks get the range as announced, why, for whom, and whether "
	  "they may sleep", "the owner is lost", forgets_owner },
	{ "a callback may insert", "the second start calls nobody",
	  calls_nobody_twice },
	{ "callbacks of one subscription may run in parallel",
	  "a lock is held", holds_a_lock },
	{ "second passes come after all first passes, before the list",
	  "there are none", has_no_second_pass },
	{ "numbers are odd", "they are even", has_even_numbers },
	{ "the last byte of the address space can be subscribed to",
	  "insert refuses", inserts_nothing },
	{ "an empty or wrapped interval is -EOVERFLOW",
	  "it is another error", inserts_nothing },
	{ "a read that collided with an open invalidation is not used",
	  "no retry", never_retries },
	{ "a read without a collision is used", "always a retry",
	  always_retries },
	{ "a range that does not overlap is no collision", "always a retry",
	  always_retries },
	{ "check_retry is final", "it is always true", always_checks_true },
	{ "another thread may call end", "always a retry", always_retries },
	{ "remove waits for callbacks under way, and then none comes",
	  "it does not", removes_later },
	{ "a refused range calls nobody further", "refusals are ignored",
	  takes_no_refusal },
	{ "a refused range leaves nothing open", "it is opened once more",
	  leaves_refused_open },
	{ "a refused range runs the second passes of those called before",
	  "there are none", has_no_second_pass },
	{ "a refused range is not told to list notifiers",
	  "refusals are ignored", takes_no_refusal },
	{ "a blockable range cannot be refused", "each one is", refuses_all },
	{ "a range refused by a list notifier is ended for all of them",
	  "no ends", list_hears_starts_only },
	{ "interval notifiers before list notifiers, the list's last one "
	  "first: at start, end and release", "no ends",
	  list_hears_starts_only },
	{ "a list notifier's release is called once", "it is not called",
	  list_hears_starts_only },
	{ "a list notifier sees no end without a start", "it sees none",
	  list_hears_starts_only },
	{ "RELEASE reaches every subscription, once", "it is not sent",
	  releases_nothing },
	{ "release is the last that a list notifier hears",
	  "it is not called", list_hears_starts_only },
	{ "after RELEASE insert is -EINVAL, and remove works",
	  "it is not sent", releases_nothing },
	{ NULL, NULL, NULL },
};
