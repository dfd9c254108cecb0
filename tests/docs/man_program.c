/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The program around the code of uhmm_mmu_notifier(7): man_program [CHECK]
 * runs one check, in a plain and in a checked address space; without an
 * argument it lists them. man_code.h is the page's code.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uhmm/check.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

struct view;
struct gpu;

static int my_read_page_table(struct mm_struct *mm, unsigned long addr,
			      unsigned long *ret_entry);
static void my_clear_page_table(struct mm_struct *mm, unsigned long start,
				unsigned long end);
static void my_device_stop(struct view *view);
static void my_gpu_tell(struct gpu *gpu,
			const struct mmu_notifier_range *range);
static void my_gpu_wait(struct gpu *gpu);
static void my_pool_zap(struct mmu_interval_notifier *sub,
			const struct mmu_notifier_range *range);
static unsigned long my_frame_of(unsigned long page);

static int frees;

static void my_free(void *p)
{
	frees++;
	free(p);
}

#define free my_free
#include "man_code.h"
#undef free

#define BASE (1UL << 20)
#define EXPECT(x) \
	do { \
		if (!(x)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			failed = true; \
		} \
	} while (0)

static struct mm_struct *mm;
static struct view view;
static bool failed;

/* ------------------------------------------------- what the page calls my_ */

/* Entry i of the page table is 1000 * generation + i. */
static unsigned long generation[VIEW_PAGES];
static int reads, read_error, stops, clears;
static bool collide;
static char trace[64];

static unsigned long entry_of(unsigned long i)
{
	return 1000 * (generation[i] + 1) + i;
}

static int my_read_page_table(struct mm_struct *of, unsigned long addr,
			      unsigned long *ret_entry)
{
	reads++;
	*ret_entry = entry_of((addr - BASE) / PAGE);
	if (collide) {
		collide = false;
		EXPECT(!unmap_range(of, addr, addr + PAGE));
	}
	return read_error;
}

static void my_clear_page_table(struct mm_struct *of, unsigned long start,
				unsigned long end)
{
	EXPECT(of == mm);
	clears++;
	for (unsigned long i = 0; i < VIEW_PAGES; i++)
		if (BASE + i * PAGE < end && BASE + (i + 1) * PAGE > start)
			generation[i]++;
}

static void my_device_stop(struct view *of)
{
	EXPECT(of == &view);
	EXPECT(uhmm_check_mutex_held(&of->lock));
	stops++;
}

static struct gpu gpus[2];

static void note(char what, const struct gpu *gpu)
{
	size_t n = strlen(trace);

	trace[n] = what;
	trace[n + 1] = (char)('0' + (gpu - gpus));
}

static void my_gpu_tell(struct gpu *gpu,
			const struct mmu_notifier_range *range)
{
	note('t', gpu);
}

static void my_gpu_wait(struct gpu *gpu)
{
	note('w', gpu);
	if (collide) {
		collide = false;
		EXPECT(!unmap_range(mm, BASE, BASE + PAGE));
	}
}

static int zaps;

static void my_pool_zap(struct mmu_interval_notifier *sub,
			const struct mmu_notifier_range *range)
{
	zaps++;
}

static unsigned long my_frame_of(unsigned long page)
{
	unsigned long frame = entry_of(page);

	reads++;
	if (collide) {
		collide = false;
		EXPECT(!unmap_range(mm, BASE + page * PAGE,
				    BASE + (page + 1) * PAGE));
	}
	return frame;
}

/* -------------------------------------------------------------- the checks */

static struct uhmm_mm_stats stats(void)
{
	struct uhmm_mm_stats s;

	uhmm_mm_get_stats(mm, &s);
	return s;
}

/* By a thread that has no lock and no reservation. */
static void *unmap_thread(void *unused)
{
	EXPECT(!unmap_range(mm, BASE, BASE + PAGE));
	return NULL;
}

static void *refused_thread(void *unused)
{
	EXPECT(try_to_free_range(mm, BASE, BASE + 3 * PAGE) == -EAGAIN);
	return NULL;
}

static void elsewhere(void *(*fn)(void *unused))
{
	pthread_t thread;

	EXPECT(!pthread_create(&thread, NULL, fn, NULL));
	pthread_join(thread, NULL);
}

static void check_collision(void)
{
	EXPECT(!view_open(&view, mm, BASE));
	collide = true;
	EXPECT(!view_fault(&view, BASE + 3 * PAGE));
	EXPECT(reads == 2);
	EXPECT(view.entry[3] == entry_of(3));
	EXPECT(stats().retries == 1);
	view_close(&view);
	EXPECT(stats().subscriptions == 0);
}

static void check_zap(void)
{
	EXPECT(!view_open(&view, mm, BASE));
	for (unsigned long i = 0; i < 4; i++)
		EXPECT(!view_fault(&view, BASE + i * PAGE));
	EXPECT(!unmap_range(mm, BASE + PAGE, BASE + 2 * PAGE));
	EXPECT(stops == 1 && clears == 1);
	EXPECT(view_settled(&view, 0) == 0);
	EXPECT(view.entry[0] && !view.entry[1] && view.entry[2]);
	EXPECT(!unmap_range(mm, BASE + 2 * PAGE + 5, BASE + 2 * PAGE + 6));
	EXPECT(view.entry[0] && !view.entry[2] && view.entry[3]);
	EXPECT(!unmap_range(mm, 0, ~0UL));
	EXPECT(!view.entry[0] && !view.entry[3]);
	EXPECT(unmap_range(mm, BASE, BASE) == -EINVAL);
	EXPECT(clears == 3);
	view_close(&view);
}

static void check_release(void)
{
	mmget(mm);
	EXPECT(!view_open(&view, mm, BASE));
	EXPECT(!view_fault(&view, BASE));
	mmput(mm);
	EXPECT(view.entry[0]);
	mmgrab(mm);
	mmput(mm);
	EXPECT(!view.entry[0]);
	view_close(&view);
	EXPECT(uhmm_check_violations(mm) == 0);
	mmdrop(mm);
	mm = NULL;
}

static void check_nonblock(void)
{
	EXPECT(!view_open(&view, mm, BASE));
	EXPECT(!view_fault(&view, BASE));
	pthread_mutex_lock(&view.lock);
	elsewhere(refused_thread);
	pthread_mutex_unlock(&view.lock);
	EXPECT(view.entry[0] && clears == 0);
	EXPECT(view_settled(&view, 0) == 0);
	EXPECT(try_to_free_range(mm, BASE, BASE + PAGE) == 0);
	EXPECT(!view.entry[0] && clears == 1);
	view_close(&view);
}

static pthread_barrier_t barrier;

static void *open_thread(void *unused)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, mm, BASE,
				BASE + PAGE);
	EXPECT(!mmu_notifier_invalidate_range_start(&range));
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	mmu_notifier_invalidate_range_end(&range);
	return NULL;
}

static void check_timed(void)
{
	pthread_t thread;

	EXPECT(!view_open(&view, mm, BASE));
	EXPECT(view_settled(&view, 0) == 0);
	pthread_barrier_init(&barrier, NULL, 2);
	EXPECT(!pthread_create(&thread, NULL, open_thread, NULL));
	pthread_barrier_wait(&barrier);
	EXPECT(view_settled(&view, 1000) == -ETIMEDOUT);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	EXPECT(view_settled(&view, 0) == 0);
	view_close(&view);
}

static void check_two_passes(void)
{
	for (int i = 0; i < 2; i++) {
		memset(&gpus[i], 0, sizeof(gpus[i]));
		pthread_mutex_init(&gpus[i].lock, NULL);
		EXPECT(!mmu_interval_notifier_insert(&gpus[i].sub, mm, BASE,
						     PAGE, &gpu_ops));
	}
	EXPECT(!unmap_range(mm, BASE, BASE + PAGE));
	EXPECT(!strcmp(trace, "t0t1w0w1"));
	/* Without its second pass it would wait for itself below. */
	if (failed)
		return;
	memset(trace, 0, sizeof(trace));
	/* Another one between the passes finds no object to spare. */
	collide = true;
	EXPECT(!unmap_range(mm, BASE, BASE + PAGE));
	EXPECT(!strcmp(trace, "t0t1w0" "t0w0t1w1" "w1"));
	EXPECT(!gpus[0].finishing && !gpus[1].finishing);
	EXPECT(try_to_free_range(mm, BASE, BASE + PAGE) == -EAGAIN);
	for (int i = 0; i < 2; i++)
		mmu_interval_notifier_remove(&gpus[i].sub);
}

static void check_batch(void)
{
	struct mmu_interval_notifier subs[3] = { 0 };
	unsigned long seq[3];

	for (int i = 0; i < 3; i++) {
		EXPECT(!mmu_interval_notifier_insert(&subs[i], mm,
						     BASE + i * PAGE, PAGE,
						     &pool_ops));
		seq[i] = mmu_interval_read_begin(&subs[i]);
	}
	EXPECT(!unmap_range(mm, BASE, BASE + 2 * PAGE));
	EXPECT(zaps == 2);
	pthread_mutex_lock(&pool_lock);
	EXPECT(mmu_interval_read_retry(&subs[0], seq[0]));
	EXPECT(mmu_interval_read_retry(&subs[1], seq[1]));
	EXPECT(!mmu_interval_read_retry(&subs[2], seq[2]));
	elsewhere(refused_thread);
	pthread_mutex_unlock(&pool_lock);
	EXPECT(zaps == 2);
	for (int i = 0; i < 3; i++)
		mmu_interval_notifier_remove(&subs[i]);
}

static void check_tagged(void)
{
	struct mmu_interval_notifier tlb = { 0 };
	struct tlb_entry entry = { 0 };

	EXPECT(!uhmm_interval_notifier_insert_tagged(&tlb, mm, BASE,
						     VIEW_PAGES * PAGE));
	EXPECT(tlb_frame(&tlb, &entry, 0) == entry_of(0));
	EXPECT(tlb_frame(&tlb, &entry, 0) == entry_of(0));
	EXPECT(reads == 1);
	EXPECT(!unmap_range(mm, BASE, BASE + PAGE));
	EXPECT(tlb_frame(&tlb, &entry, 0) == entry_of(0));
	EXPECT(reads == 2);
	collide = true;
	EXPECT(tlb_frame(&tlb, &entry, 1) == entry_of(1));
	EXPECT(reads == 4);
	mmu_interval_notifier_remove(&tlb);
}

static void check_remove_async(void)
{
	struct object *object = calloc(1, sizeof(*object));

	pthread_mutex_init(&object->lock, NULL);
	EXPECT(!mmu_interval_notifier_insert(&object->sub, mm, BASE, PAGE,
					     &object_ops));
	EXPECT(!try_to_free_range(mm, BASE, BASE + PAGE));
	EXPECT(frees == 0 && stats().subscriptions == 1);
	EXPECT(!unmap_range(mm, BASE, BASE + PAGE));
	EXPECT(frees == 1 && stats().subscriptions == 0);
	EXPECT(!unmap_range(mm, BASE, BASE + PAGE));
}

static void check_list(void)
{
	struct mmu_notifier *notifier = mmu_notifier_get(&watcher_ops, mm);
	struct mmu_notifier_range range;

	EXPECT(!uhmm_ptr_err(notifier));
	EXPECT(mmu_notifier_get(&watcher_ops, mm) == notifier);
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, mm, 0, PAGE);
	EXPECT(!mmu_notifier_invalidate_range_start(&range));
	EXPECT(((struct watcher *)notifier)->open == 1);
	mmu_notifier_invalidate_range_end(&range);
	EXPECT(((struct watcher *)notifier)->open == 0);
	mmu_notifier_put(notifier);
	EXPECT(frees == 0);
	mmu_notifier_put(notifier);
	mmu_notifier_synchronize();
	EXPECT(frees == 1);
}

static void check_reservation(void)
{
	EXPECT(!view_open(&view, mm, BASE));
	EXPECT(!view_fault_soon(&view, BASE));
	EXPECT(stats().reserves == 1);
	elsewhere(unmap_thread);
	EXPECT(stats().reserves_lost == 0);
	read_error = -EFAULT;
	EXPECT(view_fault_soon(&view, BASE) == -EFAULT);
	EXPECT(stats().reserves == 2);
	elsewhere(unmap_thread);
	EXPECT(stats().reserves_lost == 0);
	view_close(&view);
}

static const struct {
	const char *name;
	void (*fn)(void);
} checks[] = {
	{ "collision", check_collision },
	{ "zap", check_zap },
	{ "release", check_release },
	{ "nonblock", check_nonblock },
	{ "timed", check_timed },
	{ "two-passes", check_two_passes },
	{ "batch", check_batch },
	{ "tagged", check_tagged },
	{ "remove-async", check_remove_async },
	{ "list", check_list },
	{ "reservation", check_reservation },
};

static void run(void (*fn)(void), unsigned int flags)
{
	struct uhmm_mm_options options = {
		.size = sizeof(options), .flags = flags,
	};

	memset(generation, 0, sizeof(generation));
	memset(trace, 0, sizeof(trace));
	reads = read_error = stops = clears = zaps = frees = 0;
	collide = false;
	EXPECT(!uhmm_mm_create_with(&options, &mm));
	fn();
	if (!mm)
		return;
	EXPECT(uhmm_check_violations(mm) == 0);
	mmput(mm);
}

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (argc < 2) {
			puts(checks[i].name);
		} else if (!strcmp(argv[1], checks[i].name)) {
			run(checks[i].fn, 0);
			run(checks[i].fn, UHMM_MM_CHECK);
			return failed;
		}
	}
	return argc < 2 ? 0 : 2;
}
