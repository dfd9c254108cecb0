/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * dmirror: the device that Linux tests its HMM with, as a driver of this
 * library. It mirrors a whole address space in a page table of its own, has
 * memory of its own, and does what a command asks: read, write, migrate, look.
 *
 *	uhmm_dmirror_create(NULL, &device);
 *	uhmm_dmirror_open(device, mm, &file);
 *	cmd = { .addr = addr, .ptr = (uintptr_t)buf, .npages = 4 };
 *	uhmm_dmirror_ioctl(file, HMM_DMIRROR_READ, &cmd);
 *
 * The commands, and the struct that they come in, are those of /dev/hmm_dmirror0
 * of a kernel with CONFIG_TEST_HMM. What that device gets wrong this one does
 * not, unless it is asked to: see uhmm_dmirror_quirk.
 */
#ifndef UHMM_DMIRROR_H
#define UHMM_DMIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uhmm/memremap.h>
#include <uhmm/mm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct hmm_dmirror_cmd - what a command is about
 * @addr: first page in the mirrored address space
 * @ptr: the caller's buffer: data, or a byte a page of HMM_DMIRROR_SNAPSHOT
 * @npages: how many pages
 * @cpages: returns how many pages were done
 * @faults: returns how many times the device had to fault
 *
 * Nothing is returned in it when the command fails.
 */
struct hmm_dmirror_cmd {
	uint64_t addr;
	uint64_t ptr;
	uint64_t npages;
	uint64_t cpages;
	uint64_t faults;
};

/* As _IOWR('H', n, struct hmm_dmirror_cmd) makes them. */
#define UHMM_DMIRROR_REQUEST(n)		(0xc0284800UL | (n))
#define HMM_DMIRROR_READ		UHMM_DMIRROR_REQUEST(0)
#define HMM_DMIRROR_WRITE		UHMM_DMIRROR_REQUEST(1)
#define HMM_DMIRROR_MIGRATE_TO_DEV	UHMM_DMIRROR_REQUEST(2)
#define HMM_DMIRROR_MIGRATE_TO_SYS	UHMM_DMIRROR_REQUEST(3)
#define HMM_DMIRROR_SNAPSHOT		UHMM_DMIRROR_REQUEST(4)
#define HMM_DMIRROR_EXCLUSIVE		UHMM_DMIRROR_REQUEST(5)
#define HMM_DMIRROR_CHECK_EXCLUSIVE	UHMM_DMIRROR_REQUEST(6)
#define HMM_DMIRROR_RELEASE		UHMM_DMIRROR_REQUEST(7)
#define HMM_DMIRROR_FLAGS		UHMM_DMIRROR_REQUEST(8)
#define HMM_DMIRROR_READ_UNLOCKED	UHMM_DMIRROR_REQUEST(9)

/* &hmm_dmirror_cmd.npages of HMM_DMIRROR_FLAGS: the next allocation fails. */
#define HMM_DMIRROR_FLAG_FAIL_ALLOC	(1ULL << 0)

/* What HMM_DMIRROR_SNAPSHOT says of a page. */
#define HMM_DMIRROR_PROT_ERROR			0xff
#define HMM_DMIRROR_PROT_NONE			0x00
#define HMM_DMIRROR_PROT_READ			0x01
#define HMM_DMIRROR_PROT_WRITE			0x02
#define HMM_DMIRROR_PROT_PMD			0x04
#define HMM_DMIRROR_PROT_PUD			0x08
#define HMM_DMIRROR_PROT_ZERO			0x10
#define HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL	0x20
#define HMM_DMIRROR_PROT_DEV_PRIVATE_REMOTE	0x30
#define HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL	0x40
#define HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE	0x50

/**
 * enum uhmm_dmirror_quirk - what Linux's device does, and should not
 * @UHMM_DMIRROR_INCLUSIVE_END: an invalidation takes the page behind it along
 * @UHMM_DMIRROR_DEVICE_FILTER: a migration is not noticed by any file of the
 *	device that runs it: others than the one that it is run by go stale
 */
enum uhmm_dmirror_quirk {
	UHMM_DMIRROR_INCLUSIVE_END = 1,
	UHMM_DMIRROR_DEVICE_FILTER = 2
};

/**
 * struct uhmm_dmirror_options - what a device is like
 * @size: sizeof(struct uhmm_dmirror_options), so that it can grow
 * @type: of its memory
 * @newest: as the newest Linux: HMM_DMIRROR_FLAGS, _READ_UNLOCKED, huge pages,
 *	pages made exclusive one by one; false: as Linux 6.1
 * @quirks: uhmm_dmirror_quirk to have, together; 0: none
 * @chunk_pages: memory comes in pieces of that many pages, a multiple of 512;
 *	0: 65536
 * @max_pages: how much memory there is; 0: no end
 * @copy: copies between a buffer of the caller's and the device's; 0, or
 *	-EFAULT: the caller's is not there. NULL: memcpy().
 */
struct uhmm_dmirror_options {
	size_t size;
	enum memory_type type;
	bool newest;
	unsigned int quirks;
	unsigned long chunk_pages;
	unsigned long max_pages;
	int (*copy)(void *to, const void *from, size_t len);
};

struct uhmm_dmirror_device;
struct uhmm_dmirror;

/**
 * uhmm_dmirror_create() - make a device
 * @options: what it is like; NULL: private memory, as Linux 6.1
 * @ret_device: returns it
 *
 * Context: may sleep.
 * Return: 0; -EINVAL: @ret_device is NULL, @options->size is too small, or an
 * option is unknown; -E2BIG: see uhmm_mm_create_with(); -ENOMEM.
 */
int uhmm_dmirror_create(const struct uhmm_dmirror_options *options,
			struct uhmm_dmirror_device **ret_device);

/**
 * uhmm_dmirror_destroy() - the end of a device, when all its files are closed
 * @device: which
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -ENOMEM: it still has pages, as of HMM_DMIRROR_RELEASE, and is there
 * as before.
 */
int uhmm_dmirror_destroy(struct uhmm_dmirror_device *device);

/**
 * uhmm_dmirror_open() - mirror an address space
 * @device: the device
 * @mm: the address space; the caller has a use of it
 * @ret_dmirror: returns the mirror, as an open file of the device
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EINVAL: a NULL pointer, or @mm has ended; -ENOMEM.
 */
int uhmm_dmirror_open(struct uhmm_dmirror_device *device, struct mm_struct *mm,
		      struct uhmm_dmirror **ret_dmirror);

/**
 * uhmm_dmirror_close() - the end of a mirror
 * @dmirror: which; no command is under way
 *
 * All memory of the device is emptied, that of others too, as by
 * HMM_DMIRROR_RELEASE; pages that have no place to go to stay the device's.
 *
 * Context: may sleep; mmap_lock not held.
 */
void uhmm_dmirror_close(struct uhmm_dmirror *dmirror);

/**
 * uhmm_dmirror_ioctl() - carry out a command
 * @dmirror: the mirror
 * @request: HMM_DMIRROR_READ and its like
 * @cmd: what it is about
 *
 * HMM_DMIRROR_RELEASE waits for pages that are busy or pinned. Linux's also waits
 * for memory, be it for ever; here, if there is none and none gets free for some
 * 20 ms, it is -ENOMEM: pages that no memory was left for stay where they are, with
 * their data, and the device goes on. Another RELEASE tries again.
 *
 * Context: may sleep; mmap_lock not held. From any thread, also at once.
 * Return: 0; -EINVAL: unknown request, @addr is no page's, or no pages; -EFAULT;
 * -EPERM: not to be written, or, of HMM_DMIRROR_CHECK_EXCLUSIVE, still
 * exclusive; -EBUSY; -ENOENT: not all of it is on the device; -ENOMEM;
 * -EHWPOISON; -EINTR; -EOPNOTSUPP: the address space cannot do that, or, of
 * HMM_DMIRROR_EXCLUSIVE, not with this memory.
 */
int uhmm_dmirror_ioctl(struct uhmm_dmirror *dmirror, unsigned long request,
		       struct hmm_dmirror_cmd *cmd);

/**
 * enum uhmm_dmirror_right - what the device may do with a page
 * @UHMM_DMIRROR_PT_NONE: nothing: it has no entry
 * @UHMM_DMIRROR_PT_READ: read
 * @UHMM_DMIRROR_PT_WRITE: write too
 * @UHMM_DMIRROR_PT_ATOMIC: read, with no CPU to change it meanwhile
 */
enum uhmm_dmirror_right {
	UHMM_DMIRROR_PT_NONE,
	UHMM_DMIRROR_PT_READ,
	UHMM_DMIRROR_PT_WRITE,
	UHMM_DMIRROR_PT_ATOMIC
};

/**
 * uhmm_dmirror_peek() - look into the device's page table
 * @dmirror: the mirror
 * @addr: the page
 * @ret_pfn: returns the frame that the entry leads to, 0: there is none; NULL:
 *	not wanted
 *
 * Context: may sleep; not in a callback.
 * Return: what the entry allows.
 */
enum uhmm_dmirror_right uhmm_dmirror_peek(struct uhmm_dmirror *dmirror,
					  unsigned long addr,
					  unsigned long *ret_pfn);

/**
 * uhmm_dmirror_owner() - what a device calls itself in events
 * @device: the device
 *
 * Context: any.
 * Return: &mmu_notifier_range.owner of its migrations.
 */
void *uhmm_dmirror_owner(struct uhmm_dmirror_device *device);

/**
 * uhmm_dmirror_pages() - how much of a device's memory is in use
 * @device: the device
 *
 * Context: may sleep; not in a callback.
 * Return: pages.
 */
unsigned long uhmm_dmirror_pages(struct uhmm_dmirror_device *device);

#ifdef __cplusplus
}
#endif
#endif
