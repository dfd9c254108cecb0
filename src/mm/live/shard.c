/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A userfaultfd: how it is had, and read where descriptors are few.
 */
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "uapi.h"

#define MORE 64			/* descriptors, above the limit */
#define LATER_NS 1000000	/* until one may be free */

int shard_open(struct live *live)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_EVENT_UNMAP |
			    UFFD_FEATURE_EVENT_REMAP |
			    UFFD_FEATURE_EVENT_REMOVE |
			    UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	};
	int flags = O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY, fd;

	if (live_has(live, UHMM_LIVE_WP_ASYNC))
		api.features |= UFFD_FEATURE_WP_ASYNC;
	if (live_has(live, UHMM_LIVE_EVENT_FORK))
		api.features |= UFFD_FEATURE_EVENT_FORK;
	if (live->flags & UHMM_LIVE_SIGBUS)
		api.features |= UFFD_FEATURE_SIGBUS;
	/* What is away the kernel may need too, for a system call. */
	if (live->out && live_has(live, UHMM_LIVE_UFFD_KERNEL))
		flags &= ~UFFD_USER_MODE_ONLY;
	if (live->out && (flags & UFFD_USER_MODE_ONLY ||
			  live->flags & UHMM_LIVE_SIGBUS))
		live_why(live, UHMM_LIVE_WHY_KERNEL);
	fd = (int)syscall(SYS_userfaultfd, flags);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -EPERM;
	}
	return live_fd_high(fd);
}

static bool no_descriptor(ssize_t n)
{
	return n < 0 && (errno == EMFILE || errno == ENFILE);
}

/* For a moment more may be open, if we may say so. */
static ssize_t read_above_limit(int fd, struct uffd_msg *messages, size_t size)
{
	struct rlimit limit, more;
	ssize_t n = -1;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -1;
	more.rlim_cur = limit.rlim_cur + MORE;
	more.rlim_max = limit.rlim_max > more.rlim_cur ? limit.rlim_max :
							 more.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &more))
		return -1;
	n = read(fd, messages, size);
	setrlimit(RLIMIT_NOFILE, &limit);
	return n;
}

ssize_t shard_read(struct live *live, struct shard *shard,
		   struct uffd_msg *messages, size_t most)
{
	const struct timespec some = { .tv_nsec = LATER_NS };
	size_t size = most * sizeof(messages[0]);
	ssize_t n = read(shard->fd, messages, size);

	if (!no_descriptor(n))
		return n;
	if (live->spare >= 0)
		close(live->spare);
	live->spare = -1;
	n = read(shard->fd, messages, size);
	if (no_descriptor(n))
		n = read_above_limit(shard->fd, messages, size);
	if (n < 0)
		nanosleep(&some, NULL);
	return n;
}

void shard_keep_spare(struct live *live)
{
	if (live->spare < 0)
		live->spare = live_fd_high(fcntl(live->monitor_wake,
						 F_DUPFD_CLOEXEC, 0));
}
