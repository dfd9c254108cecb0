/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * storm SECONDS: four threads that change their memory at random, and look
 * whether it holds what they wrote. Each page holds the number of its area and
 * its own. Prints nothing that depends on time.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define THREADS 4
#define AREAS 24
#define MOST 64

struct area {
	char *at;
	unsigned int pages, stamp;
};

struct storm {
	pthread_t thread;
	unsigned int state, stamps;
	struct area areas[AREAS];
};

static time_t end;

static unsigned int below(struct storm *s, unsigned int n)
{
	s->state = s->state * 1103515245 + 12345;
	return (s->state >> 16) % n;
}

static unsigned int *stamp_of(const struct area *a, unsigned int page)
{
	return (unsigned int *)(a->at + page * PAGE);
}

static void fail(const char *what)
{
	printf("%s\n", what);
	exit(1);
}

static void fill(struct area *a, unsigned int from)
{
	for (unsigned int i = from; i < a->pages; i++)
		*stamp_of(a, i) = a->stamp + i;
}

static void check(const struct area *a)
{
	for (unsigned int i = 0; i < a->pages; i++)
		if (*stamp_of(a, i) != a->stamp + i)
			fail("a page holds another's");
}

static void begin(struct storm *s, struct area *a)
{
	a->pages = 1 + below(s, MOST);
	a->stamp = ++s->stamps << 8;
	a->at = mmap(NULL, a->pages * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (a->at == MAP_FAILED)
		fail("no memory");
	fill(a, 0);
}

static void resize(struct storm *s, struct area *a)
{
	unsigned int old = a->pages, pages = 1 + below(s, MOST);

	a->at = mremap(a->at, old * PAGE, pages * PAGE, MREMAP_MAYMOVE);
	if (a->at == MAP_FAILED)
		fail("mremap");
	a->pages = pages;
	if (pages > old)
		fill(a, old);
}

static void drop(struct storm *s, struct area *a)
{
	madvise(a->at, a->pages * PAGE, MADV_DONTNEED);
	for (unsigned int i = 0; i < a->pages; i++)
		if (*stamp_of(a, i))
			fail("a page was not dropped");
	fill(a, 0);
}

static void protect(struct storm *s, struct area *a)
{
	unsigned int n = 1 + below(s, a->pages);

	mprotect(a->at, n * PAGE, PROT_READ);
	check(a);
	mprotect(a->at, n * PAGE, PROT_READ | PROT_WRITE);
	fill(a, 0);
}

static void fork_one(struct area *a)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		check(a);
		a->stamp += 1 << 7;
		fill(a, 0);
		check(a);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		fail("a child");
	check(a);
}

static void step(struct storm *s)
{
	struct area *a = &s->areas[below(s, AREAS)];

	if (!a->at) {
		begin(s, a);
		return;
	}
	check(a);
	switch (below(s, 8)) {
	case 0:
	case 1:
		resize(s, a);
		break;
	case 2:
		drop(s, a);
		break;
	case 3:
		protect(s, a);
		break;
	case 4:
		if (!below(s, 200))
			fork_one(a);
		break;
	default:
		munmap(a->at, a->pages * PAGE);
		a->at = NULL;
	}
}

static void *run(void *arg)
{
	while (time(NULL) < end)
		for (int i = 0; i < 100; i++)
			step(arg);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct storm storms[THREADS];

	end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 1);
	for (unsigned int i = 0; i < THREADS; i++) {
		storms[i].state = i + 1;
		storms[i].stamps = i << 20;
		if (pthread_create(&storms[i].thread, NULL, run, &storms[i]))
			fail("pthread_create");
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(storms[i].thread, NULL);
	printf("each page held what was written\n");
	return 0;
}
