// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Memory that threads of the library may need while somebody waits for them. A
 * live address space leaves it where it is: a thread that brings pages home
 * cannot wait for one of its own.
 *
 * Ranges are words in blocks, which are only ever added: nothing here waits, and
 * nothing has to be mended in a forked child.
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
#define TOGETHER 4UL

/* Of @ranges only the first @used were ever more than 0. */
struct block {
	unsigned long ranges[RANGES];
	unsigned long used;
	struct block *next;
};

static struct block first;

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
static void use(struct block *block, unsigned long n)
{
	unsigned long used = READ_ONCE(block->used);

	while (used < n && !try_cmpxchg(&block->used, &used, n))
		;
}

/*
 * Where in the first block to begin: a caller's ranges come and go all the time, and
 * are then where he or another had some before. A hint.
 */
static unsigned long lately;

static bool replace_in(struct block *b, unsigned long i, unsigned long n,
		       unsigned long range, unsigned long by)
{
	unsigned long old = range;

	for (; i < n; i++) {
		if (READ_ONCE(b->ranges[i]) != range)
			continue;
		use(b, i + 1);
		if (try_cmpxchg(&b->ranges[i], &old, by)) {
			WRITE_ONCE(lately, b == &first ? i : 0);
			return true;
		}
		old = range;
	}
	return false;
}

static bool replace(unsigned long range, unsigned long by)
{
	unsigned long at = READ_ONCE(lately), n;

	/* A few are taken together, and given back in that order. */
	at = at > TOGETHER ? at - TOGETHER : 0;
	for (struct block *b = &first; b; b = next_of(b), at = 0) {
		n = range ? READ_ONCE(b->used) : RANGES;
		if (replace_in(b, at, n, range, by) ||
		    replace_in(b, 0, at < n ? at : n, range, by))
			return true;
	}
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

void sync_keep(const void *p, size_t size)
{
	unsigned long range = size ? range_of(p, size) : 0;

	while (range && !replace(0, range) && more())
		;
}

void sync_unkeep(const void *p, size_t size)
{
	unsigned long range = size ? range_of(p, size) : 0;

	if (range)
		replace(range, 0);
}

unsigned long sync_next_kept(unsigned long start, unsigned long end,
			     unsigned long *ret_end)
{
	unsigned long range, from, to, found = end, n;

	*ret_end = end;
	for (struct block *b = &first; b; b = next_of(b)) {
		n = READ_ONCE(b->used);
		for (unsigned long i = 0; i < n; i++) {
			range = READ_ONCE(b->ranges[i]);
			from = range >> COUNT_BITS << PAGE_SHIFT;
			to = from + ((range & COUNT_MASK) << PAGE_SHIFT);
			if (to <= start || from >= found)
				continue;
			found = from > start ? from : start;
			*ret_end = to;
		}
	}
	return found;
}

/* ------------------------------------------------------- this thread, modules */

/* Of the stack, towards those who called, and as deep as it goes from there. */
#define DEEP (64UL << 10)
/* What is no further from another is told of with it. */
#define NEAR (4 * PAGE)
/* Where the library's variables of a thread are. */
static __thread char here;

void sync_keep_caller(const void *frame, bool keep)
{
	void (*const fn)(const void *p, size_t size) =
		keep ? sync_keep : sync_unkeep;
	const uintptr_t at[] = { (uintptr_t)&here, (uintptr_t)&errno };
	uintptr_t start = (uintptr_t)pthread_self(), end = start + PAGE;

	fn((const char *)frame - DEEP, 2 * DEEP);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		if (at[i] + NEAR < start || at[i] > end + NEAR) {
			fn((const void *)(at[i] - PAGE), 2 * PAGE);
			continue;
		}
		start = at[i] - PAGE < start ? at[i] - PAGE : start;
		end = at[i] + PAGE > end ? at[i] + PAGE : end;
	}
	fn((const void *)start, end - start);
}

void sync_keep_of_caller(const void *frame, const void *p, size_t size,
			 bool keep)
{
	uintptr_t at = (uintptr_t)p - ((uintptr_t)frame - DEEP);

	/* Mostly it is on the stack. */
	if (size <= 2 * DEEP && at <= 2 * DEEP - size)
		return;
	if (keep)
		sync_keep(p, size);
	else
		sync_unkeep(p, size);
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
