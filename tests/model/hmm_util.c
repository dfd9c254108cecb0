/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "hmm_util.h"

#include <stdio.h>
#include <unistd.h>

#define CASE_SECONDS 50
#define WORDS (PAGE / sizeof(uint64_t))

const struct variant private_6_1 = {
	"private, 6.1", UHMM_KERNEL_6_1, MEMORY_DEVICE_PRIVATE };
const struct variant coherent_6_1 = {
	"coherent, 6.1", UHMM_KERNEL_6_1, MEMORY_DEVICE_COHERENT };
const struct variant private_newest = {
	"private, newest", UHMM_KERNEL_NEWEST, MEMORY_DEVICE_PRIVATE };
const struct variant coherent_newest = {
	"coherent, newest", UHMM_KERNEL_NEWEST, MEMORY_DEVICE_COHERENT };

const struct variant *variant;
struct mm_struct *mm;
struct uhmm_dmirror_device *device[2];
struct uhmm_dmirror *file[2];
struct hmm_dmirror_cmd cmd;

static uint64_t the_buffer[BUFFER_PAGES][WORDS];
uint64_t (*const buffer)[WORDS] = the_buffer;

/* ------------------------------------------------------------------- cases */

static void make_devices(unsigned int quirks)
{
	struct uhmm_dmirror_options how = {
		.size = sizeof(how),
		.type = variant->type,
		.newest = newest(),
		.quirks = quirks,
		.chunk_pages = 4096,
	};

	for (int i = 0; i < 2; i++) {
		assert_int_equal(uhmm_dmirror_create(&how, &device[i]), 0);
		assert_int_equal(uhmm_dmirror_open(device[i], mm, &file[i]), 0);
	}
}

static void drop_devices(void)
{
	for (int i = 0; i < 2; i++)
		uhmm_dmirror_close(file[i]);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(uhmm_dmirror_pages(device[i]), 0);
		uhmm_dmirror_destroy(device[i]);
	}
}

void remake_devices(unsigned int quirks)
{
	drop_devices();
	make_devices(quirks);
}

int hmm_begin(void **state)
{
	struct uhmm_model_options how = {
		.size = sizeof(how),
		.thp = UHMM_THP_MADVISE,
		.swap_pages = 4096,
		.huge_pages = 4,
	};

	variant = *state;
	how.level = variant->level;
	alarm(CASE_SECONDS);
	assert_int_equal(uhmm_mm_create_model(&how, NULL, &mm), 0);
	make_devices(0);
	return 0;
}

/* A second space of the machine outlives the first, and counts. */
int hmm_end(void **state)
{
	struct uhmm_model_counts counts;
	struct mm_struct *child;

	drop_devices();
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	mmput(mm);
	uhmm_model_munmap(child, 0, 1UL << 47);
	uhmm_model_count(child, &counts);
	mmput(child);
	assert_int_equal(counts.frames, 0);
	assert_int_equal(counts.swap_pages, 0);
	assert_int_equal(counts.huge_pages, 4);
	assert_int_equal(counts.files, 0);
	alarm(0);
	return 0;
}

void hmm_main_args(int argc, char **argv)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
}

/* ------------------------------------------------------------- what is told */

char events[512];
unsigned long base;
struct mmu_notifier listener, child_listener;
static const void *shown;

static int note(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	static const char *const names[] = {
		[MMU_NOTIFY_UNMAP] = "UNMAP", [MMU_NOTIFY_CLEAR] = "CLEAR",
		[MMU_NOTIFY_PROTECTION_VMA] = "PROT_VMA",
		[MMU_NOTIFY_PROTECTION_PAGE] = "PROT_PAGE",
		[MMU_NOTIFY_SOFT_DIRTY] = "SOFT_DIRTY",
		[MMU_NOTIFY_MIGRATE] = "MIGRATE",
		[MMU_NOTIFY_EXCLUSIVE] = "EXCLUSIVE",
	};
	size_t n = strlen(events);

	snprintf(events + n, sizeof(events) - n, " %s%s:%lu+%lu%s",
		 mn == &child_listener ? "c:" : "", names[range->event],
		 (range->start - base) / PAGE,
		 (range->end - range->start) / PAGE,
		 shown && range->owner == shown ? "@" : "");
	return 0;
}

void note_events(const void *owner)
{
	static const struct mmu_notifier_ops ops = {
		.invalidate_range_start = note,
	};

	shown = owner;
	listener = child_listener = (struct mmu_notifier){ .ops = &ops };
	assert_int_equal(mmu_notifier_register(&listener, mm), 0);
	events[0] = '\0';
}

static bool held;

void hold(bool on)
{
	if (on && !held)
		mmap_read_lock(mm);
	if (!on && held)
		mmap_read_unlock(mm);
	held = on;
}

/* ------------------------------------------------------------------ memory */

unsigned long mm_map(struct mm_struct *it, unsigned long npages, int prot,
		  int flags)
{
	long addr = uhmm_model_mmap(it, 0, PAGES(npages), prot, flags, 0, 0);

	assert_true(addr > 0);
	return (unsigned long)addr;
}

unsigned long mm_map_huge(struct mm_struct *it, unsigned long npages, int prot)
{
	unsigned long addr = mm_map(it, npages + 512, prot, ANON);
	unsigned long start = (addr + HUGE - 1) & ~(HUGE - 1);

	if (start > addr)
		mm_unmap(it, addr, (start - addr) / PAGE);
	mm_unmap(it, start + PAGES(npages),
	      (addr + HUGE - start) / PAGE);
	assert_int_equal(uhmm_model_madvise(it, start, PAGES(npages),
					    MADV_HUGEPAGE), 0);
	return start;
}

void mm_unmap(struct mm_struct *it, unsigned long addr, unsigned long npages)
{
	assert_int_equal(uhmm_model_munmap(it, addr, PAGES(npages)), 0);
}

void mm_protect(struct mm_struct *it, unsigned long addr, unsigned long npages,
	     int prot)
{
	assert_int_equal(uhmm_model_mprotect(it, addr, PAGES(npages), prot), 0);
}

static void fill_page(uint64_t *page, uint64_t word)
{
	for (size_t i = 0; i < WORDS; i++)
		page[i] = word;
}

void cpu_fill(struct mm_struct *it, unsigned long addr, unsigned long npages,
	      uint64_t first)
{
	uint64_t page[WORDS];

	for (unsigned long i = 0; i < npages; i++) {
		fill_page(page, first + i);
		assert_int_equal(uhmm_model_write(it, addr + PAGES(i), page,
						  PAGE, NULL), 0);
	}
}

/* What page_word() says of a page that is not full of one word. */
#define TORN UINT64_C(0x7042)

static uint64_t page_word(const uint64_t *page)
{
	for (size_t i = 1; i < WORDS; i++)
		if (page[i] != page[0])
			return TORN;
	return page[0];
}

uint64_t cpu_word(struct mm_struct *it, unsigned long addr)
{
	uint64_t page[WORDS];

	assert_int_equal(uhmm_model_read(it, addr, page, PAGE, NULL), 0);
	return page_word(page);
}

void check_cpu(struct mm_struct *it, unsigned long addr, unsigned long npages,
	       uint64_t first, const char *where, int line)
{
	for (unsigned long i = 0; i < npages; i++)
		_assert_int_equal(cpu_word(it, addr + PAGES(i)), first + i,
				  where, line);
}

void cpu_increment(struct mm_struct *it, unsigned long addr,
		   unsigned long npages)
{
	for (unsigned long i = 0; i < npages; i++)
		cpu_fill(it, addr + PAGES(i), 1, cpu_word(it, addr + PAGES(i)) +
						 1);
}

/* ----------------------------------------------------------------- devices */

int dev(struct uhmm_dmirror *it, unsigned long request, unsigned long addr,
	unsigned long npages)
{
	cmd = (struct hmm_dmirror_cmd){
		.addr = addr,
		.ptr = (uintptr_t)buffer,
		.npages = npages,
	};
	return uhmm_dmirror_ioctl(it, request, &cmd);
}

int dev_write(struct uhmm_dmirror *it, unsigned long addr,
	      unsigned long npages, uint64_t first)
{
	for (unsigned long i = 0; i < npages; i++)
		fill_page(buffer[i], first + i);
	return dev(it, HMM_DMIRROR_WRITE, addr, npages);
}

void check_buffer(unsigned long npages, uint64_t first, const char *where,
		  int line)
{
	for (unsigned long i = 0; i < npages; i++)
		_assert_int_equal(page_word(buffer[i]), first + i, where, line);
}

/*
 * E error, . nothing, r and w, z the page of zeroes to be read, Z written; l L
 * local device memory, o O others', h H a huge page's.
 */
static char prot_letter(unsigned char prot)
{
	bool write = prot & HMM_DMIRROR_PROT_WRITE;

	if (prot == HMM_DMIRROR_PROT_ERROR)
		return 'E';
	if (prot == HMM_DMIRROR_PROT_NONE)
		return '.';
	switch (prot & 0x70) {
	case HMM_DMIRROR_PROT_ZERO:
		return write ? 'Z' : 'z';
	case HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL:
	case HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL:
		return write ? 'L' : 'l';
	case HMM_DMIRROR_PROT_DEV_PRIVATE_REMOTE:
	case HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE:
		return write ? 'O' : 'o';
	}
	if (prot & HMM_DMIRROR_PROT_PMD)
		return write ? 'H' : 'h';
	return write ? 'w' : 'r';
}

void check_snapshot(struct uhmm_dmirror *it, unsigned long addr,
		    unsigned long npages, const char *letters,
		    const char *where, int line)
{
	char found[BUFFER_PAGES + 1] = "";

	_assert_int_equal(dev(it, HMM_DMIRROR_SNAPSHOT, addr, npages), 0,
			  where, line);
	_assert_int_equal(cmd.cpages, npages, where, line);
	for (unsigned long i = 0; i < npages; i++)
		found[i] = prot_letter(((unsigned char *)buffer)[i]);
	_assert_string_equal(found, letters, where, line);
}

void assert_all_snapshot(struct uhmm_dmirror *it, unsigned long addr,
			 unsigned long npages, unsigned char prot)
{
	assert_int_equal(dev(it, HMM_DMIRROR_SNAPSHOT, addr, npages), 0);
	assert_int_equal(cmd.cpages, npages);
	for (unsigned long i = 0; i < npages; i++)
		assert_int_equal(((unsigned char *)buffer)[i], prot);
}

void check_mirror(struct uhmm_dmirror *it, unsigned long addr,
		  unsigned long npages, const char *letters, const char *where,
		  int line)
{
	char found[BUFFER_PAGES + 1] = "";

	for (unsigned long i = 0; i < npages; i++)
		found[i] = ".rwx"[uhmm_dmirror_peek(it, addr + PAGES(i), NULL)];
	_assert_string_equal(found, letters, where, line);
}
