/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * How the monitor waits for what the kernel tells. Who unmaps waits until it is told,
 * and so for two wake-ups, if the monitor sleeps, and those take longer than all else
 * where cores sleep deeply, or are a virtual machine's. So while it is told often it
 * waits awake, and gives way to whoever else wants its core; on the core of who unmaps
 * that saves the way to sleep and back.
 *
 * It is awake for nothing once after each time that it was told twice in a short time
 * (the idea: A. Karlin et al., "Empirical studies of competitive spinning", 1991).
 */
#include "watch.h"

#include <poll.h>
#include <time.h>

/* Some wake-ups long. */
#define AWAKE_NS 100000

static int wait_awake(struct live *live, struct pollfd *fds, nfds_t n,
		      int64_t until)
{
	const struct timespec not = { 0 };
	int ret;

	while (ktime_get_ns() < until || BROKEN(live_broken, BROKEN_AWAKE)) {
		ret = ppoll(fds, n, &not, NULL);
		if (ret)
			return ret;
		sync_yield();
	}
	return 0;
}

int monitor_wait(struct live *live, struct pollfd *fds, nfds_t n,
		 const struct timespec *patience, struct pace *pace)
{
	bool awake = pace->awake || BROKEN(live_broken, BROKEN_AWAKE);
	int64_t now;
	int ret = 0;

	if (patience->tv_sec && awake)
		ret = wait_awake(live, fds, n, pace->told + AWAKE_NS);
	if (!ret)
		ret = ppoll(fds, n, patience, NULL);
	/* Where pages can be away it is the handler who is told first. */
	if (ret > 0 && !live->out) {
		now = ktime_get_ns();
		pace->awake = now - pace->told < AWAKE_NS;
		pace->told = now;
	}
	return ret;
}
