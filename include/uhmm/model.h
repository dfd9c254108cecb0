/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The model: an address space in memory that behaves towards a second view as
 * Linux's does, page by page and event by event. Drivers are tested on it.
 *
 *	uhmm_mm_create_model(NULL, NULL, &mm);
 *	addr = uhmm_model_mmap(mm, 0, 16 << 12, PROT_READ | PROT_WRITE,
 *			       MAP_PRIVATE | MAP_ANONYMOUS, 0, 0);
 *	uhmm_model_write(mm, addr, "x", 1, NULL);	a CPU's access
 *	uhmm_model_madvise(mm, addr, 4096, MADV_DONTNEED);
 *	mmput(mm);
 *
 * A machine has frames, files and swap; address spaces that are forked from one
 * another share it. It makes no system call and has no hidden state: the same
 * calls give the same frames. Numbers and errors are those of the system calls
 * of the same names, PROT_, MAP_, MADV_ and MREMAP_ those of <sys/mman.h>; what
 * a system call returns as a file descriptor is a handle here.
 */
#ifndef UHMM_MODEL_H
#define UHMM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uhmm/mm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * enum uhmm_kernel_level - which kernel's events
 * @UHMM_KERNEL_6_1: Linux 6.1
 * @UHMM_KERNEL_NEWEST: the newest that is known here
 */
enum uhmm_kernel_level {
	UHMM_KERNEL_6_1,
	UHMM_KERNEL_NEWEST
};

/**
 * enum uhmm_model_thp - where transparent huge pages are used
 * @UHMM_THP_NEVER: nowhere
 * @UHMM_THP_MADVISE: after madvise(MADV_HUGEPAGE)
 * @UHMM_THP_ALWAYS: wherever one fits
 */
enum uhmm_model_thp {
	UHMM_THP_NEVER,
	UHMM_THP_MADVISE,
	UHMM_THP_ALWAYS
};

/**
 * struct uhmm_model_options - a machine
 * @size: sizeof(struct uhmm_model_options), so that it can grow
 * @level: whose events
 * @thp: transparent huge pages
 * @seed: where frame numbers begin, and what else is a matter of choice
 * @frames: how many there are; 0: no limit
 * @swap_pages: what swap has room for; 0: no swap
 * @huge_pages: hugetlb's pool, in pages of 2 MiB
 * @fault_around: pages of a file that come with one that is read; 0: none
 * @change_pte: at UHMM_KERNEL_6_1: an entry is replaced by one of the same
 *	rights, inside of a bracket; NULL: nobody asks. Must not call the model
 * @change_pte_arg: for it
 */
struct uhmm_model_options {
	size_t size;
	enum uhmm_kernel_level level;
	enum uhmm_model_thp thp;
	unsigned int seed;
	unsigned long frames;
	unsigned long swap_pages;
	unsigned int huge_pages;
	unsigned int fault_around;
	void (*change_pte)(struct mm_struct *mm, unsigned long addr, void *arg);
	void *change_pte_arg;
};

/**
 * uhmm_mm_create_model() - make a machine with one address space
 * @options: the machine; NULL: Linux 6.1 without swap and huge pages
 * @mm_options: the address space; NULL: as uhmm_mm_create(). Its ops and
 *	private_data are the model's.
 * @ret_mm: returns it, with mm_users and mm_count 1
 *
 * Context: may sleep.
 * Return: 0; -EINVAL: @ret_mm is NULL, or a size is too small; -E2BIG: see
 * uhmm_mm_create_with(); -ENOMEM.
 */
int uhmm_mm_create_model(const struct uhmm_model_options *options,
			 const struct uhmm_mm_options *mm_options,
			 struct mm_struct **ret_mm);

/**
 * uhmm_mm_is_model() - may the functions below be called with it?
 * @mm: an address space
 *
 * Context: any.
 * Return: true if it was made by uhmm_mm_create_model(), or forked from one.
 */
bool uhmm_mm_is_model(const struct mm_struct *mm);

/* ------------------------------------------------------------ system calls */

/**
 * uhmm_model_mmap() - mmap(2)
 * @mm: the address space
 * @addr: where, or a hint, or 0
 * @len: bytes
 * @prot: PROT_READ and its like
 * @flags: MAP_SHARED or MAP_PRIVATE; MAP_ANONYMOUS, MAP_FIXED,
 *	MAP_FIXED_NOREPLACE, MAP_POPULATE, MAP_NORESERVE, MAP_HUGETLB
 * @file: handle from uhmm_model_file(), without MAP_ANONYMOUS
 * @offset: in the file, in bytes
 *
 * Context: may sleep; mmap_lock not held.
 * Return: the address; -EINVAL; -ENOMEM; -EBADF; -EEXIST.
 */
long uhmm_model_mmap(struct mm_struct *mm, unsigned long addr,
		     unsigned long len, int prot, int flags, int file,
		     unsigned long offset);

/**
 * uhmm_model_munmap() - munmap(2)
 * @mm: the address space
 * @addr: first page
 * @len: bytes
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EINVAL; -ENOMEM.
 */
int uhmm_model_munmap(struct mm_struct *mm, unsigned long addr,
		      unsigned long len);

/**
 * uhmm_model_mremap() - mremap(2)
 * @mm: the address space
 * @addr: first page
 * @old_len: bytes there
 * @new_len: bytes wanted
 * @flags: MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP
 * @new_addr: where to, with MREMAP_FIXED; a hint with MREMAP_DONTUNMAP
 *
 * Context: may sleep; mmap_lock not held.
 * Return: the new address; -EINVAL; -EFAULT; -ENOMEM.
 */
long uhmm_model_mremap(struct mm_struct *mm, unsigned long addr,
		       unsigned long old_len, unsigned long new_len, int flags,
		       unsigned long new_addr);

/**
 * uhmm_model_mprotect() - mprotect(2)
 * @mm: the address space
 * @addr: first page
 * @len: bytes
 * @prot: PROT_READ and its like
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EINVAL; -ENOMEM.
 */
int uhmm_model_mprotect(struct mm_struct *mm, unsigned long addr,
			unsigned long len, int prot);

/**
 * uhmm_model_madvise() - madvise(2)
 * @mm: the address space
 * @addr: first page
 * @len: bytes
 * @advice: MADV_DONTNEED and its like
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EINVAL; -ENOMEM; -EACCES; -EFAULT; -EOPNOTSUPP; -EAGAIN.
 */
int uhmm_model_madvise(struct mm_struct *mm, unsigned long addr,
		       unsigned long len, int advice);

/**
 * uhmm_model_mlock() - mlock(2)
 * @mm: the address space
 * @addr: first byte
 * @len: bytes
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EINVAL; -ENOMEM; -EAGAIN.
 */
int uhmm_model_mlock(struct mm_struct *mm, unsigned long addr,
		     unsigned long len);

/**
 * uhmm_model_munlock() - munlock(2)
 * @mm: the address space
 * @addr: first byte
 * @len: bytes
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EINVAL; -ENOMEM.
 */
int uhmm_model_munlock(struct mm_struct *mm, unsigned long addr,
		       unsigned long len);

/**
 * uhmm_model_brk() - brk(2), as the kernel has it
 * @mm: the address space
 * @brk: the end of the heap that is wanted; 0: only ask
 *
 * Context: may sleep; mmap_lock not held.
 * Return: the end of the heap now.
 */
unsigned long uhmm_model_brk(struct mm_struct *mm, unsigned long brk);

/* ------------------------------------------------------------------- CPUs */

/**
 * uhmm_model_read() - a CPU reads
 * @mm: the address space
 * @addr: first byte
 * @buf: where to
 * @len: bytes
 * @ret_done: returns how many were read before a signal; NULL: not wanted
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0, or the signal: SIGSEGV, SIGBUS; SIGKILL: out of memory.
 */
int uhmm_model_read(struct mm_struct *mm, unsigned long addr, void *buf,
		    size_t len, size_t *ret_done);

/**
 * uhmm_model_write() - a CPU writes
 * @mm: the address space
 * @addr: first byte
 * @buf: where from
 * @len: bytes
 * @ret_done: returns how many were written before a signal; NULL: not wanted
 *
 * Context: may sleep; mmap_lock not held.
 * Return: as uhmm_model_read().
 */
int uhmm_model_write(struct mm_struct *mm, unsigned long addr, const void *buf,
		     size_t len, size_t *ret_done);

/* ------------------------------------------------------------------- files */

/**
 * enum uhmm_model_file_kind - where a file's pages are when nobody uses them
 * @UHMM_MODEL_FILE_MEMORY: as on tmpfs: nowhere else, but on swap
 * @UHMM_MODEL_FILE_DISK: as on ext2: on a disk; of each page the first word
 * @UHMM_MODEL_FILE_DEVICE: a driver's pages, mapped as a whole
 */
enum uhmm_model_file_kind {
	UHMM_MODEL_FILE_MEMORY,
	UHMM_MODEL_FILE_DISK,
	UHMM_MODEL_FILE_DEVICE
};

/**
 * uhmm_model_file() - make a file on an address space's machine
 * @mm: the address space
 * @kind: where its pages are
 * @size: bytes, all of them zero
 *
 * Context: may sleep.
 * Return: a handle > 0, to be given to uhmm_model_file_close(); -EINVAL;
 * -ENOMEM.
 */
int uhmm_model_file(struct mm_struct *mm, enum uhmm_model_file_kind kind,
		    unsigned long size);

/**
 * uhmm_model_file_close() - close a file; it goes with its last mapping
 * @mm: an address space of the machine
 * @file: its handle
 *
 * Context: may sleep.
 * Return: 0; -EBADF.
 */
int uhmm_model_file_close(struct mm_struct *mm, int file);

/**
 * uhmm_model_file_read() - pread(2)
 * @mm: an address space of the machine
 * @file: its handle
 * @buf: where to
 * @len: bytes
 * @offset: in the file
 *
 * Context: may sleep.
 * Return: bytes read; -EBADF; -ENOSPC: no memory for the cache.
 */
long uhmm_model_file_read(struct mm_struct *mm, int file, void *buf, size_t len,
			  unsigned long offset);

/**
 * uhmm_model_file_write() - pwrite(2)
 * @mm: an address space of the machine
 * @file: its handle
 * @buf: where from
 * @len: bytes
 * @offset: in the file
 *
 * Context: may sleep.
 * Return: bytes written; -EBADF; -ENOSPC.
 */
long uhmm_model_file_write(struct mm_struct *mm, int file, const void *buf,
			   size_t len, unsigned long offset);

/**
 * uhmm_model_file_truncate() - ftruncate(2)
 * @mm: an address space of the machine
 * @file: its handle
 * @size: bytes
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EBADF.
 */
int uhmm_model_file_truncate(struct mm_struct *mm, int file,
			     unsigned long size);

/**
 * uhmm_model_file_punch() - fallocate(FALLOC_FL_PUNCH_HOLE)
 * @mm: an address space of the machine
 * @file: its handle
 * @offset: first byte
 * @len: bytes; what is no whole page is left alone
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EBADF; -EOPNOTSUPP: on a disk.
 */
int uhmm_model_file_punch(struct mm_struct *mm, int file, unsigned long offset,
			  unsigned long len);

/**
 * uhmm_model_file_sync() - fsync(2)
 * @mm: an address space of the machine
 * @file: its handle
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EBADF.
 */
int uhmm_model_file_sync(struct mm_struct *mm, int file);

/* ------------------------------------------------------------ userfaultfd
 * In the mode that gives SIGBUS: nobody is waited for.
 */

#define UHMM_UFFD_MISSING	(1U << 0)
#define UHMM_UFFD_WRITE_PROTECT	(1U << 1)
#define UHMM_UFFD_ASYNC		(1U << 2)	/* with it: writes are noticed only */

/**
 * uhmm_model_uffd_register() - UFFDIO_REGISTER
 * @mm: the address space
 * @addr: first page
 * @len: bytes
 * @modes: UHMM_UFFD_MISSING, UHMM_UFFD_WRITE_PROTECT; UHMM_UFFD_ASYNC, at
 *	UHMM_KERNEL_NEWEST
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EINVAL; -ENOMEM.
 */
int uhmm_model_uffd_register(struct mm_struct *mm, unsigned long addr,
			     unsigned long len, unsigned int modes);

/**
 * uhmm_model_uffd_unregister() - UFFDIO_UNREGISTER
 * @mm: the address space
 * @addr: first page
 * @len: bytes
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EINVAL; -ENOMEM.
 */
int uhmm_model_uffd_unregister(struct mm_struct *mm, unsigned long addr,
			       unsigned long len);

/**
 * uhmm_model_uffd_write_protect() - UFFDIO_WRITEPROTECT
 * @mm: the address space
 * @addr: first page
 * @len: bytes
 * @on: protect, or allow writes again
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EINVAL; -ENOENT: not all of it is registered for that; at
 * UHMM_KERNEL_6_1: as one area.
 */
int uhmm_model_uffd_write_protect(struct mm_struct *mm, unsigned long addr,
				  unsigned long len, bool on);

/**
 * uhmm_model_uffd_copy() - UFFDIO_COPY, or UFFDIO_ZEROPAGE
 * @mm: the address space
 * @addr: first page
 * @bytes: what is put there; NULL: zeroes
 * @npages: how many
 *
 * Context: may sleep; mmap_lock not held.
 * Return: pages filled; -EINVAL; -ENOENT; -EEXIST; -EFAULT; -ENOMEM.
 */
long uhmm_model_uffd_copy(struct mm_struct *mm, unsigned long addr,
			  const void *bytes, size_t npages);

/**
 * uhmm_model_uffd_move() - UFFDIO_MOVE, at UHMM_KERNEL_NEWEST
 * @mm: the address space
 * @to: first page where they come to, which is registered
 * @from: first page where they are
 * @npages: how many
 * @holes: where nothing is, nothing is moved
 *
 * Context: may sleep; mmap_lock not held.
 * Return: pages moved; -ENOTTY: UHMM_KERNEL_6_1; -EINVAL; -ENOENT; -EEXIST;
 * -EBUSY: somebody else has the page; -EFAULT; -ENOMEM.
 */
long uhmm_model_uffd_move(struct mm_struct *mm, unsigned long to,
			  unsigned long from, size_t npages, bool holes);

/**
 * uhmm_model_pagemap_scan() - PAGEMAP_SCAN for pages written, at
 *	UHMM_KERNEL_NEWEST
 * @mm: the address space
 * @addr: first page
 * @npages: how many
 * @protect: notice when they are written again; areas that are not registered
 *	with UHMM_UFFD_ASYNC are left out
 * @letters: returns w for a page that was written, . for others; NULL: not
 *	wanted
 *
 * Context: may sleep; mmap_lock not held.
 * Return: how many were written; -ENOTTY: UHMM_KERNEL_6_1; -EINVAL.
 */
long uhmm_model_pagemap_scan(struct mm_struct *mm, unsigned long addr,
			     size_t npages, bool protect, char *letters);

/* -------------------------------------------------------------------- pins */

/**
 * uhmm_model_pin() - a long-term pin, as of a registered buffer
 * @mm: the address space
 * @addr: first page
 * @npages: how many
 * @write: to be written through
 *
 * Context: may sleep; mmap_lock not held.
 * Return: its id > 0; -EINVAL; -EFAULT; -ENOMEM; -EHWPOISON.
 */
int uhmm_model_pin(struct mm_struct *mm, unsigned long addr, size_t npages,
		   bool write);

/**
 * uhmm_model_unpin() - the end of a pin
 * @mm: an address space of the machine
 * @id: of the pin
 *
 * Context: may sleep.
 * Return: 0; -ENOENT.
 */
int uhmm_model_unpin(struct mm_struct *mm, int id);

/**
 * uhmm_model_pin_access() - read or write a page through a pin
 * @mm: an address space of the machine
 * @id: of the pin
 * @page: which of its pages
 * @buf: a page's worth of bytes
 * @write: write them
 *
 * Context: may sleep.
 * Return: 0; -ENOENT; -EINVAL: the pin has no such page; -ENOMEM.
 */
int uhmm_model_pin_access(struct mm_struct *mm, int id, size_t page, void *buf,
			  bool write);

/* ------------------------------------------- what a kernel does by itself */

/**
 * uhmm_model_clear_soft_dirty() - write 4 to clear_refs
 * @mm: the address space
 *
 * Context: may sleep; mmap_lock not held.
 */
void uhmm_model_clear_soft_dirty(struct mm_struct *mm);

/**
 * uhmm_model_clear_references() - write 1 to clear_refs
 * @mm: the address space
 *
 * Context: may sleep; mmap_lock not held.
 */
void uhmm_model_clear_references(struct mm_struct *mm);

/**
 * uhmm_model_numa_hint() - NUMA balancing wants to see who touches pages
 * @mm: the address space
 * @addr: first page
 * @len: bytes
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EINVAL.
 */
int uhmm_model_numa_hint(struct mm_struct *mm, unsigned long addr,
			 unsigned long len);

/**
 * uhmm_model_compact() - move pages to other frames
 * @mm: the address space
 * @addr: first page
 * @npages: how many
 *
 * Context: may sleep; mmap_lock not held.
 * Return: how many moved; -EINVAL.
 */
long uhmm_model_compact(struct mm_struct *mm, unsigned long addr,
			size_t npages);

/**
 * uhmm_model_ksm_merge() - make one page of two equal ones
 * @mm: the address space
 * @addr: the one that goes; in an area with MADV_MERGEABLE
 * @with: the one that stays; the same
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EINVAL: they cannot be merged; -EAGAIN: not now.
 */
int uhmm_model_ksm_merge(struct mm_struct *mm, unsigned long addr,
			 unsigned long with);

/**
 * uhmm_model_uprobe() - a breakpoint of the kernel's in a program's code
 * @mm: the address space
 * @addr: where, in a private mapping of a file that is not to be written
 * @install: it comes, else the byte is the file's again
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EINVAL: there is no such mapping; -EFAULT; -ENOMEM; -EHWPOISON.
 */
int uhmm_model_uprobe(struct mm_struct *mm, unsigned long addr, bool install);

/**
 * uhmm_model_oom_reap() - the OOM reaper takes what it can without waiting
 * @mm: the address space, which should be about to end
 *
 * Context: any in which mmap_lock can be tried.
 * Return: 0; -EAGAIN: somebody held mmap_lock, or a subscriber would have had
 * to wait.
 */
int uhmm_model_oom_reap(struct mm_struct *mm);

/* --------------------------------------------------------------- snapshots */

struct uhmm_model_snapshot;

/**
 * uhmm_model_save() - keep a machine's state
 * @mm: an address space of the machine
 * @ret_snapshot: returns it
 *
 * Device frames are not the machine's: take one while pages are at home.
 *
 * Context: may sleep.
 * Return: 0; -ENOMEM.
 */
int uhmm_model_save(struct mm_struct *mm,
		    struct uhmm_model_snapshot **ret_snapshot);

/**
 * uhmm_model_restore() - go back to a state
 * @mm: an address space of the machine
 * @snapshot: from uhmm_model_save(); it can be used again
 *
 * All subscriptions see MMU_NOTIFY_CLEAR for everything before.
 *
 * Context: may sleep; no other call on the machine at the same time.
 * Return: 0; -EBUSY: address spaces have come or gone since.
 */
int uhmm_model_restore(struct mm_struct *mm,
		       const struct uhmm_model_snapshot *snapshot);

/**
 * uhmm_model_snapshot_free() - throw a state away
 * @snapshot: which, or NULL
 *
 * Context: any.
 */
void uhmm_model_snapshot_free(struct uhmm_model_snapshot *snapshot);

/**
 * uhmm_model_state_size() - how large is a machine's state?
 * @mm: an address space of the machine
 *
 * Context: may sleep.
 * Return: bytes.
 */
size_t uhmm_model_state_size(struct mm_struct *mm);

/* --------------------------------------------------------------- questions */

/**
 * struct uhmm_model_area - an area, as /proc/pid/maps has it
 * @vma: where, and what may be done
 * @file: handle of the file, 0: none, or closed
 * @inode: number of the file, 0: none
 * @offset: in the file
 */
struct uhmm_model_area {
	struct uhmm_vma vma;
	int file;
	unsigned long inode;
	unsigned long offset;
};

/**
 * uhmm_model_area() - the area at or above an address
 * @mm: the address space
 * @addr: the address
 * @ret_area: returns it
 *
 * Context: may sleep.
 * Return: 0; -ENOENT.
 */
int uhmm_model_area(struct mm_struct *mm, unsigned long addr,
		    struct uhmm_model_area *ret_area);

/**
 * uhmm_model_pagemap() - what stands in page table entries, a letter each
 * @mm: the address space
 * @addr: first page
 * @npages: how many
 * @letters: returns them, without a NUL: . nothing; A anonymous, a more than
 *	once; F of a file, f more than once; z page of zeroes; D on a device, d
 *	and not to be written; X exclusive, x and not to be written; s on swap;
 *	k marker; m on its way; g guard; p broken
 *
 * Context: may sleep.
 */
void uhmm_model_pagemap(struct mm_struct *mm, unsigned long addr, size_t npages,
			char *letters);

/**
 * struct uhmm_model_counts - what is in use on a machine
 * @frames: pages of memory
 * @swap_pages: pages of swap
 * @huge_pages: pages of hugetlb's pool that are free
 * @files: open or mapped
 */
struct uhmm_model_counts {
	unsigned long frames;
	unsigned long swap_pages;
	unsigned long huge_pages;
	unsigned long files;
};

/**
 * uhmm_model_count() - what is in use
 * @mm: an address space of the machine
 * @ret_counts: returns it
 *
 * Context: may sleep.
 */
void uhmm_model_count(struct mm_struct *mm,
		      struct uhmm_model_counts *ret_counts);

#ifdef __cplusplus
}
#endif
#endif
