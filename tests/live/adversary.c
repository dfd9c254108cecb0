/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "adversary.h"

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PATTERNS = 64, AT_ONCE = 500, ROUNDS = 400 };
#define PAGE ADVERSARY_PAGE

static struct io_uring ring;
static struct uhmm_rcache_uring *buffers;
static char *arena;
static int patterns = -1;
static struct adversary_counts did;
static int stop;

/* ------------------------------------------------------------------- set up */

static bool patterns_make(void)
{
	unsigned long page[PAGE / sizeof(unsigned long)];

	patterns = memfd_create("patterns", MFD_CLOEXEC);
	for (unsigned long i = 0; i < PATTERNS; i++) {
		for (unsigned long k = 0; k < PAGE / sizeof(page[0]); k++)
			page[k] = i + 1;
		if (write(patterns, page, PAGE) != PAGE)
			return false;
	}
	return true;
}

/*
 * Far below where the kernel puts what may be anywhere, and nowhere else, so that
 * nobody else is given a page of it while it is unmapped.
 */
static bool arena_make(void)
{
	void *far_below = (void *)(1UL << 36);

	arena = mmap(far_below, ADVERSARY_GRANULE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	return arena == far_below;
}

static int get(unsigned long addr, size_t length, struct adversary_use *ret)
{
	int err = uhmm_rcache_get(adversary_rcache, addr, length,
				  UHMM_RCACHE_WRITE, &ret->reg);

	ret->key = err ? 0 : ret->reg.key;
	return err;
}

static void put(struct adversary_use *use)
{
	uhmm_rcache_put(&use->reg);
}

const struct adversary_cache adversary_ours = { get, put };
struct uhmm_rcache *adversary_rcache;

int adversary_rcache_make(struct mm_struct *mm)
{
	const struct uhmm_rcache_options options = {
		.size = sizeof(options), .granule = ADVERSARY_GRANULE,
	};

	return uhmm_rcache_create(mm, uhmm_rcache_uring_ops(), buffers,
				  &options, &adversary_rcache);
}

struct uhmm_rcache_uring *adversary_begin(void)
{
	buffers = NULL;
	if (io_uring_queue_init(4, &ring, 0))
		return NULL;
	if (uhmm_rcache_uring_create(ring.ring_fd, 64, &buffers)) {
		io_uring_queue_exit(&ring);
		return NULL;
	}
	if (arena_make() && patterns_make())
		return buffers;
	adversary_end();
	return NULL;
}

void adversary_end(void)
{
	if (!buffers)
		return;
	close(patterns);
	uhmm_rcache_uring_destroy(buffers);
	io_uring_queue_exit(&ring);
	munmap(arena, ADVERSARY_GRANULE);
	buffers = NULL;
}

/* -------------------------------------------------------------------- device */

/* The device writes pattern @i to @to. */
static int device_write(void *to, unsigned long i, uint64_t key)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	struct io_uring_cqe *cqe;
	int ret;

	io_uring_prep_read_fixed(sqe, patterns, to, PAGE,
				 i % PATTERNS * PAGE, (int)key);
	/* Who is stopped for a while goes on. */
	do
		ret = io_uring_submit(&ring);
	while (ret == -EINTR);
	if (ret != 1)
		return ret < 0 ? ret : -EIO;
	do
		ret = io_uring_wait_cqe(&ring, &cqe);
	while (ret == -EINTR);
	if (ret)
		return ret;
	ret = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return ret == PAGE ? 0 : ret < 0 ? ret : -EIO;
}

int adversary_write(const struct adversary_cache *cache)
{
	unsigned long i = did.writes++;
	struct adversary_use use;
	int err = cache->get((unsigned long)arena, PAGE, &use);

	if (err)
		return err;
	err = device_write(arena, i, use.key);
	cache->put(&use);
	return err ?: *(volatile unsigned long *)arena != i % PATTERNS + 1;
}

/* ------------------------------------------------------------------ programs */

/* As a program may; or in one step. */
static int map_again(char *at, bool over)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS |
		    (over ? MAP_FIXED : MAP_FIXED_NOREPLACE);

	if (!over && munmap(at, PAGE))
		return -errno;
	return mmap(at, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == at ?
		       0 : -errno;
}

static void write_some(const struct adversary_cache *cache)
{
	for (int i = 0; i < AT_ONCE && !did.err; i++) {
		did.err = map_again(arena, i & 1);
		if (!did.err)
			did.err = adversary_write(cache);
		if (did.err == 1) {
			did.lost++;
			did.err = 0;
		}
	}
}

/* Uses its own page, and never the one beside it. */
static void *use_next_page(void *cache_arg)
{
	const struct adversary_cache *cache = cache_arg;
	struct adversary_use use;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		if (!cache->get((unsigned long)arena + PAGE, PAGE, &use)) {
			__atomic_fetch_add(&did.gets, 1, __ATOMIC_RELAXED);
			cache->put(&use);
		}
	return NULL;
}

static bool go_on(bool neighbour, time_t end, int *rounds)
{
	if (did.err)
		return false;
	if (*rounds)
		return --*rounds && !did.lost;
	return time(NULL) < end ||
	       (neighbour && !__atomic_load_n(&did.gets, __ATOMIC_RELAXED));
}

struct adversary_counts adversary_run(const struct adversary_cache *cache,
				      bool neighbour, long seconds,
				      bool until_lost)
{
	int rounds = until_lost ? ROUNDS : 0;
	time_t end = time(NULL) + seconds;
	pthread_t thread;

	did = (struct adversary_counts){ 0 };
	stop = 0;
	if (neighbour && pthread_create(&thread, NULL, use_next_page,
					(void *)cache)) {
		did.err = -EAGAIN;
		return did;
	}
	while (go_on(neighbour, end, &rounds))
		write_some(cache);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	if (neighbour)
		pthread_join(thread, NULL);
	return did;
}
