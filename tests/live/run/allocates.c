/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Counts who allocates while its memory changes: allocates [FILE]. It does not do so
 * itself, nor does libc for it; a FILE is opened meanwhile. Prints how often it was
 * done before main(), and then, by any thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define ROUNDS 200
#define RW (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

static unsigned int calls;

static void count(void)
{
	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
}

/* -------------------------------------------------- what all of the process calls */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

void *malloc(size_t size)
{
	count();
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	count();
	return __libc_calloc(n, size);
}

void *realloc(void *block, size_t size)
{
	count();
	return __libc_realloc(block, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	count();
	return __libc_memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
	count();
	*ret = __libc_memalign(alignment, size);
	return *ret ? 0 : ENOMEM;
}

void free(void *block)
{
	if (block)
		count();
	__libc_free(block);
}

/* ------------------------------------------------------------------- what is done */

static void touch(char *p, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		p[i * PAGE] = 1;
}

/* Each of the calls that are announced; long enough for a device to look meanwhile. */
static bool change(void)
{
	char *p = mmap(NULL, 8 * PAGE, RW, ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return false;
	touch(p, 8);
	usleep(1000);
	if (mprotect(p, PAGE, PROT_READ) || mprotect(p, PAGE, RW) ||
	    madvise(p + PAGE, PAGE, MADV_DONTNEED))
		return false;
	p = mremap(p, 8 * PAGE, 16 * PAGE, MREMAP_MAYMOVE);
	if (p == MAP_FAILED || sbrk(PAGE) == (void *)-1)
		return false;
	touch(p, 16);
	usleep(1000);
	sbrk(-(long)PAGE);
	return !munmap(p, 16 * PAGE);
}

static bool fork_one(void)
{
	int status = 1;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return waitpid(pid, &status, 0) == pid && !status;
}

int main(int argc, char **argv)
{
	unsigned int before = calls, begun;
	int fd = -1;

	/* All that the agent begins with is begun. */
	usleep(300000);
	begun = calls;
	for (int i = 0; i < ROUNDS; i++)
		if (!change())
			return 1;
	if (argc > 1)
		fd = open(argv[1], O_RDWR);
	if (!fork_one() || (argc > 1 && fd < 0))
		return 2;
	usleep(50000);
	printf("%u %u\n", before, calls - begun);
	return 0;
}
