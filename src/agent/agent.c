/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The agent: what `uhmm run` preloads into each process of a program. It patches
 * the memory calls, makes the live address space, starts the device, and says
 * on the board what it got. The program's main() has not begun yet.
 *
 * A program that is not started by the tool is left alone.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <uhmm/live.h>
#include <uhmm/mm.h>

#include "../mm/live/live.h"
#include "../mm/live/patch.h"
#include "alone.h"
#include "board.h"
#include "checker.h"
#include "dmirror.h"
#include "events.h"
#include "sanitizer.h"
#include "starts.h"
#include "watcher.h"

static struct board *board;
static struct board_process *process;
static struct mm_struct *mm;
static struct stream *stream;
static const char *sanitizer;	/* why it cannot be mirrored, see sanitizer.h */

/* -------------------------------------------------------------------- the board */

/* Behind the board. NULL: the device has none, or it cannot be mapped. */
static struct stream *open_stream(const struct board *b, int fd)
{
	void *p;

	if (b->device != BOARD_WATCH)
		return NULL;
	p = mmap(NULL, sizeof(struct stream), PROT_READ | PROT_WRITE,
		 MAP_SHARED, fd, sizeof(*b));
	return p == MAP_FAILED ? NULL : p;
}

static struct board *open_board(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *p;

	if (fd < 0)
		return NULL;
	p = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE,
		 MAP_SHARED, fd, 0);
	if (p != MAP_FAILED &&
	    (((struct board *)p)->magic != BOARD_MAGIC ||
	     ((struct board *)p)->size != sizeof(struct board))) {
		munmap(p, sizeof(struct board));
		p = MAP_FAILED;
	}
	if (p != MAP_FAILED)
		stream = open_stream(p, fd);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

/* Where this process writes. NULL: all places are taken. */
static struct board_process *take_place(const char *name, bool forked)
{
	uint32_t n = __atomic_fetch_add(&board->used, 1, __ATOMIC_RELAXED);
	struct board_process *p;

	if (n >= BOARD_PROCESSES)
		return NULL;
	p = &board->processes[n];
	p->pid = getpid();
	p->parent = getppid();
	p->forked = forked;
	p->user = geteuid();
	p->asked = board->guarantee;
	p->guarantee = UHMM_GUARANTEE_NONE;
	p->start_ns = p->last_ns = (uint64_t)ktime_get_ns();
	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(p->reason, sizeof(p->reason), "it ended before its agent had begun");
	board_set_state(p, BOARD_STARTED);
	return p;
}

/* -------------------------------------------------------------- what was got */

/* Behind what the library says of it: how often, and what else that may mean. */
static size_t say_removals(char *to, size_t size)
{
	struct uhmm_live_stats stats = { .size = sizeof(stats) };

	if (uhmm_live_get_stats(mm, &stats))
		return 0;
	return (size_t)snprintf(to, size, ", %lu of %lu times: a thread did not "
				"run for a second, or blocks signals",
				stats.ends_lost,
				stats.signalled + stats.quarantined);
}

/* In words, why the guarantee is less than was asked for. */
static void say_reasons(void)
{
	struct uhmm_live_info info = { .size = sizeof(info) };
	size_t n = 0, size = sizeof(process->reason);

	if (uhmm_live_get_info(mm, &info))
		return;
	process->guarantee = info.guarantee;
	process->reason[0] = '\0';
	if (info.guarantee >= info.asked)
		return;
	if (live_patch.reason[0])
		n += (size_t)snprintf(process->reason, size, "%s",
				      live_patch.reason);
	for (unsigned int i = 0; i < UHMM_LIVE_REASONS && n < size; i++) {
		if (!(info.reasons >> i & 1) ||
		    1U << i & (UHMM_LIVE_WHY_UNPATCHED | UHMM_LIVE_WHY_FILTER))
			continue;
		n += (size_t)snprintf(process->reason + n, size - n, "%s%s",
				      n ? "; " : "", uhmm_live_reason(i));
		if (1U << i == UHMM_LIVE_WHY_REMOVE && n < size)
			n += say_removals(process->reason + n, size - n);
	}
}

static void patch(void)
{
	if (board->guarantee < UHMM_G1)
		return;
	live_filter_refused = &process->counts.exec_refused;
	uhmm_live_patch((enum uhmm_guarantee)board->guarantee, NULL);
}

static void refuse(const char *what, int error)
{
	/* What it inherited may say anything, ENOSYS too. */
	bool filtered = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) > 0;

	snprintf(process->reason, sizeof(process->reason), "%s: %s%s", what,
		 strerror(error), filtered ?
		 ", in a filter of system calls that it began with" : "");
	board_set_state(process, BOARD_REFUSED);
}

static bool make_mm(unsigned int flags)
{
	struct uhmm_live_options options = {
		.size = sizeof(options),
		.flags = flags,
		.guarantee = (enum uhmm_guarantee)board->guarantee,
		/* What is one area without us has the same one in any case. */
		.descriptors = 1,
	};
	int ret = uhmm_mm_create_live(&options, &mm);

	if (ret == -EPERM) {
		options.flags &= ~UHMM_LIVE_USE_FRAMES;
		ret = uhmm_mm_create_live(&options, &mm);
	}
	if (ret)
		refuse("the address space cannot be watched", -ret);
	process->frames = !ret && options.flags & UHMM_LIVE_USE_FRAMES;
	return !ret;
}

/* ---------------------------------------------------------- ended too early */

/* Where the mirror ended before the program. */
static struct until {
	bool goes_on;
	int32_t guarantee;	/* until then */
	char reason[sizeof(process->reason)];
} until;
static bool restricted;

static void say_until(const char *what)
{
	live_patch_recheck(0, ~0UL);
	say_reasons();
	until.guarantee = process->guarantee;
	memcpy(until.reason, process->reason, sizeof(process->reason));
	process->guarantee = UHMM_GUARANTEE_NONE;
	snprintf(process->reason, sizeof(process->reason), "mirrored until it %s",
		 what);
}

static void end_mirror(const char *what)
{
	struct mm_struct *ended = mm;

	if (!ended || process->state == BOARD_REFUSED)
		return;
	if (process->state == BOARD_RUNS) {
		say_until(what);
		if (board->device == BOARD_CHECKER)
			checker_look(true);
	}
	mm = NULL;
	checker_end();
	live_own_threads = 0;
	dmirror_end();
	events_end();
	mmput(ended);
}

static void goes_on(void)
{
	until.goes_on = !mm;
}

/*
 * A sanitizer is about to stop all threads. What of the program comes after that
 * is not mirrored, unless it comes in exit(), as it mostly does: what is registered
 * with atexit() then runs behind our destructor.
 */
static void before_leaks(void)
{
	end_mirror("looked for leaks");
	atexit(goes_on);
}

/* From now on a call of ours may be one for which the program is ended. */
static void before_restriction(void)
{
	restricted = true;
	until.goes_on = true;
	end_mirror("restricted its system calls");
}

/* What it starts, and forks, is mirrored again. */
static void before_alone(const char *what)
{
	until.goes_on = true;
	end_mirror(what);
}

/* -------------------------------------------------------------- begin and end */

/* No device: what changes is written down by who changes it. */
static bool begin_watch(bool forked)
{
	const char *why = NULL;

	if (sanitizer_is_valgrind())
		why = "valgrind would take what is looked at for mistakes";
	else if (!stream)
		why = "the stream cannot be mapped";
	else if (uhmm_live_patch(UHMM_G1, NULL))
		why = live_patch.reason;
	if (why) {
		snprintf(process->reason, sizeof(process->reason), "%s", why);
		board_set_state(process, BOARD_REFUSED);
		return false;
	}
	process->guarantee = UHMM_G1;
	process->reason[0] = '\0';
	watcher_start(stream, (uint32_t)(process - board->processes), forked);
	board_set_state(process, BOARD_RUNS);
	return true;
}

/* The files that it may open mirror its memory. */
static bool begin_dmirror(void)
{
	int ret;

	if (!make_mm(UHMM_LIVE_UNWATCHED_TOO | UHMM_LIVE_DEVICE))
		return false;
	ret = events_start(mm, process);
	if (!ret)
		ret = dmirror_start(mm, process, board->newest);
	if (ret)
		refuse("the devices", -ret);
	return !ret;
}

static bool begin_checker(bool forked)
{
	int ret;

	if (!make_mm(UHMM_LIVE_USE_FRAMES))
		return false;
	ret = checker_start(mm, process, board->deaf);
	if (ret) {
		refuse("the device cannot start", -ret);
		return false;
	}
	if (!forked)
		checker_look(true);
	ret = checker_run();
	if (ret)
		refuse("the device's thread", ret);
	live_own_threads = !ret;
	return !ret;
}

static bool begin_mirror(bool forked)
{
	bool begun;

	if (sanitizer) {
		refuse(sanitizer, EOPNOTSUPP);
		return false;
	}
	patch();
	live_before_restriction = before_restriction;
	alone_before = before_alone;
	begun = board->device == BOARD_DMIRROR ? begin_dmirror() :
						 begin_checker(forked);
	if (!begun)
		return false;
	say_reasons();
	board_set_state(process, BOARD_RUNS);
	return true;
}

static bool begin(bool forked)
{
	int64_t began = ktime_get_ns();
	bool begun;

	process = take_place(program_invocation_short_name, forked);
	if (!process)
		return false;
	begun = board->device == BOARD_WATCH ? begin_watch(forked) :
					       begin_mirror(forked);
	__atomic_fetch_add(&process->counts.own_ns, (uint64_t)(ktime_get_ns() - began),
			   __ATOMIC_RELAXED);
	return begun;
}

/* One that has no agent to say so. At G2 it is refused, and is counted so. */
static void before_stranger(const char *path, const char *why)
{
	const char *slash = strrchr(path, '/');
	struct board_process *p;

	if (restricted || (process && process->guarantee == UHMM_G2))
		return;
	p = take_place(slash ? slash + 1 : path, false);
	if (!p)
		return;
	snprintf(p->reason, sizeof(p->reason), "%s", why);
	board_set_state(p, BOARD_REFUSED);
}

/* All other threads are gone, and the memory is another process's. */
static void in_child(void)
{
	mm = NULL;
	checker_forget();
	live_own_threads = 0;
	dmirror_forget();
	process = NULL;
	if (!restricted)
		begin(true);
}

static __attribute__((constructor)) void agent_begin(void)
{
	const char *path = getenv(BOARD_ENV);

	board = path ? open_board(path) : NULL;
	if (!board)
		return;
	sanitizer = sanitizer_find(before_leaks);
	begin(false);
	starts_without = before_stranger;
	/* Behind those that the library and malloc have asked for by now. */
	pthread_atfork(NULL, NULL, in_child);
}

static __attribute__((destructor)) void agent_end(void)
{
	int64_t began = ktime_get_ns();

	if (!process || process->state != BOARD_RUNS)
		return;
	live_patch_recheck(0, ~0UL);
	if (!restricted)
		process->user = geteuid();
	if (board->device == BOARD_WATCH) {
		watcher_end();
	} else if (mm) {
		say_reasons();
	} else if (!until.goes_on) {
		process->guarantee = until.guarantee;
		memcpy(process->reason, until.reason, sizeof(process->reason));
	}
	if (board->device == BOARD_CHECKER)
		checker_look(true);
	__atomic_fetch_add(&process->counts.own_ns, (uint64_t)(ktime_get_ns() - began),
			   __ATOMIC_RELAXED);
	board_set_state(process, BOARD_ENDED);
}
