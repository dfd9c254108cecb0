/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the kernel offers to a process that watches itself, found out by asking
 * for it, and what it is called.
 */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uapi.h"

static const char *const names[UHMM_LIVE_FEATURES] = {
	"userfaultfd", "userfaultfd-kernel", "event-fork",
	"wp-async",    "move",		     "pagemap-scan",
	"procmap-query", "frames",	     "membarrier",
};

static const char *const reasons[UHMM_LIVE_REASONS] = {
	"userfaultfd is refused",
	"the monitor thread could not be started",
	"no memory to note what is watched",
	"the limit of open files is reached",
	"the limit of areas is reached",
	"the program watches a range itself",
	"an area cannot be watched",
	"the end of a removal was not seen",
	"libc is not patched",
	"raw system calls are not filtered",
	"a descriptor was closed or replaced by the program",
	"/proc/self cannot be read",
	"the kernel does not wait for pages that a device has",
};

const char *uhmm_live_feature_name(unsigned int feature)
{
	return feature < UHMM_LIVE_FEATURES ? names[feature] : NULL;
}

const char *uhmm_live_reason(unsigned int reason)
{
	return reason < UHMM_LIVE_REASONS ? reasons[reason] : NULL;
}

/* The features of a userfaultfd of @kind; 0: it is refused. */
static uint64_t uffd_features(int kind)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | kind);
	int ret;

	if (fd < 0)
		return 0;
	ret = ioctl(fd, UFFDIO_API, &api);
	close(fd);
	return ret ? 0 : api.features;
}

static bool event_fork_allowed(void)
{
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_EVENT_FORK };
	int fd = (int)syscall(SYS_userfaultfd,
			      O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	bool ok = fd >= 0 && !ioctl(fd, UFFDIO_API, &api);

	if (fd >= 0)
		close(fd);
	return ok;
}

#define EVENTS (UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP |  \
		UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_PAGEFAULT_FLAG_WP)

static unsigned int probe_uffd(void)
{
	uint64_t user = uffd_features(UFFD_USER_MODE_ONLY);
	unsigned int found = 0;

	if ((user & EVENTS) != EVENTS)
		return 0;
	found |= UHMM_LIVE_UFFD;
	if (uffd_features(0))
		found |= UHMM_LIVE_UFFD_KERNEL;
	if (event_fork_allowed())
		found |= UHMM_LIVE_EVENT_FORK;
	if (user & UFFD_FEATURE_WP_ASYNC)
		found |= UHMM_LIVE_WP_ASYNC;
	if (user & UFFD_FEATURE_MOVE)
		found |= UHMM_LIVE_MOVE;
	return found;
}

static bool probe_frames(int pagemap)
{
	volatile int here = 1;
	uint64_t entry = 0;
	off_t at = (off_t)((unsigned long)&here / LIVE_PAGE * sizeof(entry));

	return pread(pagemap, &entry, sizeof(entry), at) == sizeof(entry) &&
	       entry & PM_FRAME;
}

unsigned int live_probe_features(int maps, int pagemap)
{
	struct procmap_query query = {
		.size = sizeof(query),
		.query_flags = PROCMAP_QUERY_COVERING_OR_NEXT_VMA,
	};
	struct page_region region;
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.start = LIVE_PAGE,
		.end = 2 * LIVE_PAGE,
		.vec = (unsigned long)&region,
		.vec_len = 1,
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT,
	};
	unsigned int found = probe_uffd();

	if (!ioctl(maps, PROCMAP_QUERY, &query))
		found |= UHMM_LIVE_PROCMAP_QUERY;
	if (ioctl(pagemap, PAGEMAP_SCAN, &scan) >= 0)
		found |= UHMM_LIVE_PAGEMAP_SCAN;
	if (probe_frames(pagemap))
		found |= UHMM_LIVE_FRAMES;
	sync_register_membarrier();
	if (READ_ONCE(sync_asymmetric))
		found |= UHMM_LIVE_MEMBARRIER;
	return found;
}
