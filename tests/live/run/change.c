/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A program that changes its address space at random, for test_watch.py:
 * change SEED STEPS [raw]. It prints how often it called what, then its areas as
 * the kernel has them. raw: one area goes by a system call that libc does not see.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define AREAS 40

static struct { char *at; size_t pages; } areas[AREAS];
static unsigned int state;
static unsigned long maps, unmaps;

static unsigned int random_below(unsigned int n)
{
	state = state * 1103515245 + 12345;
	return (state >> 16) % n;
}

/* Named: it must be among the call sites. */
static __attribute__((noinline)) char *map_some_pages(size_t pages)
{
	int prot = random_below(4) ? PROT_READ | PROT_WRITE : PROT_READ;
	char *at = mmap(NULL, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);

	maps++;
	return at == MAP_FAILED ? NULL : at;
}

static void unmap(char *at, size_t pages)
{
	unmaps++;
	munmap(at, pages * PAGE);
}

static void raw_munmap(char *at, size_t length)
{
	long ret;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "0"(SYS_munmap), "D"(at), "S"(length)
			 : "rcx", "r11", "memory");
}

static void change(unsigned int i)
{
	static const int prots[] = {
		PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE,
	};
	size_t pages = areas[i].pages, part = 1 + random_below(6);
	char *at = areas[i].at, *to;

	if (!at) {
		areas[i].pages = 1 + random_below(30);
		areas[i].at = map_some_pages(areas[i].pages);
		return;
	}
	part = part < pages ? part : pages;
	switch (random_below(7)) {
	case 0:
		unmap(at, pages);
		areas[i].at = NULL;
		break;
	case 1:
		/* The head goes. */
		unmap(at, part);
		areas[i].at = part < pages ? at + part * PAGE : NULL;
		areas[i].pages = pages - part;
		break;
	case 2:
		mprotect(at, part * PAGE, prots[random_below(3)]);
		break;
	case 3:
		madvise(at, part * PAGE, MADV_DONTNEED);
		break;
	case 4:
		/* Of pieces with several protections it fails. */
		to = mremap(at, pages * PAGE, part * 3 * PAGE, MREMAP_MAYMOVE);
		if (to != MAP_FAILED) {
			areas[i].at = to;
			areas[i].pages = part * 3;
		}
		break;
	case 5:
		mmap(at, part * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS |
		     MAP_FIXED, -1, 0);
		maps++;
		break;
	case 6:
		if (sbrk(random_below(2) ? (long)(part * PAGE) : 0))
			break;
	}
}

static void attach(void)
{
	int id = shmget(IPC_PRIVATE, 3 * PAGE, IPC_CREAT | 0600);
	void *one = shmat(id, NULL, 0), *two = shmat(id, NULL, SHM_RDONLY);

	shmctl(id, IPC_RMID, NULL);
	if (one != (void *)-1 && two != (void *)-1)
		shmdt(one);
}

static void print_areas(void)
{
	int fd = open("/proc/self/maps", O_RDONLY);
	char buffer[4096];
	ssize_t n;

	dprintf(1, "pid %d maps %lu unmaps %lu\n", (int)getpid(), maps, unmaps);
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		if (write(1, buffer, (size_t)n) != n)
			_exit(1);
	close(fd);
}

int main(int argc, char **argv)
{
	unsigned int steps = (unsigned int)atoi(argv[2]);
	pid_t pid;

	state = (unsigned int)atoi(argv[1]);
	attach();
	for (unsigned int i = 0; i < steps; i++)
		change(random_below(AREAS));
	pid = fork();
	if (!pid)
		maps = unmaps = 0;
	for (unsigned int i = 0; i < steps / 4; i++)
		change(random_below(AREAS));
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (argc > 3) {
		char *lost = map_some_pages(5);

		raw_munmap(lost, 5 * PAGE);
	}
	print_areas();
	return 0;
}
