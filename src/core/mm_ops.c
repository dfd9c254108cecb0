/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The operations of an address space, with their arguments checked.
 */
#include "internal.h"

#include <errno.h>
#include <stdint.h>

#include <uhmm/memremap.h>

/* ---------------------------------------------------------- areas, entries */

int uhmm_mm_find_vma(struct mm_struct *mm, unsigned long addr,
		     struct uhmm_vma *ret_vma)
{
	int ret;

	if (!ret_vma)
		return -EINVAL;
	if (!mm->ops->find_vma)
		return -EOPNOTSUPP;
	ret = mm->ops->find_vma(mm, addr, ret_vma);
	if (!ret)
		ret_vma->mm = mm;
	return ret;
}

int uhmm_mm_walk(struct mm_struct *mm, unsigned long addr, size_t *npages,
		 struct uhmm_pte *ptes)
{
	if (!npages || !*npages || !ptes)
		return -EINVAL;
	if (!mm->ops->walk)
		return -EOPNOTSUPP;
	return mm->ops->walk(mm, addr, npages, ptes);
}

int uhmm_mm_fault(struct mm_struct *mm, unsigned long addr, unsigned int flags)
{
	const unsigned int waits = UHMM_FAULT_NOWAIT | UHMM_FAULT_UNLOCK;

	if (flags & ~(UHMM_FAULT_WRITE | waits) || (flags & waits) == waits)
		return -EINVAL;
	if (!mm->ops->fault)
		return -EOPNOTSUPP;
	return mm->ops->fault(mm, addr, flags);
}

int uhmm_mm_fork(struct mm_struct *mm, struct mm_struct **ret_child)
{
	if (!ret_child)
		return -EINVAL;
	if (!mm->ops->fork)
		return -EOPNOTSUPP;
	return mm->ops->fork(mm, ret_child);
}

/* ------------------------------------------------------------------- pages */

static char page_of_zeroes[UHMM_PAGE_SIZE]
	__attribute__((aligned(UHMM_PAGE_SIZE)));

void *uhmm_page_ptr(struct mm_struct *mm, unsigned long pfn)
{
	if (pfn == UHMM_ZERO_PFN)
		return page_of_zeroes;
	if (uhmm_is_device_pfn(pfn))
		return device_page_bytes(pfn);
	return mm->ops->page_ptr ? mm->ops->page_ptr(mm, pfn) : NULL;
}

/* CPUs and devices may read and write the same page at the same time. */
static void copy_shared(void *to, const void *from, size_t len)
{
	size_t i = 0;

	if (!(((uintptr_t)to | (uintptr_t)from) % sizeof(uint64_t)))
		for (; i + sizeof(uint64_t) <= len; i += sizeof(uint64_t))
			WRITE_ONCE(*(uint64_t *)((char *)to + i),
				   READ_ONCE(*(const uint64_t *)
					     ((const char *)from + i)));
	for (; i < len; i++)
		WRITE_ONCE(((char *)to)[i], READ_ONCE(((const char *)from)[i]));
}

static int page_access(struct mm_struct *mm, unsigned long pfn, size_t offset,
		       void *buf, size_t len, bool write)
{
	unsigned long there;
	char *bytes;

	if (!buf || offset > UHMM_PAGE_SIZE || len > UHMM_PAGE_SIZE - offset)
		return -EINVAL;
	there = uhmm_is_device_pfn(pfn) ? device_page_there(pfn) : 0;
	if (there)
		pfn = there >> UHMM_PAGE_SHIFT;
	if (mm->ops->page_access && pfn != UHMM_ZERO_PFN &&
	    !uhmm_is_device_pfn(pfn))
		return mm->ops->page_access(mm, pfn, offset, buf, len, write);
	bytes = uhmm_page_ptr(mm, pfn);
	if (!bytes)
		return mm->ops->page_ptr ? -EFAULT : -EOPNOTSUPP;
	if (write)
		copy_shared(bytes + offset, buf, len);
	else
		copy_shared(buf, bytes + offset, len);
	return 0;
}

int uhmm_page_read(struct mm_struct *mm, unsigned long pfn, size_t offset,
		   void *buf, size_t len)
{
	return page_access(mm, pfn, offset, buf, len, false);
}

int uhmm_page_write(struct mm_struct *mm, unsigned long pfn, size_t offset,
		    const void *buf, size_t len)
{
	if (pfn == UHMM_ZERO_PFN)
		return -EFAULT;
	return page_access(mm, pfn, offset, (void *)buf, len, true);
}

int uhmm_page_copy(struct mm_struct *mm, unsigned long to, unsigned long from)
{
	char *bytes = uhmm_page_ptr(mm, to);

	if (to == UHMM_ZERO_PFN)
		return -EFAULT;
	if (bytes && bytes == uhmm_page_ptr(mm, from))
		return 0;
	if (bytes)
		return uhmm_page_read(mm, from, 0, bytes, UHMM_PAGE_SIZE);
	bytes = uhmm_page_ptr(mm, from);
	if (bytes)
		return uhmm_page_write(mm, to, 0, bytes, UHMM_PAGE_SIZE);
	return -EOPNOTSUPP;
}

int uhmm_page_alloc(struct mm_struct *mm, unsigned int order,
		    unsigned long *ret_pfn)
{
	if (!ret_pfn)
		return -EINVAL;
	if (!mm->ops->page_alloc)
		return -EOPNOTSUPP;
	return mm->ops->page_alloc(mm, order, ret_pfn);
}

int uhmm_page_stand_in(struct mm_struct *mm, unsigned long device_pfn,
		       unsigned long *ret_pfn)
{
	if (!ret_pfn || !uhmm_is_device_pfn(device_pfn))
		return -EINVAL;
	if (!mm->ops->page_stand_in)
		return uhmm_page_alloc(mm, 0, ret_pfn);
	return mm->ops->page_stand_in(mm, device_pfn, ret_pfn);
}

int uhmm_page_get(struct mm_struct *mm, unsigned long addr, unsigned int flags,
		  unsigned long *ret_pfn)
{
	if (!ret_pfn || flags & ~(UHMM_FAULT_WRITE | UHMM_PAGE_LONGTERM))
		return -EINVAL;
	if (!mm->ops->page_get)
		return -EOPNOTSUPP;
	return mm->ops->page_get(mm, addr, flags, ret_pfn);
}

void uhmm_page_put(struct mm_struct *mm, unsigned long pfn, unsigned int flags)
{
	/* A pin of coherent memory is known to who gave it. */
	if (uhmm_is_device_pfn(pfn) && !(flags & UHMM_PAGE_LONGTERM))
		uhmm_device_page_put(pfn);
	else if (mm->ops->page_put)
		mm->ops->page_put(mm, pfn, flags);
}
