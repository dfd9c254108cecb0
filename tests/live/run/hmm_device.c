/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A program for the device that Linux tests HMM with: it knows the files and
 * the ioctl, and nothing of this library. hmm_device DEVICE [newest]. TAP out.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct command {
	uint64_t addr, ptr, npages, cpages, faults;
};

#define REQUEST(n) _IOWR('H', n, struct command)
enum {
	READ, WRITE, TO_DEV, TO_SYS, SNAPSHOT, EXCLUSIVE, CHECK_EXCLUSIVE,
	RELEASE, FLAGS, READ_UNLOCKED,
};

#define PAGE 4096UL
#define PAGES 256UL
#define BYTES (PAGES * PAGE)
#define PROT_BYTE_WRITE 2
#define PROT_BYTE_READ 1
#define PROT_BYTE_ERROR 0xff
#define PROT_BYTE_ZERO 0x10
#define PROT_BYTE_LOCAL 0x40
#define PROT_BYTE_REMOTE 0x50

static const char *path;
static struct command done;
static int number;

static char *buffer(int flags)
{
	char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		       flags | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(99);
	madvise(p, BYTES, MADV_NOHUGEPAGE);
	return p;
}

static int command(int fd, int nr, void *addr, void *ptr, uint64_t npages)
{
	struct command c = { (uintptr_t)addr, (uintptr_t)ptr, npages, 0, 0 };
	int ret = ioctl(fd, REQUEST(nr), &c);

	done = c;
	return ret ? errno : 0;
}

static void say(const char *name, int ok)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++number, name);
}

static void skip(const char *name, const char *why)
{
	printf("ok %d - %s # SKIP %s\n", ++number, name, why);
}

static void fill(char *p, char mark)
{
	for (size_t i = 0; i < BYTES; i++)
		p[i] = (char)(i / PAGE * 7 + i + (size_t)mark);
}

/* ------------------------------------------------------------------- the cases */

static void reads(int fd)
{
	char *from = buffer(MAP_PRIVATE), *to = buffer(MAP_PRIVATE);

	fill(from, 3);
	say("read", !command(fd, READ, from, to, PAGES) &&
	    done.cpages == PAGES && done.faults == 1 &&
	    !memcmp(from, to, BYTES));
	/* It is in the mirror now, until it changes. */
	say("read again", !command(fd, READ, from, to, PAGES) &&
	    done.faults == 0);
	munmap(from, BYTES);
	from = mmap(from, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		    MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	fill(from, 9);
	say("read what is there instead", !command(fd, READ, from, to, PAGES) &&
	    done.faults == 1 && !memcmp(from, to, BYTES));
	mprotect(from, BYTES, PROT_NONE);
	say("read without permission", command(fd, READ, from, to, PAGES) ==
					       EFAULT);
	munmap(from, BYTES);
	say("read of nothing", command(fd, READ, from, to, PAGES) == EFAULT);
	munmap(to, BYTES);
}

static void writes(int fd)
{
	char *from = buffer(MAP_PRIVATE), *to = buffer(MAP_PRIVATE);

	fill(from, 5);
	say("write", !command(fd, WRITE, to, from, PAGES) &&
	    done.cpages == PAGES && done.faults == 1 &&
	    !memcmp(from, to, BYTES));
	memset(to, 1, BYTES);
	mprotect(to, BYTES, PROT_READ);
	say("write to what is read only",
	    command(fd, WRITE, to, from, PAGES) == EPERM && to[9] == 1);
	mprotect(to, BYTES, PROT_READ | PROT_WRITE);
	say("write when it may be", !command(fd, WRITE, to, from, PAGES) &&
	    done.faults == 1 && !memcmp(from, to, BYTES));
	munmap(from, BYTES);
	munmap(to, BYTES);
}

static void arguments(int fd)
{
	char *p = buffer(MAP_PRIVATE);

	say("no pages", command(fd, READ, p, p, 0) == EINVAL);
	say("not a page", command(fd, READ, p + 8, p, 1) == EINVAL);
	say("no such command", command(fd, 77, p, p, 1) == EINVAL);
	say("no command of its own", ioctl(fd, TIOCGWINSZ, p) &&
				     errno == EINVAL);
	say("no argument", ioctl(fd, REQUEST(READ), NULL) && errno == EFAULT);
	p[0] = 4;
	say("nowhere to put it", command(fd, READ, p, (void *)8, 1) == EFAULT);
	munmap(p, BYTES);
}

static void snapshot(int fd)
{
	unsigned char prot[8];
	char *p = buffer(MAP_PRIVATE);

	memset(p + 2 * PAGE, 1, 3 * PAGE);
	mprotect(p, PAGE, PROT_NONE);
	munmap(p + PAGE, PAGE);
	mprotect(p + 3 * PAGE, PAGE, PROT_READ);
	mprotect(p + 5 * PAGE, PAGE, PROT_READ);
	if (*(volatile char *)(p + 5 * PAGE))
		exit(98);
	say("snapshot", !command(fd, SNAPSHOT, p, prot, 6) &&
	    done.cpages == 6 && prot[0] == PROT_BYTE_ERROR &&
	    prot[1] == PROT_BYTE_ERROR && prot[2] == PROT_BYTE_WRITE &&
	    prot[3] == PROT_BYTE_READ && prot[4] == PROT_BYTE_WRITE &&
	    /* Some kernels give each page that is read a frame. */
	    (prot[5] & ~PROT_BYTE_ZERO) == PROT_BYTE_READ);
	munmap(p, BYTES);
}

static void mapped(int fd)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	unsigned char prot = 0;

	say("the device, mapped", p != MAP_FAILED &&
	    !command(fd, SNAPSHOT, p, &prot, 1) && prot == PROT_BYTE_READ);
}

static void *unmap_half(void *p)
{
	usleep((useconds_t)(rand() % 400));
	munmap((char *)p + BYTES / 2, BYTES / 2);
	return NULL;
}

/* All of it, or an error; never what was there before. */
static void teardown(int fd)
{
	char *to = buffer(MAP_PRIVATE);
	int bad = 0, whole = 0;
	pthread_t thread;

	for (int i = 0; i < 40; i++) {
		char *from = buffer(MAP_PRIVATE);

		fill(from, (char)i);
		memset(to, 0, BYTES);
		pthread_create(&thread, NULL, unmap_half, from);
		if (!command(fd, READ, from, to, PAGES)) {
			whole++;
			for (size_t k = 0; k < BYTES; k++)
				bad += to[k] != (char)(k / PAGE * 7 + k +
						       (size_t)(char)i);
		}
		pthread_join(thread, NULL);
		munmap(from, BYTES / 2);
	}
	printf("# %d of 40 were read whole\n", whole);
	say("read while it is unmapped", !bad);
	munmap(to, BYTES);
}

static void forked(int fd, int flags, const char *name)
{
	char *p = buffer(flags), *from = buffer(MAP_PRIVATE);
	int status = 0, shared = flags & MAP_SHARED;

	memset(p, 1, BYTES);
	fill(from, 6);
	fflush(stdout);
	if (!fork()) {
		fd = open(path, O_RDWR);
		_exit(fd < 0 || command(fd, WRITE, p, from, PAGES) ||
		      memcmp(p, from, BYTES));
	}
	wait(&status);
	say(name, !status && (shared ? !memcmp(p, from, BYTES) :
				       p[0] == 1 && p[BYTES - 1] == 1));
	munmap(p, BYTES);
	munmap(from, BYTES);
}

static void files(int fd)
{
	char *p = buffer(MAP_PRIVATE), to[PAGE];
	int two = dup(fd), three = open(path, O_RDWR | O_CLOEXEC);

	p[5] = 42;
	say("duplicated", two >= 0 && !command(two, READ, p, to, 1) &&
	    to[5] == 42);
	close(two);
	say("and one closed", !command(fd, READ, p, to, 1) &&
	    command(two, READ, p, to, 1) == EBADF);
	say("opened twice", three >= 0 && !command(three, READ, p, to, 1) &&
	    fcntl(three, F_GETFD) == FD_CLOEXEC);
	close(three);
	say("no such device", open("/dev/hmm_dmirror4", O_RDWR) < 0 &&
	    errno == ENOENT);
	munmap(p, BYTES);
}

/* All of @p has gone to it, and all of it is there still. */
static void coherent(int fd, char *p, char *want)
{
	char *to = buffer(MAP_PRIVATE);
	unsigned char prot[64];
	int other, all = 1;

	say("snapshot of what is there", !command(fd, SNAPSHOT, p, prot, 64));
	for (int i = 0; i < 64; i++)
		all &= prot[i] == (PROT_BYTE_LOCAL | PROT_BYTE_WRITE);
	other = open(path[strlen(path) - 1] == '2' ? "/dev/hmm_dmirror3" :
						      "/dev/hmm_dmirror2",
		     O_RDWR);
	say("and for another device", !command(other, SNAPSHOT, p, prot, 64));
	for (int i = 0; i < 64; i++)
		all &= prot[i] == (PROT_BYTE_REMOTE | PROT_BYTE_WRITE);
	say("it is the device's, before and behind a touch", all);
	p[7] = want[7] = 77;
	say("a CPU writes to it", !command(fd, READ, p, to, PAGES) &&
	    done.faults == 0 && !memcmp(to, want, BYTES));
	fill(to, 11);
	fill(want, 11);
	say("the device does", !command(fd, WRITE, p, to, PAGES) &&
	    done.faults == 0 && !memcmp(p, want, BYTES));
	say("another device reads it", !command(other, READ, p, to, PAGES) &&
	    !memcmp(to, want, BYTES));
	close(other);
	say("home", !command(fd, TO_SYS, p, NULL, PAGES) &&
	    done.cpages == PAGES && !memcmp(p, want, BYTES));
	say("and there again", !command(fd, TO_DEV, p, to, PAGES) &&
	    !memcmp(to, want, BYTES) && !memcmp(p, want, BYTES));
	munmap(to, BYTES);
}

/* Where pages cannot move the device says so, and nothing is lost. */
static void moved(int fd)
{
	char *p = buffer(MAP_PRIVATE), *to = buffer(MAP_PRIVATE);
	char *want = buffer(MAP_PRIVATE);
	int ret;

	fill(p, 8);
	fill(want, 8);
	ret = command(fd, TO_DEV, p, to, PAGES);
	if (ret == EOPNOTSUPP)
		skip("migrate", "pages do not move here");
	else
		say("migrate", !ret && done.cpages == PAGES &&
		    !memcmp(to, want, BYTES) && !memcmp(p, want, BYTES));
	say("nothing is lost", !memcmp(p, want, BYTES));
	if (!ret && strchr("23", path[strlen(path) - 1]))
		coherent(fd, p, want);
	ret = command(fd, EXCLUSIVE, p, to, PAGES);
	if (ret == EOPNOTSUPP) {
		skip("exclusive", "pages are not taken from CPUs here");
	} else {
		p[3]++;
		want[3]++;
		say("exclusive", !ret && !memcmp(p, want, BYTES) &&
		    !command(fd, CHECK_EXCLUSIVE, p, NULL, 1));
	}
	say("release", !command(fd, RELEASE, p, NULL, 1) &&
	    !memcmp(p, want, BYTES));
	munmap(p, BYTES);
	munmap(to, BYTES);
	munmap(want, BYTES);
}

static void levels(int fd, int newest)
{
	char *p = buffer(MAP_PRIVATE), to[PAGE];

	p[1] = 17;
	say("read unlocked", newest ?
	    !command(fd, READ_UNLOCKED, p, to, 1) && to[1] == 17 :
	    command(fd, READ_UNLOCKED, p, to, 1) == EINVAL);
	say("flags", command(fd, FLAGS, p, to, 1) == (newest ? 0 : EINVAL));
	munmap(p, BYTES);
}

int main(int argc, char **argv)
{
	int fd;

	path = argv[1];
	fd = open(path, O_RDWR);
	if (fd < 0) {
		perror(path);
		return 2;
	}
	reads(fd);
	writes(fd);
	arguments(fd);
	snapshot(fd);
	mapped(fd);
	teardown(fd);
	forked(fd, MAP_PRIVATE, "write in a child");
	forked(fd, MAP_SHARED, "write in a child, to shared memory");
	files(fd);
	moved(fd);
	levels(fd, argc > 2);
	close(fd);
	printf("1..%d\n", number);
	return 0;
}
