/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Everything at once: CPUs and devices read and write, pages go to devices and
 * back, and the devices' memory is torn down under all of them. What is read
 * is what was written last, and nothing is left over.
 */
#include "hmm_util.h"

#include <stdio.h>

#define N 24UL
#define ROUNDS 60
#define WRITERS 2

static int stop, wrong, failed;

static bool going(void)
{
	return !__atomic_load_n(&stop, __ATOMIC_SEQ_CST);
}

static void note_wrong(void)
{
	__atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
}

/* Of threads that may run at once, with memory of their own. */
static int command(struct uhmm_dmirror *it, unsigned long request,
		   unsigned long page, unsigned long n, void *bytes)
{
	struct hmm_dmirror_cmd own = {
		.addr = base + PAGES(page), .npages = n,
		.ptr = (uintptr_t)bytes,
	};

	return uhmm_dmirror_ioctl(it, request, &own);
}

static void fill(uint64_t *page, uint64_t word)
{
	for (size_t i = 0; i < PAGE / sizeof(*page); i++)
		page[i] = word;
}

/* A page that one thread alone writes, as CPU and as device, and reads. */
struct writer {
	pthread_t thread;
	unsigned long page;
	struct uhmm_dmirror *file;
};

static void *write_and_read(void *arg)
{
	const struct writer *writer = arg;
	unsigned long addr = base + PAGES(writer->page);
	uint64_t *page = malloc(PAGE), value = 0;

	while (going()) {
		fill(page, ++value);
		if (value % 2 ? command(writer->file, HMM_DMIRROR_WRITE,
					writer->page, 1, page) :
				uhmm_model_write(mm, addr, page, PAGE, NULL)) {
			__atomic_add_fetch(&failed, 1, __ATOMIC_SEQ_CST);
			continue;
		}
		fill(page, 0);
		if (value % 3 ? command(writer->file, HMM_DMIRROR_READ,
					writer->page, 1, page) :
				uhmm_model_read(mm, addr, page, PAGE, NULL))
			__atomic_add_fetch(&failed, 1, __ATOMIC_SEQ_CST);
		else if (page[0] != value ||
			 page[PAGE / sizeof(*page) - 1] != value)
			note_wrong();
	}
	free(page);
	return NULL;
}

/* Pages that nobody writes: page i is full of i. */
static void *read_all(void *arg)
{
	uint64_t (*pages)[PAGE / sizeof(uint64_t)] = malloc(PAGES(N));

	while (going())
		if (!command(arg, HMM_DMIRROR_READ, WRITERS, N - WRITERS,
			     pages))
			for (unsigned long i = WRITERS; i < N; i++)
				if (pages[i - WRITERS][0] != i)
					note_wrong();
	free(pages);
	return NULL;
}

static void *move_about(void *arg)
{
	void *pages = malloc(PAGES(N));

	while (going()) {
		command(arg, HMM_DMIRROR_MIGRATE_TO_DEV, 0, N, pages);
		command(arg, HMM_DMIRROR_MIGRATE_TO_SYS, N / 2, N / 2, pages);
	}
	free(pages);
	return NULL;
}

static void *make_exclusive(void *arg)
{
	void *pages = malloc(PAGES(N));

	while (going())
		command(arg, HMM_DMIRROR_EXCLUSIVE, 0, N, pages);
	free(pages);
	return NULL;
}

/* What @destroyer does to @victim's pages, again and again. */
static void run(void (*destroyer)(int round))
{
	struct writer writers[WRITERS];
	pthread_t others[4];

	base = mm_map(mm, N, RW, ANON);
	cpu_fill(mm, base, N, 0);
	stop = wrong = failed = 0;
	for (int i = 0; i < WRITERS; i++) {
		writers[i].page = (unsigned long)i;
		writers[i].file = file[i % 2];
		pthread_create(&writers[i].thread, NULL, write_and_read,
			       &writers[i]);
	}
	pthread_create(&others[0], NULL, read_all, file[0]);
	pthread_create(&others[1], NULL, move_about, file[0]);
	pthread_create(&others[2], NULL, move_about, file[1]);
	pthread_create(&others[3], NULL, make_exclusive, file[0]);
	for (int i = 0; i < ROUNDS; i++)
		destroyer(i);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(others[i], NULL);
	assert_int_equal(wrong, 0);
	for (unsigned long i = WRITERS; i < N; i++)
		assert_int_equal(cpu_word(mm, base + PAGES(i)), i);
	mm_unmap(mm, base, N);
}

static void release(int round)
{
	command(file[round % 2], HMM_DMIRROR_RELEASE, 0, 1, NULL);
}

/* The device's memory goes while its pages are wanted everywhere. */
static void memory_is_torn_down_while_devices_fault(void **state)
{
	run(release);
}

static void open_and_close(int round)
{
	struct uhmm_dmirror *another;
	uint64_t page[PAGE / sizeof(uint64_t)];

	if (uhmm_dmirror_open(device[round % 2], mm, &another)) {
		note_wrong();
		return;
	}
	if (!command(another, HMM_DMIRROR_READ, WRITERS, 1, page) &&
	    page[0] != WRITERS)
		note_wrong();
	uhmm_dmirror_close(another);
}

static void files_come_and_go_while_devices_fault(void **state)
{
	run(open_and_close);
}

static void fork_and_exit(int round)
{
	struct mm_struct *child;

	if (uhmm_mm_fork(mm, &child)) {
		note_wrong();
		return;
	}
	for (unsigned long i = WRITERS; i < N; i += 7)
		if (cpu_word(child, base + PAGES(i)) != i)
			note_wrong();
	mmput(child);
}

static void spaces_are_forked_while_devices_fault(void **state)
{
	run(fork_and_exit);
}

static void compact(int round)
{
	uhmm_model_compact(mm, base, N);
	uhmm_model_madvise(mm, base, PAGES(N), MADV_PAGEOUT);
}

static void pages_move_while_devices_fault(void **state)
{
	run(compact);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASES(memory_is_torn_down_while_devices_fault),
		CASES(files_come_and_go_while_devices_fault),
		CASES(spaces_are_forked_while_devices_fault),
		CASES(pages_move_while_devices_fault),
	};

	hmm_main_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
