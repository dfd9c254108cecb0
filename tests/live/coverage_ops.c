/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The rows of the coverage table. */
#include "coverage.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/io_uring.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mm/live/uapi.h"
#include "raw.h"

#define RW (PROT_READ | PROT_WRITE)
#define HUGE (2UL << 20)

/* Younger than the headers may be. */
enum {
	ADVICE_DONTNEED_LOCKED = 24,
	ADVICE_COLLAPSE = 25,
	ADVICE_GUARD_INSTALL = 102,
	CALL_PIDFD_OPEN = 434,
	CALL_PROCESS_MADVISE = 440,
};

int file = -1;
static void *handle;

char *marked(char *page)
{
	if (page == MAP_FAILED)
		return NULL;
	memset(page, MARK, PAGE);
	return page;
}

static char *anon_room(size_t length)
{
	char *p = mmap(NULL, length, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED)
		madvise(p, length, MADV_NOHUGEPAGE);
	return p;
}

static char *anon(void)
{
	char *p = anon_room(3 * PAGE);

	return p == MAP_FAILED ? NULL : marked(p + PAGE);
}

char *shared(void)
{
	file = memfd_create("coverage", 0);
	if (file < 0 || ftruncate(file, 2 * PAGE))
		return NULL;
	return marked(mmap(NULL, 2 * PAGE, RW, MAP_SHARED, file, 0));
}

static char *private_file(void)
{
	char *p = shared();

	if (!p)
		return NULL;
	p = mmap(NULL, PAGE, RW, MAP_PRIVATE, file, 0);
	return p != MAP_FAILED && *(volatile char *)p == MARK ? p : NULL;
}

int result(long ret)
{
	return ret == -1 ? -errno : 0;
}

/* --------------------------------------------------------- unmapped and moved */

static int do_munmap(char *page)
{
	return result(munmap(page, PAGE));
}

static int do_munmap_wider(char *page)
{
	return result(munmap(page - PAGE, 3 * PAGE));
}

static int do_munmap_raw(char *page)
{
	return result(syscall(SYS_munmap, page, PAGE));
}

static int do_munmap_own(char *page)
{
	return (int)RAW2(SYS_munmap, page, PAGE);
}

static void *unmap_thread(void *page)
{
	return (void *)(intptr_t)do_munmap(page);
}

static int do_munmap_thread(char *page)
{
	pthread_t thread;
	void *ret;

	if (pthread_create(&thread, NULL, unmap_thread, page))
		return -EAGAIN;
	pthread_join(thread, &ret);
	return (int)(intptr_t)ret;
}

static int do_map_over(char *page)
{
	return mmap(page, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		    0) == page ? 0 : -errno;
}

static int do_map_over_own(char *page)
{
	return RAW5(SYS_mmap, page, PAGE, RW,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1) ==
	       (intptr_t)page ? 0 : -EFAULT;
}

static int do_move_own(char *page)
{
	char *to = anon_room(PAGE);

	return RAW5(SYS_mremap, page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		    to) == (intptr_t)to ? 0 : -EFAULT;
}

static int do_move(char *page)
{
	char *to = anon_room(PAGE);

	return mremap(page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to
		       ? 0 : -errno;
}

static int do_move_onto(char *page)
{
	char *from = anon_room(PAGE);

	*from = 1;
	return mremap(from, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page) ==
	       page ? 0 : -errno;
}

static int do_shrink(char *page)
{
	return mremap(page - PAGE, 3 * PAGE, PAGE, 0) == page - PAGE ? 0 : -errno;
}

static int do_dontunmap(char *page)
{
	return mremap(page, PAGE, PAGE, MREMAP_MAYMOVE | 4, NULL) != MAP_FAILED
		       ? 0 : -errno;
}

static char *break_page(void)
{
	char *p = sbrk(0);

	p = (char *)(((uintptr_t)p + PAGE - 1) & -PAGE);
	return brk(p + PAGE) ? NULL : marked(p);
}

static int do_brk(char *page)
{
	return result(brk(page));
}

static int do_sbrk(char *page)
{
	return sbrk(-(intptr_t)PAGE) == (void *)-1 ? -errno : 0;
}

/* ------------------------------------------------------------ inside of libc */

static void *block;

static char *big_block(void)
{
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	block = malloc(1 << 20);
	return block ? marked((char *)(((uintptr_t)block + 2 * PAGE) & -PAGE))
		     : NULL;
}

static int do_free(char *page)
{
	free(block);
	return 0;
}

static int do_realloc(char *page)
{
	char *after = (char *)(((uintptr_t)block + (1 << 20) + PAGE) & -PAGE);

	/* Something that is in its way. */
	if (mmap(after, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	    MAP_FAILED)
		return -errno;
	block = realloc(block, 64 << 20);
	return (char *)block < page && page < (char *)block + PAGE * 3 ? -EEXIST
								       : 0;
}

static char *heap_top(void)
{
	char *p;

	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	p = malloc(4 << 20);
	if (!p)
		return NULL;
	block = p;
	return marked((char *)(((uintptr_t)p + (3 << 20)) & -PAGE));
}

static int do_trim(char *page)
{
	free(block);
	return malloc_trim(0) ? 0 : -ENOTSUP;
}

static pthread_t stack_thread;
static char *stack_page;
static pthread_barrier_t stack_barrier;

static void *use_stack(void *unused)
{
	char room[4 * PAGE];

	stack_page = marked((char *)(((uintptr_t)room + PAGE) & -PAGE));
	pthread_barrier_wait(&stack_barrier);
	pthread_barrier_wait(&stack_barrier);
	return NULL;
}

/* Too large for libc to keep for the next thread. */
static char *stack_make(void)
{
	pthread_attr_t attr;

	pthread_barrier_init(&stack_barrier, NULL, 2);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 20);
	if (pthread_create(&stack_thread, &attr, use_stack, NULL))
		return NULL;
	pthread_barrier_wait(&stack_barrier);
	return stack_page;
}

static int do_thread_exit(char *page)
{
	pthread_barrier_wait(&stack_barrier);
	return -pthread_join(stack_thread, NULL);
}

static char *library(void)
{
	struct link_map *map;

	handle = dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL);
	if (!handle || dlinfo(handle, RTLD_DI_LINKMAP, &map))
		return NULL;
	/* Written when it was loaded. */
	return (char *)((uintptr_t)map->l_ld & -PAGE);
}

static int do_dlclose(char *page)
{
	return dlclose(handle) ? -EINVAL : 0;
}

/* ------------------------------------------------------------------- dropped */

static int do_dontneed(char *page)
{
	return result(madvise(page, PAGE, MADV_DONTNEED));
}

static int do_dontneed_own(char *page)
{
	return (int)RAW3(SYS_madvise, page, PAGE, MADV_DONTNEED);
}

static int do_dontneed_locked(char *page)
{
	return result(madvise(page, PAGE, ADVICE_DONTNEED_LOCKED));
}

static int do_free_advice(char *page)
{
	return result(madvise(page, PAGE, MADV_FREE));
}

static int do_remove(char *page)
{
	return result(madvise(page, PAGE, MADV_REMOVE));
}

static int do_guard(char *page)
{
	return result(madvise(page, PAGE, ADVICE_GUARD_INSTALL));
}

static char *huge_room(void)
{
	char *p = mmap(NULL, 2 * HUGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	p = (char *)(((uintptr_t)p + HUGE - 1) & -HUGE);
	madvise(p, HUGE, MADV_NOHUGEPAGE);
	memset(p, MARK, HUGE);
	madvise(p, HUGE, MADV_HUGEPAGE);
	return p;
}

static int do_collapse(char *page)
{
	return result(madvise(page, HUGE, ADVICE_COLLAPSE));
}

/* By another process, whose parent has the page. */
static int do_collapse_other(char *page)
{
	int fd = (int)syscall(CALL_PIDFD_OPEN, getppid(), 0);
	struct iovec iov = { page, HUGE };
	int ret;

	if (fd < 0)
		return -errno;
	ret = result(syscall(CALL_PROCESS_MADVISE, fd, &iov, 1,
			     ADVICE_COLLAPSE, 0));
	close(fd);
	return ret;
}

/* By a userfaultfd of the program, to where that watches. */
static int do_uffd_move(char *page)
{
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_MOVE };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	char *to = anon_room(PAGE);
	struct uffdio_register watch = {
		.range = { (uintptr_t)to, PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_move move = { .dst = (uintptr_t)to,
				    .src = (uintptr_t)page, .len = PAGE };

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &watch))
		return -errno;
	return result(ioctl(fd, UFFDIO_MOVE, &move));
}

static int do_process_madvise(char *page)
{
	int fd = (int)syscall(CALL_PIDFD_OPEN, getpid(), 0);
	struct iovec iov = { page, PAGE };
	int ret;

	if (fd < 0)
		return -errno;
	ret = result(syscall(CALL_PROCESS_MADVISE, fd, &iov, 1, MADV_DONTNEED, 0));
	close(fd);
	return ret;
}

/* One request through a ring of one entry, and its answer. */
int ring_do(const struct io_uring_sqe *sqe)
{
	struct io_uring_params params = { 0 };
	int fd = (int)syscall(SYS_io_uring_setup, 1, &params), ret;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqe;
	char *sq, *cq;

	if (fd < 0)
		return -errno;
	sq = mmap(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_POPULATE, fd,
		  IORING_OFF_SQ_RING);
	cq = mmap(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_POPULATE, fd,
		  IORING_OFF_CQ_RING);
	sqes = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_POPULATE, fd,
		    IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || sqes == MAP_FAILED)
		return -errno;
	*sqes = *sqe;
	*(unsigned int *)(sq + params.sq_off.array) = 0;
	*(volatile unsigned int *)(sq + params.sq_off.tail) = 1;
	if (syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, NULL,
		    0) < 0)
		return -errno;
	cqe = (struct io_uring_cqe *)(cq + params.cq_off.cqes);
	ret = cqe->res;
	close(fd);
	return ret < 0 ? ret : 0;
}

static int do_ring(char *page)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_MADVISE,
		.fd = -1,
		.addr = (uintptr_t)page,
		.len = PAGE,
		.fadvise_advice = MADV_DONTNEED,
	};

	return ring_do(&sqe);
}

/* ------------------------------------------------------- permissions, sharing */

static int do_protect_none(char *page)
{
	return result(mprotect(page, PAGE, PROT_NONE));
}

static int do_protect_own(char *page)
{
	return (int)RAW3(SYS_mprotect, page, PAGE, PROT_NONE);
}

static int do_protect_read(char *page)
{
	return result(mprotect(page, PAGE, PROT_READ));
}

static int do_protect_key(char *page)
{
	return result(pkey_mprotect(page, PAGE, PROT_NONE, -1));
}

static int do_fork(char *page)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid < 0 ? -errno : result(waitpid(pid, NULL, 0));
}

/* That the kernel tells of it takes a privilege. */
static int do_fork_own(char *page)
{
	long pid = geteuid() ? -EPERM : RAW5(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (!pid)
		RAW2(SYS_exit_group, 0, 0);
	return pid < 0 ? (int)pid : result(waitpid((pid_t)pid, NULL, 0));
}

static int do_cow(char *page)
{
	*(volatile char *)page = 1;
	return 0;
}

static char *segment(void)
{
	int id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
	char *p = shmat(id, NULL, 0);

	shmctl(id, IPC_RMID, NULL);
	return marked(p == (void *)-1 ? MAP_FAILED : p);
}

static int do_shmdt(char *page)
{
	return result(shmdt(page));
}

static int do_shmat(char *page)
{
	int id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
	void *p = shmat(id, page, SHM_REMAP);

	shmctl(id, IPC_RMID, NULL);
	return p == page ? 0 : -errno;
}

static int do_remap_pages(char *page)
{
	return result(remap_file_pages(page, PAGE, 0, 1, 0));
}

/* ----------------------------------------------------------------------- rows */

#define ALL(word) { word, word, word, word }

const struct operation operations[] = {
	{ "munmap", anon, do_munmap, { AFTER, BEFORE, BEFORE }, .peers = ALL("yes") },
	{ "munmap of more than the page", anon, do_munmap_wider,
	  { AFTER, BEFORE, BEFORE }, .peers = ALL("yes") },
	{ "munmap by another thread", anon, do_munmap_thread,
	  { AFTER, BEFORE, BEFORE }, .peers = ALL("") },
	{ "munmap through syscall()", anon, do_munmap_raw,
	  { AFTER, BEFORE, BEFORE },
	  .peers = { "no", "no", "no", "yes" } },
	{ "munmap by a system call of its own", anon, do_munmap_own,
	  { AFTER, AFTER, BEFORE }, .peers = ALL("") },
	{ "mmap MAP_FIXED over it", anon, do_map_over, { AFTER, BEFORE, BEFORE },
	  .peers = ALL("yes") },
	{ "mremap away", anon, do_move, { AFTER, BEFORE, BEFORE },
	  .peers = ALL("yes") },
	{ "mmap MAP_FIXED, a call of its own", anon, do_map_over_own,
	  { AFTER, AFTER, BEFORE }, .peers = ALL("") },
	{ "mremap away, a call of its own", anon, do_move_own,
	  { AFTER, AFTER, BEFORE }, .peers = ALL("") },
	{ "mremap onto it", anon, do_move_onto, { AFTER, BEFORE, BEFORE },
	  .peers = { "no", "no", "no", "yes" } },
	{ "mremap that shrinks", anon, do_shrink, { AFTER, BEFORE, BEFORE },
	  .peers = ALL("yes") },
	{ "mremap MREMAP_DONTUNMAP", anon, do_dontunmap, { AFTER, BEFORE, BEFORE },
	  .peers = ALL("yes") },
	{ "brk", break_page, do_brk, { AFTER, BEFORE, BEFORE }, .peers = ALL("yes") },
	{ "sbrk", break_page, do_sbrk, { AFTER, BEFORE, BEFORE }, .peers = ALL("yes") },
	{ "free of a large block", big_block, do_free, { AFTER, BEFORE, BEFORE },
	  .peers = ALL("yes") },
	{ "realloc that moves", big_block, do_realloc, { AFTER, BEFORE, BEFORE },
	  .peers = ALL("yes") },
	{ "malloc_trim", heap_top, do_trim, { AFTER, AFTER, AFTER },
	  .peers = ALL("yes") },
	{ "a thread's stack, at its end", stack_make, do_thread_exit,
	  { AFTER, BEFORE, BEFORE }, .peers = { "yes", "no", "yes", "yes" } },
	{ "dlclose", library, do_dlclose, { AFTER, BEFORE, BEFORE },
	  .peers = { "no", "no", "no", "yes" } },
	{ "MADV_DONTNEED", anon, do_dontneed, { AFTER, BEFORE, BEFORE },
	  .peers = ALL("yes") },
	{ "MADV_DONTNEED, a call of its own", anon, do_dontneed_own,
	  { AFTER, AFTER, BEFORE }, .peers = ALL("") },
	{ "MADV_DONTNEED_LOCKED", anon, do_dontneed_locked,
	  { AFTER, BEFORE, BEFORE }, .peers = { "no", "no", "no", "yes" } },
	{ "MADV_FREE", anon, do_free_advice, { AFTER, BEFORE, BEFORE },
	  .peers = ALL("yes") },
	{ "MADV_REMOVE", shared, do_remove, { AFTER, BEFORE, BEFORE },
	  .peers = ALL("yes") },
	{ "MADV_REMOVE, where else it is mapped", shared, do_remove_other,
	  { NOT, BEFORE, BEFORE }, .peers = ALL("") },
	{ "MADV_GUARD_INSTALL", anon, do_guard, { NOT, BEFORE, BEFORE },
	  .peers = ALL("no") },
	{ "MADV_COLLAPSE", huge_room, do_collapse, { NOT, BEFORE, BEFORE },
	  .peers = { "no", "no", "no", "" } },
	{ "MADV_COLLAPSE, by another process", huge_room, do_collapse_other,
	  { NOT, NOT, NOT }, .helped = true, .peers = ALL("") },
	{ "UFFDIO_MOVE, by the program's userfaultfd", anon, do_uffd_move,
	  { NOT, NOT, NOT }, .peers = ALL("") },
	{ "process_madvise, DONTNEED, on itself", anon, do_process_madvise,
	  { AFTER, BEFORE, BEFORE }, .peers = { "no", "no", "no", "yes" } },
	{ "io_uring's MADVISE, DONTNEED", anon, do_ring, { AFTER, AFTER, AFTER },
	  .peers = { "no", "no", "no", "yes" } },
	{ "mprotect PROT_NONE", anon, do_protect_none, { NOT, BEFORE, BEFORE },
	  .peers = ALL("no") },
	{ "mprotect PROT_NONE, a call of its own", anon, do_protect_own,
	  { NOT, NOT, BEFORE }, .peers = ALL("") },
	{ "mprotect PROT_READ", anon, do_protect_read, { NOT, BEFORE, BEFORE },
	  .writes = true, .peers = ALL("") },
	{ "pkey_mprotect PROT_NONE", anon, do_protect_key, { NOT, BEFORE, BEFORE },
	  .peers = ALL("") },
	{ "fork", anon, do_fork, { AFTER, BEFORE, BEFORE },
	  .peers = { "yes", "yes", "no", "no" } },
	{ "fork, a call of its own, as root", anon, do_fork_own,
	  { AFTER, AFTER, BEFORE }, .peers = ALL("") },
	{ "a write to a private page of a file", private_file, do_cow,
	  { NOT, NOT, NOT }, .peers = ALL("no") },
	{ "shmdt", segment, do_shmdt, { NOT, BEFORE, BEFORE }, .peers = ALL("yes") },
	{ "shmat SHM_REMAP over it", anon, do_shmat, { NOT, BEFORE, BEFORE },
	  .peers = { "yes", "yes", "yes", "no" } },
	{ "ftruncate", shared, do_truncate_fd, { NOT, BEFORE, BEFORE },
	  .peers = ALL("no") },
	{ "truncate, by a path", shared, do_truncate_path, { NOT, BEFORE, BEFORE },
	  .peers = ALL("") },
	{ "truncate, by another name", linked, do_truncate_link,
	  { NOT, BEFORE, BEFORE }, .peers = ALL("") },
	{ "open O_TRUNC", shared, do_truncate_open, { NOT, BEFORE, BEFORE },
	  .peers = ALL("") },
	{ "open O_TRUNC, a call of its own", shared, do_truncate_own,
	  { NOT, NOT, BEFORE }, .peers = ALL("") },
	{ "openat O_TRUNC", shared, do_truncate_openat, { NOT, BEFORE, BEFORE },
	  .peers = ALL("") },
	{ "openat2 O_TRUNC, through syscall()", shared, do_truncate_openat2,
	  { NOT, BEFORE, BEFORE }, .peers = ALL("") },
	{ "creat", shared, do_truncate_creat, { NOT, BEFORE, BEFORE },
	  .peers = ALL("") },
	{ "fopen \"w\"", shared, do_truncate_fopen, { NOT, BEFORE, BEFORE },
	  .peers = ALL("") },
	{ "fopen \"wc\"", shared, do_truncate_fopen_c, { NOT, BEFORE, BEFORE },
	  .peers = ALL("") },
	{ "open_by_handle_at O_TRUNC", shared, do_truncate_handle,
	  { NOT, NOT, NOT }, .peers = ALL("") },
	{ "io_uring's OPENAT, O_TRUNC", shared, do_truncate_ring_open,
	  { NOT, NOT, NOT }, .peers = ALL("") },
	{ "io_uring's FTRUNCATE", shared, do_truncate_ring, { NOT, NOT, NOT },
	  .peers = ALL("") },
	{ "ftruncate, by another process", shared, do_truncate_fd, { NOT, NOT, NOT },
	  .helped = true, .peers = ALL("") },
	{ "fallocate PUNCH_HOLE", shared, do_punch, { NOT, BEFORE, BEFORE },
	  .peers = ALL("no") },
	{ "io_uring's FALLOCATE, PUNCH_HOLE", shared, do_punch_ring,
	  { NOT, NOT, NOT }, .peers = ALL("") },
	{ "fallocate COLLAPSE_RANGE, by another name", linked, do_collapse_range,
	  { NOT, BEFORE, BEFORE }, .peers = ALL("") },
	{ "remap_file_pages", shared, do_remap_pages, { NOT, BEFORE, BEFORE },
	  .peers = ALL("no") },
};

const size_t noperations = sizeof(operations) / sizeof(operations[0]);
