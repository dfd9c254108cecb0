/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Of what a device writes, how much is lost in two programs that are legal
 * (tests/live/adversary.h): with this cache at G0 and at G1, with UCX's, and with
 * libfabric's, as it is and with our monitor, where these are installed with their
 * headers. Each runs in a process of its own, as each changes libc, and with the same
 * device, which pins 16 KiB at once. What the programs lose without this cache's
 * checks tests/live/test_rcache_uring.c says.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uhmm/live.h>
#include <uhmm/mm.h>
#include <uhmm/rcache_fabric.h>

#include "bench.h"
#include "rcache_peer.h"

#include "live/fabric_cache.h"

static long seconds = 2;

/* ------------------------------------------------------------------- caches */

static void *peer;

static int get_peers(unsigned long addr, size_t length,
		     struct adversary_use *ret)
{
	return peer_get(peer, addr, length, &ret->other, &ret->key) ? 0 : -EIO;
}

static void put_peers(struct adversary_use *use)
{
	peer_put(peer, use->other);
}

static const struct adversary_cache theirs = { get_peers, put_peers };

/* NULL: it is not to be had here. */
static struct mm_struct *open_mm(enum uhmm_guarantee guarantee)
{
	struct uhmm_live_options options = {
		.size = sizeof(options), .guarantee = guarantee,
	};
	struct mm_struct *mm;

	if (guarantee >= UHMM_G1)
		uhmm_live_patch(UHMM_G1, NULL);
	return !uhmm_mm_create_live(&options, &mm) &&
	       uhmm_live_guarantee(mm) >= guarantee ? mm : NULL;
}

static bool open_ours(enum uhmm_guarantee guarantee)
{
	struct mm_struct *mm = open_mm(guarantee);

	return mm && !adversary_rcache_make(mm);
}

static bool open_fabrics(const char *monitor, struct uhmm_rcache_uring *buffers)
{
	struct uhmm_rcache_fabric *ours;
	struct mm_struct *mm;

	if (!monitor) {
		mm = open_mm(UHMM_G1);
		if (!mm || uhmm_rcache_fabric_create(mm, NULL, &ours))
			return false;
	}
	return !fabric_cache_open(monitor, uhmm_rcache_uring_ops(), buffers);
}

static bool open_peers(struct uhmm_rcache_uring *buffers)
{
	const char *why;

	if (peer_open(&why))
		peer = peer_create_for(uhmm_rcache_uring_ops(), buffers,
				       ADVERSARY_GRANULE);
	return peer != NULL;
}

/* ---------------------------------------------------------------- processes */

enum who { HERE_G0, HERE_G1, FABRIC_HERE, FABRIC_HOOKS, PEER, FABRIC_UFFD, WHOS };

/* The cache; NULL: it is not to be had here. */
static const struct adversary_cache *open_cache(enum who who,
						struct uhmm_rcache_uring *buffers)
{
	switch (who) {
	case HERE_G0:
		return open_ours(UHMM_G0) ? &adversary_ours : NULL;
	case HERE_G1:
		return open_ours(UHMM_G1) ? &adversary_ours : NULL;
	case FABRIC_HERE:
		return open_fabrics(NULL, buffers) ? &fabric_cache : NULL;
	case FABRIC_HOOKS:
		return open_fabrics("memhooks", buffers) ? &fabric_cache : NULL;
	case FABRIC_UFFD:
		return open_fabrics("userfaultfd", buffers) ? &fabric_cache : NULL;
	default:
		return open_peers(buffers) ? &theirs : NULL;
	}
}

static int measure(enum who who, bool neighbour, struct adversary_counts *ret)
{
	struct uhmm_rcache_uring *buffers = adversary_begin();
	const struct adversary_cache *opened;

	opened = buffers ? open_cache(who, buffers) : NULL;
	if (!opened)
		return -ENOENT;
	*ret = adversary_run(opened, neighbour, seconds, false);
	return ret->err;
}

/* In a process of its own, which ends with all it has. NULL: it was; else why not. */
static const char *measure_apart(enum who who, bool neighbour,
				 struct adversary_counts *ret)
{
	struct adversary_counts did = { 0 };
	int way[2], status = 0;
	bool ok;
	pid_t pid;

	if (pipe(way))
		return "no pipe";
	pid = fork();
	if (!pid) {
		alarm((unsigned int)seconds + 10);
		did.err = measure(who, neighbour, &did);
		_exit(write(way[1], &did, sizeof(did)) != sizeof(did));
	}
	close(way[1]);
	ok = pid > 0 && read(way[0], ret, sizeof(*ret)) == sizeof(*ret);
	close(way[0]);
	if (pid > 0)
		waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? "it came to no end" :
	       !ok || ret->err	   ? "not to be had here" : NULL;
}

static void compare(struct bench *b, enum who who, const char *name,
		    bool neighbour)
{
	struct figure figure = {
		.section = "What a device writes and is lost, of 100",
		.test = neighbour ? "beside who uses the next page" :
				    "addresses are mapped anew",
		.who = name, .unit = "%",
	};
	struct target target = {
		.id = who == HERE_G0 ? "L0" : who == HERE_G1 ? "L1" : "L2",
		.what = figure.test, .value = -1, .at_most = true, .unit = "%",
	};
	struct adversary_counts did;
	const char *why = measure_apart(who, neighbour, &did);

	if (!why) {
		target.value = 100.0 * (double)did.lost / (double)did.writes;
		figure.n = did.writes;
		figure.value = bench_one(target.value);
		bench_figure(b, &figure);
	} else {
		bench_missing(b, name, why);
	}
	if (who <= FABRIC_HERE)
		bench_target(b, &target);
}

int main(int argc, char **argv)
{
	static const char *names[WHOS] = {
		[HERE_G0] = "here, G0", [HERE_G1] = "here, G1",
		[FABRIC_HERE] = "libfabric, our monitor, G1",
		[FABRIC_HOOKS] = "libfabric, its memhooks",
		[FABRIC_UFFD] = "libfabric, its userfaultfd",
	};
	const char *why = NULL;
	struct bench b;

	bench_init(&b, "lost_writes", argc, argv);
	if (b.longer)
		seconds = 45;
	for (enum who who = 0; who < WHOS && !bench_over(&b); who++) {
		/* Not before others with hooks: it puts its own into libc. */
		if (who == PEER)
			names[who] = peer_open(&why);
		if (!names[who]) {
			bench_missing(&b, "UCX", why);
			continue;
		}
		compare(&b, who, names[who], false);
		compare(&b, who, names[who], true);
	}
	return bench_finish(&b);
}
