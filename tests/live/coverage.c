/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The coverage table: each operation of coverage_ops.c is done to a page that a
 * device mirrors, each in a process of its own, at each guarantee, and when the
 * device learns of it is measured and held against what is promised.
 *
 * coverage PAGE	also holds the table in PAGE against what was measured
 * coverage --table	prints the table
 * What is printed is the promise, where it was kept; one that could be more is
 * broken only where it says that nothing is seen.
 *
 * "Before" is: the callback still found the page as it was. "After": who asks
 * when the operation has returned is told to try again.
 */
#include "coverage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uhmm/live.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

#include "mm/live/live.h"

#define ROW_SECONDS 20
#define LATE_MS 200	/* that is waited for what nobody told of */

/* Exit codes of a row, besides an enum seen. */
#define ROW_CANNOT 10
#define ROW_GUARANTEE 11	/* the guarantee is not to be had */
#define ROW_FAILED 12

/* What a page is: what is there, and who may use it. */
struct truth {
	uint64_t entry;
	long reads;
	long writes;
	char byte;
};

static struct mm_struct *mm;
static struct mmu_interval_notifier sub;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct operation *row;
static char *page;
static int pagemap;
static struct truth was;
static bool called, early;

static const char *const seen_words[] = { "no", "late", "after", "before" };

/* ----------------------------------------------------------------- one row */

static struct truth look(void)
{
	struct truth truth = { 0 };
	struct iovec here = { &truth.byte, 1 }, there = { page, 1 };

	truth.reads = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
	if (row->writes && truth.reads == 1)
		truth.writes = process_vm_writev(getpid(), &here, 1, &there, 1,
						 0);
	if (pread(pagemap, &truth.entry, sizeof(truth.entry),
		  (off_t)((uintptr_t)page / PAGE * sizeof(truth.entry))) < 0)
		truth.entry = 0;
	/* Written lately, and watched: not what it is. */
	truth.entry &= ~(5ULL << 55);
	return truth;
}

static bool same(const struct truth *a, const struct truth *b)
{
	return a->entry == b->entry && a->reads == b->reads &&
	       a->writes == b->writes && a->byte == b->byte;
}

static bool invalidate(struct mmu_interval_notifier *it,
		       const struct mmu_notifier_range *range,
		       unsigned long cur_seq)
{
	struct truth now = look();

	if (!mmu_notifier_range_blockable(range)) {
		if (pthread_mutex_trylock(&lock))
			return false;
	} else {
		pthread_mutex_lock(&lock);
	}
	mmu_interval_set_seq(it, cur_seq);
	if (!called)
		early = same(&now, &was);
	called = true;
	pthread_mutex_unlock(&lock);
	return true;
}

static const struct mmu_interval_notifier_ops ops = { .invalidate = invalidate };

static bool retry(unsigned long seq)
{
	bool again;

	pthread_mutex_lock(&lock);
	again = mmu_interval_read_retry(&sub, seq);
	pthread_mutex_unlock(&lock);
	return again;
}

/* A process that waits to be asked, made before anything is watched. */
static void help(int fd)
{
	char byte;
	int ret;

	while (read(fd, &byte, 1) == 1) {
		ret = row->act(page);
		if (write(fd, &ret, sizeof(ret)) < 0)
			break;
	}
	_exit(0);
}

static int act(int helper)
{
	int ret = -EIO;

	if (!row->helped)
		return row->act(page);
	if (write(helper, "", 1) != 1 ||
	    read(helper, &ret, sizeof(ret)) != sizeof(ret))
		return -EIO;
	return ret;
}

static int make_mirror(enum uhmm_guarantee guarantee)
{
	struct uhmm_live_options options = {
		.size = sizeof(options),
		.flags = UHMM_LIVE_UNWATCHED_TOO,
		.guarantee = guarantee,
	};
	struct uhmm_live_info info = { .size = sizeof(info) };

	if (uhmm_mm_create_live(&options, &mm) || uhmm_live_get_info(mm, &info))
		return ROW_FAILED;
	if (info.guarantee < guarantee)
		return ROW_GUARANTEE;
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	return pagemap < 0 ? ROW_FAILED : 0;
}

/* Mirror the page: the last time that nothing is amiss. */
static int mirror(unsigned long *ret_seq)
{
	struct uhmm_pte pte;
	size_t one = 1;

	if (mmu_interval_notifier_insert(&sub, mm, (uintptr_t)page, PAGE, &ops))
		return ROW_FAILED;
	do {
		*ret_seq = mmu_interval_read_begin(&sub);
		mmap_read_lock(mm);
		if (uhmm_mm_walk(mm, (uintptr_t)page, &one, &pte) ||
		    pte.state != UHMM_PTE_PRESENT) {
			mmap_read_unlock(mm);
			return ROW_FAILED;
		}
		mmap_read_unlock(mm);
	} while (retry(*ret_seq));
	was = look();
	pthread_mutex_lock(&lock);
	called = false;
	pthread_mutex_unlock(&lock);
	return retry(*ret_seq) ? ROW_FAILED : 0;
}

static int run_row(enum uhmm_guarantee guarantee)
{
	unsigned long seq;
	int pair[2] = { -1, -1 }, ret;
	bool after;

	/* Before there is another thread. */
	if (guarantee >= UHMM_G1 && uhmm_live_patch(guarantee, NULL))
		return ROW_GUARANTEE;
	page = row->make();
	if (!page)
		return ROW_CANNOT;
	if (row->helped) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
			return ROW_FAILED;
		if (!fork()) {
			close(pair[0]);
			help(pair[1]);
		}
		close(pair[1]);
	}
	ret = make_mirror(guarantee);
	if (!ret)
		ret = mirror(&seq);
	if (ret)
		return ret;
	if (act(pair[0]) < 0)
		return ROW_CANNOT;
	after = retry(seq);
	if (!after)
		poll(NULL, 0, LATE_MS);
	pthread_mutex_lock(&lock);
	ret = called && early ? BEFORE : after ? AFTER : called ? LATE : NOT;
	pthread_mutex_unlock(&lock);
	return ret;
}

/* --------------------------------------------------------------------- table */

static int measure(const struct operation *operation,
		   enum uhmm_guarantee guarantee)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return ROW_FAILED;
	if (!pid) {
		alarm(ROW_SECONDS);
		row = operation;
		_exit(run_row(guarantee));
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return ROW_FAILED;
	return WEXITSTATUS(status);
}

static bool kept(const struct operation *it, const int *seen, int g)
{
	int promise = (int)it->promise[g];

	return promise == NOT ? seen[g] == NOT
			      : seen[g] >= promise && seen[g] <= BEFORE;
}

static void print_line(char *line, size_t size, const struct operation *it,
		       const int *seen)
{
	int n = snprintf(line, size, "| %s |", it->name);

	for (int g = 0; g < COVERED_GUARANTEES; g++)
		n += snprintf(line + n, size - (size_t)n, " %s |",
			      kept(it, seen, g) ? seen_words[it->promise[g]] : "-");
	for (int i = 0; i < 4; i++)
		n += snprintf(line + n, size - (size_t)n, "%s%s |",
			      it->peers[i][0] ? " " : "", it->peers[i]);
	snprintf(line + n, size - (size_t)n, "\n");
}

/* Is @line a line of the page? */
static bool written(const char *path, const char *line)
{
	char other[256];
	bool found = false;
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	while (!found && fgets(other, sizeof(other), f))
		found = !strcmp(line, other);
	fclose(f);
	return found;
}

static bool check(const struct operation *it, const int *seen, const char *path,
		  size_t number)
{
	bool all = true, ok = true;
	char line[256];

	for (int g = 0; g < COVERED_GUARANTEES; g++) {
		if (seen[g] == ROW_CANNOT || seen[g] == ROW_GUARANTEE)
			all = false;
		else
			ok = ok && kept(it, seen, g);
	}
	print_line(line, sizeof(line), it, seen);
	if (ok && all && path && !written(path, line)) {
		printf("# not in %s: %s", path, line);
		ok = false;
	}
	printf("%sok %zu - %s%s\n", ok ? "" : "not ", number, it->name,
	       !all && ok ? " # SKIP not all of it can be done here" : "");
	if (!ok)
		printf("# G0 %d of %d, G1 %d of %d, G2 %d of %d\n", seen[0],
		       it->promise[0], seen[1], it->promise[1], seen[2],
		       it->promise[2]);
	return ok;
}

/* Known to be bad: what appears is not watched, and G0 sees nothing. */
static bool check_blind(size_t number)
{
	int seen;

	live_broken = BROKEN_REGISTER;
	seen = measure(&operations[0], UHMM_G0);
	live_broken = 0;
	if (seen == ROW_GUARANTEE)
		printf("ok %zu - unwatched # SKIP no userfaultfd\n", number);
	else
		printf("%sok %zu - unwatched, a munmap goes unseen: found\n",
		       seen == NOT ? "" : "not ", number);
	return seen == NOT || seen == ROW_GUARANTEE;
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : NULL;
	bool table = path && !strcmp(path, "--table");
	int seen[COVERED_GUARANTEES], bad = 0;
	char line[256];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!table)
		printf("1..%zu\n", noperations + 1);
	for (size_t i = 0; i < noperations; i++) {
		for (int g = 0; g < COVERED_GUARANTEES; g++)
			seen[g] = measure(&operations[i],
					  (enum uhmm_guarantee)g);
		print_line(line, sizeof(line), &operations[i], seen);
		if (table)
			fputs(line, stdout);
		else if (!check(&operations[i], seen, path, i + 1))
			bad = 1;
	}
	return bad || (!table && !check_blind(noperations + 1));
}
