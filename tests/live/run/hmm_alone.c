/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * hmm_alone DEVICE CALL: what a program can do that has one thread, while pages of it
 * are on the device that Linux tests HMM with. TAP out.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL
#define PAGES 64UL
#define BYTES (PAGES * PAGE)

/* Of libc, which has no header for it. */
int capset(cap_user_header_t header, const cap_user_data_t data);

enum { READ, WRITE, TO_DEV };

static int number;

static void say(const char *name, int ok)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++number, name);
}

static int command(int fd, unsigned int nr, const void *addr, void *ptr)
{
	uint64_t c[5] = { (uintptr_t)addr, (uintptr_t)ptr, PAGES };

	return ioctl(fd, _IOWR('H', nr, c), c) ? errno : 0;
}

static int change_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

/* Who has threads that share their folder with it enters none of this kind. */
static int enter_namespace(void)
{
	return setns(open("/proc/self/ns/mnt", O_RDONLY), CLONE_NEWNS);
}

/* One thread has them no more, others would have. */
static int give_up(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return -1;
	data[0].effective &= ~(1U << CAP_SETUID);
	return capset(&header, data) || setresuid(getuid(), getuid(), getuid());
}

static int keep(void)
{
	return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) ||
	       setresuid(getuid(), getuid(), getuid());
}

static const struct call {
	const char *name;
	int (*fn)(void);
} calls[] = {
	{ "unshare", change_namespace },
	{ "setns", enter_namespace },
	{ "capset", give_up },
	{ "keepcaps", keep },
};

static int make(const char *name)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(calls[i].name, name))
			return calls[i].fn();
	return -1;
}

static int same(const char *p, const char *want)
{
	return !memcmp(p, want, BYTES);
}

int main(int argc, char **argv)
{
	int fd = argc > 2 ? open(argv[1], O_RDWR) : -1;
	static char want[BYTES], to[BYTES];
	char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret;

	if (fd < 0 || p == MAP_FAILED)
		return 2;
	for (size_t i = 0; i < BYTES; i++)
		p[i] = want[i] = (char)(i / PAGE * 7 + i);
	say("read", !command(fd, READ, p, to) && same(to, want));
	ret = command(fd, TO_DEV, p, to);
	if (ret == EOPNOTSUPP)
		printf("ok %d - away # SKIP pages do not move here\n", ++number);
	else
		say("away", !ret && same(to, want));
	ret = make(argv[2]);
	say(argv[2], !ret || (errno == EPERM && getuid()));
	say("what was away is home", same(p, want));
	say("the device is gone", command(fd, READ, p, to) == ENODEV);
	say("as it is for who opens one", open(argv[1], O_RDWR) < 0 &&
	    errno == ENOENT);
	say("it can be closed", !close(fd) && same(p, want));
	printf("1..%d\n", number);
	return 0;
}
