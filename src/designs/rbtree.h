/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A red-black tree of closed intervals in order of first value, where each
 * node knows the greatest last value below it. From the textbook:
 * "Introduction to Algorithms", chapters 13 and 14.3.
 *
 * No locking in here: changes exclude one another and all searches.
 */
#ifndef DESIGNS_RBTREE_H
#define DESIGNS_RBTREE_H

#include <stdbool.h>
#include <stddef.h>

/* Whoever inserts fills @start and @last; the rest is the tree's. */
struct rbnode {
	unsigned long parent_red;	/* the parent's address; bit 0: red */
	struct rbnode *child[2];
	unsigned long start;
	unsigned long last;
	unsigned long subtree_last;
};

struct rbtree {
	struct rbnode *root;
	struct rbnode *leftmost;
};

/* A node that is in no tree points at itself. */
static inline void rbnode_clear(struct rbnode *node)
{
	node->parent_red = (unsigned long)node;
}

static inline bool rbnode_linked(const struct rbnode *node)
{
	return node->parent_red != (unsigned long)node;
}

/* Behind those with the same start, so that these keep order of insertion. */
void rbtree_insert(struct rbtree *tree, struct rbnode *node);
void rbtree_erase(struct rbtree *tree, struct rbnode *node);

/* The nodes that overlap [start, last], in order; O(log n) a step. */
struct rbnode *rbtree_next(struct rbnode *node, unsigned long start,
			   unsigned long last);

/* For rbtree_first(): @node's subtree reaches @start. */
struct rbnode *rbtree_search(struct rbnode *node, unsigned long start,
			     unsigned long last);

static inline struct rbnode *rbtree_first(const struct rbtree *tree,
					  unsigned long start,
					  unsigned long last)
{
	struct rbnode *root = tree->root;

	if (!root || root->subtree_last < start || tree->leftmost->start > last)
		return NULL;
	return rbtree_search(root, start, last);
}

#endif
