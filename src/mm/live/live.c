/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The live address space: its life, and what it reports.
 */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../lib/options.h"
#include "bracket.h"
#include "out.h"
#include "watch.h"

#define DESCRIPTORS 4
#define REMOVE_LIMIT_MS 1000
#define MAX_MAPS 65530
#define FD_HIGH 500

/* The one of this process. */
static struct mutex live_lock = MUTEX_INITIALIZER;
static struct live *the_live __guarded_by(&live_lock);
/* What was said before there was one. */
static int bracketed = UHMM_GUARANTEE_NONE;
static unsigned int bracket_reasons;

/* ------------------------------------------------------------------ reports */

void live_why(struct live *live, unsigned int reason)
{
	if ((READ_ONCE(live->reasons) & reason) != reason)
		fetch_or(&live->reasons, reason);
}

void live_set_bracketed(enum uhmm_guarantee reach, unsigned int reasons)
{
	mutex_lock(&live_lock);
	bracketed = reach;
	bracket_reasons = reasons;
	if (the_live) {
		WRITE_ONCE(the_live->bracketed, reach);
		fetch_or(&the_live->reasons, reasons);
	}
	mutex_unlock(&live_lock);
}

/* Reasons without which what is mirrored is watched as G0 says. */
#define NOT_EVEN_G0                                                        \
	(UHMM_LIVE_WHY_UFFD | UHMM_LIVE_WHY_THREAD | UHMM_LIVE_WHY_MEMORY | \
	 UHMM_LIVE_WHY_UNWATCHED | UHMM_LIVE_WHY_REMOVE |                   \
	 UHMM_LIVE_WHY_LOST | UHMM_LIVE_WHY_PROC)

static enum uhmm_guarantee in_force(const struct live *live)
{
	int reach = READ_ONCE(live->bracketed);

	if (live_ended(live))
		return UHMM_GUARANTEE_NONE;
	if (reach > (int)live->asked)
		reach = (int)live->asked;
	if (reach < UHMM_G2 && (!READ_ONCE(live->nshards) ||
				READ_ONCE(live->reasons) & NOT_EVEN_G0))
		return UHMM_GUARANTEE_NONE;
	return reach < UHMM_G0 ? UHMM_G0 : (enum uhmm_guarantee)reach;
}

/* ------------------------------------------------------------------- life */

static void live_close(struct live *live)
{
	if (live->maps >= 0)
		close(live->maps);
	if (live->pagemap >= 0)
		close(live->pagemap);
	live->maps = live->pagemap = -1;
	removal_exit(live);
}

/* A thread that the end waits for, or under a page that it waits for. */
static bool waits_for_itself(const struct live *live)
{
	int tid = (int)syscall(SYS_gettid);

	return home_calls || tid == READ_ONCE(live->monitor_tid) ||
	       tid == READ_ONCE(live->handler_tid);
}

/*
 * The address space ends, by its last mmput(). Where it cannot, it goes on as it is,
 * and is never freed.
 */
static void live_exit(struct mm_struct *mm, void *private_data)
{
	struct live *live = private_data;

	if (!live_ended(live) && waits_for_itself(live)) {
		fputs("uhmm: a live address space cannot end in a callback: mmput() elsewhere\n",
		      stderr);
		mmgrab(mm);
		return;
	}
	mutex_lock(&live_lock);
	if (the_live == live) {
		the_live = NULL;
		brackets_close();
	}
	mutex_unlock(&live_lock);
	if (live->out && !live_ended(live)) {
		home_all(live);
		coherent_end(live);
	}
	if (xchg(&live->ended, 1) || !READ_ONCE(*live->alive))
		return;
	if (live->out)
		home_stop(live);
	monitor_stop(live);
	if (live->out)
		home_close(live);
	live_close(live);
}

static void live_destroy(void *private_data)
{
	struct live *live = private_data;

	watch_destroy(live);
	if (live->out)
		out_free(live->out);
	if (live->alive)
		sync_free_pages(live->alive, LIVE_PAGE);
	sync_unkeep(live, sizeof(*live));
	free(live);
}

#define OPS_OF_ALL                       \
	.name = "live",                  \
	.exit = live_exit,               \
	.destroy = live_destroy,         \
	.find_vma = live_find_vma,       \
	.walk = live_walk,               \
	.walk_runs = live_walk_runs,     \
	.fault = live_fault,             \
	.pending = live_pending

static const struct uhmm_mm_ops live_mm_ops = {
	OPS_OF_ALL,
	.page_access = live_access,
};

/* The same, with pages that go to devices. */
static const struct uhmm_mm_ops live_device_mm_ops = {
	OPS_OF_ALL,
	.page_ptr = live_page_ptr,
	.page_access = live_page_access,
	.page_alloc = live_page_alloc,
	.page_stand_in = live_page_stand_in,
	.page_get = live_page_get,
	.page_put = live_page_put,
	.migrate_collect = live_migrate_collect,
	.migrate_unmap = live_migrate_unmap,
	.migrate_commit = live_migrate_commit,
	.migrate_finish = live_migrate_finish,
	.migrate_settles = true,
	.make_exclusive = live_make_exclusive,
	.page_unlock = live_page_unlock,
};

__warm struct live *live_of(struct mm_struct *mm)
{
	return mm && (mm->ops == &live_mm_ops ||
		      mm->ops == &live_device_mm_ops) ? mm->private_data : NULL;
}

/*
 * fork() of libc; what goes around it is told of by the kernel, if it may be
 * asked for that. Between parent and child, pages are to be copied on write.
 */
static struct live_bracket fork_bracket;
__thread bool live_forking __attribute__((tls_model("initial-exec")));

/* The memory of a child is another one. */
static void fork_child(void) __no_context_analysis
{
	live_forking = false;
	mutex_unlock(&live_lock);
	brackets_fork_child();
	if (!the_live)
		return;
	the_live->ended = 1;
	monitor_forget(the_live);
	live_close(the_live);
	the_live = NULL;
}

/*
 * In a child of _Fork() or clone(): its parent's is nothing to it. The files stay
 * open: the parent may share them.
 */
static void forget_parents(void) __must_hold(&live_lock)
{
	if (!the_live || READ_ONCE(*the_live->alive))
		return;
	the_live->ended = 1;
	the_live = NULL;
	brackets_fork_child();
}

static void fork_prepare(void) __no_context_analysis
{
	mutex_lock(&live_lock);
	forget_parents();
	if (the_live && the_live->out &&
	    !BROKEN(live_broken, BROKEN_FORK))
		home_fork(the_live);
	live_bracket_start(&fork_bracket, 0, ~0UL, MMU_NOTIFY_PROTECTION_PAGE,
			   0);
	live_forking = true;
	/* A child does not find them where they are counted. */
	if (the_live)
		brackets_count(the_live);
}

static void fork_parent(void) __no_context_analysis
{
	live_forking = false;
	live_bracket_end(&fork_bracket);
	if (the_live && the_live->out)
		home_fork_end(the_live);
	mutex_unlock(&live_lock);
}

static __at_load(AT_FORK_LIVE) void see_to_forks(void)
{
	sync_at_fork(fork_prepare, fork_parent, fork_child);
}

static unsigned int without_of_env(void)
{
	const char *list = getenv("UHMM_LIVE_WITHOUT"), *name;
	unsigned int without = 0, i;
	size_t n;

	while (list && *list) {
		n = strcspn(list, ",");
		for (i = 0; i < UHMM_LIVE_FEATURES; i++) {
			name = uhmm_live_feature_name(i);
			if (strlen(name) == n && !strncmp(list, name, n))
				without |= 1U << i;
		}
		list += n + (list[n] == ',');
	}
	return without;
}

static int check_options(const struct uhmm_live_options *o)
{
	const unsigned int flags = UHMM_LIVE_USE_FRAMES |
				   UHMM_LIVE_UNWATCHED_TOO | UHMM_LIVE_CHECK |
				   UHMM_LIVE_DEVICE | UHMM_LIVE_SIGBUS;
	int err = options_check(o, sizeof(*o));

	if (err)
		return err;
	if (o->flags & ~flags || o->without >> UHMM_LIVE_FEATURES ||
	    o->guarantee < UHMM_G0 || o->guarantee > UHMM_G2 ||
	    o->descriptors > MAX_SHARDS)
		return -EINVAL;
	/* A frame is the number of a page there, and there is one descriptor. */
	if (o->flags & UHMM_LIVE_DEVICE &&
	    (o->flags & UHMM_LIVE_USE_FRAMES || o->descriptors > 1))
		return -EINVAL;
	if (o->flags & UHMM_LIVE_SIGBUS && !(o->flags & UHMM_LIVE_DEVICE))
		return -EINVAL;
	if (sysconf(_SC_PAGESIZE) != (long)LIVE_PAGE)
		return -EOPNOTSUPP;
	return 0;
}

int live_fd_high(int fd)
{
	int high = -1;

	/* Fewer may be allowed. */
	for (int least = FD_HIGH; fd >= 0 && high < 0 && least > fd; least /= 2)
		high = fcntl(fd, F_DUPFD_CLOEXEC, least);
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

int live_open_high(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : live_fd_high(fd);
}

static unsigned long max_maps(void)
{
	int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
	char text[24] = "";
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 ? strtoul(text, NULL, 10) : MAX_MAPS;
}

static int live_init(struct live *live, const struct uhmm_live_options *o)
{
	int ret;

	live->flags = o->flags;
	live->asked = o->guarantee;
	live->bracketed = bracketed;
	live->reasons = bracket_reasons;
	live->remove_limit_ns = (o->remove_limit_ms ? o->remove_limit_ms :
						      REMOVE_LIMIT_MS) *
				INT64_C(1000000);
	live->max_watches = o->watches ? o->watches : max_maps() / 4;
	live->maps = live->pagemap = -1;
	live->task_dir = live->monitor_wake = live->spare = -1;
	live->alive = sync_alloc_alive();
	if (!live->alive)
		return -ENOMEM;
	live->maps = live_open_high("/proc/self/maps");
	if (live->maps < 0)
		return live->maps;
	live->pagemap = live_open_high("/proc/self/pagemap");
	if (live->pagemap < 0)
		return live->pagemap;
	live->features = live_probe_features(live->maps, live->pagemap) &
			 ~(o->without | without_of_env());
	if (o->flags & UHMM_LIVE_USE_FRAMES &&
	    !live_has(live, UHMM_LIVE_FRAMES))
		return -EPERM;
	live_pages_init(live);
	ret = removal_init(live, o->remove_signal);
	if (ret)
		return ret;
	if (watch_init(live)) {
		live_why(live, UHMM_LIVE_WHY_MEMORY);
		return -ENOMEM;
	}
	return 0;
}

/* Where no page could be brought home, none goes; that is no error. */
static void device_start(struct live *live)
{
	if (live->out)
		live->out->off = !READ_ONCE(live->nshards) || pool_init(live) ||
				 home_start(live);
}

static int live_make(const struct uhmm_live_options *o, struct live **ret_live)
	__must_hold(&live_lock)
{
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.flags = o->flags & UHMM_LIVE_CHECK ? UHMM_MM_CHECK : 0,
		.reserve_after = o->reserve_after,
		.reserve_limit_us = o->reserve_limit_us,
	};
	static bool modules_kept;
	struct live *live = calloc(1, sizeof(*live));
	int ret;

	if (!live)
		return -ENOMEM;
	sync_keep(live, sizeof(*live));
	ret = live_init(live, o);
	if (ret)
		goto out_close;
	options.private_data = live;
	if (o->flags & UHMM_LIVE_DEVICE) {
		live->out = out_make();
		ret = live->out ? 0 : -ENOMEM;
		if (!modules_kept)
			sync_keep_modules();
		modules_kept = true;
	}
	if (!ret)
		ret = mm_create(&options, live->out ? &live_device_mm_ops :
						      &live_mm_ops, &live->mm);
	if (ret)
		goto out_close;
	/* Without it the guarantee is less, and says why. */
	monitor_start(live, live->out ? 1 : o->descriptors ? o->descriptors :
							     DESCRIPTORS);
	device_start(live);
	brackets_open(live);
	*ret_live = live;
	return 0;
out_close:
	live_close(live);
	live_destroy(live);
	return ret;
}

int uhmm_mm_create_live(const struct uhmm_live_options *options,
			struct mm_struct **ret_mm)
{
	static const struct uhmm_live_options none = { .size = sizeof(none) };
	int ret;

	if (!options)
		options = &none;
	ret = ret_mm ? check_options(options) : -EINVAL;
	if (ret)
		return ret;
	mutex_lock(&live_lock);
	forget_parents();
	if (the_live && !mmget_not_zero(the_live->mm)) {
		/* It is ending this moment. */
		the_live = NULL;
		brackets_close();
	} else if (the_live) {
		*ret_mm = the_live->mm;
		goto out_unlock;
	}
	ret = live_make(options, &the_live);
	if (!ret)
		*ret_mm = the_live->mm;
out_unlock:
	mutex_unlock(&live_lock);
	return ret;
}

/* ---------------------------------------------------------------- questions */

int uhmm_live_get_info(struct mm_struct *mm, struct uhmm_live_info *ret_info)
{
	struct live *live = live_of(mm);

	if (!live || !ret_info || ret_info->size < sizeof(*ret_info))
		return -EINVAL;
	if (!live_ended(live))
		monitor_look_lost(live);
	ret_info->asked = live->asked;
	ret_info->reasons = READ_ONCE(live->reasons);
	if (READ_ONCE(live->bracketed) < UHMM_G1 && live->asked > UHMM_G0)
		ret_info->reasons |= UHMM_LIVE_WHY_UNPATCHED;
	if (READ_ONCE(live->bracketed) < UHMM_G2 && live->asked > UHMM_G1)
		ret_info->reasons |= UHMM_LIVE_WHY_FILTER;
	ret_info->guarantee = in_force(live);
	ret_info->features = live->features;
	ret_info->descriptors = READ_ONCE(live->nshards);
	return 0;
}

enum uhmm_guarantee uhmm_live_guarantee(struct mm_struct *mm)
{
	struct live *live = live_of(mm);

	return live ? in_force(live) : UHMM_GUARANTEE_NONE;
}

int uhmm_live_get_stats(struct mm_struct *mm, struct uhmm_live_stats *ret_stats)
{
	struct live *live = live_of(mm);
	size_t size;

	if (!live || !ret_stats || ret_stats->size < sizeof(*ret_stats))
		return -EINVAL;
	size = ret_stats->size;
	/* Word by word, as they are counted. */
	for (size_t i = 1; i < sizeof(*ret_stats) / sizeof(unsigned long); i++)
		((unsigned long *)ret_stats)[i] =
			READ_ONCE(((unsigned long *)&live->stats)[i]);
	ret_stats->brackets += brackets_of(live);
	ret_stats->size = size;
	return 0;
}
