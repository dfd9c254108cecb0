/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Programs of many kinds for `uhmm run`: kinds KIND. What each prints is the same
 * with and without the tool.
 */
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define MIRRORED_US 300000	/* then a device has looked at all memory */

/* Of libc, which has no header for it. */
int capset(cap_user_header_t header, const cap_user_data_t data);

/* A sum over memory that comes and goes. */
static unsigned long churn(unsigned int rounds)
{
	unsigned long sum = 0;
	unsigned char *p;

	for (unsigned int i = 0; i < rounds; i++) {
		size_t size = (1 + i % 7) * 40000;

		p = malloc(size);
		memset(p, (int)i, size);
		for (size_t k = 0; k < size; k += PAGE)
			sum += p[k];
		free(p);
	}
	return sum;
}

static void *churn_thread(void *sum)
{
	*(unsigned long *)sum = churn(60);
	return NULL;
}

static int threads(void)
{
	pthread_t thread[8];
	unsigned long sums[8], all = 0;

	for (int i = 0; i < 8; i++)
		if (pthread_create(&thread[i], NULL, churn_thread, &sums[i]))
			return 1;
	for (int i = 0; i < 8; i++) {
		pthread_join(thread[i], NULL);
		all += sums[i];
	}
	printf("threads %lu\n", all);
	return 3;
}

/* Of a program that is built with a sanitizer. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static int leaks(void)
{
	if (threads() != 3 || !__lsan_do_recoverable_leak_check)
		return 1;
	printf("leaks %d\n", __lsan_do_recoverable_leak_check());
	return threads();
}

#define PERMIT(nr)                                       \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* It ends itself if it makes a call that it does not need. */
static bool restrict_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		PERMIT(SYS_mmap), PERMIT(SYS_munmap), PERMIT(SYS_brk),
		PERMIT(SYS_mprotect), PERMIT(SYS_madvise), PERMIT(SYS_mremap),
		PERMIT(SYS_write), PERMIT(SYS_exit_group),
		PERMIT(SYS_clone), PERMIT(SYS_set_robust_list),
		PERMIT(SYS_wait4), PERMIT(SYS_gettid),
		PERMIT(SYS_rt_sigprocmask),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			SECCOMP_FILTER_FLAG_TSYNC, &program);
}

static int restricted(void)
{
	char text[32];
	int n, status;

	n = snprintf(text, sizeof(text), "restricted %lu\n", churn(50));
	usleep(30000);
	if (!restrict_calls() || churn(50) != churn(50))
		return 1;
	if (!fork())
		_exit(churn(50) ? 6 : 1);
	if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 6)
		return 1;
	return write(1, text, (size_t)n) == n ? 8 : 1;
}

static int reap(pid_t pid)
{
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ?
		       WEXITSTATUS(status) : -1;
}

static __attribute__((noinline)) pid_t vfork_one(char *self, int i)
{
	pid_t pid = vfork();

	if (pid)
		return pid;
	if (i % 4)
		_exit(i);
	execl(self, self, "plain", NULL);
	_exit(100);
}

static int vforks(char *self)
{
	int sum = 0;

	for (int i = 0; i < 20; i++) {
		churn(5);
		sum += reap(vfork_one(self, i));
	}
	printf("vforks %d\n", sum);
	return 4;
}

static int forks(void)
{
	int sum = 0;
	pid_t pid;

	for (int i = 0; i < 20; i++) {
		unsigned long before = churn(3);

		fflush(stdout);
		pid = fork();
		if (!pid)
			_exit(churn(3) == before ? i : 100);
		sum += reap(pid);
	}
	printf("forks %d\n", sum);
	return 5;
}

static void *exec_thread(void *self)
{
	execl(self, self, "plain", NULL);
	return NULL;
}

/* Other threads and their memory end with it. */
static int exec_with_threads(char *self)
{
	pthread_t thread;
	unsigned long sum;

	for (int i = 0; i < 3; i++)
		if (pthread_create(&thread, NULL, churn_thread, &sum))
			return 1;
	if (pthread_create(&thread, NULL, exec_thread, self))
		return 1;
	for (;;)
		churn(1);
}

/* A page is another one at once, and stays it for long enough to be mirrored. */
static int replaces(void)
{
	const size_t pages = 16;
	char *area = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *page;
	unsigned long sum = 0;

	for (unsigned long i = 1; area != MAP_FAILED && i < 1200; i++) {
		page = area + i % pages * PAGE;
		if (mmap(page, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != page)
			return 1;
		*(unsigned long *)(void *)page = i;
		usleep(1000);
		sum += *(unsigned long *)(void *)page;
	}
	printf("replaces %lu\n", sum);
	return 6;
}

/* Pages that two processes have, and nobody writes. */
static int shares(void)
{
	const size_t pages = 512;
	char *p = malloc(pages * PAGE);
	unsigned long sum = 0;
	pid_t pid;

	memset(p, 1, pages * PAGE);
	pid = fork();
	usleep(400000);
	for (size_t i = 0; i < pages; i++)
		sum += (unsigned long)p[i * PAGE];
	if (!pid)
		_exit(0);
	printf("shares %lu %d\n", sum, reap(pid));
	return 8;
}

#define BOUNDARY (256UL << 20)

/* @pages pages, half of them below a boundary of what the library watches at once. */
static char *across(size_t pages)
{
	char *where, *p;

	for (unsigned long at = 1UL << 44; at < 1UL << 45; at += BOUNDARY) {
		where = (char *)at - pages / 2 * PAGE;
		p = mmap(where, pages * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			 0);
		if (p == where)
			return p;
	}
	exit(1);
}

/* Mirrored by halves, and in two processes; then it moves as one. */
static int crosses(void)
{
	const size_t pages = 16, half = pages / 2 * PAGE;
	unsigned long sum = 0;
	int status = 0;
	pid_t pid;
	char *p;

	for (int i = 0; i < 20; i++) {
		p = across(pages);
		memset(p + (i & 1) * half, i, half);
		usleep(5000);
		memset(p + !(i & 1) * half, i + 1, half);
		usleep(5000);
		fflush(stdout);
		pid = fork();
		usleep(5000);
		p = mremap(p, pages * PAGE, 4 * pages * PAGE, MREMAP_MAYMOVE);
		if (p == MAP_FAILED)
			_exit(1);
		sum += (unsigned long)p[0] + (unsigned long)p[2 * half - 1];
		if (!pid)
			_exit(0);
		munmap(p, 4 * pages * PAGE);
		if (waitpid(pid, &status, 0) != pid || status)
			return 1;
	}
	printf("crosses %lu\n", sum);
	return 9;
}

/* Memory that goes without a word where libc is not patched. */
static int segments(void)
{
	const size_t pages = 200;
	unsigned long sum = 0;
	char *p;
	int id;

	for (int i = 0; i < 60; i++) {
		id = shmget(IPC_PRIVATE, pages * PAGE, IPC_CREAT | 0600);
		p = shmat(id, NULL, 0);
		shmctl(id, IPC_RMID, NULL);
		if (p == (void *)-1)
			return 1;
		memset(p, i, pages * PAGE);
		usleep(3000);
		sum += (unsigned long)p[PAGE];
		shmdt(p);
	}
	printf("segments %lu\n", sum);
	return 7;
}

/* The numbers that files get, and what a shell does with its own. */
static int descriptors(void)
{
	int fds[8], status = 1;

	for (int i = 0; i < 8; i++)
		fds[i] = dup(0);
	for (int i = 0; i < 8; i++)
		printf("%d ", fds[i]);
	for (int i = 3; i < 10; i++)
		dup2(0, i);
	usleep(20000);
	printf("descriptors %lu\n", churn(20));
	fflush(stdout);
	if (!fork())
		_exit(dup(0));
	return wait(&status) > 0 ? 10 + WEXITSTATUS(status) : 1;
}

/* As daemons do, and what other programs start. */
static int closes(void)
{
	unsigned long sum = churn(20);

	usleep(20000);
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	for (int i = 0; i < 30; i++) {
		usleep(10000);
		sum += churn(4);
	}
	printf("closes %lu\n", sum);
	return 11;
}

/* A user namespace is only for who has one thread. */
static int namespace(void)
{
	printf("namespace %lu", churn(50));
	printf(" %d", unshare(CLONE_NEWUSER));
	printf(" %lu\n", churn(50));
	return 12;
}

/* Kept, taken up again, and used, by one thread, as who drops some of them does. */
static int privileges(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	int ret[6];

	printf("privileges %lu", churn(50));
	ret[0] = prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
	ret[1] = setresuid(65534, 65534, 65534);
	ret[2] = (int)syscall(SYS_capget, &header, data);
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	ret[3] = capset(&header, data);
	ret[4] = setresgid(65534, 65534, 65534);
	ret[5] = prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0);
	for (int i = 0; i < 6; i++)
		printf(" %d", ret[i]);
	printf(" %lu\n", churn(50));
	return 13;
}

/* Pages that are shared, until they are written: nobody is told of the copies. */
static int copies(void)
{
	const size_t pages = 512;
	char *p = malloc(pages * PAGE);
	pid_t pid;

	memset(p, 1, pages * PAGE);
	pid = fork();
	if (!pid) {
		usleep(900000);
		_exit(0);
	}
	usleep(MIRRORED_US);
	memset(p, 2, pages * PAGE);
	usleep(MIRRORED_US);
	printf("copies %d %d\n", p[0], reap(pid));
	return 15;
}

#define HUGE (2UL << 20)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* What the parent has @at becomes one huge page: it is told of nothing. */
static int collapse(const char *at)
{
	struct iovec all = { (void *)strtoul(at, NULL, 16), HUGE };
	int fd = (int)syscall(SYS_pidfd_open, getppid(), 0);

	usleep(MIRRORED_US);
	return syscall(SYS_process_madvise, fd, &all, 1, MADV_COLLAPSE, 0) ==
			       (long)HUGE ? 0 : 3;
}

static int moves(void)
{
	char *p = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char at[32];
	pid_t pid;
	int ret;

	p += HUGE - (uintptr_t)p % HUGE;
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	for (size_t i = 0; i < HUGE; i++)
		p[i] = (char)(i % 251);
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	snprintf(at, sizeof(at), "%p", (void *)p);
	/* Not fork(), which would have shared them. */
	pid = vfork();
	if (!pid) {
		execl("/proc/self/exe", "kinds", "collapse", at, NULL);
		_exit(1);
	}
	ret = reap(pid);
	usleep(MIRRORED_US);
	for (size_t i = 0; i < HUGE; i++)
		if (p[i] != (char)(i % 251))
			return 1;
	printf("moves %d\n", ret);
	return 16;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* It drops a page, and then is seen in no call and takes no signal. */
static void *drop_and_spin(void *page)
{
	double end = seconds() + 2;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	madvise(page, PAGE, MADV_DONTNEED);
	while (seconds() < end)
		;
	return NULL;
}

static int spins(void)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;

	*p = 1;
	usleep(MIRRORED_US);
	if (pthread_create(&thread, NULL, drop_and_spin, p) ||
	    pthread_join(thread, NULL))
		return 1;
	printf("spins %d\n", *p);
	return 14;
}

static void *outlive(void *unused)
{
	usleep(30000);
	printf("outlives %lu\n", churn(30));
	return NULL;
}

/* It ends with its last thread. */
static int outlives(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, outlive, NULL))
		return 1;
	pthread_exit(NULL);
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "plain";

	if (!strcmp(kind, "plain")) {
		printf("plain %lu\n", churn(50));
		return 2;
	}
	if (!strcmp(kind, "threads"))
		return threads();
	if (!strcmp(kind, "leaks"))
		return leaks();
	if (!strcmp(kind, "restricted"))
		return restricted();
	if (!strcmp(kind, "vforks"))
		return vforks(argv[0]);
	if (!strcmp(kind, "forks"))
		return forks();
	if (!strcmp(kind, "segments"))
		return segments();
	if (!strcmp(kind, "crosses"))
		return crosses();
	if (!strcmp(kind, "shares"))
		return shares();
	if (!strcmp(kind, "namespace"))
		return namespace();
	if (!strcmp(kind, "privileges"))
		return privileges();
	if (!strcmp(kind, "copies"))
		return copies();
	if (!strcmp(kind, "moves"))
		return moves();
	if (!strcmp(kind, "collapse") && argc > 2)
		return collapse(argv[2]);
	if (!strcmp(kind, "spins"))
		return spins();
	if (!strcmp(kind, "descriptors"))
		return descriptors();
	if (!strcmp(kind, "closes"))
		return closes();
	if (!strcmp(kind, "replaces"))
		return replaces();
	if (!strcmp(kind, "outlives"))
		return outlives();
	if (!strcmp(kind, "exec")) {
		churn(20);
		execl(argv[0], argv[0], "plain", NULL);
	}
	if (!strcmp(kind, "exec_threads"))
		return exec_with_threads(argv[0]);
	return 1;
}
