/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the parts of the model share.
 *
 * A machine has frames, files and swap; a space is the areas and page tables
 * of one process on it. All of a machine's state lies in its arena, where a
 * snapshot finds it. One lock guards it, and is not held while notifiers are
 * called: whoever opens a bracket looks at the entry again afterwards.
 */
#ifndef MM_MODEL_INTERNAL_H
#define MM_MODEL_INTERNAL_H

#include <errno.h>
#include <string.h>

#include <uhmm/mm.h>
#include <uhmm/memremap.h>
#include <uhmm/migrate.h>
#include <uhmm/mmu_notifier.h>
#include <uhmm/model.h>

#include "../../core/internal.h"
#include "arena.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define LEAF_SHIFT 21
#define LEAF_SIZE (1UL << LEAF_SHIFT)
#define LEAF_MASK (~(LEAF_SIZE - 1))
#define LEAF_PAGES 512UL
#define PUD_SIZE (1UL << 30)
#define TASK_END ((1UL << 47) - PAGE_SIZE)

static inline unsigned long min_ul(unsigned long a, unsigned long b)
{
	return a < b ? a : b;
}

static inline unsigned long max_ul(unsigned long a, unsigned long b)
{
	return a > b ? a : b;
}

static inline unsigned long leaf_end(unsigned long addr, unsigned long end)
{
	return min_ul((addr & LEAF_MASK) + LEAF_SIZE, end);
}

/* ------------------------------------------------------ page table entries */

enum pte_type {
	PTE_NONE,
	PTE_PRESENT,
	PTE_SWAP,	/* payload: a slot */
	PTE_MIGRATION,	/* payload of this and the next: a frame */
	PTE_DEVICE,
	PTE_EXCLUSIVE,
	PTE_POISON,
	PTE_GUARD,
	PTE_MARKER	/* nothing, but write-protected for userfaultfd */
};

#define PTE_TYPE 0xfUL
#define PTE_W (1UL << 4)
#define PTE_DIRTY (1UL << 5)
#define PTE_YOUNG (1UL << 6)
#define PTE_SOFT (1UL << 7)
#define PTE_UFFD (1UL << 8)
#define PTE_HINT (1UL << 9)	/* a touch is to be noticed first */
#define PTE_ANON_EX (1UL << 10)	/* not present: the page was exclusive */
#define PTE_HUGE (1UL << 11)
#define PTE_PAYLOAD_SHIFT 16
#define ZERO_PFN UHMM_ZERO_PFN

static inline uint64_t pte_make(enum pte_type type, unsigned long payload,
				uint64_t flags)
{
	return type | flags | payload << PTE_PAYLOAD_SHIFT;
}

static inline enum pte_type pte_type(uint64_t pte)
{
	return pte & PTE_TYPE;
}

static inline unsigned long pte_payload(uint64_t pte)
{
	return pte >> PTE_PAYLOAD_SHIFT;
}

static inline bool pte_present(uint64_t pte)
{
	return pte_type(pte) == PTE_PRESENT;
}

static inline bool pte_zero(uint64_t pte)
{
	return pte_present(pte) && pte_payload(pte) == ZERO_PFN;
}

/* Entries that hold a frame. */
static inline bool pte_has_frame(uint64_t pte)
{
	switch (pte_type(pte)) {
	case PTE_PRESENT:
		return pte_payload(pte) != ZERO_PFN;
	case PTE_MIGRATION:
	case PTE_DEVICE:
	case PTE_EXCLUSIVE:
		return true;
	default:
		return false;
	}
}

static inline bool pte_maps_frame(uint64_t pte)
{
	return pte_has_frame(pte) && pte_type(pte) != PTE_MIGRATION;
}

#define LEAF_BLOCK 16
#define LEAF_BLOCKS (LEAF_PAGES / LEAF_BLOCK)

/**
 * struct leaf - what stands at one place of 2 MiB
 * @huge: an entry that maps all of it, or 0: there is a table
 * @blocks: the table's entries, those that are not all empty
 * @used: entries that are not empty, for each block
 */
struct leaf {
	uint64_t huge;
	uint64_t *blocks[LEAF_BLOCKS];
	uint8_t used[LEAF_BLOCKS];
};

/* ------------------------------------------------------------------ frames */

#define FRAME_ANON 1U
#define FRAME_EXCLUSIVE 2U	/* anonymous, and of one process only */
#define FRAME_DIRTY 4U
#define FRAME_LOCKED 8U		/* on its way elsewhere */
#define FRAME_LAZY 16U		/* may be dropped while it is clean */
#define FRAME_KSM 32U
#define FRAME_POISON 64U
#define FRAME_HEAD 128U
#define FRAME_TAIL 256U
#define FRAME_DEVICE 512U	/* memory of a device */
#define FRAME_COHERENT 1024U	/* that CPUs reach too */
#define FRAME_CACHED 2048U	/* in the page cache, or the swap cache */
#define FRAME_HUGETLB 4096U
#define FRAME_AHEAD 8192U	/* when it is needed, more is read */
#define FRAME_SMALL 16384U	/* of a huge page: small entries lead to it */

/**
 * struct frame - a page of memory
 * @refs: one a mapping, one for a cache, and those of whoever holds it
 * @maps: page table entries that map it
 * @pins: long-term pins, each of them also in @refs
 * @flags: FRAME_*
 * @head: frames that the first of a huge page is before this one
 * @index: its place in the file, or where it was anonymous first
 * @file: page cache: whose
 * @value: every word of it, unless @bytes
 * @bytes: the contents, once two words differ
 * @slot: its swap slot while it is in the swap cache
 * @family: anonymous: what family of areas may map it
 * @next: free: the next free one
 */
struct frame {
	uint32_t refs;
	uint32_t maps;
	uint32_t pins;
	uint16_t flags;
	uint16_t head;
	unsigned long index;
	struct file *file;
	uint64_t value;
	unsigned char *bytes;
	uint32_t slot;
	union {
		uint32_t family;
		uint32_t next;
	};
};

#define FRAME_POOL 16

/* A page written out. */
struct swap_slot {
	uint32_t count;
	uint32_t next;
	unsigned long cache;	/* frame in the swap cache, or 0 */
	uint64_t value;
	unsigned char *bytes;
};

/* ---------------------------------------------------------- areas and files */

#include "vma.h"

enum file_kind { FILE_SHMEM, FILE_DISK, FILE_DEVICE, FILE_HUGE };

/**
 * struct file - a file of the model
 * @kind: memory, a disk's, a device's, or of huge pages
 * @handle: what users name it by, 0: only mapped
 * @inode: a number that no other has had
 * @refs: areas and the handle
 * @size: in bytes
 * @pages: by page: frame, or slot << 1 | 1 when written out to swap
 * @disk: by page: what the disk has, plus 1
 * @next: of the machine's files
 */
struct file {
	enum file_kind kind;
	int handle;
	uint32_t refs;
	unsigned long inode;
	unsigned long size;
	struct sparse pages;
	struct sparse disk;
	struct file *next;
};

/* ------------------------------------------------------------------ spaces */

struct pin {
	int id;
	unsigned int n;
	unsigned int room;
	unsigned long *pfns;
	struct pin *next;
};

/**
 * struct space - one process's memory
 * @model: the machine
 * @mm: the address space
 * @vmas: by address
 * @root: page tables
 * @brk_start: where the heap begins
 * @brk: where it ends
 * @locked: pages in areas that are locked
 * @has_pins: something was pinned at some time
 * @reaped: the OOM reaper was here
 * @next: of the machine's
 */
struct space {
	struct uhmm_model *model;
	struct mm_struct *mm;
	struct vma *vmas;
	struct dir root;
	unsigned long brk_start;
	unsigned long brk;
	bool has_pins;
	bool reaped;
	struct space *next;
};

/**
 * struct machine - all that a snapshot covers
 * @pools: frames, by number
 * @free_frames: system frames to take, the one freed last first
 * @free_huge: huge pages to take, the same
 * @next_pfn: never used so far
 * @slots: swap
 * @free_slots: swap slots to take
 * @next_slot: never used so far
 * @used_slots: in use
 * @files: all
 * @spaces: all
 * @pins: long-term pins
 * @families: of anonymous areas, by number: the one forked from, plus 1
 * @last_family: number given out last
 * @last_order: &vma.file_order or &vma.anon_order given out last
 * @last_handle: file handle given out last
 * @last_inode: file number given out last
 * @last_pin: id of a pin given out last
 * @huge_free: huge pages that hugetlb has left
 * @frames_used: frames that somebody has
 */
struct machine {
	struct dir pools;
	uint32_t free_frames;
	uint32_t free_huge;
	uint32_t next_pfn;
	struct dir slots;
	uint32_t free_slots;
	uint32_t next_slot;
	uint32_t used_slots;
	struct file *files;
	struct space *spaces;
	struct pin *pins;
	struct sparse families;
	uint32_t last_family;
	uint64_t last_order;
	int last_handle;
	unsigned long last_inode;
	int last_pin;
	uint32_t huge_free;
	unsigned long frames_used;
};

struct uhmm_model {
	struct mutex lock;
	struct arena arena;
	struct machine *m;
	struct uhmm_model_options options;
	spinlock_t end_lock;	/* innermost: spaces end wherever */
	unsigned int users;	/* this and the next are written under it */
	struct space *dead;
	unsigned int changed;	/* slept on by who waits for a frame */
	unsigned int waiting;	/* how many do; under the lock */
};

static inline struct space *space_of(struct mm_struct *mm)
{
	return uhmm_mm_private(mm);
}

static inline bool newest(const struct space *space)
{
	return space->model->options.level == UHMM_KERNEL_NEWEST;
}

/* Free the spaces that have ended. */
void model_reap(struct uhmm_model *model);

static inline void model_lock(struct space *space)
	__acquires(&space->model->lock)
{
	mutex_lock(&space->model->lock);
	if (unlikely(READ_ONCE(space->model->dead)))
		model_reap(space->model);
}

static inline void model_unlock(struct space *space)
	__releases(&space->model->lock)
{
	mutex_unlock(&space->model->lock);
}

/* For a call out, by who has the lock already. */
static inline void model_drop(struct space *space) __no_context_analysis
{
	mutex_unlock(&space->model->lock);
}

static inline void model_retake(struct space *space) __no_context_analysis
{
	mutex_lock(&space->model->lock);
}

static inline struct arena *arena_of(const struct space *space)
{
	return &space->model->arena;
}

static inline struct machine *machine_of(const struct space *space)
{
	return space->model->m;
}

/* ---------------------------------------------------------------- events.c */
/* Called and returns with the lock held, which it drops meanwhile. */
void event_start(struct space *space, struct mmu_notifier_range *range,
		 enum mmu_notifier_event event, unsigned long start,
		 unsigned long end, void *owner);
int event_start_nonblock(struct space *space, struct mmu_notifier_range *range,
			 enum mmu_notifier_event event, unsigned long start,
			 unsigned long end);
void event_end(struct space *space, struct mmu_notifier_range *range);
void event_change_pte(struct space *space, unsigned long addr);
bool event_clear_flush_young(struct space *space, unsigned long addr);

/* ----------------------------------------------------------------- frame.c */
struct frame *frame_get(struct space *space, unsigned long pfn);
/* 0: no memory. */
unsigned long frame_new(struct space *space);
unsigned long frame_new_huge(struct space *space);
void frame_ref(struct space *space, unsigned long pfn);
void frame_unref(struct space *space, unsigned long pfn);
void frame_copy(struct space *space, struct frame *to, const struct frame *from);
/* To a frame of the machine, from one of it or of a device. */
void page_copy(struct space *space, unsigned long to, unsigned long from);
void frame_read(const struct frame *frame, unsigned long offset, void *buf,
		size_t len);
int frame_write(struct space *space, struct frame *frame, unsigned long offset,
		const void *buf, size_t len);
void frame_fill(struct space *space, struct frame *frame, uint64_t value);
bool frame_equal(const struct frame *a, const struct frame *b);
/* A mapping of it comes, or goes. A device's frame is known while it has one. */
int frame_map(struct space *space, unsigned long pfn);
void frame_unmap(struct space *space, unsigned long pfn);
/* Not what is in @frame, but what it is: a new place of the same page. */
void frame_become(struct frame *to, const struct frame *from);
static inline bool frame_pfn_device(unsigned long pfn)
{
	return uhmm_is_device_pfn(pfn);
}

/* Device memory that CPUs do not reach. */
bool frame_private(unsigned long pfn);
/* A device's page of 2^order frames comes into use; another's is left alone. */
int frame_begin(struct space *space, unsigned long pfn, unsigned int order);
/* Of a huge page, those of all of it. */
unsigned long frame_refs(struct space *space, unsigned long pfn);
unsigned long frame_maps(struct space *space, unsigned long pfn);
/* The first frame of a huge page, itself otherwise. */
unsigned long frame_head(struct space *space, unsigned long pfn);
/* For long; of a huge page, any of it. */
bool frame_pinned(struct space *space, unsigned long pfn);

/* ----------------------------------------------------------------- table.c */
struct leaf *leaf_get(const struct space *space, unsigned long addr);
/* Is there a table that a leaf for @addr would stand in? */
bool table_above(const struct space *space, unsigned long addr);
struct leaf *leaf_make(struct space *space, unsigned long addr);
/* The first leaf that holds something of [*addr, end); *addr is moved to it. */
struct leaf *leaf_next(const struct space *space, unsigned long *addr,
		       unsigned long end);
void leaf_drop(struct space *space, unsigned long addr);
uint64_t leaf_pte(const struct leaf *leaf, unsigned long addr);
int leaf_set(struct space *space, struct leaf *leaf, unsigned long addr,
	     uint64_t pte);
bool leaf_next_pte(const struct leaf *leaf, unsigned long *addr,
		   unsigned long end);
/* The same without the leaf at hand; of a huge page the entry of the page. */
uint64_t pte_at(const struct space *space, unsigned long addr);
int pte_put(struct space *space, unsigned long addr, uint64_t pte);
void tables_free(struct space *space, unsigned long start, unsigned long end,
		 unsigned long floor, unsigned long ceiling);

/* ------------------------------------------------------------------- map.c */
int unmap(struct space *space, unsigned long start, unsigned long len);
long map_find(struct space *space, unsigned long hint, unsigned long len,
	      unsigned long align);
void space_teardown(struct space *space);

/* ------------------------------------------------------------------- zap.c */
/* Entries of [start, end) go, with what they hold; no event. */
#define ZAP_COWS 1U	/* copies of a file's pages too */
#define ZAP_MARKERS 2U	/* and what userfaultfd wants remembered */
void zap_range(struct space *space, struct vma *vma, unsigned long start,
	       unsigned long end, unsigned int how);
/* All of an area that goes for good. */
void unmap_area(struct space *space, struct vma *vma);
/* In a bracket of CLEAR. */
void zap_clear(struct space *space, struct vma *vma, unsigned long start,
	       unsigned long end, unsigned int how);

/* ----------------------------------------------------------------- fault.c */
#define FAULT_SIGBUS 1
#define FAULT_SIGSEGV 2
#define FAULT_OOM 3
#define FAULT_POISON 4
/*
 * 0: look at the entry again; or one of FAULT_*. The caller has looked at the
 * area's rights, and looks for the area again too.
 */
int fault_page(struct space *space, struct vma *vma, unsigned long addr,
	       bool write);
int copy_on_write(struct space *space, struct vma *vma, unsigned long addr,
		  uint64_t pte, bool unshare);
int map_anon(struct space *space, struct vma *vma, unsigned long addr,
	     unsigned long pfn, uint64_t flags);

/* ------------------------------------------------------------------ file.c */
struct file *file_make(struct space *space, enum file_kind kind,
		       unsigned long size);
struct file *file_by_handle(struct space *space, int handle);
void file_unref(struct space *space, struct file *file);
/* Is the page in memory or on swap? */
bool file_has(struct space *space, struct file *file, unsigned long index);
/* The frame in the cache, or 0. */
unsigned long file_cached(struct space *space, struct file *file,
			  unsigned long index);
/* The frame of a page, read in if need be; 0: behind the end, or no memory. */
unsigned long file_page(struct space *space, struct file *file,
			unsigned long index, bool *ret_oom);
void file_forget_page(struct space *space, struct file *file,
		      unsigned long index);
void file_write_back(struct space *space, struct file *file,
		     unsigned long index);
void file_swap_out(struct space *space, struct file *file, unsigned long index,
		   unsigned long id);
bool file_move_page(struct space *space, unsigned long from, unsigned long to);
int file_punch(struct space *space, struct file *file, unsigned long first,
	       unsigned long end);
int device_map(struct space *space, struct vma *vma);

/* ------------------------------------------------------------------ swap.c */
struct swap_slot *slot_of(struct space *space, unsigned long id);
void swap_read(struct space *space, unsigned long id, struct frame *frame);
void swap_unref(struct space *space, unsigned long id);
void swap_cache(struct space *space, unsigned long id, unsigned long pfn);
void swap_uncache(struct space *space, unsigned long pfn);
/* Try to write out, or drop, each frame of @pfns. */
void reclaim(struct space *space, const unsigned long *pfns, size_t n);

/* ------------------------------------------------------------------ rmap.c */
struct mapping {
	struct space *space;
	unsigned long addr;
	unsigned long first;	/* page that its area begins with */
	uint64_t order;
};

/*
 * Where @pfn may be mapped. To be freed; NULL: nowhere. The address spaces
 * are kept until mappings_free().
 */
struct mapping *mappings(struct space *space, unsigned long pfn, size_t *ret_n);
void mappings_free(struct mapping *list, size_t n);
void rmap_migrate(struct space *space, unsigned long pfn);
/* Migration entries of @from become mappings of @to. */
void rmap_restore(struct space *space, unsigned long from, unsigned long to);
void rmap_clean(struct space *space, unsigned long pfn);
/* To swap slot or nothing; true: no mapping is left. */
bool rmap_unmap(struct space *space, unsigned long pfn, unsigned long slot);
uint64_t pte_to_migration(struct space *space, uint64_t pte);

/* ------------------------------------------------------------------- gup.c */
int make_present(struct space *space, struct vma *vma, unsigned long addr,
		 bool write);
/* 0, with the frame referenced, or -errno. */
int gup_page(struct space *space, unsigned long addr, bool write, bool longterm,
	     unsigned long *ret_pfn);
void gup_put(struct space *space, unsigned long pfn, bool longterm);
int populate_locked(struct space *space, unsigned long start,
		    unsigned long end);
int populate_advised(struct space *space, unsigned long start,
		     unsigned long end, bool write);

/* --------------------------------------------------------------- protect.c */
#define CHANGE_UFFD_WP 1U
#define CHANGE_UFFD_RESOLVE 2U
#define CHANGE_HINT 4U
#define CHANGE_MAY_WRITE 8U
void change_protection(struct space *space, struct vma *vma,
		       unsigned long start, unsigned long end,
		       unsigned int how);

/* --------------------------------------------------------------- migrate.c */
bool page_trylock(struct space *space, unsigned long pfn);
void page_unlock(struct space *space, unsigned long pfn);
/* Is what a migration wants of this page what @pte leads to? */
bool migrate_selects(const struct migrate_vma *args, uint64_t pte);
int device_fault(struct space *space, struct vma *vma, unsigned long addr,
		 uint64_t pte, bool write);
int exclusive_restore(struct space *space, struct vma *vma, unsigned long addr,
		      uint64_t pte);
/* The entry as it was before a device had the page; no event. */
void exclusive_put_back(struct space *space, struct vma *vma,
			unsigned long addr, uint64_t pte);
void model_wait(struct space *space);
void model_wake(struct space *space);
void model_migrate_collect(struct mm_struct *mm, struct migrate_vma *args);
void model_migrate_unmap(struct mm_struct *mm, struct migrate_vma *args);
void model_migrate_commit(struct mm_struct *mm, struct migrate_vma *args);
unsigned long model_migrate_finish(struct mm_struct *mm, struct migrate_vma *args);
int model_make_exclusive(struct mm_struct *mm, unsigned long addr,
			 unsigned long pfn, void *owner);
void model_page_unlock(struct mm_struct *mm, unsigned long pfn);

/* --------------------------------------------------------------- machine.c */
int memory_failure(struct space *space, struct vma *vma, unsigned long addr);

/* ------------------------------------------------------------------- ops.c */
int space_create(struct uhmm_model *model, struct space **ret_space,
		 const struct uhmm_mm_options *options);
int model_fork(struct mm_struct *mm, struct mm_struct **ret_child);
void vma_describe(struct space *space, const struct vma *vma,
		  struct uhmm_vma *ret);

#include "huge.h"

#endif
