/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Slots: where threads get them, how others wait for what is in them.
 *
 * A thread finds its block by its own number, in a few words of thread-local
 * storage or else in the list of all blocks. Blocks are taken without a lock,
 * from whoever gave his back or is no more, or from fresh pages, so that an
 * invalidation that must not sleep can be a thread's first.
 */
#include "reserve.h"

#include <errno.h>

#define CHUNK_BYTES SYNC_SIZE(16384UL, 4096UL)
#define RETRY_NS 1000000

struct block_chunk {
	struct block_chunk *next;
	unsigned long used;
	unsigned long size;		/* so many there are */
	struct thread_block blocks[];
};

#define CHUNK_BLOCKS(bytes) \
	(((bytes) - sizeof(struct block_chunk)) / sizeof(struct thread_block))

#define BLOCK_CACHE 4

__thread struct block_cache block_recent;
/* Each at its address space's id's place. */
static __thread struct block_cache block_cache[BLOCK_CACHE]
	__attribute__((tls_model("initial-exec")));

/* ------------------------------------------------------- blocks of a thread */

static struct block_chunk *chunk_add(struct mm_struct *mm)
{
	struct block_chunk *chunk = sync_alloc_pages(CHUNK_BYTES);

	if (!chunk)
		return NULL;
	chunk->size = CHUNK_BLOCKS(CHUNK_BYTES);
	chunk->next = READ_ONCE(mm->chunks);
	/* Ordering: (CHUNK-PUSH) pairs with (CHUNK-SEEN) in block_make(): see there. */
	while (!try_cmpxchg(&mm->chunks, &chunk->next, chunk))
		;
	return chunk;
}

/* Ready for use by @owner, in the list of all. NULL: no memory. */
static struct thread_block *block_make(struct mm_struct *mm,
				       unsigned long owner)
{
	/*
	 * Ordering: (CHUNK-SEEN) pairs with (CHUNK-PUSH) in chunk_add(): a
	 * chunk is seen as it was made. Fresh from the kernel it is all zero,
	 * but ThreadSanitizer takes mmap() for a write.
	 */
	struct block_chunk *chunk = smp_load_acquire(&mm->chunks);
	struct thread_block *block;
	unsigned long i;

	while (chunk) {
		i = READ_ONCE(chunk->used) < chunk->size ?
			    fetch_add(&chunk->used, 1) : chunk->size;
		if (i < chunk->size)
			break;
		chunk = chunk_add(mm);
	}
	if (!chunk)
		return NULL;
	block = &chunk->blocks[i];
	WRITE_ONCE(block->owner, owner);
	/* The first may be used without asking for it, see slot_get(). */
	block->nslots = 1;
	block->next = READ_ONCE(mm->blocks);
	/*
	 * Ordering: (BLOCKS-PUSH) pairs with (BLOCKS-SEEN) in block_first():
	 * try_cmpxchg() publishes the block as it was made.
	 */
	while (!try_cmpxchg(&mm->blocks, &block->next, block))
		;
	fetch_add(&mm->nblocks, 1);
	return block;
}

/* What a thread that is no more left open, another may end. */
static bool block_idle(const struct thread_block *block)
{
	for (unsigned long i = 0; i < READ_ONCE(block->nslots); i++)
		if (READ_ONCE(block->slots[i].word) & SLOT_ACTIVE)
			return false;
	return true;
}

/*
 * A block that nobody owns, or whose owner is no more and could not say so. In
 * one that is taken nothing is open, so what is open in it is its owner's.
 */
static struct thread_block *block_take(struct mm_struct *mm, unsigned long me,
				       bool look_for_dead)
{
	struct thread_block *block;
	unsigned long owner;

	for_each_block(block, mm) {
		owner = READ_ONCE(block->owner);
		if (owner && !(look_for_dead &&
			       !sync_thread_alive(owner)))
			continue;
		if (!block_idle(block))
			continue;
		/* Ordering: (BLOCK-TAKE) pairs with (BLOCK-GIVE) in give_back(): see there. */
		if (try_cmpxchg(&block->owner, &owner, me)) {
			block->finger.version = 0;
			return block;
		}
	}
	return NULL;
}

static struct thread_block *block_get(struct mm_struct *mm)
{
	unsigned long me = sync_thread_number();
	struct thread_block *block = block_take(mm, me, false);

	/* Ask the kernel who lives only where the list would grow long. */
	if (!block && READ_ONCE(mm->nblocks) >= CHUNK_BLOCKS(CHUNK_BYTES) / 2)
		block = block_take(mm, me, true);
	return block ? block : block_make(mm, me);
}

static void block_remember(struct mm_struct *mm, struct thread_block *block)
{
	block_recent.mm_id = mm->id;
	block_recent.block = block;
	block_cache[mm->id % BLOCK_CACHE] = block_recent;
}

/* Make one that was used before another the recent one again; NULL: none was. */
static struct thread_block *block_recall(struct mm_struct *mm)
{
	const struct block_cache *cached = &block_cache[mm->id % BLOCK_CACHE];

	if (cached->mm_id != mm->id)
		return NULL;
	block_recent = *cached;
	return block_recent.block;
}

static void slot_renumber(struct mm_struct *mm, struct thread_block *block,
			  struct slot *slot)
{
	unsigned long earlier = block->counters.earlier;

	WRITE_ONCE(block->counters.earlier,
		   earlier + slot_numbers(READ_ONCE(slot->word)));
	WRITE_ONCE(slot->word, fetch_add(&mm->next_ids, SLOT_IDS) + SLOT_STEP);
}

static struct slot *block_free_slot(struct mm_struct *mm,
				    struct thread_block *block)
{
	unsigned long word;

	for (unsigned long i = 0; i < BLOCK_SLOTS; i++) {
		/*
		 * Ordering: (SLOT-AGAIN) pairs with (SLOT-STATE) in slot_set():
		 * as (SLOT-REUSE).
		 */
		word = smp_load_acquire(&block->slots[i].word);
		if (word & SLOT_ACTIVE)
			continue;
		if (!SLOT_HAS_IDS(word))
			slot_renumber(mm, block, &block->slots[i]);
		if (i >= block->nslots)
			WRITE_ONCE(block->nslots, i + 1);
		return &block->slots[i];
	}
	return NULL;
}

static struct slot *slot_of_mine(struct mm_struct *mm,
				 struct thread_block **ret_block)
{
	unsigned long me = sync_thread_number();
	struct thread_block *block;
	struct slot *slot;

	for_each_block(block, mm) {
		if (READ_ONCE(block->owner) != me)
			continue;
		slot = block_free_slot(mm, block);
		if (slot) {
			*ret_block = block;
			return slot;
		}
	}
	return NULL;
}

static void give_back(struct mm_struct *mm, void *arg)
{
	unsigned long me = *(unsigned long *)arg;
	struct thread_block *block;

	for_each_block(block, mm)
		if (READ_ONCE(block->owner) == me)
			/*
			 * Ordering: (BLOCK-GIVE) pairs with (BLOCK-TAKE) in
			 * block_take(): the next owner finds the finger at
			 * rest.
			 */
			smp_store_release(&block->owner, 0);
}

static void thread_exit(void)
{
	unsigned long me = sync_thread_number();

	block_recent.mm_id = 0;
	for (unsigned int i = 0; i < BLOCK_CACHE; i++)
		block_cache[i].mm_id = 0;
	reserve_thread_exit();
	mm_for_each(give_back, &me);
}

static void sleep_a_little(void)
{
	unsigned int never = 0;

	wait_word(&never, 0, RETRY_NS);
}

struct slot *slot_get_slow(struct mm_struct *mm, bool may_sleep,
			   struct thread_block **ret_block)
{
	struct thread_block *block;
	unsigned long id;
	struct slot *slot;

	if (block_recall(mm) && slot_at_hand(mm, ret_block, &id))
		return &(*ret_block)->slots[0];
	slot = slot_of_mine(mm, ret_block);
	if (slot) {
		if (slot == (*ret_block)->slots)
			block_remember(mm, *ret_block);
		return slot;
	}
	while (!(block = block_get(mm))) {
		if (!may_sleep)
			return NULL;
		sleep_a_little();
	}
	/* To ask for that may take a lock; without it we are found dead. */
	if (may_sleep)
		sync_at_thread_exit(thread_exit);
	block_remember(mm, block);
	*ret_block = block;
	return block_free_slot(mm, block);
}

/* Has the calling thread another invalidation open? */
bool slot_thread_busy(struct mm_struct *mm, const struct slot *except)
{
	unsigned long me = sync_thread_number();
	struct thread_block *block;
	struct slot *slot;

	for_each_slot(slot, block, mm)
		if (slot != except && READ_ONCE(block->owner) == me &&
		    READ_ONCE(slot->word) & SLOT_ACTIVE)
			return true;
	return false;
}

/* NULL: this thread has none, and gets none now. */
static struct thread_block *block_of_mine(struct mm_struct *mm)
{
	struct thread_block *block = block_recall(mm);

	if (block || slot_of_mine(mm, &block))
		return block;
	block = block_get(mm);
	if (!block)
		return NULL;
	sync_at_thread_exit(thread_exit);
	block_remember(mm, block);
	return block;
}

struct counters *slot_counters(struct mm_struct *mm)
{
	struct thread_block *block = block_of_mine(mm);

	return block ? &block->counters : NULL;
}

/* ------------------------------------------------------------------ holding */

/* NULL: a reference is held instead. */
struct thread_block *slot_hold_slow(struct mm_struct *mm)
{
	struct thread_block *block = block_of_mine(mm);

	if (!block)
		mmgrab(mm);
	return block;
}

void slot_wait_holders(struct mm_struct *mm)
{
	struct thread_block *block;

	for_each_block(block, mm)
		/*
		 * Ordering: (HOLD-SEEN) pairs with (HOLD-END) in block_unhold():
		 * see there.
		 */
		while (smp_load_acquire(&block->holds))
			sync_yield();
}

/* ------------------------------------------------------------------ waiting */

struct patience patience(int64_t timeout_ns)
{
	struct patience p = { -1, true };

	if (timeout_ns >= 0 &&
	    __builtin_add_overflow(ktime_get_ns(), timeout_ns, &p.deadline))
		p.deadline = -1;
	return p;
}

void slot_wake(struct slot *slot)
{
	fetch_add(&slot->phase, 1);
	wake_word(&slot->phase);
}

static bool is_over(const struct slot *slot, slot_over_fn over, const void *arg)
{
	/*
	 * Ordering: (SLOT-WAITED) pairs with (SLOT-STATE) in slot_set(): what
	 * the invalidation did is seen by whoever waited for it.
	 */
	return over(slot, smp_load_acquire(&slot->word), arg);
}

static int slot_sleep(struct slot *slot, slot_over_fn over, const void *arg,
		      struct patience p)
{
	int64_t left = -1;
	unsigned int phase;
	int ret;

	for (;;) {
		phase = READ_ONCE(slot->phase);
		/*
		 * Ordering: (SLOT-WAITER) pairs with (SLOT-CHANGED) in
		 * slot_changed() and (SLOT-STATE) in slot_set(): who changes
		 * the slot behind this sees us among the waiters.
		 */
		smp_mb_others();
		if (is_over(slot, over, arg))
			return 0;
		if (p.deadline >= 0) {
			left = p.deadline - ktime_get_ns();
			if (left <= 0)
				return -ETIMEDOUT;
		}
		ret = wait_word(&slot->phase, phase, left);
		if (ret == -EINTR && p.interruptible)
			return is_over(slot, over, arg) ? 0 : -EINTR;
	}
}

int slot_wait(struct slot *slot, slot_over_fn over, const void *arg,
	      struct patience p)
{
	int ret;

	for (int i = 0; i < SYNC_SPINS; i++) {
		if (is_over(slot, over, arg))
			return 0;
		cpu_relax();
	}
	fetch_add(&slot->waiters, 1);
	ret = slot_sleep(slot, over, arg, p);
	fetch_sub(&slot->waiters, 1);
	return ret;
}

/* A search never sleeps, but it may have lost its CPU. */
void slot_wait_search(const struct slot *slot, unsigned long word)
{
	unsigned long cursor = READ_ONCE(slot->cursor);

	for (unsigned int i = 0; READ_ONCE(slot->word) == word; i++) {
		/*
		 * Ordering: (SEARCH-MOVED) pairs with (CURSOR) in cursor_to()
		 * and (CURSOR-RESET) in call_all(): else the word could still
		 * be read as it was while the search was under way, and be
		 * taken for that of a later one.
		 */
		if (smp_load_acquire(&slot->cursor) != cursor)
			return;
		if ((i + 1) % SYNC_SPINS)
			cpu_relax();
		else
			sync_yield();
	}
}

unsigned long slot_oldest_reader(void *arg)
{
	unsigned long version, oldest = ~0UL;
	struct mm_struct *mm = arg;
	struct thread_block *block;
	struct slot *slot;

	/*
	 * Ordering: (OLDEST-FENCE) pairs with (ANNOUNCE-FENCE) in
	 * slot_announce() and (RESUME-FENCE) in call_resume(): a search that
	 * we do not see sees that the nodes have been replaced.
	 */
	smp_mb();
	for_each_slot(slot, block, mm) {
		/*
		 * Ordering: (SEARCH-OLD) pairs with (SEARCH-LEAVE) in
		 * slot_leave_index(): the nodes are read no more.
		 */
		if (!(smp_load_acquire(&slot->word) & SLOT_SEARCH))
			continue;
		/*
		 * Ordering: (VERSION-OLD) pairs with (RESUME-VERSION) in
		 * call_resume(): nodes older than that are read no more, even
		 * if the word is still that of the search before.
		 */
		version = smp_load_acquire(&slot->version);
		if (version < oldest)
			oldest = version;
	}
	return oldest;
}

/* --------------------------------------------------------------- life, fork */

void slot_mm_init(struct mm_struct *mm, void *room, size_t size)
{
	mm->next_ids = SLOT_IDS;
	mm->chunks = room;
	mm->chunks->size = CHUNK_BLOCKS(size);
}

void slot_mm_destroy(struct mm_struct *mm)
{
	struct block_chunk *next;

	/* The last one is the room that it began with. */
	while ((next = mm->chunks->next)) {
		sync_free_pages(mm->chunks, CHUNK_BYTES);
		mm->chunks = next;
	}
}

/* Only the thread that forked is left, and nothing is open. */
void slot_fork_child(struct mm_struct *mm, unsigned long old_number)
{
	unsigned long me = sync_thread_number();
	struct thread_block *block;
	struct slot *slot;

	for_each_slot(slot, block, mm) {
		if (slot->word & SLOT_ACTIVE)
			slot->word = (slot->word & ~(SLOT_STEP - 1)) + SLOT_STEP;
		slot->cursor = 0;
		slot->cursor_order = 0;
		slot->listed = 0;
		slot->stalls = 0;
		slot->finishing = 0;
		slot->waiters = 0;
	}
	for_each_block(block, mm) {
		if (block->owner != old_number)
			block->holds = 0;
		block->owner = block->owner == old_number ? me : 0;
	}
}
