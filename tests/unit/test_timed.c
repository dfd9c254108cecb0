/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Waits with an end to patience: the clock's, and a signal's. */
#include "util.h"

#include <signal.h>

#define ENDLESS (-1)

static void handle(int signal)
{
}

static void install_handler(int flags)
{
	struct sigaction action = { .sa_handler = handle, .sa_flags = flags };

	sigemptyset(&action.sa_mask);
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
}

/* One timed call, in a thread of its own. */
struct call {
	struct task task;
	int (*fn)(void *arg, int64_t timeout_ns);
	void *arg;
	int64_t timeout_ns;
	int ret;
};

static void make_call(void *arg)
{
	struct call *call = arg;

	call->ret = call->fn(call->arg, call->timeout_ns);
}

static void call_start(struct call *call, int (*fn)(void *, int64_t),
		       void *arg, int64_t timeout_ns)
{
	call->fn = fn;
	call->arg = arg;
	call->timeout_ns = timeout_ns;
	call->ret = 1;
	task_start(&call->task, make_call, call);
}

static int call_join(struct call *call)
{
	task_join(&call->task);
	return call->ret;
}

static int call_would_wait(int (*fn)(void *, int64_t), void *arg)
{
	return fn(arg, 0) == -ETIMEDOUT && fn(arg, 5 * MSEC) == -ETIMEDOUT;
}

/* One signal, which comes while it sleeps: what does it return? */
static int call_interrupted(int (*fn)(void *, int64_t), void *arg,
			    int64_t timeout_ns, int flags)
{
	struct call call;

	install_handler(flags);
	call_start(&call, fn, arg, timeout_ns);
	assert_true(task_waits(&call.task));
	assert_int_equal(pthread_kill(call.task.thread, SIGUSR1), 0);
	return call_join(&call);
}

static void assert_a_signal_interrupts(int (*fn)(void *, int64_t), void *arg)
{
	static const int64_t timeouts[] = { ENDLESS, 1000000 * MSEC,
					    INT64_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(timeouts); i++) {
		assert_int_equal(call_interrupted(fn, arg, timeouts[i], 0),
				 -EINTR);
		assert_int_equal(call_interrupted(fn, arg, timeouts[i],
						  SA_RESTART), -EINTR);
	}
}

/* ---------------------------------------------------------- read_begin_timeout */

static int timed_read(void *arg, int64_t timeout_ns)
{
	struct mirror *m = arg;
	unsigned long seq = 0;
	int ret;

	ret = uhmm_interval_read_begin_timeout(&m->sub, timeout_ns, &seq);
	/* On error it is left alone; else it is what any other read gets. */
	if (!ret != (seq != 0))
		return 2;
	return ret || !mmu_interval_read_retry(&m->sub, seq) ? ret : 3;
}

static void a_read_begins_at_once_if_it_can(void **state)
{
	unsigned long seq = 0;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	assert_int_equal(uhmm_interval_read_begin_timeout(&one.sub, 0, &seq),
			 0);
	assert_int_equal(seq, mirror_begin(&one));
	invalidate(PG(10), PG(11));
	assert_int_equal(timed_read(&one, 0), 0);
	assert_int_equal(timed_read(&one, ENDLESS), 0);
	assert_int_equal(timed_read(&one, INT64_MAX), 0);
	mirror_drop(&one);
}

static void a_read_refuses_null_pointers(void **state)
{
	unsigned long seq = 5;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	assert_int_equal(uhmm_interval_read_begin_timeout(&one.sub, 0, NULL),
			 -EINVAL);
	assert_int_equal(uhmm_interval_read_begin_timeout(NULL, 0, &seq),
			 -EINVAL);
	assert_int_equal(seq, 5);
	mirror_drop(&one);
}

static void a_read_times_out_and_then_succeeds(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	begin_range(&range, PG(10), PG(11));
	assert_true(call_would_wait(timed_read, &one));
	end_range(&range);
	assert_int_equal(timed_read(&one, 0), 0);
	mirror_drop(&one);
}

static void a_read_is_woken_before_its_time(void **state)
{
	static const int64_t timeouts[] = { ENDLESS, 1000000 * MSEC,
					    INT64_MAX, INT64_MIN };
	struct mmu_notifier_range range;
	struct mirror one;
	struct call call;

	mirror_add(&one, 1, PG(10), 1);
	for (size_t i = 0; i < ARRAY_SIZE(timeouts); i++) {
		begin_range(&range, PG(10), PG(11));
		call_start(&call, timed_read, &one, timeouts[i]);
		assert_true(task_waits(&call.task));
		end_range(&range);
		assert_int_equal(call_join(&call), 0);
	}
	mirror_drop(&one);
}

static void a_read_is_interrupted_and_then_succeeds(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	begin_range(&range, PG(10), PG(11));
	assert_a_signal_interrupts(timed_read, &one);
	end_range(&range);
	assert_int_equal(timed_read(&one, ENDLESS), 0);
	mirror_drop(&one);
}

static void the_plain_calls_are_not_interrupted(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;
	struct task reader;

	install_handler(0);
	mirror_add(&one, 1, PG(10), 1);
	begin_range(&range, PG(10), PG(11));
	task_start(&reader, mirror_begin_task, &one);
	for (int i = 0; i < 3; i++) {
		assert_true(task_waits(&reader));
		assert_int_equal(pthread_kill(reader.thread, SIGUSR1), 0);
	}
	assert_true(task_waits(&reader));
	end_range(&range);
	task_join(&reader);
	mirror_drop(&one);
}

/* -------------------------------------------------------------- remove_timeout */

static int timed_remove(void *arg, int64_t timeout_ns)
{
	struct mirror *m = arg;

	return uhmm_interval_notifier_remove_timeout(&m->sub, timeout_ns);
}

static void remove_succeeds_at_once_if_it_can(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	begin_range(&range, PG(10), PG(11));
	assert_int_equal(timed_remove(&one, 0), 0);
	end_range(&range);
	assert_recorded("i1");
	assert_int_equal(stats().subscriptions, 0);
}

/* A callback that is running, to be let go by gate_open(). */
static void into_callback(struct mirror *one, struct gate *gate,
			  struct task *starter)
{
	gate_init(gate);
	mirror_add(one, 1, PG(10), 1);
	one->hook = mirror_at_gate;
	one->data = gate;
	task_start(starter, invalidate_task, NULL);
	gate_await(gate);
}

static void remove_times_out_and_then_succeeds(void **state)
{
	struct task starter;
	struct mirror one;
	struct gate gate;

	into_callback(&one, &gate, &starter);
	assert_true(call_would_wait(timed_remove, &one));
	/* It is out of force, if not out of use. */
	assert_int_equal(stats().subscriptions, 0);
	invalidate(PG(10), PG(11));
	assert_recorded("");
	assert_int_equal(mmu_interval_notifier_insert(&one.sub, mm, PG(10), 1,
						      &mirror_ops), -EBUSY);
	gate_open(&gate);
	assert_int_equal(timed_remove(&one, ENDLESS), 0);
	task_join(&starter);
	assert_recorded("i1");
	assert_int_equal(mmu_interval_notifier_insert(&one.sub, mm, PG(10), 1,
						      &mirror_ops), 0);
	mirror_drop(&one);
}

static void remove_is_interrupted_and_then_succeeds(void **state)
{
	struct task starter;
	struct mirror one;
	struct gate gate;

	into_callback(&one, &gate, &starter);
	assert_a_signal_interrupts(timed_remove, &one);
	gate_open(&gate);
	assert_int_equal(timed_remove(&one, ENDLESS), 0);
	task_join(&starter);
}

static void a_plain_remove_ends_what_a_timed_one_began(void **state)
{
	struct task starter, remover;
	struct mirror one;
	struct gate gate;

	into_callback(&one, &gate, &starter);
	assert_int_equal(timed_remove(&one, 0), -ETIMEDOUT);
	task_start(&remover, mirror_drop_task, &one);
	assert_true(task_waits(&remover));
	gate_open(&gate);
	task_join(&remover);
	task_join(&starter);
	assert_recorded("i1");
}

/* Between the two calls the address space stays, though all others leave it. */
static void what_timed_out_can_be_ended_after_the_address_space(void **state)
{
	struct mirror one, two;
	struct task starter;
	struct gate gate;

	into_callback(&one, &gate, &starter);
	mirror_add(&two, 2, PG(20), 1);
	assert_int_equal(timed_remove(&one, 0), -ETIMEDOUT);
	gate_open(&gate);
	task_join(&starter);
	assert_recorded("i1");
	end_mm();
	assert_recorded("R2");
	mirror_drop(&two);
	assert_false(mm_destroyed());
	assert_int_equal(timed_remove(&one, ENDLESS), 0);
	assert_true(mm_destroyed());
}

/* ------------------------------------------------------------ register_timeout */

static int timed_register(void *arg, int64_t timeout_ns)
{
	struct listener *l = arg;

	return uhmm_notifier_register_timeout(&l->mn, mm, timeout_ns);
}

/* Somebody else's open range, ended when the gate opens. */
static void open_range_at_gate(void *gate)
{
	struct mmu_notifier_range range;

	begin_range(&range, PG(10), PG(11));
	gate_pass(gate);
	end_range(&range);
}

static void register_times_out_and_then_succeeds(void **state)
{
	struct task starter;
	struct listener one;
	struct gate gate;

	gate_init(&gate);
	task_start(&starter, open_range_at_gate, &gate);
	gate_await(&gate);
	listener_init(&one, 1, &listener_ops);
	assert_true(call_would_wait(timed_register, &one));
	/* It is registered, and called for what starts now. */
	invalidate(PG(20), PG(21));
	assert_recorded("s1 e1");
	assert_int_equal(timed_register(&one, 0), -ETIMEDOUT);
	gate_open(&gate);
	assert_int_equal(timed_register(&one, ENDLESS), 0);
	task_join(&starter);
	/* Of the older one it has not seen the end. */
	assert_recorded("");
	assert_int_equal(timed_register(&one, ENDLESS), -EBUSY);
	listener_drop(&one);
}

static void register_is_interrupted_and_then_succeeds(void **state)
{
	struct task starter;
	struct listener one;
	struct gate gate;

	gate_init(&gate);
	task_start(&starter, open_range_at_gate, &gate);
	gate_await(&gate);
	listener_init(&one, 1, &listener_ops);
	assert_a_signal_interrupts(timed_register, &one);
	gate_open(&gate);
	assert_int_equal(timed_register(&one, ENDLESS), 0);
	task_join(&starter);
	listener_drop(&one);
}

static void what_is_half_registered_may_be_unregistered(void **state)
{
	struct task starter;
	struct listener one;
	struct gate gate;

	gate_init(&gate);
	task_start(&starter, open_range_at_gate, &gate);
	gate_await(&gate);
	listener_init(&one, 1, &listener_ops);
	assert_int_equal(timed_register(&one, 0), -ETIMEDOUT);
	assert_int_equal(uhmm_notifier_unregister_timeout(&one.mn, mm, 0), 0);
	assert_recorded("r1");
	invalidate(PG(10), PG(11));
	gate_open(&gate);
	task_join(&starter);
	assert_recorded("");
}

/* ---------------------------------------------------------- unregister_timeout */

static int timed_unregister(void *arg, int64_t timeout_ns)
{
	struct listener *l = arg;

	return uhmm_notifier_unregister_timeout(&l->mn, mm, timeout_ns);
}

static void pass_at_start(struct listener *l, char what)
{
	if (what == 's')
		gate_pass(l->data);
}

static void into_start(struct listener *one, struct gate *gate,
		       struct task *starter)
{
	gate_init(gate);
	listener_init(one, 1, &listener_ops);
	one->hook = pass_at_start;
	one->data = gate;
	assert_int_equal(mmu_notifier_register(&one->mn, mm), 0);
	task_start(starter, invalidate_task, NULL);
	gate_await(gate);
}

static void unregister_times_out_and_then_succeeds(void **state)
{
	struct task starter;
	struct listener one;
	struct gate gate;

	into_start(&one, &gate, &starter);
	assert_true(call_would_wait(timed_unregister, &one));
	assert_recorded("s1 r1");
	invalidate(PG(20), PG(21));
	assert_recorded("");
	gate_open(&gate);
	assert_int_equal(timed_unregister(&one, ENDLESS), 0);
	task_join(&starter);
	/* release was called once, and nothing came after it had returned. */
	assert_recorded("");
	assert_int_equal(timed_unregister(&one, ENDLESS), -EINVAL);
}

static void unregister_is_interrupted_and_then_succeeds(void **state)
{
	struct task starter;
	struct listener one;
	struct gate gate;

	into_start(&one, &gate, &starter);
	assert_a_signal_interrupts(timed_unregister, &one);
	gate_open(&gate);
	assert_int_equal(timed_unregister(&one, ENDLESS), 0);
	task_join(&starter);
}

static void unregister_refuses_what_is_not_registered(void **state)
{
	struct mm_struct *other;
	struct listener one;

	assert_int_equal(uhmm_mm_create(&other), 0);
	listener_init(&one, 1, &listener_ops);
	assert_int_equal(timed_unregister(&one, 0), -EINVAL);
	assert_int_equal(uhmm_notifier_unregister_timeout(NULL, mm, 0),
			 -EINVAL);
	listener_add(&one, 1);
	assert_int_equal(uhmm_notifier_unregister_timeout(&one.mn, NULL, 0),
			 -EINVAL);
	assert_int_equal(uhmm_notifier_unregister_timeout(&one.mn, other, 0),
			 -EINVAL);
	invalidate(PG(10), PG(11));
	assert_recorded("s1 e1");
	assert_int_equal(timed_unregister(&one, 0), 0);
	mmput(other);
}

/* --------------------------------------------------------- synchronize_timeout */

static struct mmu_notifier put_one;
static struct gate put_gate;

static int start_at_gate(struct mmu_notifier *mn,
			 const struct mmu_notifier_range *range)
{
	gate_pass(&put_gate);
	return 0;
}

static struct mmu_notifier *alloc_put(struct mm_struct *it)
{
	memset(&put_one, 0, sizeof(put_one));
	return &put_one;
}

static void free_put(struct mmu_notifier *mn)
{
	record("f", 1);
}

static const struct mmu_notifier_ops put_ops = {
	.invalidate_range_start = start_at_gate,
	.alloc_notifier = alloc_put,
	.free_notifier = free_put,
};

static int timed_synchronize(void *unused, int64_t timeout_ns)
{
	return uhmm_notifier_synchronize_timeout(timeout_ns);
}

/* Put while a callback runs, so that it is freed when that returns. */
static void into_put(struct task *starter)
{
	gate_init(&put_gate);
	assert_ptr_equal(mmu_notifier_get(&put_ops, mm), &put_one);
	task_start(starter, invalidate_task, NULL);
	gate_await(&put_gate);
	mmu_notifier_put(&put_one);
}

static void synchronize_times_out_and_then_succeeds(void **state)
{
	struct task starter;

	assert_int_equal(timed_synchronize(NULL, 0), 0);
	into_put(&starter);
	assert_true(call_would_wait(timed_synchronize, NULL));
	assert_recorded("");
	gate_open(&put_gate);
	assert_int_equal(timed_synchronize(NULL, ENDLESS), 0);
	assert_recorded("f1");
	task_join(&starter);
}

static void synchronize_is_interrupted_and_then_succeeds(void **state)
{
	struct task starter;

	into_put(&starter);
	assert_a_signal_interrupts(timed_synchronize, NULL);
	gate_open(&put_gate);
	assert_int_equal(timed_synchronize(NULL, ENDLESS), 0);
	assert_recorded("f1");
	task_join(&starter);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(a_read_begins_at_once_if_it_can),
		CASE(a_read_refuses_null_pointers),
		CASE(a_read_times_out_and_then_succeeds),
		CASE(a_read_is_woken_before_its_time),
		CASE(a_read_is_interrupted_and_then_succeeds),
		CASE(the_plain_calls_are_not_interrupted),
		CASE(remove_succeeds_at_once_if_it_can),
		CASE(remove_times_out_and_then_succeeds),
		CASE(remove_is_interrupted_and_then_succeeds),
		CASE(a_plain_remove_ends_what_a_timed_one_began),
		CASE(what_timed_out_can_be_ended_after_the_address_space),
		CASE(register_times_out_and_then_succeeds),
		CASE(register_is_interrupted_and_then_succeeds),
		CASE(what_is_half_registered_may_be_unregistered),
		CASE(unregister_times_out_and_then_succeeds),
		CASE(unregister_is_interrupted_and_then_succeeds),
		CASE(unregister_refuses_what_is_not_registered),
		CASE(synchronize_times_out_and_then_succeeds),
		CASE(synchronize_is_interrupted_and_then_succeeds),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
