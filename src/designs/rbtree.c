/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Left and right are child[0] and child[1], so each mirrored pair of the
 * textbook's cases is one piece of code here with a side. Absent children are
 * NULL and count as black.
 */
#include "rbtree.h"

#define RED 1UL

static inline struct rbnode *parent_of(const struct rbnode *node)
{
	return (struct rbnode *)(node->parent_red & ~RED);
}

static inline bool is_red(const struct rbnode *node)
{
	return node && (node->parent_red & RED);
}

static inline void set_red(struct rbnode *node)
{
	node->parent_red |= RED;
}

static inline void set_black(struct rbnode *node)
{
	node->parent_red &= ~RED;
}

static inline void set_parent(struct rbnode *node, struct rbnode *parent)
{
	node->parent_red = (unsigned long)parent | (node->parent_red & RED);
}

static inline int side_of(const struct rbnode *node,
			  const struct rbnode *parent)
{
	return parent->child[1] == node;
}

/* What stood below @parent at @old's place is now @new. */
static inline void replace_child(struct rbtree *tree, struct rbnode *parent,
				 struct rbnode *old, struct rbnode *new)
{
	if (parent)
		parent->child[side_of(old, parent)] = new;
	else
		tree->root = new;
}

static inline unsigned long greatest_last(const struct rbnode *node)
{
	unsigned long greatest = node->last;

	if (node->child[0] && node->child[0]->subtree_last > greatest)
		greatest = node->child[0]->subtree_last;
	if (node->child[1] && node->child[1]->subtree_last > greatest)
		greatest = node->child[1]->subtree_last;
	return greatest;
}

/* From @node up to, not including, @top, as far as something changes. */
static inline void update_up(struct rbnode *node, const struct rbnode *top)
{
	while (node != top) {
		unsigned long greatest = greatest_last(node);

		if (node->subtree_last == greatest)
			return;
		node->subtree_last = greatest;
		node = parent_of(node);
	}
}

/* @node goes down on @side, its child on the other side takes its place. */
static void rotate(struct rbtree *tree, struct rbnode *node, int side)
{
	struct rbnode *up = node->child[!side];
	struct rbnode *moved = up->child[side];
	struct rbnode *parent = parent_of(node);

	node->child[!side] = moved;
	if (moved)
		set_parent(moved, node);
	replace_child(tree, parent, node, up);
	set_parent(up, parent);
	up->child[side] = node;
	set_parent(node, up);
	up->subtree_last = node->subtree_last;
	node->subtree_last = greatest_last(node);
}

/* @node is red; a red parent is the one rule that may be broken. */
static inline void fix_insert(struct rbtree *tree, struct rbnode *node)
{
	struct rbnode *parent = parent_of(node);

	while (is_red(parent)) {
		struct rbnode *grandparent = parent_of(parent);
		int side = side_of(parent, grandparent);
		struct rbnode *uncle = grandparent->child[!side];

		if (!is_red(uncle)) {
			if (parent->child[!side] == node) {
				rotate(tree, parent, side);
				parent = node;
			}
			set_black(parent);
			set_red(grandparent);
			rotate(tree, grandparent, !side);
			return;
		}
		set_black(parent);
		set_black(uncle);
		set_red(grandparent);
		node = grandparent;
		parent = parent_of(node);
	}
	if (!parent)
		set_black(node);
}

void rbtree_insert(struct rbtree *tree, struct rbnode *node)
{
	unsigned long start = node->start, last = node->last;
	struct rbnode **link = &tree->root;
	struct rbnode *parent = NULL;
	bool leftmost = true;

	while (*link) {
		parent = *link;
		if (parent->subtree_last < last)
			parent->subtree_last = last;
		if (start < parent->start) {
			link = &parent->child[0];
		} else {
			link = &parent->child[1];
			leftmost = false;
		}
	}
	*link = node;
	node->parent_red = (unsigned long)parent | RED;
	node->child[0] = NULL;
	node->child[1] = NULL;
	node->subtree_last = last;
	if (leftmost)
		tree->leftmost = node;
	fix_insert(tree, node);
}

/* The subtree at @side of @parent lacks one black node on every path. */
static void fix_erase(struct rbtree *tree, struct rbnode *parent, int side)
{
	for (;;) {
		struct rbnode *sibling = parent->child[!side];
		struct rbnode *node = parent;

		if (is_red(sibling)) {
			set_black(sibling);
			set_red(parent);
			rotate(tree, parent, side);
			sibling = parent->child[!side];
		}
		if (is_red(sibling->child[0]) || is_red(sibling->child[1])) {
			if (!is_red(sibling->child[!side])) {
				set_red(sibling);
				rotate(tree, sibling, !side);
				sibling = parent->child[!side];
			}
			set_black(sibling->child[!side]);
			if (is_red(parent))
				set_red(sibling);
			else
				set_black(sibling);
			set_black(parent);
			rotate(tree, parent, side);
			return;
		}
		set_red(sibling);
		if (is_red(node)) {
			set_black(node);
			return;
		}
		parent = parent_of(node);
		if (!parent)
			return;
		side = side_of(node, parent);
	}
}

static inline struct rbnode *outermost(struct rbnode *node, int side)
{
	while (node->child[side])
		node = node->child[side];
	return node;
}

/*
 * Put @node's successor in @node's place, and @node where that was: at its
 * old place nothing is missing any more but one node with one child at most.
 * Returns the parent of that place.
 */
static struct rbnode *take_successor(struct rbtree *tree, struct rbnode *node,
				     struct rbnode *next)
{
	struct rbnode *parent = parent_of(next);
	struct rbnode *orphan = next->child[1];

	if (parent == node) {
		parent = next;
	} else {
		parent->child[0] = orphan;
		if (orphan)
			set_parent(orphan, parent);
		next->child[1] = node->child[1];
		set_parent(next->child[1], next);
	}
	next->child[0] = node->child[0];
	set_parent(next->child[0], next);
	replace_child(tree, parent_of(node), node, next);
	next->parent_red = node->parent_red;
	update_up(parent, next);
	next->subtree_last = greatest_last(next);
	update_up(parent_of(next), NULL);
	return parent;
}

void rbtree_erase(struct rbtree *tree, struct rbnode *node)
{
	struct rbnode *parent = parent_of(node);
	bool lost_red = is_red(node);
	struct rbnode *orphan;
	int side;

	if (tree->leftmost == node)
		tree->leftmost = node->child[1] ?
			outermost(node->child[1], 0) : parent;
	if (node->child[0] && node->child[1]) {
		struct rbnode *next = outermost(node->child[1], 0);

		side = next == node->child[1];
		lost_red = is_red(next);
		parent = take_successor(tree, node, next);
		orphan = parent->child[side];
	} else {
		orphan = node->child[!node->child[0]];
		side = parent && side_of(node, parent);
		replace_child(tree, parent, node, orphan);
		if (orphan)
			set_parent(orphan, parent);
		update_up(parent, NULL);
	}
	rbnode_clear(node);
	if (lost_red)
		return;
	if (orphan)
		set_black(orphan);
	else if (parent)
		fix_erase(tree, parent, side);
}

/*
 * The first of the subtree at @node that overlaps, if there is one: on the
 * left if anything there reaches @start, else here, else on the right. The
 * subtree has a node that reaches @start; on each way down this stays so.
 */
struct rbnode *rbtree_search(struct rbnode *node, unsigned long start,
			     unsigned long last)
{
	for (;;) {
		struct rbnode *left = node->child[0];

		if (left && left->subtree_last >= start) {
			node = left;
			continue;
		}
		if (node->start > last)
			return NULL;
		if (node->last >= start)
			return node;
		node = node->child[1];
	}
}

struct rbnode *rbtree_next(struct rbnode *node, unsigned long start,
			   unsigned long last)
{
	for (;;) {
		struct rbnode *right = node->child[1], *from;

		if (right && right->subtree_last >= start)
			return rbtree_search(right, start, last);
		do {
			from = node;
			node = parent_of(node);
			if (!node)
				return NULL;
		} while (node->child[1] == from);
		if (node->start > last)
			return NULL;
		if (node->last >= start)
			return node;
	}
}
