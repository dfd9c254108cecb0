/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 05-cache.c, 15 August 2019, no message-id: a registration cache is one
 * of the models. The library's own, on io_uring with tags, the ring being the
 * scenario's: a buffer that is taken out of its slot stays with the request that
 * has it, and its tag comes when that is over. Who puts before then asks when
 * his memory is his again.
 *
 * Bad: memory is said to be released while a request writes there, or never is
 * Result: Sometimes rcache_tag_early
 * Result: Never *
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include <uhmm/explore.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>
#include <uhmm/rcache_uring.h>

enum { PAGE = 4096, HERE = 0x10000, ELSEWHERE = 0x20000, SLOTS = 2 };

/* A switch of the device's for tests: what is taken out is said to be released. */
extern unsigned int rcache_broken;

/* A buffer of the ring: in a slot, with a request, or both. */
struct buffer {
	unsigned long at;
	uint64_t tag;
	unsigned int uses;
};

static struct mm_struct *mm;
static struct uhmm_rcache *cache;
static struct uhmm_rcache_uring *device;
static pthread_mutex_t ring_lock = PTHREAD_MUTEX_INITIALIZER;
static struct buffer buffer[8];			/* all there ever were */
static unsigned int nbuffers, in_slot[SLOTS];	/* from 1 on; 0: none */
static unsigned int in_flight;			/* the request's */
static atomic_bool writing;			/* that request, at HERE */
static uint64_t completion[8];
static unsigned int ncompletions;

/* ------------------------------------------------------ the ring. Lock held. */

static void drop(unsigned int b)
{
	if (b && !--buffer[b - 1].uses && buffer[b - 1].tag)
		completion[ncompletions++] = buffer[b - 1].tag;
}

static int ring_call(void *unused, int fd, unsigned int opcode, void *arg,
		     unsigned int n)
{
	const struct io_uring_rsrc_update2 *update = arg;
	const struct iovec *what;

	if (opcode != IORING_REGISTER_BUFFERS_UPDATE)
		return 0;
	what = (const struct iovec *)(uintptr_t)update->data;
	pthread_mutex_lock(&ring_lock);
	drop(in_slot[update->offset]);
	in_slot[update->offset] = 0;
	if (what->iov_base) {
		buffer[nbuffers++] = (struct buffer){
			.at = (unsigned long)what->iov_base, .uses = 1,
			.tag = *(const uint64_t *)(uintptr_t)update->tags,
		};
		in_slot[update->offset] = nbuffers;
	}
	pthread_mutex_unlock(&ring_lock);
	return 1;
}

/* A request begins; nothing, if its slot is not of that memory any more. */
static void submit(const struct uhmm_registration *reg)
{
	unsigned int b;

	pthread_mutex_lock(&ring_lock);
	b = in_slot[reg->key];
	if (b && buffer[b - 1].at == HERE) {
		buffer[b - 1].uses++;
		in_flight = b;
		atomic_store(&writing, true);
	}
	pthread_mutex_unlock(&ring_lock);
}

static void request_ends(void)
{
	pthread_mutex_lock(&ring_lock);
	atomic_store(&writing, false);
	drop(in_flight);
	in_flight = 0;
	pthread_mutex_unlock(&ring_lock);
}

/* All completions that are there. */
static void hand_over(void)
{
	uint64_t tag;

	for (;;) {
		pthread_mutex_lock(&ring_lock);
		tag = ncompletions ? completion[--ncompletions] : 0;
		pthread_mutex_unlock(&ring_lock);
		if (!tag)
			return;
		uhmm_assert(uhmm_rcache_uring_tag(device, tag));
	}
}

/* --------------------------------------------------------------- the program */

static void begin(void)
{
	struct uhmm_rcache_uring_options options = {
		.size = sizeof(options), .call = ring_call,
	};

	if (uhmm_mm_create(&mm) ||
	    uhmm_rcache_uring_create_tagged(0, SLOTS, &options, &device) ||
	    uhmm_rcache_create(mm, uhmm_rcache_uring_ops(), device, NULL,
			       &cache))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "no cache");
}

static void get(unsigned long at, struct uhmm_registration *ret_reg)
{
	uhmm_assert(!uhmm_rcache_get(cache, at, PAGE, UHMM_RCACHE_WRITE,
				     ret_reg));
}

/* A request is begun, and its registration put. */
static void begin_request(void)
{
	struct uhmm_registration reg;

	get(HERE, &reg);
	submit(&reg);
	uhmm_rcache_put(&reg);
}

static void use_anew(void)
{
	if (atomic_load(&writing))
		uhmm_defect(UHMM_DEFECT_STALE,
			    "a request writes memory that was released");
}

/* Nothing is held once all completions are handed over, and each was of something. */
static void finish(void)
{
	struct uhmm_rcache_uring_info info = { .size = sizeof(info) };

	uhmm_assert(!uhmm_rcache_destroy(cache));
	hand_over();
	uhmm_assert(!uhmm_rcache_uring_get_info(device, &info));
	uhmm_assert(!info.held && !info.held_bytes && !info.buffers);
	uhmm_assert(info.released == nbuffers && !info.strays);
	uhmm_rcache_uring_destroy(device);
}

static void invalidate(void)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_UNMAP, 0, mm, HERE,
				HERE + PAGE);
	mmu_notifier_invalidate_range_start(&range);
	mmu_notifier_invalidate_range_end(&range);
}

/* ------------------------------------------------------------ as threads */

static void *ring(void *unused)
{
	uhmm_thread_name("ring");
	request_ends();
	hand_over();
	return NULL;
}

static void *unmap(void *unused)
{
	uhmm_thread_name("unmap");
	invalidate();
	return NULL;
}

static void *put(void *reg)
{
	uhmm_thread_name("put");
	uhmm_rcache_put(reg);
	return NULL;
}

static void *flush_and_ask(void *unused)
{
	uhmm_thread_name("user");
	uhmm_rcache_flush(cache, HERE, PAGE);
	if (!uhmm_rcache_uring_held(device, HERE, PAGE))
		use_anew();
	return NULL;
}

static void together(void *(*one)(void *), void *arg, void *(*other)(void *))
{
	pthread_t threads[2];

	pthread_create(&threads[0], NULL, one, arg);
	pthread_create(&threads[1], NULL, other, NULL);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

static void tag_ask(void)
{
	begin();
	begin_request();
	together(flush_and_ask, NULL, ring);
	finish();
}

static void tag_early(void)
{
	rcache_broken = 2;
	begin();
	begin_request();
	together(flush_and_ask, NULL, ring);
}

/* What an invalidation takes out of its slot, or a put, is found in neither. */
static void tag_put(void)
{
	struct uhmm_registration reg;

	begin();
	get(HERE, &reg);
	submit(&reg);
	together(put, &reg, unmap);
	uhmm_rcache_flush(cache, HERE, PAGE);
	uhmm_assert(uhmm_rcache_uring_held(device, HERE, PAGE) == PAGE);
	ring(NULL);
	uhmm_assert(!uhmm_rcache_uring_held(device, HERE, PAGE));
	finish();
}

/* Sleeps until another hands it over, whichever is first. */
static void tag_wait(void)
{
	pthread_t thread;

	begin();
	begin_request();
	uhmm_rcache_flush(cache, HERE, PAGE);
	pthread_create(&thread, NULL, ring, NULL);
	uhmm_assert(!uhmm_rcache_uring_wait(device, HERE, PAGE, -1));
	use_anew();
	pthread_join(thread, NULL);
	finish();
}

/* The slot is another buffer's meanwhile. */
static void *user_elsewhere(void *unused)
{
	struct uhmm_registration reg;

	uhmm_thread_name("elsewhere");
	invalidate();
	get(ELSEWHERE, &reg);
	uhmm_rcache_put(&reg);
	uhmm_rcache_flush(cache, ELSEWHERE, PAGE);
	if (!uhmm_rcache_uring_held(device, HERE, PAGE))
		use_anew();
	return NULL;
}

static void tag_again(void)
{
	begin();
	begin_request();
	together(user_elsewhere, NULL, ring);
	finish();
}

#define FROM .source = "mail, 15 August 2019 (models)", \
	     .bad = "memory is released that a request writes"
UHMM_SCENARIO(rcache_tag_ask, FROM, .run = tag_ask, .result = UHMM_RESULT_NEVER);
UHMM_SCENARIO(rcache_tag_early, FROM, .run = tag_early,
	      .result = UHMM_RESULT_SOMETIMES);
UHMM_SCENARIO(rcache_tag_put, FROM, .run = tag_put, .result = UHMM_RESULT_NEVER);
UHMM_SCENARIO(rcache_tag_wait, FROM, .run = tag_wait,
	      .result = UHMM_RESULT_NEVER);
UHMM_SCENARIO(rcache_tag_again, FROM, .run = tag_again,
	      .result = UHMM_RESULT_NEVER);
