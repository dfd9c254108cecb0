/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The interval tree under the kernel's scheme: a slow or wrong one would make
 * the library look good.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "designs/rbtree.h"

#define NODES 160
#define ROUNDS 200
#define STEPS 1500

static struct rbnode nodes[NODES];
static unsigned long order[NODES];	/* of insertion; 0: not in the tree */
static unsigned long inserted;

static unsigned int draw(unsigned int below)
{
	static unsigned long random = 88172645463325252UL;

	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	return random % below;
}

static bool is_red(const struct rbnode *node)
{
	return node && (node->parent_red & 1);
}

/* Checks the subtree, returns how many black nodes are on each way down. */
static int check(const struct rbnode *node, const struct rbnode *parent)
{
	unsigned long greatest;
	int left, right;

	if (!node)
		return 0;
	assert_ptr_equal((void *)(node->parent_red & ~1UL), parent);
	if (is_red(node))
		assert_true(parent && !is_red(node->child[0]) &&
			    !is_red(node->child[1]));
	left = check(node->child[0], node);
	right = check(node->child[1], node);
	assert_int_equal(left, right);
	greatest = node->last;
	for (int i = 0; i < 2; i++)
		if (node->child[i] && node->child[i]->subtree_last > greatest)
			greatest = node->child[i]->subtree_last;
	assert_int_equal(node->subtree_last, greatest);
	return left + !is_red(node);
}

static void check_tree(const struct rbtree *tree)
{
	const struct rbnode *leftmost = tree->root;

	check(tree->root, NULL);
	while (leftmost && leftmost->child[0])
		leftmost = leftmost->child[0];
	assert_ptr_equal(tree->leftmost, leftmost);
}

static bool comes_before(const struct rbnode *a, const struct rbnode *b)
{
	return a->start < b->start ||
	       (a->start == b->start && order[a - nodes] < order[b - nodes]);
}

static void check_search(const struct rbtree *tree, unsigned long start,
			 unsigned long last)
{
	struct rbnode *node, *before = NULL;
	int found = 0, there = 0;

	for (node = rbtree_first(tree, start, last); node;
	     node = rbtree_next(node, start, last)) {
		assert_true(node->start <= last && node->last >= start);
		if (before)
			assert_true(comes_before(before, node));
		before = node;
		found++;
	}
	for (int i = 0; i < NODES; i++)
		if (order[i] && nodes[i].start <= last &&
		    nodes[i].last >= start)
			there++;
	assert_int_equal(found, there);
}

static void toggle(struct rbtree *tree, int i, unsigned int span)
{
	if (order[i]) {
		assert_true(rbnode_linked(&nodes[i]));
		rbtree_erase(tree, &nodes[i]);
		assert_false(rbnode_linked(&nodes[i]));
		order[i] = 0;
		return;
	}
	nodes[i].start = draw(span);
	nodes[i].last = nodes[i].start + draw(1 + draw(100));
	rbtree_insert(tree, &nodes[i]);
	order[i] = ++inserted;
}

static void random_changes_keep_the_rules(void **state)
{
	for (int round = 0; round < ROUNDS; round++) {
		unsigned int span = 1 + draw(400), n = 1 + draw(NODES);
		struct rbtree tree = { NULL, NULL };
		unsigned long start;

		memset(order, 0, sizeof(order));
		for (int step = 0; step < STEPS; step++) {
			toggle(&tree, draw(n), span);
			check_tree(&tree);
			start = draw(span + 50);
			check_search(&tree, start, start + draw(60));
		}
	}
}

static void empty_tree_has_nothing(void **state)
{
	struct rbtree tree = { NULL, NULL };

	assert_null(rbtree_first(&tree, 0, ~0UL));
}

/* n nodes in any order lie at most 2 log2(n + 1) deep. */
static void sorted_inserts_stay_shallow(void **state)
{
	struct rbtree tree = { NULL, NULL };
	int deepest = 0;

	for (int i = 0; i < 127; i++) {
		nodes[i].start = nodes[i].last = i;
		rbtree_insert(&tree, &nodes[i]);
	}
	for (int i = 0; i < 127; i++) {
		const struct rbnode *node = &nodes[i];
		int depth = 0;

		for (; node; node = (void *)(node->parent_red & ~1UL))
			depth++;
		deepest = depth > deepest ? depth : deepest;
	}
	assert_in_range(deepest, 7, 14);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_tree_has_nothing),
		cmocka_unit_test(sorted_inserts_stay_shallow),
		cmocka_unit_test(random_changes_keep_the_rules),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
