/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Each system call that changes memory is made here, in the place of libc's,
 * and written down. May run anywhere, as a bracket may: see live.h.
 */
#include "watcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../mm/live/calls.h"
#include "../mm/live/maps.h"
#include "../mm/live/patch.h"
#include "clock.h"

static struct stream *stream;
static uint32_t process;
static unsigned long brk_now;

/* What a call is, before it is made. False: it changes nothing. */
typedef bool (*look_fn)(struct stream_record *r, const unsigned long *args);

static bool at_mmap(struct stream_record *r, const unsigned long *args)
{
	r->kind = STREAM_MMAP;
	r->prot = (uint32_t)args[2];
	r->flags = (uint32_t)args[3];
	return true;
}

static bool at_munmap(struct stream_record *r, const unsigned long *args)
{
	r->kind = STREAM_MUNMAP;
	return true;
}

static bool at_mremap(struct stream_record *r, const unsigned long *args)
{
	r->kind = STREAM_MREMAP;
	r->to_length = args[2];
	r->flags = (uint32_t)args[3];
	return true;
}

static bool at_mprotect(struct stream_record *r, const unsigned long *args)
{
	r->kind = STREAM_MPROTECT;
	r->prot = (uint32_t)args[2];
	return true;
}

static bool at_madvise(struct stream_record *r, const unsigned long *args)
{
	r->kind = STREAM_MADVISE;
	r->flags = (uint32_t)args[2];
	return live_advice_clears(args[2]);
}

/* The first range; there is rarely another. */
static bool at_process_madvise(struct stream_record *r,
			       const unsigned long *args)
{
	struct iovec first, local = { &first, sizeof(first) };
	struct iovec remote = { (void *)args[1], sizeof(first) };

	r->kind = STREAM_MADVISE;
	r->flags = (uint32_t)args[3];
	if (!live_advice_clears(args[3]) ||
	    process_vm_readv(getpid(), &local, 1, &remote, 1, 0) !=
		    sizeof(first))
		return false;
	r->addr = (uint64_t)first.iov_base;
	r->length = first.iov_len;
	return true;
}

/* From where it was; what it is then is what it returns. */
static bool at_brk(struct stream_record *r, const unsigned long *args)
{
	r->kind = STREAM_BRK;
	r->addr = brk_now;
	r->length = 0;
	return true;
}

static bool at_shmat(struct stream_record *r, const unsigned long *args)
{
	struct shmid_ds ds;

	r->kind = STREAM_SHMAT;
	r->addr = args[1];
	r->length = shmctl((int)args[0], IPC_STAT, &ds) ? 0 : ds.shm_segsz;
	r->flags = (uint32_t)args[2];
	return true;
}

static bool at_shmdt(struct stream_record *r, const unsigned long *args)
{
	struct maps_file file;
	struct live_extent e;

	r->kind = STREAM_SHMDT;
	r->length = maps_find_same(args[0], &file, &e) && e.start == args[0] ?
			    e.end - e.start : 0;
	return true;
}

/* Wherever the file is mapped, if it is. */
static bool at_cut(struct stream_record *r, long nr, const unsigned long *args)
{
	struct maps_file file;
	struct live_extent e;

	r->kind = STREAM_TRUNCATE;
	if (!live_call_cuts(nr, args, &file) || !maps_find_file(&file, &e))
		return false;
	r->addr = e.start;
	r->length = e.end - e.start;
	return true;
}

static look_fn look_at(long nr)
{
	switch (nr) {
	case SYS_mmap:
		return at_mmap;
	case SYS_munmap:
	case SYS_remap_file_pages:
		return at_munmap;
	case SYS_mremap:
		return at_mremap;
	case SYS_mprotect:
	case SYS_pkey_mprotect:
		return at_mprotect;
	case SYS_madvise:
		return at_madvise;
	case SYS_brk:
		return at_brk;
	case SYS_shmat:
		return at_shmat;
	case SYS_shmdt:
		return at_shmdt;
	case NR_PROCESS_MADVISE:
		return at_process_madvise;
	}
	return NULL;
}

/* ------------------------------------------------------------- written down */

static __thread uint32_t own_tid __attribute__((tls_model("initial-exec")));

static uint32_t tid(void)
{
	if (!own_tid)
		own_tid = (uint32_t)syscall(SYS_gettid);
	return own_tid;
}

/* All but the number, which is the place's. */
static void put(struct stream_record *to, const struct stream_record *from)
{
	uint64_t number = to->number;

	*to = *from;
	to->number = number;
	to->process = process;
	to->tid = tid();
	stream_put(to);
}

/* Does it take memory away that another thread may have next? */
static bool takes(const struct stream_record *r)
{
	return r->kind != STREAM_MPROTECT && r->kind != STREAM_SHMAT &&
	       (r->kind != STREAM_MMAP || r->flags & MAP_FIXED);
}

static bool failed(struct stream_record *r, long ret)
{
	if (r->kind == STREAM_BRK) {
		brk_now = r->to;
		r->length = r->to > r->addr ? r->to - r->addr : r->addr - r->to;
		return !r->length;
	}
	return ret < 0 && ret > -4096;
}

static void put_event(enum stream_kind kind)
{
	struct stream_record r = { .kind = (uint16_t)kind,
				   .at_ns = clock_ns(CLOCK_MONOTONIC) };
	struct stream_record *place = stream_take(stream, process);

	if (place)
		put(place, &r);
}

static void watch_fork(long nr, const unsigned long *args)
{
	unsigned long flags = CLONE_VM;

	if (nr == SYS_clone)
		flags = args[0];
	else if (nr == SYS_clone3 && args[1] >= sizeof(flags))
		flags = *(unsigned long *)args[0];
	if (!(flags & CLONE_VM))
		put_event(STREAM_FORK);
}

static long watch_call(long nr, const unsigned long *args)
{
	struct stream_record r = { .addr = args[0], .length = args[1] };
	struct stream_record *place = NULL;
	look_fn look = look_at(nr);
	int saved = errno;
	long ret;

	if (look ? !look(&r, args) : !at_cut(&r, nr, args)) {
		watch_fork(nr, args);
		errno = saved;
		return live_raw_syscall(nr, args);
	}
	if (takes(&r))
		place = stream_take(stream, process);
	r.at_ns = clock_ns(CLOCK_MONOTONIC);
	ret = live_raw_syscall(nr, args);
	r.took_ns = (uint32_t)(clock_ns(CLOCK_MONOTONIC) - r.at_ns);
	r.to = (uint64_t)ret;
	if (failed(&r, ret))
		r.kind = STREAM_NOTHING;
	r.from = (uint16_t)live_patch_from(args);
	if (r.from == LIVE_FROM_LD && r.kind == STREAM_MUNMAP)
		site_forget(r.addr, r.addr + r.length);
	if (r.kind != STREAM_NOTHING)
		site_find(live_patch_stack(args), &r.site, &r.caller);
	if (!place && r.kind != STREAM_NOTHING)
		place = stream_take(stream, process);
	if (place)
		put(place, &r);
	errno = saved;
	return ret;
}

static const struct live_observer observer = {
	.call = watch_call,
	.fork = watch_fork,
};

/* ------------------------------------------------------------------ the start */

/* "start-end rwxp offset device inode", and the rest of the line. */
static void put_area(const char *line)
{
	struct stream_record r = { .kind = STREAM_AREA,
				   .at_ns = clock_ns(CLOCK_MONOTONIC) };
	struct stream_record *place;
	char *at;

	r.addr = strtoul(line, &at, 16);
	r.length = strtoul(at + 1, &at, 16) - r.addr;
	r.prot = (at[1] == 'r' ? PROT_READ : 0) |
		 (at[2] == 'w' ? PROT_WRITE : 0) |
		 (at[3] == 'x' ? PROT_EXEC : 0);
	r.flags = at[4] == 's' ? MAP_SHARED : MAP_PRIVATE;
	strtoul(at + 6, &at, 16);
	at = strchr(at + 1, ' ');
	if (at && !strtoul(at, &at, 10))
		r.flags |= MAP_ANONYMOUS;
	/* Not the kernel's own, which never change, nor the stream's. */
	if (!at || strstr(at, "[v") || strstr(at, "memfd:uhmm-board"))
		return;
	place = stream_take(stream, process);
	if (place)
		put(place, &r);
}

static void put_areas(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	char buffer[8192], *line, *end;
	size_t have = 0;
	ssize_t n;

	while (fd >= 0 && (n = read(fd, buffer + have,
				    sizeof(buffer) - 1 - have)) > 0) {
		have += (size_t)n;
		buffer[have] = '\0';
		for (line = buffer; (end = strchr(line, '\n')); line = end + 1) {
			*end = '\0';
			put_area(line);
		}
		have -= (size_t)(line - buffer);
		memmove(buffer, line, have);
	}
	if (fd >= 0)
		close(fd);
}

void watcher_start(struct stream *to, uint32_t number, bool forked)
{
	process = number;
	own_tid = 0;
	if (!forked) {
		stream = to;
		brk_now = (unsigned long)sbrk(0);
		site_init(to);
	}
	put_event(STREAM_START);
	live_observer = &observer;
	if (!forked)
		put_areas();
}

void watcher_end(void)
{
	put_event(STREAM_END);
}
