// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Memory that threads of the library may need while somebody waits for them. A
 * live address space leaves it where it is: a thread that brings pages home
 * cannot wait for one of its own.
 *
 * Ranges are words in blocks, which are only ever added: nothing here waits, and
 * nothing has to be mended in a forked child. Those of callers, who come and go all the
 * time, are apart, so that who has looked at the others once need not again.
 */
#include "sync.h"

#include <errno.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_SHIFT 12
#define PAGE (1UL << PAGE_SHIFT)
#define COUNT_BITS 28		/* of pages; above it where they begin */
#define COUNT_MASK ((1UL << COUNT_BITS) - 1)
#define START_BITS (64 - COUNT_BITS)
#define RANGES (PAGE / sizeof(unsigned long) - 2)
#define CALLERS 64UL
#define CALLER_RANGES 14UL	/* less than a line has bytes, see sync_keep_caller() */
#define LOOK_BYTES (2UL << 20)	/* so far ahead at least */

/* Of @ranges only the first @used were ever more than 0. */
struct block {
	unsigned long ranges[RANGES];
	unsigned long used;
	struct block *next;
};

/*
 * Of a thread, @owner, which alone writes the ranges, the first @used: before it takes
 * the lock of who moves pages, which reads them under that, and after it has given it
 * back. A signal's handler uses those behind, and leaves @used as it was.
 */
struct caller {
	unsigned long owner;
	unsigned long used;
	unsigned long ranges[CALLER_RANGES];
} __cacheline_aligned;

static struct block first;
/* How often one was added there. */
static unsigned long changes = 1;
static struct caller callers[CALLERS];
/* So many were ever used. */
static unsigned long ncallers;

static struct block *next_of(struct block *block)
{
	/*
	 * Ordering: (KEPT-NEXT) pairs with (KEPT-MORE) in more(): it is seen as
	 * it was made.
	 */
	return smp_load_acquire(&block->next);
}

/* 0: not to be told of, as no process has so much. */
static unsigned long range_of(const void *p, size_t size)
{
	unsigned long start = (uintptr_t)p >> PAGE_SHIFT;
	unsigned long n = (((uintptr_t)p + size - 1) >> PAGE_SHIFT) + 1 - start;

	return start >> START_BITS || n > COUNT_MASK ? 0 :
						       start << COUNT_BITS | n;
}

/* At least @n are looked at from now on. */
static void use(unsigned long *ret_used, unsigned long n)
{
	unsigned long used = READ_ONCE(*ret_used);

	while (used < n && !try_cmpxchg(ret_used, &used, n))
		;
}

static bool replace_in(struct block *b, unsigned long range, unsigned long by)
{
	unsigned long i, old = range, n = range ? READ_ONCE(b->used) : RANGES;

	for (i = 0; i < n; i++) {
		if (READ_ONCE(b->ranges[i]) != range)
			continue;
		use(&b->used, i + 1);
		if (try_cmpxchg(&b->ranges[i], &old, by))
			return true;
		old = range;
	}
	return false;
}

/* Equal ones are one another's. */
static bool replace(unsigned long range, unsigned long by)
{
	for (struct block *b = &first; b; b = next_of(b))
		if (replace_in(b, range, by))
			return true;
	return false;
}

static bool more(void)
{
	struct block *b = &first, *new, *none = NULL;

	new = mmap(NULL, sizeof(*new), PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (new == MAP_FAILED)
		return false;
	new->ranges[0] = range_of(new, sizeof(*new));
	new->used = 1;
	/*
	 * Ordering: (KEPT-MORE) pairs with (KEPT-NEXT) in next_of(): see there.
	 */
	while (!try_cmpxchg(&b->next, &none, new)) {
		b = none;
		none = NULL;
	}
	return true;
}

static void keep(unsigned long range)
{
	while (range && !replace(0, range) && more())
		;
	/*
	 * Ordering: (KEPT-CHANGED) pairs with (KEPT-AS) in sync_next_kept():
	 * fetch_add() is a full barrier: who finds nothing new has missed nothing.
	 */
	fetch_add(&changes, 1);
}

static void unkeep(unsigned long range)
{
	if (range)
		replace(range, 0);
}

void sync_keep(const void *p, size_t size)
{
	keep(size ? range_of(p, size) : 0);
}

void sync_unkeep(const void *p, size_t size)
{
	unkeep(size ? range_of(p, size) : 0);
}

/* The first of @ranges behind @start, and before @found, which it becomes. */
static __warm unsigned long next_of_ranges(const unsigned long *ranges, unsigned long n,
					   unsigned long start, unsigned long found,
					   unsigned long *ret_end)
{
	unsigned long range, from, to;

	for (unsigned long i = 0; i < n; i++) {
		range = READ_ONCE(ranges[i]);
		from = range >> COUNT_BITS << PAGE_SHIFT;
		to = from + ((range & COUNT_MASK) << PAGE_SHIFT);
		if (to <= start || from >= found)
			continue;
		found = from > start ? from : start;
		*ret_end = to;
	}
	return found;
}

__warm unsigned long sync_next_kept(struct sync_clear *clear, unsigned long start,
				    unsigned long end, unsigned long *ret_end)
{
	/*
	 * Ordering: (KEPT-AS) pairs with (KEPT-CHANGED) in keep(): what is
	 * looked at behind it is at least as new.
	 */
	unsigned long as = smp_load_acquire(&changes), found;

	*ret_end = end;
	if (as != clear->changes || start < clear->start || end > clear->end) {
		found = (start | (LOOK_BYTES - 1)) + 1;
		found = found > end ? found : end;
		for (struct block *b = &first; b; b = next_of(b))
			found = next_of_ranges(b->ranges, READ_ONCE(b->used),
					       start, found, ret_end);
		*clear = (struct sync_clear){ start, found, as };
		end = found < end ? found : end;
	}
	found = end;
	for (unsigned long i = 0; i < READ_ONCE(ncallers); i++)
		found = next_of_ranges(callers[i].ranges,
				       READ_ONCE(callers[i].used), start, found,
				       ret_end);
	return found;
}

/* ------------------------------------------------------- this thread, modules */

/* Of the stack, towards those who called, and as deep as it goes from there. */
#define DEEP (64UL << 10)
/* What is no further from another is told of with it. */
#define NEAR (4 * PAGE)
#define SELF 3U

/* This thread's place among the callers, and where its variables are. */
static __thread struct {
	struct caller *caller;
	unsigned long self[SELF];
} mine __attribute__((tls_model("initial-exec")));

static void find_self(void)
{
	const uintptr_t at[] = { (uintptr_t)&mine, (uintptr_t)&errno };
	uintptr_t start = (uintptr_t)pthread_self(), end = start + PAGE;

	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		mine.self[i] = 0;
		if (at[i] + NEAR < start || at[i] > end + NEAR) {
			mine.self[i] = range_of((const void *)(at[i] - PAGE),
						2 * PAGE);
			continue;
		}
		start = at[i] - PAGE < start ? at[i] - PAGE : start;
		end = at[i] + PAGE > end ? at[i] + PAGE : end;
	}
	mine.self[SELF - 1] = range_of((const void *)start, end - start);
}

/* One that nobody has, or whose owner is no more; NULL: there is none. */
static __attribute__((noinline)) struct caller *caller_claim(void)
{
	unsigned long owner, me = sync_thread_number();

	find_self();
	for (unsigned long i = 0; i < CALLERS; i++) {
		owner = READ_ONCE(callers[i].owner);
		if (owner && sync_thread_alive(owner))
			continue;
		if (!try_cmpxchg(&callers[i].owner, &owner, me))
			continue;
		WRITE_ONCE(callers[i].used, 0);
		use(&ncallers, i + 1);
		return mine.caller = &callers[i];
	}
	return NULL;
}

/* In a child the number of a thread is another, and its place may be. */
static struct caller *caller_mine(void)
{
	struct caller *c = mine.caller;

	return likely(c && READ_ONCE(c->owner) == sync_thread_number()) ?
		       c : caller_claim();
}

/* 0: it is on the stack, as most is. */
static inline unsigned long part_range(const void *frame, const struct sync_part *part)
{
	uintptr_t at = (uintptr_t)part->p - ((uintptr_t)frame - DEEP);

	return part->size && (part->size > 2 * DEEP || at > 2 * DEEP - part->size) ?
		       range_of(part->p, part->size) : 0;
}

static inline unsigned long stack_range(const void *frame)
{
	return range_of((const char *)frame - DEEP, 2 * DEEP);
}

/* If it is one. Where the next goes. */
static inline unsigned long *put_range(unsigned long *at, unsigned long range)
{
	WRITE_ONCE(*at, range);
	return at + !!range;
}

/* There is no room for it in the place of the thread. */
static void for_each_part(const void *frame, const struct sync_part *parts,
			  unsigned long n, void (*fn)(unsigned long range))
{
	fn(stack_range(frame));
	for (unsigned int i = 0; i < SELF; i++)
		fn(mine.self[i]);
	while (n--)
		fn(part_range(frame, parts++));
}

__warm unsigned long sync_keep_caller(const void *frame, const struct sync_part *parts,
				      unsigned long n)
{
	struct caller *c = caller_mine();
	unsigned long used = c ? c->used : CALLER_RANGES, *range;

	if (unlikely(used + 1 + SELF + n > CALLER_RANGES)) {
		for_each_part(frame, parts, n, keep);
		return 0;
	}
	range = &c->ranges[used];
	WRITE_ONCE(c->used, used + 1 + SELF + n);
	/* From here on handlers use what is behind. */
	barrier();
	range = put_range(range, stack_range(frame));
	for (unsigned int i = 0; i < SELF; i++)
		range = put_range(range, mine.self[i]);
	while (n--)
		range = put_range(range, part_range(frame, parts++));
	barrier();
	WRITE_ONCE(c->used, (unsigned long)(range - c->ranges));
	/* Both: it begins with a line. */
	return (uintptr_t)c | used;
}

__warm void sync_unkeep_caller(unsigned long kept, const void *frame,
			       const struct sync_part *parts, unsigned long n)
{
	struct caller *c = (void *)(kept & ~(CACHE_LINE - 1UL));

	if (likely(c))
		WRITE_ONCE(c->used, kept % CACHE_LINE);
	else
		for_each_part(frame, parts, n, unkeep);
}

static bool has(const struct dl_phdr_info *info, const void *p)
{
	uintptr_t at = (uintptr_t)p - info->dlpi_addr;

	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD &&
		    at - info->dlpi_phdr[i].p_vaddr < info->dlpi_phdr[i].p_memsz)
			return true;
	return false;
}

static int keep_module(struct dl_phdr_info *info, size_t size, void *unused)
{
	const ElfW(Phdr) *ph = info->dlpi_phdr;

	(void)size;
	(void)unused;
	/* The library's own, libc's, and of what stands in for that. */
	if (!has(info, &first) && !info->dlpi_name[0])
		return 0;
	for (; ph < info->dlpi_phdr + info->dlpi_phnum; ph++)
		if (ph->p_type == PT_LOAD && ph->p_flags & PF_W)
			sync_keep((const char *)info->dlpi_addr + ph->p_vaddr,
				  ph->p_memsz);
	return 0;
}

void sync_keep_modules(void)
{
	dl_iterate_phdr(keep_module, NULL);
}
