/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The interval index: which intervals overlap [start, last]?
 *
 * A B+tree in key order (start, order), with the greatest last of each
 * subtree beside its pointer, searched while it is written, without locks and
 * without retries. Intervals may overlap, nest and be equal.
 *
 * How a search stays right beside a writer:
 *  - A leaf is a set of slots and one word that says which are live, and in
 *    which order. An entry appears and disappears by one store of that word,
 *    so a slot may be filled again at once: whoever still looks through an old
 *    word can only mistake an entry that is gone, and looks at the interval
 *    itself before believing it.
 *  - An inner node never changes its keys: splits and removals put a copy in
 *    its place by one store of a pointer. Bounds rise in place before an entry
 *    appears and fall after it is gone: what a search reads is never too low
 *    for what it must find.
 *  - Nodes that were replaced are kept until no search is under way that began
 *    before (see index_init()).
 * So a search misses only what was inserted, and finds beyond what is there
 * only what was removed, while it ran; its caller decides that with a fence.
 *
 * Of very many intervals a filter (index_filter.h) says of most places that nothing
 * is there, before any node is looked at.
 *
 * The shape is chosen for memory: 14 keys are one line, their bounds another,
 * compared all at once, and their pointers two; all four are fetched at once. To
 * fit, keys and bounds are scaled (index_scale.h), which makes a search look
 * where it need not now and then, and, where a leaf is rough, at the interval
 * itself before it tells.
 */
#ifndef LIB_INDEX_H
#define LIB_INDEX_H

#include <uhmm/interval.h>

#include "../sync/sync.h"
#include "index_scale.h"

#define INDEX_FANOUT 14
#define INDEX_BATCH SYNC_SIZE(128, INDEX_FANOUT + 1)
#define INDEX_MAX_HEIGHT 24

/**
 * struct index_node - a leaf, or the part of an inner node that is searched
 * @lo: leaf: start; inner: no key below is less, 0 for the first; scaled
 * @perm: leaf: the slots in key order, 4 bits each from the bottom, the live
 *	ones first; their number in the top 4 bits; inner: a bit for each
 *	child
 * @hi: leaf: last; inner: no interval below ends later; scaled
 * @scale: of @lo and @hi; all starts of a leaf fit
 * @at: leaf: the interval; inner: the node below
 * @tag: the level in the low bits, 0: leaf; see below
 * @next: among the retired and the free
 *
 * The unused have @lo UINT_MAX. @perm and @scale are the last two lanes of
 * their line.
 */
struct index_node {
	unsigned int lo[INDEX_FANOUT];
	unsigned long perm;
	unsigned int hi[INDEX_FANOUT];
	unsigned long scale;
	void *at[INDEX_FANOUT];
	unsigned long tag;
	struct index_node *next;
} __cacheline_aligned;

/*
 * &index_node.tag of a leaf: raised by this before an entry is added and after;
 * set meanwhile. No tag is 0.
 */
#define INDEX_FILLING 256UL
/*
 * Some interval was there that begins or ends within a unit of @scale, or ends
 * above it, so that @lo and @hi do not tell where.
 */
#define INDEX_ROUGH 128UL

/* The low bits of &uhmm_interval_node.order: the slot it was put into. */
#define ORDER_SLOT 15UL
#define ORDER_STEP 16UL

static inline unsigned long node_order(const struct uhmm_interval_node *x)
{
	return READ_ONCE(x->order) & ~ORDER_SLOT;
}

static inline unsigned int node_level(const struct index_node *node)
{
	return READ_ONCE(node->tag) % INDEX_ROUGH;
}

/* What a child of an inner node holds: keys from @lo on, the last byte @hi. */
struct index_bounds {
	unsigned long lo, order;
	unsigned long hi;
};

/**
 * struct index_inner - an inner node
 * @node: what is searched
 * @exact: what is scaled in @node; @hi is the writers'
 * @count: how many children, in key order
 */
struct index_inner {
	struct index_node node;
	struct index_bounds exact[INDEX_FANOUT];
	unsigned long count;
};

/**
 * struct index_walk - how far a search has come
 * @start: with @order: intervals with a lesser key have been returned
 * @order: see @start
 * @done: nothing is left
 */
struct index_walk {
	unsigned long start;
	unsigned long order;
	bool done;
};

/**
 * struct index_finger - where this thread's last search ended
 * @version: of the index then; 0: nowhere; FINGER_NOTHING: nor was anything found, and
 *	there is a filter
 * @start: only @leaf holds anything of [@start, @start + @room]
 * @room: see @start
 * @leaf: that leaf; NULL: none does
 * @tag: of @leaf when it held nothing of that either; 0: it did, or was not
 *	looked at twice yet
 */
struct index_finger {
	unsigned long version;
	unsigned long start;
	unsigned long room;
	const struct index_node *leaf;
	unsigned long tag;
};

#define FINGER_NOTHING ~0UL

struct interval_index;
struct index_filter;
struct index_path;

/**
 * struct index_search - a way to search
 * @name: for reports
 * @again: where the finger leads, which covers the range; it is told if nothing
 *	is there
 * @first: from the beginning; the finger is told if it ends in one leaf
 * @resume: go on at @walk
 * @rank: for writers: how many entries of a leaf have a @lo up to @key, scaled
 * @descend: for writers: the way from @root to where a key belongs
 * @alone: for writers: does nothing overlap what belongs where the path leads? Some
 *	that do not are taken for such that do.
 *
 * The first three append to @out, which has room for INDEX_BATCH, and return
 * how many.
 */
struct index_search {
	const char *name;
	unsigned int (*again)(struct index_finger *finger,
			      unsigned long start, unsigned long last,
			      struct uhmm_interval_node **out);
	unsigned int (*first)(const struct interval_index *ix,
			      struct index_finger *finger,
			      unsigned long start, unsigned long last,
			      struct index_walk *walk,
			      struct uhmm_interval_node **out);
	unsigned int (*resume)(const struct interval_index *ix,
			       unsigned long start, unsigned long last,
			       struct index_walk *walk,
			       struct uhmm_interval_node **out);
	unsigned int (*rank)(const struct index_node *leaf, unsigned int key);
	void (*descend)(struct index_node *root, unsigned long start,
			unsigned long order, struct index_path *p);
	bool (*alone)(const struct index_path *p, unsigned long start,
		      unsigned long last);
};

extern const struct index_search index_search_portable;
/* In builds that have vectors. */
extern const struct index_search index_search_avx2;
extern const struct index_search index_search_avx512;
/* NULL where this build or this machine has none. */
const struct index_search *index_search_vector(void);

/**
 * struct index_recent - what was inserted last
 * @start: of it; above @last: nothing is known
 * @last: of it; another one in its leaf ends as late, or later
 * @tag: while the leaf of the path has it, it goes to &index_path.pos again; with
 *	RECENT_THERE: it is there
 * @lo: @start, scaled
 * @hi: @last, scaled
 * @x: it, if it is there
 */
struct index_recent {
	unsigned long start;
	unsigned long last;
	unsigned long tag;
	unsigned int lo, hi;
	const struct uhmm_interval_node *x;
};

#define RECENT_THERE 1UL	/* in no tag of a leaf */

/* The way from the root to a leaf, and which keys belong there. */
struct index_path {
	struct index_recent recent;
	struct index_node *leaf;	/* NULL: no path */
	unsigned int pos;		/* in it, of the last insert or search */
	unsigned long inside;		/* with @room: starts that do whatever */
	unsigned long room;		/* their order is, and fit its scale: so */
					/* many from there on */
	const struct index_bounds *bound;	/* of the leaf, in its parent */
	unsigned int depth;
	struct {
		struct index_inner *node;
		unsigned int i;
	} step[INDEX_MAX_HEIGHT];
	unsigned long lo, lo_order;	/* first key of the leaf */
	unsigned long hi, hi_order;	/* first key of the next one, if any */
};

/* Nodes of one size. */
struct index_pool {
	size_t size;
	struct index_node *free;
	char *fresh;			/* never used, up to @end */
	char *end;
	size_t avail;			/* free and fresh together */
	size_t chunk;			/* bytes of the next chunk */
};

struct index_chunk {
	struct index_chunk *next;
	size_t size;
};

/**
 * struct interval_index - an interval index
 * @root: the top node
 * @version: grows when a bound rises and when a node is replaced
 * @search: how to search it
 * @filter: what tells of most places that nothing is there; NULL: none, as intervals
 *	are few
 * @lock: taken by writers; everything below belongs to its holder
 * @count: intervals
 * @filter_at: with so many another @filter is made
 * @filling: which is being filled; NULL: none is
 * @filled: what begins before that is in @filling
 * @next_order: of the next insert
 * @path: where the last writer went
 * @leaves: memory for leaves
 * @inners: memory for inner nodes
 * @chunks: what both pools were cut from
 * @room: as well, at first
 * @room_taken: so much of it
 * @bytes: in @chunks, in filters, and taken of @room
 * @retired: replaced, since @waiting was taken
 * @nretired: how many @retired
 * @waiting: replaced before @waiting_version, until no search is that old
 * @waiting_version: see @waiting
 * @oldest_reader: see index_init()
 * @arg: for @oldest_reader
 * @first: the first leaf: of few intervals nothing is looked at but what lies here
 */
struct interval_index {
	struct index_node *root;
	unsigned long version;
	const struct index_search *search;
	struct index_filter *filter;
	spinlock_t lock __cacheline_aligned;
	unsigned long count __guarded_by(&lock);
	unsigned long filter_at __guarded_by(&lock);
	struct index_filter *filling __guarded_by(&lock);
	unsigned long filled __guarded_by(&lock);
	unsigned long next_order __guarded_by(&lock);
	struct index_path path __guarded_by(&lock);
	struct index_pool leaves __guarded_by(&lock);
	struct index_pool inners __guarded_by(&lock);
	struct index_chunk *chunks __guarded_by(&lock);
	char *room __guarded_by(&lock);
	size_t room_taken __guarded_by(&lock);
	size_t bytes __guarded_by(&lock);
	struct index_node *retired __guarded_by(&lock);
	unsigned int nretired __guarded_by(&lock);
	struct index_node *waiting __guarded_by(&lock);
	unsigned long waiting_version __guarded_by(&lock);
	unsigned long (*oldest_reader)(void *arg);
	void *arg;
	struct index_node first;
};

/**
 * index_init() - make an index
 * @ix: the index, zeroed
 * @oldest_reader: the least version that a search still under way read before
 *	it began; ULONG_MAX: none. Full fence first.
 * @arg: for @oldest_reader
 *
 * Return: 0; -ENOMEM.
 */
int index_init(struct interval_index *ix,
	       unsigned long (*oldest_reader)(void *arg), void *arg);
void index_destroy(struct interval_index *ix);

/**
 * index_insert() - add an interval
 * @ix: the index, locked; the lock may be dropped and taken again
 * @node: the interval
 *
 * A search that begins behind a fence after this finds it.
 *
 * Return: 0; -ENOMEM.
 */
int index_insert(struct interval_index *ix, struct uhmm_interval_node *node)
	__must_hold(&ix->lock);
/* The same, unless something overlaps it, or may: -EEXIST. */
int index_insert_alone(struct interval_index *ix,
		       struct uhmm_interval_node *node) __must_hold(&ix->lock);
/* A search that begins behind a fence after this does not find @node. */
void index_remove(struct interval_index *ix, struct uhmm_interval_node *node)
	__must_hold(&ix->lock);
/*
 * A version that no search has yet: one that reads it, or a later one, before
 * its fence does not find what was removed before this.
 */
unsigned long index_stamp(struct interval_index *ix);
/* Bytes that the index has from the allocator. */
size_t index_bytes(struct interval_index *ix);

/*
 * The first comparison refuses what lies before @finger, as if it lay far
 * behind, and what does lie behind: which one is not to be guessed.
 */
static inline bool finger_covers(const struct index_finger *finger,
				 unsigned long start, unsigned long last)
{
	return last - finger->start <= finger->room && start >= finger->start;
}

/*
 * Does @finger lead to where [start, last] is? What is read here again was
 * acquired when it was made.
 */
static inline bool finger_leads(const struct interval_index *ix,
				const struct index_finger *finger,
				unsigned long start, unsigned long last)
{
	return finger->version == READ_ONCE(ix->version) &&
	       finger_covers(finger, start, last);
}

/* Is nothing there of what it covers? */
static inline bool finger_nothing(const struct index_finger *finger)
{
	return !finger->leaf || READ_ONCE(finger->leaf->tag) == finger->tag;
}

/**
 * index_find() - begin to search
 * @ix: the index
 * @finger: this thread's
 * @leads: finger_leads()
 * @start: first byte
 * @last: last byte
 * @walk: returns how far it came
 * @out: returns intervals that overlap, in key order
 *
 * Context: announced to oldest_reader, and a full fence passed since. Not
 * finger_nothing(), if it leads.
 * Return: how many are in @out. Unless @walk->done go on with search->resume().
 */
static inline unsigned int index_find(const struct interval_index *ix,
				      struct index_finger *finger, bool leads,
				      unsigned long start, unsigned long last,
				      struct index_walk *walk,
				      struct uhmm_interval_node **out)
{
	if (!leads)
		return ix->search->first(ix, finger, start, last, walk, out);
	walk->done = true;
	return ix->search->again(finger, start, last, out);
}

/* ---------------------------------------------- the word of a leaf */
#define PERM_COUNT_SHIFT 60
#define PERM_SLOTS ((1UL << 4 * INDEX_FANOUT) - 1)
#define PERM_EMPTY (0x0edcba9876543210UL & PERM_SLOTS)
#define PERM_ONES (0x0111111111111111UL & PERM_SLOTS)
#define PERM_TOPS (0x0888888888888888UL & PERM_SLOTS)

static inline unsigned int perm_count(unsigned long perm)
{
	return perm >> PERM_COUNT_SHIFT;
}

static inline unsigned int perm_slot(unsigned long perm, unsigned int pos)
{
	return perm >> 4 * pos & 15;
}

/* Where @slot stands: the lowest digit that is 0 in the difference. */
static inline unsigned int perm_position(unsigned long perm, unsigned long slot)
{
	unsigned long d = perm ^ slot * PERM_ONES;

	return (unsigned int)__builtin_ctzl((d - PERM_ONES) & ~d & PERM_TOPS) /
	       4;
}

/* The other lines of a node are read at once: all are missed together. */
static inline void index_prefetch(const struct index_node *node)
{
	__builtin_prefetch(&node->at[0]);
	__builtin_prefetch(&node->at[8]);
}

/* Make the first free slot live, at position @pos. */
static inline unsigned long perm_insert(unsigned long perm, unsigned int pos)
{
	unsigned int n = perm_count(perm);
	/* Ones below the digits from @pos on that make room for it. */
	unsigned long ones = (1UL << 4 * n) - (1UL << 4 * pos);

	return perm + 15 * (perm & ones) - perm_slot(perm, n) * ones +
	       (1UL << PERM_COUNT_SHIFT);
}

/* Make @slot, which is at position @pos, the first free one. */
static inline unsigned long perm_remove(unsigned long perm, unsigned int pos,
					unsigned long slot)
{
	/* Ones below the digits behind it, a digit lower, where they go. */
	unsigned long ones = (1UL << 4 * (perm_count(perm) - 1)) -
			     (1UL << 4 * pos);

	return perm - 15 * ((perm >> 4) & ones) + slot * ones -
	       (1UL << PERM_COUNT_SHIFT);
}

#endif
