/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * One thread: the library against the kernel's scheme, at five sizes. First
 * what the machine's parts cost, last what was aimed at. Large worlds lie on
 * huge pages, see world.h.
 */
#include <stdio.h>

#include "bench.h"
#include "primitives.h"
#include "world.h"

#include "sync/sync.h"

static const unsigned long sizes[] = { 1, 64, 4096, 262144, 1048576 };
#define SIZES ARRAY_SIZE(sizes)
#define MIDDLE 2	/* of sizes */

/* A comparison of both schemes, made at each size. */
struct test {
	enum op op;
	const char *name;	/* NULL: the op's */
	enum callback mine, theirs;
	enum op against;	/* OP_LOOP: the same */
	bool needs_64;
	bool longer;		/* only with --long */
	bool shapes;		/* also with other shapes */
	bool one;		/* with one subscription: it knows of none */
};

/* Reads stand before what hits, which makes the first read after it slow. */
static const struct test tests[] = {
	{ .op = OP_LOOP, .longer = true },
	{ .op = OP_OUTSIDE, .longer = true },
	{ .op = OP_HIT0_HOT },
	{ .op = OP_HIT0_HOT_SERIAL, .longer = true },
	{ .op = OP_HIT0_RANDOM, .shapes = true },
	{ .op = OP_HIT0_RANDOM_SERIAL },
	{ .op = OP_READ_HOT },
	{ .op = OP_READ_RANDOM, .longer = true },
	{ .op = OP_READ_HOT_BARE },
	{ .op = OP_READ_RANDOM_BARE },
	{ .op = OP_HIT1_HOT, .longer = true },
	{ .op = OP_HIT1_RANDOM, .shapes = true },
	{ .op = OP_HIT1_RANDOM_SERIAL, .longer = true },
	{ .op = OP_HIT1_RANDOM, .name = "hit1 random bare",
	  .mine = CALL_BARE, .theirs = CALL_BARE, .longer = true },
	{ .op = OP_HIT64_HOT, .needs_64 = true, .longer = true },
	{ .op = OP_HIT64_RANDOM, .needs_64 = true, .shapes = true },
	{ .op = OP_HIT64_RANDOM, .name = "hit64 random bare",
	  .mine = CALL_BARE, .theirs = CALL_BARE, .needs_64 = true,
	  .longer = true },
	{ .op = OP_HIT64_RANDOM, .name = "hit64 random batched",
	  .mine = CALL_BATCH, .needs_64 = true },
	{ .op = OP_CALLBACK_RANDOM, .against = OP_HIT1_RANDOM },
	{ .op = OP_ANNOUNCE_ALONE, .against = OP_HIT0_HOT, .one = true },
	{ .op = OP_MUTEX_ALONE, .against = OP_READ_HOT, .one = true },
	{ .op = OP_HIT1_READ_RANDOM },
	{ .op = OP_INSERT_REMOVE_HOT },
	{ .op = OP_INSERT_REMOVE_RANDOM, .shapes = true },
	{ .op = OP_INSERT_READ_REMOVE, .longer = true },
	{ .op = OP_REMOVE_INSERT_HOT },
	{ .op = OP_REMOVE_INSERT_RANDOM },
};
#define TESTS ARRAY_SIZE(tests)

/* How many times faster we were, by test and size; 0: not measured. */
static double ratios[TESTS][SIZES];
/* Classic's time, in ns. */
static double theirs_ns[TESTS][SIZES];

static const char *test_name(const struct test *t)
{
	return t->name ? t->name : op_name[t->op];
}

static bool wanted(const struct bench *b, const struct test *t,
		   enum shape shape, unsigned long n)
{
	if ((t->longer && !b->longer) || (t->needs_64 && n < 64) ||
	    (t->one && n > 1))
		return false;
	if (shape == SHAPE_FLAT)
		return true;
	/* Something lies over everything, or over half of it. */
	if (shape == SHAPE_UMBRELLA && t->op == OP_HIT0_RANDOM)
		return false;
	if (shape == SHAPE_NESTED && t->needs_64)
		return false;
	return t->shapes;
}

static bool size_wanted(const struct bench *b, enum shape shape,
			unsigned int size)
{
	if (shape == SHAPE_FLAT)
		return true;
	if (b->longer)
		return sizes[size] >= 4096;
	return size == MIDDLE;
}

/* From here on two worlds do not fit into the caches together. */
#define LARGE 100000UL
#define LARGE_WEIGHT 3
#define WARM_NS 60000000

/* What a contender does. */
struct work {
	const struct ops *ops;
	struct world *world;
	enum op op;
	enum callback callback;
	unsigned long n;
};

static void do_work(void *arg, unsigned long n)
{
	const struct work *work = arg;

	work->ops->set_callback(work->callback);
	work->ops->slice[work->op](work->world, n);
}

static struct contender contend(struct work *work, const struct ops *ops,
				struct world *world, enum op op,
				enum callback callback, unsigned long n)
{
	*work = (struct work){ ops, world, op, callback, n };
	return (struct contender){
		.name = ops->name, .slice = do_work, .arg = work,
	};
}

struct pair {
	struct world *mine, *theirs;
	struct work work[TESTS][2];
};

static void make_pair(struct pair *p, const struct bench *b, enum shape shape,
		      unsigned long n, enum callback mine)
{
	struct setup setup = {
		shape, n, b->search, mine, false, b->small_pages,
	};

	p->mine = ops_uhmm.create(&setup);
	setup.callback = CALL_LOCKED;
	p->theirs = ops_classic.create(&setup);
}

static void drop_pair(struct pair *p)
{
	ops_uhmm.destroy(p->mine);
	ops_classic.destroy(p->theirs);
}

static struct cell make_cell(struct pair *p, unsigned int i,
			     const struct test *t, enum shape shape,
			     unsigned long n)
{
	return (struct cell){
		.section = "One thread: ns per operation, and how often "
			   "classic's time is ours",
		.test = test_name(t),
		.shape = shape_name[shape],
		.n = n,
		.slice_us = n > LARGE ? 2000 : 500,
		.first = contend(&p->work[i][0], &ops_uhmm, p->mine, t->op,
				 t->mine, n),
		.second = contend(&p->work[i][1], &ops_classic, p->theirs,
				  t->against ? t->against : t->op, t->theirs,
				  n),
	};
}

/* Nothing is left over from earlier hits, and the caches are ours. */
static void warm(void *arg)
{
	const struct work *work = arg;
	const struct ops *ops = work->ops;
	int64_t until = bench_now() + WARM_NS;

	ops->set_callback(CALL_LOCKED);
	ops->slice[OP_READ_EACH_BARE](work->world, work->n);
	while (bench_now() < until)
		ops->slice[OP_HIT1_READ_RANDOM](work->world, 100);
}

static void compare_all(struct bench *b, enum shape shape, unsigned int size)
{
	unsigned long n = sizes[size];
	struct cell cells[TESTS];
	unsigned int of[TESTS];
	unsigned int count = 0;
	struct pair pair;

	make_pair(&pair, b, shape, n, CALL_LOCKED);
	for (unsigned int i = 0; i < TESTS; i++) {
		if (!wanted(b, &tests[i], shape, n))
			continue;
		cells[count] = make_cell(&pair, count, &tests[i], shape, n);
		of[count++] = i;
	}
	if (n > LARGE)
		bench_run_rounds(b, cells, count, warm, LARGE_WEIGHT);
	for (unsigned int i = 0; i < count && n <= LARGE; i++)
		bench_run(b, &cells[i], 1);
	for (unsigned int i = 0; i < count && shape == SHAPE_FLAT; i++) {
		ratios[of[i]][size] = cells[i].ratio.median;
		theirs_ns[of[i]][size] = cells[i].second.ns.median;
	}
	drop_pair(&pair);
}

static double weight_of(unsigned long n)
{
	return n > LARGE ? LARGE_WEIGHT : 1;
}

static void plan_all(struct bench *b)
{
	for (unsigned int shape = 0; shape < SHAPES; shape++)
		for (unsigned int size = 0; size < SIZES; size++)
			for (unsigned int i = 0; i < TESTS; i++)
				if (size_wanted(b, shape, size) &&
				    wanted(b, &tests[i], shape, sizes[size]))
					bench_plan(b, weight_of(sizes[size]));
}

/* ---------------------------------------------- while something is open (T9) */

#define OPEN_SECTION "Insert while an invalidation is open"

static void insert_while_open(void *arg, unsigned long n)
{
	const struct work *work = arg;

	work->ops->open(work->world);
	work->ops->slice[work->op](work->world, n);
	work->ops->close(work->world);
}

/* Returns the time while one is open over the time while none is. */
static double open_against_idle(struct bench *b, const struct ops *ops,
				struct world *world, unsigned long n)
{
	struct work work;
	struct cell cell = {
		.section = OPEN_SECTION,
		.test = "insert + remove, idle, open",
		.n = n,
		.first = contend(&work, ops, world, OP_INSERT_REMOVE_RANDOM,
				 CALL_LOCKED, n),
		.second = {
			.name = "the same", .slice = insert_while_open,
			.arg = &work,
		},
	};

	bench_run(b, &cell, 1);
	return cell.ratio.median;
}

static double end_figure(struct bench *b, const struct ops *ops,
			 unsigned long inserts, bool elsewhere, double *took,
			 unsigned int count)
{
	struct figure figure = {
		.section = OPEN_SECTION,
		.test = elsewhere ? "the same, where nothing was inserted" :
				    "end after so many inserts",
		.who = ops->name,
		.n = inserts,
		.unit = "ns",
		.value = bench_quartiles(took, count),
	};

	bench_figure(b, &figure);
	return count ? figure.value.median : -1;
}

/*
 * @ret_elsewhere: if not NULL, that of one that has to do with none of the inserts,
 * but is as cold by then: both in turns.
 */
static double end_after(struct bench *b, const struct ops *ops,
			struct world *world, unsigned long inserts,
			double clock, double *ret_elsewhere)
{
	unsigned int kinds = ret_elsewhere ? 2 : 1, count = 0;
	int64_t until = bench_now() + bench_share(b, kinds);
	double took[2][201];
	long switches;

	for (unsigned int i = 0; i < 401 && count < ARRAY_SIZE(*took); i++) {
		if (bench_over(b) || (count >= 3 && bench_now() > until))
			break;
		switches = bench_switches();
		for (unsigned int k = 0; k < kinds; k++)
			took[k][count] = ops->end_after_inserts(world, inserts,
								k) - clock;
		if (bench_switches() == switches || inserts > 1000)
			count++;
	}
	if (ret_elsewhere)
		*ret_elsewhere = end_figure(b, ops, inserts, true, took[1],
					    count);
	return end_figure(b, ops, inserts, false, took[0], count);
}

static const unsigned long pending[] = { 1, 64, 4096, 65536 };
static double idle_ratio, end_worst = -1;
/* As many inserts before it. */
static double end_elsewhere;

#define OPEN_WEIGHT (2 + 3 * ARRAY_SIZE(pending))

static void while_open(struct bench *b)
{
	unsigned long n = sizes[MIDDLE];
	double clock = bench_clock_cost(), ns, elsewhere;
	struct pair p;

	make_pair(&p, b, SHAPE_FLAT, n, CALL_LOCKED);
	idle_ratio = open_against_idle(b, &ops_uhmm, p.mine, n);
	open_against_idle(b, &ops_classic, p.theirs, n);
	for (unsigned int i = 0; i < ARRAY_SIZE(pending); i++) {
		ns = end_after(b, &ops_uhmm, p.mine, pending[i], clock,
			       &elsewhere);
		if (ns > end_worst) {
			end_worst = ns;
			end_elsewhere = elsewhere;
		}
		end_after(b, &ops_classic, p.theirs, pending[i], clock, NULL);
	}
	drop_pair(&p);
}

/* ------------------------------------------- what has no counterpart, or is old */

static void tagged(struct bench *b)
{
	static const struct {
		const char *test;
		enum op mine, theirs;
	} rows[] = {
		{ "hit1 random", OP_HIT1_RANDOM, OP_HIT1_RANDOM },
		{ "hit64 random", OP_HIT64_RANDOM, OP_HIT64_RANDOM },
		{ "check, against a read", OP_TAG_CHECK, OP_READ_HOT },
	};
	struct cell cell = {
		.section = "Tagged subscriptions against callbacks",
		.shape = "flat", .n = sizes[MIDDLE],
	};
	struct pair p;

	make_pair(&p, b, SHAPE_FLAT, cell.n, CALL_TAGGED);
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		cell.test = rows[i].test;
		cell.first = contend(&p.work[0][0], &ops_uhmm, p.mine,
				     rows[i].mine, CALL_LOCKED, cell.n);
		cell.second = contend(&p.work[0][1], &ops_classic, p.theirs,
				      rows[i].theirs, CALL_LOCKED, cell.n);
		bench_run(b, &cell, 1);
	}
	drop_pair(&p);
}

static void list(struct bench *b)
{
	static const struct test hot = { .op = OP_HIT0_HOT };
	struct cell cell;
	struct pair p;

	make_pair(&p, b, SHAPE_FLAT, sizes[MIDDLE], CALL_LOCKED);
	ops_uhmm.list_register(p.mine);
	ops_classic.list_register(p.theirs);
	cell = make_cell(&p, 0, &hot, SHAPE_FLAT, sizes[MIDDLE]);
	cell.section = "With a list notifier that does nothing";
	bench_run(b, &cell, 1);
	ops_uhmm.list_unregister(p.mine);
	ops_classic.list_unregister(p.theirs);
	drop_pair(&p);
}

#define OTHER_WEIGHT 4

/* ------------------------------------------------------------------ targets */

/* By size; 0: none. @portable: where the search uses no vectors. */
struct aim {
	const char *id;
	enum op op;
	enum callback mine;
	double wanted[SIZES];
	double portable[SIZES];
};

static const struct aim aims[] = {
	{ "T1", OP_HIT0_RANDOM, CALL_LOCKED, { 0, 1.6, 2.4, 4.5, 5 },
	  { 0, 1.5, 2.0, 3.5, 3.8 } },
	{ "T2", OP_HIT0_RANDOM_SERIAL, CALL_LOCKED,
	  { 0.95, 0.95, 1.4, 2.8, 3 }, { 0 } },
	{ "T3", OP_HIT0_HOT, CALL_LOCKED, { 1.3, 1.3, 1.3, 1.3, 1.3 }, { 0 } },
	{ "T4", OP_HIT1_RANDOM, CALL_LOCKED, { 0, 1.15, 1.7, 2.8, 2.8 },
	  { 0 } },
	{ "T5", OP_HIT64_RANDOM, CALL_LOCKED, { 0, 0.95, 0.95, 1.4, 1.5 },
	  { 0 } },
	{ "T6", OP_HIT64_RANDOM, CALL_BATCH, { 0, 4, 2.5, 2.3, 0 }, { 0 } },
	{ "T7", OP_READ_HOT, CALL_LOCKED, { 1.4, 1.4, 1.4, 1.4, 1.4 }, { 0 } },
	{ "T7", OP_READ_HOT_BARE, CALL_LOCKED, { 5, 5, 5, 5, 5 }, { 0 } },
	{ "T8", OP_INSERT_REMOVE_RANDOM, CALL_LOCKED,
	  { 0, 1.1, 1.5, 2.3, 2.3 }, { 0 } },
	{ "T8", OP_INSERT_REMOVE_HOT, CALL_LOCKED,
	  { 0, 0.9, 0.9, 0.9, 0.9 }, { 0 } },
};

static unsigned int test_of(enum op op, enum callback mine)
{
	unsigned int i = 0;

	while (tests[i].op != op || tests[i].mine != mine)
		i++;
	return i;
}

/*
 * The kernel's own code (6.1, built for user space), in ns at 1, 64 and 4096
 * subscriptions, on a machine whose locked read-modify-write takes KERNEL_RMW.
 * A baseline that is slower than that would flatter us.
 */
#define KERNEL_RMW 4.43
#define KERNEL_SIZES 3

static const struct {
	enum op op;
	double ns[KERNEL_SIZES];
} kernel[] = {
	{ OP_HIT0_HOT, { 14.0, 14.7, 16.1 } },
	{ OP_HIT0_RANDOM, { 14.0, 30.1, 70.5 } },
	{ OP_HIT0_RANDOM_SERIAL, { 18.9, 38.4, 79.5 } },
	{ OP_HIT1_RANDOM, { 30.4, 36.9, 83.5 } },
	{ OP_HIT64_RANDOM, { 0, 797, 871 } },
	{ OP_READ_HOT, { 15.5, 15.5, 15.5 } },
	{ OP_READ_HOT_BARE, { 5.8, 5.8, 5.8 } },
	{ OP_INSERT_REMOVE_HOT, { 23.7, 24.7, 28.7 } },
	{ OP_INSERT_REMOVE_RANDOM, { 23.8, 32.6, 75.3 } },
};

static void judge_baseline(struct bench *b, double rmw)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(kernel); i++) {
		unsigned int t = test_of(kernel[i].op, CALL_LOCKED);
		char what[64];

		snprintf(what, sizeof(what), "%s: classic over kernel",
			 test_name(&tests[t]));
		for (unsigned int k = 0; k < KERNEL_SIZES; k++) {
			double ns = kernel[i].ns[k] * rmw / KERNEL_RMW;
			struct target target = {
				"base", what, sizes[k], -1, 1.15, true, "x",
			};

			if (theirs_ns[t][k] && ns)
				target.value = theirs_ns[t][k] / ns;
			if (kernel[i].ns[k])
				bench_target(b, &target);
		}
	}
}

/*
 * How often classic's time could be ours at most, measured in turns with it; 0:
 * not known. Where there is more than one subscription classic takes longer.
 */
static double limit_of(enum op op, unsigned int size)
{
	if (op == OP_READ_HOT)
		return ratios[test_of(OP_MUTEX_ALONE, CALL_LOCKED)][0];
	if (op == OP_HIT0_HOT && !size)
		return ratios[test_of(OP_ANNOUNCE_ALONE, CALL_LOCKED)][0];
	return 0;
}

static void judge(struct bench *b)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(aims); i++) {
		bool vector = b->search != &index_search_portable;
		const double *wanted = aims[i].wanted;
		unsigned int t = test_of(aims[i].op, aims[i].mine);

		if (!vector && aims[i].portable[MIDDLE])
			wanted = aims[i].portable;
		for (unsigned int k = 0; k < SIZES; k++) {
			struct target target = {
				aims[i].id, test_name(&tests[t]), sizes[k],
				ratios[t][k] ? ratios[t][k] : -1, wanted[k],
				false, "x",
			};

			if (wanted[k])
				bench_target_within(b, &target,
						    limit_of(aims[i].op, k));
		}
	}
	bench_target(b, &(struct target){
		"T9", "insert + remove, one open over idle", sizes[MIDDLE],
		idle_ratio ? idle_ratio : -1, 1.2, true, "x" });
	bench_target_within(b, &(struct target){
		"T9", "end, whatever was inserted meanwhile", sizes[MIDDLE],
		end_worst, 100, true, "ns" }, end_elsewhere);
}

int main(int argc, char **argv)
{
	struct primitives primitives;
	struct bench b;

	bench_init(&b, "notifier", argc, argv);
	bench_plan(&b, PRIMITIVES_WEIGHT + OPEN_WEIGHT + OTHER_WEIGHT);
	plan_all(&b);
	bench_primitives(&b, &primitives);
	while_open(&b);
	tagged(&b);
	list(&b);
	for (unsigned int shape = 0; shape < SHAPES; shape++)
		for (unsigned int i = 0; i < SIZES && !bench_over(&b); i++)
			if (size_wanted(&b, shape, i))
				compare_all(&b, shape, i);
	judge_baseline(&b, primitives.rmw);
	judge(&b);
	return bench_finish(&b);
}
