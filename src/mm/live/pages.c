/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Page table entries of the process, and faults in it.
 *
 * Up to SMALL pages an entry is what pagemap says of it; beyond, the kernel
 * (6.7) sums up neighbours of one kind in one region, which is faster. Neither
 * sees the write bit, so a page counts as writable where a write replaces
 * nothing that anybody sees: in a writable area, and neither the page of
 * zeroes, nor a file's page in a private area, nor, where pagemap was read,
 * one that a fork left shared.
 */
#include "live.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <uhmm/memremap.h>

#include "out.h"
#include "uapi.h"
#include "watch.h"

#define SMALL 16UL
#define BATCH 128UL
#define HUGE_ORDER 9
#define TRIES 8

/* What one walk over one area needs. */
struct walk {
	struct live *live;
	const struct live_area *area;
	unsigned long addr;
	size_t npages;
	struct uhmm_pte *ptes;
};

static unsigned int area_order(const struct live_area *area)
{
	return area->vma.flags & UHMM_VM_HUGETLB &&
			       area->page_size > LIVE_PAGE ?
		       (unsigned int)__builtin_ctzl(area->page_size) -
			       LIVE_PAGE_SHIFT :
		       0;
}

static bool may_write(unsigned long flags, bool file)
{
	return flags & UHMM_VM_WRITE && (flags & UHMM_VM_SHARED || !file);
}

/* ------------------------------------------------------------------- regions */

/* The entry of the first page of @r, in an area with @flags. */
static struct uhmm_pte region_entry(const struct page_region *r,
				    unsigned long flags, unsigned int order)
{
	struct uhmm_pte pte = { .state = UHMM_PTE_NONE,
				.pfn = r->start / LIVE_PAGE };

	if (r->categories & PAGE_IS_PRESENT) {
		pte.state = r->categories & PAGE_IS_PFNZERO ?
				    UHMM_PTE_ZERO : UHMM_PTE_PRESENT;
		pte.write = pte.state == UHMM_PTE_PRESENT &&
			    may_write(flags, r->categories & PAGE_IS_FILE);
		pte.order = order;
		if (!order && r->categories & PAGE_IS_HUGE)
			pte.order = HUGE_ORDER;
	} else if (r->categories & PAGE_IS_GUARD) {
		pte.state = UHMM_PTE_POISON;
	} else if (r->categories & PAGE_IS_SWAPPED) {
		pte.state = UHMM_PTE_SWAP;
	}
	return pte;
}

static void set_region(const struct walk *w, const struct page_region *r)
{
	struct uhmm_pte pte = region_entry(r, w->area->vma.flags,
					   area_order(w->area));
	unsigned long at;

	for (at = r->start; at < r->end; at += LIVE_PAGE, pte.pfn++)
		w->ptes[(at - w->addr) / LIVE_PAGE] = pte;
}

static int walk_scan(const struct walk *w)
{
	unsigned long end = w->addr + w->npages * LIVE_PAGE;
	struct page_region regions[BATCH];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = w->addr,
		.end = end,
		.vec = (unsigned long)regions,
		.vec_len = BATCH,
		.category_anyof_mask = w->live->scan_mask,
		.return_mask = w->live->scan_mask,
	};
	unsigned long at = w->addr;
	long i, n;

	while (at < end) {
		arg.start = at;
		n = ioctl(w->live->pagemap, PAGEMAP_SCAN, &arg);
		if (n < 0)
			return errno == EINTR ? -EINTR : -EIO;
		for (i = 0; i < n; i++) {
			struct page_region gap = { at, regions[i].start, 0 };

			set_region(w, &gap);
			set_region(w, &regions[i]);
			at = regions[i].end;
		}
		if (n < (long)BATCH) {
			struct page_region rest = { at, end, 0 };

			set_region(w, &rest);
			return 0;
		}
	}
	return 0;
}

/* ------------------------------------------------------------------- entries */

/* Of a page that looks like it: is it the page of zeroes? */
static bool is_zero_page(const struct walk *w, unsigned long addr,
			 unsigned long frame)
{
	struct page_region region;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = addr,
		.end = addr + LIVE_PAGE,
		.vec = (unsigned long)&region,
		.vec_len = 1,
		.category_mask = PAGE_IS_PFNZERO,
		.return_mask = PAGE_IS_PFNZERO,
	};

	if (w->live->zero_frame)
		return frame == w->live->zero_frame;
	return live_has(w->live, UHMM_LIVE_PAGEMAP_SCAN) &&
	       ioctl(w->live->pagemap, PAGEMAP_SCAN, &arg) == 1;
}

static void set_entry(const struct walk *w, size_t i, uint64_t entry)
{
	unsigned long addr = w->addr + i * LIVE_PAGE;
	struct uhmm_pte *pte = &w->ptes[i];

	*pte = (struct uhmm_pte){ .state = UHMM_PTE_NONE,
				  .pfn = addr / LIVE_PAGE };
	if (entry & PM_PRESENT) {
		bool file = entry & PM_FILE, alone = entry & PM_EXCLUSIVE;

		pte->state = UHMM_PTE_PRESENT;
		pte->order = area_order(w->area);
		if (!file && !alone &&
		    is_zero_page(w, addr, entry & PM_FRAME))
			pte->state = UHMM_PTE_ZERO;
		pte->write = pte->state == UHMM_PTE_PRESENT &&
			     may_write(w->area->vma.flags, file) &&
			     (alone || w->area->vma.flags & UHMM_VM_SHARED);
		if (w->live->flags & UHMM_LIVE_USE_FRAMES)
			pte->pfn = entry & PM_FRAME;
	} else if (entry & PM_GUARD) {
		pte->state = UHMM_PTE_POISON;
	} else if (entry & PM_SWAP) {
		pte->state = UHMM_PTE_SWAP;
	}
}

static int walk_entries(const struct walk *w)
{
	uint64_t entries[BATCH];
	size_t done, n, i;
	ssize_t got;

	for (done = 0; done < w->npages; done += n) {
		n = w->npages - done < BATCH ? w->npages - done : BATCH;
		got = pread(w->live->pagemap, entries, n * sizeof(entries[0]),
			    (off_t)((w->addr / LIVE_PAGE + done) *
				    sizeof(entries[0])));
		if (got < 0)
			return errno == EINTR ? -EINTR : -EIO;
		if ((size_t)got != n * sizeof(entries[0]))
			return -EIO;
		for (i = 0; i < n; i++)
			set_entry(w, done + i, entries[i]);
	}
	return 0;
}

static void walk_special(const struct walk *w)
{
	for (size_t i = 0; i < w->npages; i++)
		w->ptes[i] = (struct uhmm_pte){
			.state = UHMM_PTE_SPECIAL,
			.pfn = w->addr / LIVE_PAGE + i,
		};
}

static int walk_area(const struct walk *w)
{
	int ret;

	if (w->area->vma.flags & UHMM_VM_SPECIAL) {
		walk_special(w);
		return 0;
	}
	ret = watch(w->live, w->area, w->addr,
		    w->addr + w->npages * LIVE_PAGE);
	if (ret == -EOPNOTSUPP || ret == -EBUSY || ret == -ENOSPC) {
		walk_special(w);
		return 0;
	}
	if (ret == -ESTALE)
		return ret;
	/* -EAGAIN: whoever made it so has called back, or is about to. */
	if (w->npages > SMALL && live_has(w->live, UHMM_LIVE_PAGEMAP_SCAN) &&
	    !(w->live->flags & UHMM_LIVE_USE_FRAMES))
		ret = walk_scan(w);
	else
		ret = walk_entries(w);
	if (ret == -EIO)
		live_why(w->live, UHMM_LIVE_WHY_LOST);
	return ret;
}

/* What an entry says of a page that is away. */
static void set_away(unsigned long entry, struct uhmm_pte *pte)
{
	pte->order = 0;
	if (out_state(entry) != OUT_COHERENT)
		pte->write = entry & OUT_WRITE;
	switch (out_state(entry)) {
	case OUT_MOVING:
		pte->state = UHMM_PTE_MIGRATION;
		break;
	case OUT_COHERENT:
		if (pte->state == UHMM_PTE_PRESENT)
			pte->pfn = out_what(entry);
		break;
	case OUT_DEVICE:
		pte->state = UHMM_PTE_DEVICE_PRIVATE;
		pte->pfn = out_what(entry);
		pte->owner = uhmm_device_page_owner(pte->pfn);
		break;
	case OUT_TAKEN:
	case OUT_EXCLUSIVE:
		pte->state = UHMM_PTE_DEVICE_EXCLUSIVE;
		pte->write = true;
		break;
	default:
		break;
	}
}

static void walk_away(const struct walk *w)
{
	unsigned long addr, end = w->addr + w->npages * LIVE_PAGE;
	struct out *out = w->live->out;

	spin_lock(&out->lock);
	for (addr = out_next(out, w->addr, end); addr < end;
	     addr = out_next(out, addr + LIVE_PAGE, end))
		set_away(out_get(out, addr),
			 &w->ptes[(addr - w->addr) / LIVE_PAGE]);
	spin_unlock(&out->lock);
}

int live_walk(struct mm_struct *mm, unsigned long addr, size_t *npages,
	      struct uhmm_pte *ptes)
{
	struct live *live = live_of(mm);
	size_t done = 0, wanted = *npages;
	struct live_area area;
	struct walk w = { .live = live, .area = &area };
	int ret;

	if (live_ended(live))
		return -ESRCH;
	while (done < wanted) {
		w.addr = addr + done * LIVE_PAGE;
		ret = live_area(live, w.addr, &area);
		if (ret == -ENOENT || (!ret && area.vma.start > w.addr))
			ret = -EFAULT;
		if (ret)
			break;
		w.npages = (area.vma.end - w.addr) / LIVE_PAGE;
		if (w.npages > wanted - done)
			w.npages = wanted - done;
		w.ptes = ptes + done;
		ret = walk_area(&w);
		if (ret == -ESTALE)
			continue;
		if (ret)
			break;
		if (live->out)
			walk_away(&w);
		done += w.npages;
	}
	*npages = done;
	return done < wanted ? ret : 0;
}

/* ---------------------------------------------------------------------- runs */

struct runs {
	struct uhmm_run *to;
	unsigned long at, flags;
};

/* Up to @r nothing was found, and then @r. */
static void add_runs(struct runs *runs, const struct page_region *r)
{
	struct page_region gap = { runs->at, r->start, 0 };
	const struct page_region *all[] = { &gap, r };

	for (int i = 0; i < 2; i++) {
		if (all[i]->start >= all[i]->end)
			continue;
		*runs->to++ = (struct uhmm_run){
			region_entry(all[i], runs->flags, 0),
			(all[i]->end - all[i]->start) / LIVE_PAGE,
		};
	}
	runs->at = r->end;
}

/* A page that is away is seen by who looks at it for itself. */
static bool any_away(struct live *live, unsigned long start, unsigned long end)
{
	unsigned long next;

	if (!live->out)
		return false;
	spin_lock(&live->out->lock);
	next = out_next(live->out, start, end);
	spin_unlock(&live->out->lock);
	return next < end;
}

int live_walk_runs(struct mm_struct *mm, unsigned long addr, unsigned long end,
		   const struct uhmm_vma *vma, size_t *nruns,
		   struct uhmm_run *to)
{
	struct live *live = live_of(mm);
	struct live_area area = { .vma = *vma, .page_size = LIVE_PAGE };
	struct page_region regions[BATCH];
	struct runs runs = { to, addr, vma->flags };
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = addr,
		.end = end,
		.vec = (unsigned long)regions,
		/* A gap before each, and one behind. */
		.vec_len = (*nruns - 1) / 2 < BATCH ? (*nruns - 1) / 2 : BATCH,
		.category_anyof_mask = live->scan_mask,
		.return_mask = live->scan_mask,
	};
	long i, n;

	if ((end - addr) / LIVE_PAGE <= SMALL || live_ended(live) ||
	    !live_has(live, UHMM_LIVE_PAGEMAP_SCAN) ||
	    live->flags & UHMM_LIVE_USE_FRAMES ||
	    vma->flags & (UHMM_VM_SPECIAL | UHMM_VM_HUGETLB) ||
	    watch(live, &area, addr, end))
		return -EOPNOTSUPP;
	n = ioctl(live->pagemap, PAGEMAP_SCAN, &arg);
	if (n < 0 || any_away(live, addr, end))
		return -EOPNOTSUPP;
	for (i = 0; i < n; i++)
		add_runs(&runs, &regions[i]);
	if (n < (long)arg.vec_len)
		add_runs(&runs, &(struct page_region){ end, end, 0 });
	*nruns = (size_t)(runs.to - to);
	return 0;
}

/* -------------------------------------------------------------------- faults */

static bool is_present(struct live *live, unsigned long addr)
{
	uint64_t entry;

	return pread(live->pagemap, &entry, sizeof(entry),
		     (off_t)(addr / LIVE_PAGE * sizeof(entry))) ==
		       sizeof(entry) &&
	       entry & PM_PRESENT;
}

/* What populating says, in the words of a fault. */
static int fault_error(struct live *live, unsigned long addr, int error)
{
	struct live_area area;

	switch (error) {
	case ENOMEM:
		if (!live_area(live, addr, &area) && area.vma.start <= addr)
			return -ENOMEM;
		return -EFAULT;
	case EAGAIN:
	case EINTR:
		return -error;
	default:
		return -EFAULT;
	}
}

/* The kernel may not be let wait for a page that is away: it comes before. */
static int populate(struct live *live, unsigned long addr, int how)
{
	int ret, tries = 0;

	do {
		ret = live->out ? home_touch(live, addr, HOME_WAIT |
							 HOME_LOCKED) : 0;
		if (ret && ret != -ENXIO)
			return ret;
		if (!madvise((void *)addr, LIVE_PAGE, how))
			return 0;
	} while (live->out && errno == EFAULT && ++tries < TRIES);
	return fault_error(live, addr, errno);
}

int live_fault(struct mm_struct *mm, unsigned long addr, unsigned int flags)
{
	struct live *live = live_of(mm);

	if (live_ended(live))
		return -ESRCH;
	addr &= ~(LIVE_PAGE - 1);
	if (flags & UHMM_FAULT_NOWAIT &&
	    (flags & UHMM_FAULT_WRITE || !is_present(live, addr)))
		return -EAGAIN;
	return populate(live, addr, flags & UHMM_FAULT_WRITE ?
					    MADV_POPULATE_WRITE :
					    MADV_POPULATE_READ);
}

int live_access(struct mm_struct *mm, unsigned long pfn, size_t offset,
		void *buf, size_t len, bool write)
{
	struct iovec there = { (char *)(pfn << LIVE_PAGE_SHIFT) + offset, len };
	struct iovec here = { buf, len };
	ssize_t n;

	if (live_of(mm)->flags & UHMM_LIVE_USE_FRAMES)
		return -EOPNOTSUPP;
	n = write ? process_vm_writev(getpid(), &here, 1, &there, 1, 0) :
		    process_vm_readv(getpid(), &here, 1, &there, 1, 0);
	return n == (ssize_t)len ? 0 : -EFAULT;
}

/* ------------------------------------------------------------- what is known */

/* 0: there is none, as in kernels that give each page read a frame. */
static unsigned long find_zero_frame(int pagemap)
{
	volatile unsigned char *page = sync_alloc_pages(LIVE_PAGE);
	uint64_t entry = 0;

	if (!page)
		return 0;
	/* Read and never written: what is there is not its own. */
	(void)*page;
	if (pread(pagemap, &entry, sizeof(entry),
		  (off_t)((unsigned long)page / LIVE_PAGE * sizeof(entry))) !=
		    sizeof(entry) ||
	    !(entry & PM_PRESENT) || entry & PM_EXCLUSIVE)
		entry = 0;
	sync_free_pages((void *)page, LIVE_PAGE);
	return entry & PM_FRAME;
}

void live_pages_init(struct live *live)
{
	struct page_region region;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = LIVE_PAGE,
		.end = 2 * LIVE_PAGE,
		.vec = (unsigned long)&region,
		.vec_len = 1,
		.return_mask = PAGE_IS_GUARD,
		.category_anyof_mask = PAGE_IS_GUARD,
	};

	live->scan_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_FILE |
			  PAGE_IS_PFNZERO | PAGE_IS_HUGE;
	if (live_has(live, UHMM_LIVE_PAGEMAP_SCAN) &&
	    ioctl(live->pagemap, PAGEMAP_SCAN, &arg) >= 0)
		live->scan_mask |= PAGE_IS_GUARD;
	if (live_has(live, UHMM_LIVE_FRAMES))
		live->zero_frame = find_zero_frame(live->pagemap);
}
