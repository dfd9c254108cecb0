/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Tags as fences, on real rings: a request that has a buffer until a pipe is
 * written to, a slot that is emptied or used again meanwhile, and what the kernel
 * says, and when, of the pages that were in it.
 */
#include <liburing.h>
#include <sys/resource.h>

#include <uhmm/rcache_uring.h>

#include "live_util.h"
#include "rcache/internal.h"

enum { SLOTS = 16, OWN = 0xabc };

static struct io_uring ring;
static struct uhmm_rcache_uring *buffers;
static struct uhmm_rcache *cache;
static int pipe_fd[2];
static char *memory;			/* some pages of it */
static bool rings;			/* there are */

/* ------------------------------------------------------------------- set up */

static void make(unsigned int ring_flags, unsigned int slots,
		 const struct uhmm_rcache_options *options)
{
	assert_int_equal(io_uring_queue_init(4, &ring, ring_flags), 0);
	assert_int_equal(uhmm_rcache_uring_create_tagged(ring.ring_fd, slots,
							 NULL, &buffers), 0);
	assert_int_equal(uhmm_rcache_create(mm, uhmm_rcache_uring_ops(), buffers,
					    options, &cache), 0);
}

static void unmake(void)
{
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	uhmm_rcache_uring_destroy(buffers);
	io_uring_queue_exit(&ring);
}

static int begin(void **state)
{
	live_begin_bare(state);
	assert_int_equal(uhmm_mm_create(&mm), 0);
	assert_int_equal(pipe(pipe_fd), 0);
	memory = some_pages(SLOTS);
	rings = uhmm_rcache_uring_features() & UHMM_RCACHE_URING_TABLE;
	return 0;
}

static int end(void **state)
{
	rcache_broken = 0;
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	munmap(memory, SLOTS * PAGE);
	return live_end(state);
}

static void need_rings(void)
{
	if (rings)
		return;
	print_message("io_uring is refused here, or older than 5.19\n");
	skip();
}

/* -------------------------------------------------------------------- the ring */

static struct uhmm_registration get(const char *at, size_t npages)
{
	struct uhmm_registration reg;

	assert_int_equal(uhmm_rcache_get(cache, (unsigned long)at,
					 npages * PAGE, UHMM_RCACHE_WRITE, &reg),
			 0);
	return reg;
}

static void touch(const char *at)
{
	struct uhmm_registration reg = get(at, 1);

	uhmm_rcache_put(&reg);
}

static unsigned long flush(const char *at, size_t npages)
{
	return uhmm_rcache_flush(cache, (unsigned long)at, npages * PAGE);
}

static long held(const char *at, size_t npages)
{
	return uhmm_rcache_uring_held(buffers, (unsigned long)at,
				      npages * PAGE);
}

static struct uhmm_rcache_uring_info info_now(void)
{
	struct uhmm_rcache_uring_info info = { .size = sizeof(info) };

	assert_int_equal(uhmm_rcache_uring_get_info(buffers, &info), 0);
	return info;
}

/* The next completion, of the program's if it is. */
static bool reap(void)
{
	struct io_uring_cqe *cqe;
	bool own;

	assert_int_equal(io_uring_wait_cqe(&ring, &cqe), 0);
	own = !uhmm_rcache_uring_tag(buffers, cqe->user_data);
	assert_int_equal(own, cqe->user_data == OWN);
	assert_int_equal(cqe->res, own ? (int)PAGE : 0);
	io_uring_cqe_seen(&ring, cqe);
	return own;
}

/* What the pipe brings goes to @to; the registration is put while it runs. */
static uint64_t read_and_put(char *to)
{
	struct uhmm_registration reg = get(to, 1);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	io_uring_prep_read_fixed(sqe, pipe_fd[0], to, PAGE, 0, (int)reg.key);
	io_uring_sqe_set_data64(sqe, OWN);
	assert_int_equal(io_uring_submit(&ring), 1);
	uhmm_rcache_put(&reg);
	return reg.key;
}

/* The device writes all of a page. */
static void request_ends(void)
{
	char page[PAGE];

	memset(page, 'D', sizeof(page));
	assert_int_equal(write(pipe_fd[1], page, PAGE), PAGE);
}

/* --------------------------------------------------------------------- cases */

static void what_the_kernel_does_is_found_out(void **state)
{
	unsigned int found = uhmm_rcache_uring_features();

	need_rings();
	print_message("a tag comes %s, and %s\n",
		      found & UHMM_RCACHE_URING_PROMPT ? "at once" : "later",
		      found & UHMM_RCACHE_URING_APART ?
			      "waits for no other request" :
			      "may wait for requests that have other buffers");
	make(0, SLOTS, NULL);
	assert_int_equal(info_now().features, found);
	touch(memory);
	assert_int_equal(flush(memory, 1), 0);
	assert_int_equal(io_uring_cq_ready(&ring),
			 found & UHMM_RCACHE_URING_PROMPT ? 1 : 0);
	unmake();
}

static void a_buffer_is_held_until_its_tag_is_handed_over(void **state)
{
	need_rings();
	make(0, SLOTS, NULL);
	touch(memory);
	assert_int_equal(info_now().buffers, 1);
	assert_int_equal(info_now().bytes, PAGE);
	assert_int_equal(held(memory, 1), 0);
	assert_int_equal(flush(memory, 1), 0);
	assert_int_equal(info_now().buffers, 0);
	assert_int_equal(info_now().bytes, 0);
	assert_int_equal(held(memory, 1), PAGE);
	assert_int_equal(held(memory + PAGE, 1), 0);
	assert_int_equal(info_now().held_bytes, PAGE);
	assert_false(reap());
	assert_int_equal(held(memory, 1), 0);
	assert_int_equal(info_now().held, 0);
	assert_int_equal(info_now().released, 1);
	assert_int_equal(info_now().strays, 0);
	unmake();
}

/* The slot is another buffer's before the request that has the old one ends. */
static void what_a_request_has_is_held_until_it_ends(void **state)
{
	struct mmu_notifier_range range;
	struct uhmm_registration other;
	uint64_t key;

	need_rings();
	make(0, SLOTS, NULL);
	key = read_and_put(memory);
	mmu_notifier_range_init(&range, MMU_NOTIFY_UNMAP, 0, mm,
				(unsigned long)memory,
				(unsigned long)memory + PAGE);
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	mmu_notifier_invalidate_range_end(&range);
	other = get(memory + PAGE, 1);
	assert_int_equal(other.key, key);
	assert_int_equal(held(memory, 1), PAGE);
	assert_int_equal(io_uring_cq_ready(&ring), 0);
	request_ends();
	/* First that it ended, and then that nobody has its buffer. */
	assert_true(reap());
	assert_int_equal(held(memory, 1), PAGE);
	assert_false(reap());
	assert_int_equal(held(memory, 1), 0);
	assert_int_equal(info_now().strays, 0);
	assert_int_equal(memory[0], 'D');
	assert_int_equal(memory[PAGE], 2);
	uhmm_rcache_put(&other);
	unmake();
}

/* A program puts early, and uses the memory anew once it is said to be released. */
static bool written_over(void)
{
	bool used = false;

	read_and_put(memory);
	assert_int_equal(flush(memory, 1), 0);
	if (!held(memory, 1)) {
		memset(memory, 'U', PAGE);
		used = true;
	}
	request_ends();
	assert_true(reap());
	assert_false(reap());
	if (!used) {
		assert_int_equal(held(memory, 1), 0);
		memset(memory, 'U', PAGE);
	}
	return memory[0] != 'U';
}

static void what_is_released_is_not_written_over(void **state)
{
	need_rings();
	make(0, SLOTS, NULL);
	for (int i = 0; i < 8; i++)
		assert_false(written_over());
	unmake();
}

static void released_too_early_it_is(void **state)
{
	need_rings();
	make(0, SLOTS, NULL);
	rcache_broken = BROKEN_FENCE;
	assert_true(written_over());
	assert_int_equal(info_now().strays, 1);
	rcache_broken = 0;
	unmake();
}

static void others_are_told_of_meanwhile_or_afterwards(void **state)
{
	need_rings();
	make(0, SLOTS, NULL);
	read_and_put(memory);
	touch(memory + 2 * PAGE);
	assert_int_equal(flush(memory, 3), 0);
	assert_int_equal(held(memory, SLOTS), 2 * PAGE);
	if (info_now().features & UHMM_RCACHE_URING_APART) {
		assert_int_equal(io_uring_cq_ready(&ring), 1);
		assert_false(reap());
		assert_int_equal(held(memory + 2 * PAGE, 1), 0);
	}
	assert_int_equal(held(memory, 1), PAGE);
	request_ends();
	while (held(memory, SLOTS))
		reap();
	assert_int_equal(info_now().released, 2);
	unmake();
}

static void *hands_over(void *unused)
{
	request_ends();
	while (held(memory, 1))
		reap();
	return NULL;
}

static void a_thread_waits_for_another_that_hands_over(void **state)
{
	unsigned long at = (unsigned long)memory;
	pthread_t thread;

	need_rings();
	make(0, SLOTS, NULL);
	assert_int_equal(uhmm_rcache_uring_wait(buffers, at, PAGE, -1), 0);
	for (int i = 0; i < 8; i++) {
		read_and_put(memory);
		assert_int_equal(flush(memory, 1), 0);
		assert_int_equal(uhmm_rcache_uring_wait(buffers, at, PAGE, 0),
				 -ETIMEDOUT);
		assert_int_equal(uhmm_rcache_uring_wait(buffers, at, 0, 1000),
				 -ETIMEDOUT);
		assert_int_equal(uhmm_rcache_uring_wait(buffers, at + PAGE, PAGE,
							-1), 0);
		assert_int_equal(pthread_create(&thread, NULL, hands_over, NULL),
				 0);
		assert_int_equal(uhmm_rcache_uring_wait(buffers, at, PAGE, -1),
				 0);
		assert_int_equal(held(memory, 1), 0);
		pthread_join(thread, NULL);
	}
	unmake();
}

static void what_is_held_counts_against_the_limit(void **state)
{
	struct uhmm_rcache_options options = {
		.size = sizeof(options), .max_bytes = 2 * PAGE,
	};
	struct uhmm_registration reg;

	need_rings();
	make(0, SLOTS, &options);
	read_and_put(memory);
	assert_int_equal(flush(memory, 1), 0);
	touch(memory + 2 * PAGE);
	assert_int_equal(uhmm_rcache_get(cache, (unsigned long)memory + 4 * PAGE,
					 2 * PAGE, UHMM_RCACHE_WRITE, &reg),
			 -EBUSY);
	request_ends();
	while (held(memory, SLOTS))
		reap();
	reg = get(memory + 4 * PAGE, 2);
	uhmm_rcache_put(&reg);
	unmake();
}

/* Of the kernel's own, which a program without privileges meets; the ring counts. */
static void lock_all_that_may_be(void)
{
	enum { LIMIT = 64, MOST = 40 };
	struct rlimit low = { LIMIT * PAGE, LIMIT * PAGE };
	struct uhmm_rcache_options options = {
		.size = sizeof(options), .flags = UHMM_RCACHE_MEMLOCK,
	};
	unsigned long one = (unsigned long)some_pages(MOST);
	unsigned long two = (unsigned long)some_pages(MOST);
	struct uhmm_registration reg;
	struct uhmm_rcache *careful;
	struct io_uring_cqe *cqe;

	if (!rings || setrlimit(RLIMIT_MEMLOCK, &low) ||
	    setresuid(65534, 65534, 65534) ||
	    io_uring_queue_init(4, &ring, 0) ||
	    uhmm_rcache_uring_create_tagged(ring.ring_fd, SLOTS, NULL, &buffers))
		_exit(CANNOT);
	OK(!uhmm_rcache_create(mm, uhmm_rcache_uring_ops(), buffers, NULL,
			       &cache));
	OK(!uhmm_rcache_create(mm, uhmm_rcache_uring_ops(), buffers, &options,
			       &careful));
	/* Somebody else of that name may have locked memory. */
	if (uhmm_rcache_get(cache, one, MOST * PAGE, UHMM_RCACHE_WRITE, &reg))
		_exit(CANNOT);
	io_uring_prep_read_fixed(io_uring_get_sqe(&ring), pipe_fd[0],
				 (void *)one, PAGE, 0, (int)reg.key);
	OK(io_uring_submit(&ring) == 1);
	uhmm_rcache_put(&reg);
	OK(!uhmm_rcache_flush(cache, 0, 0));
	/* The kernel says that there is no memory; who counts says why. */
	OK(uhmm_rcache_get(cache, two, MOST * PAGE, UHMM_RCACHE_WRITE, &reg) ==
	   -ENOMEM);
	OK(uhmm_rcache_get(careful, two, MOST * PAGE, UHMM_RCACHE_WRITE,
			   &reg) == -EBUSY);
	OK(write(pipe_fd[1], "D", 1) == 1);
	while (uhmm_rcache_uring_held(buffers, one, 0)) {
		OK(!io_uring_wait_cqe(&ring, &cqe));
		OK(uhmm_rcache_uring_tag(buffers, cqe->user_data) ==
		   (cqe->user_data != 0));
		io_uring_cqe_seen(&ring, cqe);
	}
	OK(!uhmm_rcache_get(careful, two, MOST * PAGE, UHMM_RCACHE_WRITE,
			    &reg));
	uhmm_rcache_put(&reg);
	OK(!uhmm_rcache_destroy(careful));
	OK(!uhmm_rcache_destroy(cache));
	uhmm_rcache_uring_destroy(buffers);
}

static void what_is_held_is_locked_memory(void **state)
{
	run_alone(lock_all_that_may_be);
}

/* Slots for one: what has it goes, though a request has the buffer. */
static void a_slot_is_used_again_before_the_tag_comes(void **state)
{
	struct uhmm_registration reg;

	need_rings();
	make(0, 1, NULL);
	read_and_put(memory);
	for (int i = 1; i < SLOTS; i++)
		touch(memory + i * PAGE);
	assert_int_equal(info_now().buffers, 1);
	assert_int_equal(info_now().held, SLOTS - 1);
	reg = get(memory + 3 * PAGE, 1);
	request_ends();
	while (held(memory, 0))
		reap();
	assert_int_equal(memory[0], 'D');
	for (int i = 1; i < SLOTS; i++)
		assert_int_equal(memory[i * PAGE], i + 1);
	uhmm_rcache_put(&reg);
	unmake();
}

/* Completions that are in the ring, without a call of the kernel. */
static unsigned int take_what_is_there(void)
{
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;

	io_uring_for_each_cqe(&ring, head, cqe) {
		assert_true(uhmm_rcache_uring_tag(buffers, cqe->user_data));
		n++;
	}
	io_uring_cq_advance(&ring, n);
	return n;
}

/* The ring has room for eight completions. The kernel brings more if it is asked. */
static void tags_that_do_not_fit_come_later(void **state)
{
	need_rings();
	make(0, SLOTS, NULL);
	for (int round = 0; round < 4; round++)
		for (int i = 0; i < SLOTS; i++) {
			touch(memory + i * PAGE);
			assert_int_equal(flush(memory + i * PAGE, 1), 0);
		}
	assert_int_equal(info_now().held, 4 * SLOTS);
	if (info_now().features & UHMM_RCACHE_URING_PROMPT) {
		assert_int_equal(take_what_is_there(), 8);
		assert_int_equal(take_what_is_there(), 0);
		assert_true(io_uring_cq_has_overflow(&ring));
		assert_int_equal(info_now().held, 4 * SLOTS - 8);
		assert_int_equal(io_uring_get_events(&ring), 0);
		assert_int_equal(take_what_is_there(), 8);
	}
	while (held(memory, 0))
		reap();
	assert_int_equal(info_now().released, 4 * SLOTS);
	assert_int_equal(info_now().strays, 0);
	unmake();
}

static void there_are_no_more_slots_than_the_kernel_has(void **state)
{
	struct uhmm_rcache_uring *none = NULL;

	need_rings();
	assert_int_equal(io_uring_queue_init(4, &ring, 0), 0);
	assert_int_equal(uhmm_rcache_uring_create(ring.ring_fd, 0, &none),
			 -EINVAL);
	assert_int_equal(uhmm_rcache_uring_create(ring.ring_fd, 1U << 24, &none),
			 -EINVAL);
	assert_null(none);
	assert_int_equal(uhmm_rcache_uring_create(ring.ring_fd, 16384, &none), 0);
	uhmm_rcache_uring_destroy(none);
	io_uring_queue_exit(&ring);
}

static void what_must_not_be_written_is_refused(void **state)
{
	struct uhmm_registration reg;

	need_rings();
	make(0, SLOTS, NULL);
	assert_int_equal(mprotect(memory, PAGE, PROT_READ), 0);
	assert_int_equal(uhmm_rcache_get(cache, (unsigned long)memory, PAGE,
					 UHMM_RCACHE_READ, &reg), -EFAULT);
	assert_int_equal(mprotect(memory, PAGE, PROT_READ | PROT_WRITE), 0);
	touch(memory);
	unmake();
}

static void without_tags_nothing_is_known(void **state)
{
	unsigned long at = (unsigned long)memory;

	need_rings();
	assert_int_equal(io_uring_queue_init(4, &ring, 0), 0);
	assert_int_equal(uhmm_rcache_uring_create(ring.ring_fd, SLOTS, &buffers),
			 0);
	assert_int_equal(uhmm_rcache_create(mm, uhmm_rcache_uring_ops(), buffers,
					    NULL, &cache), 0);
	touch(memory);
	assert_int_equal(info_now().features, 0);
	assert_int_equal(info_now().buffers, 1);
	assert_int_equal(flush(memory, 1), 0);
	assert_int_equal(held(memory, 1), -EOPNOTSUPP);
	assert_int_equal(uhmm_rcache_uring_wait(buffers, at, 0, -1),
			 -EOPNOTSUPP);
	assert_false(uhmm_rcache_uring_tag(buffers, UHMM_RCACHE_URING_TAGS));
	assert_int_equal(io_uring_cq_ready(&ring), 0);
	unmake();
}

static void *gets_here(void *ret)
{
	struct uhmm_registration reg;

	*(int *)ret = uhmm_rcache_get(cache, (unsigned long)memory, PAGE,
				      UHMM_RCACHE_WRITE, &reg);
	return NULL;
}

/* It may be handed the calls: &uhmm_rcache_uring_options.call. */
static void a_ring_of_one_thread_refuses_others(void **state)
{
	pthread_t thread;
	int err = 0;

	need_rings();
	if (io_uring_queue_init(4, &ring, IORING_SETUP_SINGLE_ISSUER)) {
		print_message("there are no such rings before 6.0\n");
		skip();
	}
	io_uring_queue_exit(&ring);
	make(IORING_SETUP_SINGLE_ISSUER, SLOTS, NULL);
	touch(memory + 2 * PAGE);
	assert_int_equal(pthread_create(&thread, NULL, gets_here, &err), 0);
	pthread_join(thread, NULL);
	assert_int_equal(err, -EPERM);
	assert_int_equal(info_now().held, 0);
	assert_int_equal(info_now().buffers, 1);
	unmake();
}

#undef CASE
#define CASE(fn) cmocka_unit_test_prestate_setup_teardown(fn, begin, end, #fn)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		CASE(what_the_kernel_does_is_found_out),
		CASE(a_buffer_is_held_until_its_tag_is_handed_over),
		CASE(what_a_request_has_is_held_until_it_ends),
		CASE(what_is_released_is_not_written_over),
		CASE(released_too_early_it_is),
		CASE(others_are_told_of_meanwhile_or_afterwards),
		CASE(a_thread_waits_for_another_that_hands_over),
		CASE(what_is_held_counts_against_the_limit),
		CASE(what_is_held_is_locked_memory),
		CASE(a_slot_is_used_again_before_the_tag_comes),
		CASE(tags_that_do_not_fit_come_later),
		CASE(there_are_no_more_slots_than_the_kernel_has),
		CASE(what_must_not_be_written_is_refused),
		CASE(without_tags_nothing_is_known),
		CASE(a_ring_of_one_thread_refuses_others),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_rcache_uring_tags", tests, NULL,
					   NULL);
}
