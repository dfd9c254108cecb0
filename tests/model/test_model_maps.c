/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Calls that change mappings, to the model and to the kernel below the test, one
 * after the other: they have the same results. Nothing is touched there.
 */
#include "model_util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <uhmm/mm_ops.h>

#define AT(n) (0x200000000000UL + ((unsigned long)(n) << 12))
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define SHARED (MAP_SHARED | MAP_ANONYMOUS)
#define NO_FILE 1000

enum what { MMAP, MUNMAP, MPROTECT, MREMAP, MADVISE, MLOCK, MUNLOCK };

/* @a and @b: what comes behind the range. */
struct call {
	enum what what;
	unsigned long addr;
	unsigned long len;
	unsigned long a;
	unsigned long b;
	unsigned long c;
};

static long by_model(const struct call *c)
{
	switch (c->what) {
	case MMAP:
		return uhmm_model_mmap(mm, c->addr, c->len, RW, (int)c->a,
				       (int)c->b, c->c);
	case MUNMAP:
		return uhmm_model_munmap(mm, c->addr, c->len);
	case MPROTECT:
		return uhmm_model_mprotect(mm, c->addr, c->len, (int)c->a);
	case MREMAP:
		return uhmm_model_mremap(mm, c->addr, c->len, c->a, (int)c->b,
					 c->c);
	case MADVISE:
		return uhmm_model_madvise(mm, c->addr, c->len, (int)c->a);
	case MLOCK:
		return uhmm_model_mlock(mm, c->addr, c->len);
	default:
		return uhmm_model_munlock(mm, c->addr, c->len);
	}
}

static long answer(void *ret)
{
	return ret == MAP_FAILED ? -errno : (long)ret;
}

static long by_kernel(const struct call *c)
{
	void *addr = (void *)c->addr;
	int ret;

	switch (c->what) {
	case MMAP:
		return answer(mmap(addr, c->len, RW, (int)c->a, (int)c->b,
				   (off_t)c->c));
	case MREMAP:
		return answer(mremap(addr, c->len, c->a, (int)c->b,
				     (void *)c->c));
	case MUNMAP:
		ret = munmap(addr, c->len);
		break;
	case MPROTECT:
		ret = mprotect(addr, c->len, (int)c->a);
		break;
	case MADVISE:
		ret = madvise(addr, c->len, (int)c->a);
		break;
	case MLOCK:
		/* A sanitizer's own would say yes. */
		ret = (int)syscall(SYS_mlock, addr, c->len);
		break;
	default:
		ret = (int)syscall(SYS_munlock, addr, c->len);
		break;
	}
	return ret ? -errno : 0;
}

/* Where nobody has asked for is anywhere, and of no use later. */
static long unless_elsewhere(long ret)
{
	return ret < 0 || !ret ||
	       ((unsigned long)ret >= AT(0) && (unsigned long)ret < AT(64)) ?
		       ret : 1;
}

static const struct call calls[] = {
	/* Where it goes. */
	{ MMAP, AT(0), LEN(4), ANON | MAP_FIXED, -1, 0 },
	{ MMAP, AT(2), LEN(4), ANON | MAP_FIXED_NOREPLACE, -1, 0 },
	{ MMAP, AT(4), LEN(2), ANON | MAP_FIXED_NOREPLACE, -1, 0 },
	{ MMAP, AT(8), LEN(4), SHARED, -1, 0 },
	{ MMAP, AT(11), LEN(4), ANON, -1, 0 },
	{ MMAP, AT(16) + 5, LEN(1), ANON, -1, 0 },
	{ MMAP, 0, LEN(1), ANON, -1, 0 },
	{ MMAP, AT(20), 1, ANON | MAP_FIXED, -1, 0 },
	/* What is wrong with it. */
	{ MMAP, AT(0), 0, ANON, -1, 0 },
	{ MMAP, AT(0), -1UL, ANON, -1, 0 },
	{ MMAP, AT(30) + 1, LEN(1), ANON | MAP_FIXED, -1, 0 },
	{ MMAP, AT(30), LEN(1), MAP_ANONYMOUS, -1, 0 },
	{ MMAP, AT(30), LEN(1), MAP_PRIVATE, NO_FILE, 0 },
	{ MMAP, AT(30), LEN(1), MAP_SHARED, NO_FILE, 1 },
	{ MMAP, -4096UL, LEN(1), ANON | MAP_FIXED, -1, 0 },
	{ MUNMAP, AT(0) + 1, LEN(1), 0, 0, 0 },
	{ MUNMAP, AT(0), 0, 0, 0, 0 },
	{ MUNMAP, AT(40), LEN(4), 0, 0, 0 },
	/* Rights. */
	{ MPROTECT, AT(0), LEN(2), PROT_READ, 0, 0 },
	{ MPROTECT, AT(0), 0, PROT_READ, 0, 0 },
	{ MPROTECT, AT(0) + 1, LEN(1), PROT_READ, 0, 0 },
	{ MPROTECT, AT(5), LEN(2), PROT_READ, 0, 0 },
	{ MPROTECT, AT(40), LEN(1), PROT_READ, 0, 0 },
	{ MPROTECT, AT(0), LEN(1), 0x40, 0, 0 },
	/* Moves. */
	{ MREMAP, AT(4), LEN(2), LEN(1), 0, 0 },
	{ MREMAP, AT(4), LEN(1), LEN(3), 0, 0 },
	{ MREMAP, AT(2), LEN(2), LEN(9), 0, 0 },
	{ MREMAP, AT(4), LEN(1), 0, 0, 0 },
	{ MREMAP, AT(4) + 1, LEN(1), LEN(1), 0, 0 },
	{ MREMAP, AT(4), LEN(1), LEN(1), MREMAP_FIXED, AT(30) },
	{ MREMAP, AT(4), LEN(1), LEN(2), MREMAP_MAYMOVE | 4, AT(30) },
	{ MREMAP, AT(4), LEN(1), LEN(1), 0x80, 0 },
	{ MREMAP, AT(4), LEN(1), LEN(1), MREMAP_MAYMOVE | MREMAP_FIXED,
	  AT(30) + 1 },
	{ MREMAP, AT(40), LEN(1), LEN(1), MREMAP_MAYMOVE, 0 },
	{ MREMAP, AT(4), LEN(1), LEN(2), MREMAP_MAYMOVE | MREMAP_FIXED, AT(30) },
	{ MREMAP, AT(30), LEN(2), LEN(2), MREMAP_MAYMOVE | 4, 0 },
	{ MREMAP, AT(4), 0, LEN(1), MREMAP_MAYMOVE, 0 },
	{ MREMAP, AT(8), 0, LEN(2), MREMAP_MAYMOVE | MREMAP_FIXED, AT(34) },
	{ MREMAP, AT(8), LEN(4), LEN(5), MREMAP_MAYMOVE, 0 },
	/* Advice, and pages that stay. */
	{ MADVISE, AT(0), LEN(1), 999, 0, 0 },
	{ MADVISE, AT(0) + 1, LEN(1), MADV_DONTNEED, 0, 0 },
	{ MADVISE, AT(0), 0, MADV_DONTNEED, 0, 0 },
	{ MADVISE, AT(0), LEN(1), MADV_WIPEONFORK, 0, 0 },
	{ MADVISE, AT(34), LEN(1), MADV_WIPEONFORK, 0, 0 },
	{ MADVISE, AT(34), LEN(1), MADV_FREE, 0, 0 },
	{ MADVISE, AT(0), LEN(1), MADV_REMOVE, 0, 0 },
	{ MADVISE, AT(0), LEN(1), MADV_WILLNEED, 0, 0 },
	{ MADVISE, AT(44), LEN(1), MADV_DONTNEED, 0, 0 },
	{ MADVISE, AT(44), LEN(1), MADV_POPULATE_READ, 0, 0 },
	{ MADVISE, AT(0), LEN(1), MADV_POPULATE_READ, 0, 0 },
	{ MLOCK, AT(44), LEN(1), 0, 0, 0 },
	{ MLOCK, AT(0), 0, 0, 0, 0 },
	{ MUNLOCK, AT(44), LEN(1), 0, 0, 0 },
	{ MUNLOCK, AT(0), LEN(1), 0, 0, 0 },
};

/* mremap of 6.17 is the last that has other answers. */
static bool kernel_is_newest(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname is;

	uname(&is);
	return sscanf(is.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 17));
}

static void calls_have_the_results_of_the_kernel(void **state)
{
	unsigned int different = 0;
	long want, got;

	(void)state;
	if (!kernel_is_newest())
		skip();
	machine.level = UHMM_KERNEL_NEWEST;
	machine_remake();
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		want = unless_elsewhere(by_kernel(&calls[i]));
		got = unless_elsewhere(by_model(&calls[i]));
		if (want == got)
			continue;
		print_error("call %zu: kernel %ld, model %ld\n", i, want, got);
		different++;
	}
	assert_int_equal(different, 0);
	munmap((void *)AT(0), LEN(64));
}

/* Do @page and the one before it lie in one area? */
static bool one_area(int page)
{
	struct uhmm_model_area area;

	assert_int_equal(uhmm_model_area(mm, PG(page), &area), 0);
	return area.vma.start < PG(page);
}

/* What has pages of its own stays apart from where a part of it goes. */
static bool joined_after_a_fill_in_vain(enum uhmm_kernel_level level)
{
	static const char bytes[LEN(4)];

	machine.level = level;
	machine_remake();
	area_anon(4, 2, RW);
	assert_int_equal(uhmm_model_uffd_register(mm, PG(4), LEN(2), 1), 0);
	assert_int_equal(uhmm_model_uffd_copy(mm, PG(4), bytes, 4), -ENOENT);
	assert_int_equal(uhmm_model_mremap(mm, PG(4), LEN(1), LEN(1),
					   MREMAP_MAYMOVE | MREMAP_FIXED | 4,
					   PG(3)), PG(3));
	return one_area(4);
}

static void a_fill_in_vain_makes_an_area_ready(void **state)
{
	(void)state;
	assert_true(joined_after_a_fill_in_vain(UHMM_KERNEL_6_1));
	assert_false(joined_after_a_fill_in_vain(UHMM_KERNEL_NEWEST));
}

/* Guards in a half each of an area, of which one half is not dumped meanwhile. */
static bool joined_after_guards(void)
{
	assert_int_equal(uhmm_model_madvise(mm, PG(0), LEN(2), MADV_DONTDUMP),
			 0);
	assert_int_equal(uhmm_model_madvise(mm, PG(1), LEN(1), 102), 0);
	assert_int_equal(uhmm_model_madvise(mm, PG(3), LEN(1), 102), 0);
	assert_false(one_area(2));
	assert_int_equal(uhmm_model_madvise(mm, PG(0), LEN(2), MADV_DODUMP), 0);
	return one_area(2);
}

static void guards_make_no_family_of_a_files_area(void **state)
{
	int file;

	(void)state;
	machine.level = UHMM_KERNEL_NEWEST;
	machine_remake();
	area_anon(0, 4, RW);
	assert_false(joined_after_guards());
	machine_remake();
	file = uhmm_model_file(mm, UHMM_MODEL_FILE_MEMORY, LEN(4));
	area_file(0, 4, RW, MAP_PRIVATE, file);
	assert_true(joined_after_guards());
}

static void a_child_has_the_guards_of_a_files_area(void **state)
{
	struct mm_struct *child;
	unsigned long value;
	int file;

	(void)state;
	machine.level = UHMM_KERNEL_NEWEST;
	machine_remake();
	file = uhmm_model_file(mm, UHMM_MODEL_FILE_MEMORY, LEN(4));
	area_file(0, 4, RW, MAP_PRIVATE, file);
	/* Areas that were two, one of which had guards, and are one again. */
	assert_int_equal(uhmm_model_madvise(mm, PG(2), LEN(2), MADV_DONTDUMP),
			 0);
	assert_int_equal(uhmm_model_madvise(mm, PG(1), LEN(1), 102), 0);
	assert_int_equal(uhmm_model_madvise(mm, PG(2), LEN(2), MADV_DODUMP), 0);
	assert_true(one_area(2));
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	assert_int_equal(uhmm_model_read(child, PG(0), &value, sizeof(value),
					 NULL), 0);
	assert_int_equal(uhmm_model_read(child, PG(1), &value, sizeof(value),
					 NULL), SIGSEGV);
	mmput(child);
}

/* Its pages are found where they were first, and are so by what comes there next. */
static void what_is_left_of_a_moved_area_keeps_its_place(void **state)
{
	const int stay = MREMAP_MAYMOVE | MREMAP_FIXED | 4;

	(void)state;
	machine_remake();
	area_anon(0, 1, RW);
	poke(0, 1);
	assert_int_equal(uhmm_model_mremap(mm, PG(0), LEN(1), LEN(1),
					   MREMAP_MAYMOVE | MREMAP_FIXED, PG(8)),
			 PG(8));
	assert_int_equal(uhmm_model_mremap(mm, PG(8), LEN(1), LEN(1), stay,
					   PG(16)), PG(16));
	area_anon(9, 1, RW);
	assert_false(one_area(9));
}

static void what_is_shared_is_mapped_again(void **state)
{
	(void)state;
	area_shared(0, 2, RW);
	poke(1, 7);
	assert_int_equal(uhmm_model_mremap(mm, PG(0), 0, LEN(2),
					   MREMAP_MAYMOVE | MREMAP_FIXED, PG(8)),
			 PG(8));
	assert_peek(9, 7);
	poke(9, 8);
	assert_peek(1, 8);
}

static void the_heap_grows_and_shrinks(void **state)
{
	unsigned long start = uhmm_model_brk(mm, 0), word = 5, got;

	(void)state;
	assert_int_equal(uhmm_model_brk(mm, start + LEN(3) + 1),
			 start + LEN(3) + 1);
	assert_int_equal(uhmm_model_write(mm, start + LEN(3), &word,
					  sizeof(word), NULL), 0);
	assert_int_equal(uhmm_model_brk(mm, start - 1), start + LEN(3) + 1);
	assert_int_equal(uhmm_model_brk(mm, start + LEN(1)), start + LEN(1));
	assert_int_equal(uhmm_model_read(mm, start + LEN(3), &got, sizeof(got),
					 NULL), SIGSEGV);
	assert_int_equal(uhmm_model_brk(mm, start + LEN(4)), start + LEN(4));
	assert_int_equal(uhmm_model_read(mm, start + LEN(3), &got, sizeof(got),
					 NULL), 0);
	assert_int_equal(got, 0);
}

static unsigned long frame_of(unsigned int seed)
{
	struct uhmm_pte pte;
	size_t one = 1;

	machine.seed = seed;
	machine_remake();
	area_anon(0, 1, RW);
	poke(0, 1);
	mmap_read_lock(mm);
	assert_int_equal(uhmm_mm_walk(mm, PG(0), &one, &pte), 0);
	mmap_read_unlock(mm);
	return pte.pfn;
}

static void frames_are_a_matter_of_the_seed(void **state)
{
	(void)state;
	assert_int_equal(frame_of(1), frame_of(1));
	assert_int_not_equal(frame_of(1), frame_of(2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(calls_have_the_results_of_the_kernel),
		CASE(a_fill_in_vain_makes_an_area_ready),
		CASE(guards_make_no_family_of_a_files_area),
		CASE(a_child_has_the_guards_of_a_files_area),
		CASE(what_is_left_of_a_moved_area_keeps_its_place),
		CASE(what_is_shared_is_mapped_again),
		CASE(the_heap_grows_and_shrinks),
		CASE(frames_are_a_matter_of_the_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
