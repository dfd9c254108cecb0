/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What `uhmm features` says about live processes: which guarantee they can have,
 * what the kernel offers, what is lost without it and what to set. All of it is
 * found out by trying, in a process that is not needed any more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uhmm/live.h>
#include <uhmm/mm.h>
#include <uhmm/rcache_uring.h>

#include "features.h"

/* What was found out. */
struct found {
	unsigned int features;
	bool patched, trapped;
	char why[160];		/* one of them is not */
};

static const struct {
	const char *with, *without;
} words[UHMM_LIVE_FEATURES] = {
	{ "changes are told of, and can be asked about",
	  "no G0: Linux 5.11, or a seccomp profile that forbids it" },
	{ "system calls wait for pages that a device has",
	  "system calls on pages that a device has fail: CAP_SYS_PTRACE, "
	  "or vm.unprivileged_userfaultfd=1" },
	{ "forks that go around libc are told of",
	  "forks that go around libc are not seen at G0 and G1: CAP_SYS_PTRACE" },
	{ "any area can be watched",
	  "files and SysV memory are not watched, G0 is for the rest: Linux 6.7" },
	{ "pages go to a device without a copy",
	  "pages are copied to a device: Linux 6.8" },
	{ "many pages are looked at in one call",
	  "looking at many pages is slower: Linux 6.7" },
	{ "an area is looked up in one call",
	  "an area is looked up in the list of all: Linux 6.11" },
	{ "frames can be compared: all of memory is checked by uhmm run",
	  "uhmm run sees pages that are gone, and a sample: CAP_SYS_ADMIN" },
};

/* ---------------------------------------------------------------- by trying */

static void try_all(struct found *found)
{
	struct uhmm_live_options options = { .size = sizeof(options),
					     .guarantee = UHMM_G2 };
	struct uhmm_live_info info = { .size = sizeof(info) };
	const char *why = "";
	struct mm_struct *mm;

	uhmm_live_patch(UHMM_G2, &why);
	snprintf(found->why, sizeof(found->why), "%s", why);
	if (uhmm_mm_create_live(&options, &mm) || uhmm_live_get_info(mm, &info))
		return;
	found->features = info.features;
	found->patched = !(info.reasons & UHMM_LIVE_WHY_UNPATCHED);
	found->trapped = !(info.reasons & UHMM_LIVE_WHY_FILTER);
}

static void find_out(struct found *found)
{
	int fds[2];
	pid_t pid;

	snprintf(found->why, sizeof(found->why), "it cannot be tried");
	if (pipe(fds))
		return;
	pid = fork();
	if (!pid) {
		try_all(found);
		_exit(write(fds[1], found, sizeof(*found)) != sizeof(*found));
	}
	close(fds[1]);
	if (pid > 0 && read(fds[0], found, sizeof(*found)) != sizeof(*found))
		found->features = 0;
	close(fds[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/* -------------------------------------------------------------------- lines */

static struct feature *line(struct feature *f, const char *name, bool present,
			    const char *value)
{
	f->name = name;
	f->present = present;
	snprintf(f->value, sizeof(f->value), "%s", value);
	return f + 1;
}

static struct feature *guarantees(struct feature *f, const struct found *found)
{
	bool told = found->features & UHMM_LIVE_UFFD;

	f = line(f, "G0", told, told ? "changes are seen afterwards" :
				       "there is no userfaultfd");
	f = line(f, "G1", told && found->patched,
		 !found->patched ? found->why :
		 told ? "changes by libc and ld.so are seen before" :
			"what goes around libc would not be seen: no userfaultfd");
	return line(f, "G2", found->trapped,
		    found->trapped ? "system calls around libc too; no exec()" :
				     found->why);
}

static struct feature *limit(struct feature *f, const char *name, int resource,
			     const char *what)
{
	struct rlimit r;
	bool known = !getrlimit(resource, &r);

	f->name = name;
	f->present = known;
	if (known && r.rlim_cur == RLIM_INFINITY)
		snprintf(f->value, sizeof(f->value), "no limit: %s", what);
	else
		snprintf(f->value, sizeof(f->value), "%llu: %s",
			 known ? (unsigned long long)r.rlim_cur : 0, what);
	return f + 1;
}

static struct feature *areas(struct feature *f)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned long most = 0;

	if (file && fscanf(file, "%lu", &most) != 1)
		most = 0;
	if (file)
		fclose(file);
	f->name = "areas";
	f->present = most;
	snprintf(f->value, sizeof(f->value),
		 "%lu: G0 watches a quarter of them, then falls: vm.max_map_count",
		 most);
	return f + 1;
}

static struct feature *ring(struct feature *f)
{
	/* No ring has no entries; it says so where there are rings. */
	bool there = syscall(SYS_io_uring_setup, 0, NULL) < 0 &&
		     errno != ENOSYS && errno != EPERM;

	return line(f, "io_uring", there,
		    there ? "fixed buffers can be a device of the cache" :
			    "no fixed buffers: kernel.io_uring_disabled, or a seccomp profile");
}

static struct feature *tags(struct feature *f)
{
	unsigned int found = uhmm_rcache_uring_features();
	bool all = found & UHMM_RCACHE_URING_PROMPT &&
		   found & UHMM_RCACHE_URING_APART;

	return line(f, "io_uring-tags", all,
		    all ? "fixed buffers that are released are told of at once" :
		    found ? "released fixed buffers are told of late, or behind others" :
			    "no table of fixed buffers (Linux 5.19)");
}

unsigned int features_live(struct feature *to)
{
	struct found found = { 0 };
	struct feature *f = to;

	find_out(&found);
	f = guarantees(f, &found);
	for (unsigned int i = 0; i < UHMM_LIVE_FEATURES; i++)
		if (words[i].with)
			f = line(f, uhmm_live_feature_name(i),
				 found.features >> i & 1,
				 found.features >> i & 1 ? words[i].with :
							   words[i].without);
	f = ring(f);
	f = tags(f);
	f = areas(f);
	f = limit(f, "open-files", RLIMIT_NOFILE,
		  "9 are needed: ulimit -n");
	f = limit(f, "locked-memory", RLIMIT_MEMLOCK,
		  "bytes that devices pin without CAP_IPC_LOCK: ulimit -l");
	return (unsigned int)(f - to);
}
