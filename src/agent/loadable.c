/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Which programs can have an agent: those that ld.so loads, and that it loads
 * what LD_PRELOAD names for.
 */
#include "loadable.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPT_DEPTH 4
#define SCRIPT_LINE 256

bool loadable_find(const char *name, char *path)
{
	const char *dirs = getenv("PATH");
	struct stat st;
	size_t n;

	if (strchr(name, '/')) {
		snprintf(path, PATH_MAX, "%s", name);
		return !access(path, F_OK);
	}
	for (dirs = dirs ? dirs : "/bin:/usr/bin"; *dirs; dirs += n) {
		dirs += *dirs == ':';
		n = strcspn(dirs, ":");
		snprintf(path, PATH_MAX, "%.*s%s%s", (int)n, dirs,
			 n ? "/" : "", name);
		if (!stat(path, &st) && S_ISREG(st.st_mode) &&
		    !access(path, X_OK))
			return true;
		if (!dirs[n])
			break;
	}
	return false;
}

/* Privileges that exec() gives make ld.so ignore LD_PRELOAD. */
static const char *privileged(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return NULL;
	if (st.st_mode & S_ISUID && st.st_uid != geteuid())
		return "it is set-user-ID, and ld.so preloads nothing into such";
	if (st.st_mode & S_ISGID && st.st_gid != getegid())
		return "it is set-group-ID, and ld.so preloads nothing into such";
	if (getxattr(path, "security.capability", NULL, 0) > 0 && geteuid())
		return "it has file capabilities, and ld.so preloads nothing into such";
	return NULL;
}

/* NULL: ld.so would load it. */
static const char *elf_refusal(int fd)
{
	static const unsigned char want[] = {
		ELFMAG0, 'E', 'L', 'F', ELFCLASS64,
	};
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;

	if (pread(fd, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr) ||
	    memcmp(ehdr.e_ident, want, sizeof(want)))
		return "it is not a 64-bit ELF program";
	for (int i = 0; i < ehdr.e_phnum; i++) {
		if (pread(fd, &phdr, sizeof(phdr),
			  (off_t)(ehdr.e_phoff + (unsigned int)i * sizeof(phdr))) !=
		    sizeof(phdr))
			break;
		if (phdr.p_type == PT_INTERP)
			return NULL;
	}
	return "it is statically linked: there is no ld.so to preload anything";
}

/* The interpreter in the first line of a script. */
static bool script_interpreter(int fd, char *path)
{
	char line[SCRIPT_LINE];
	ssize_t got = pread(fd, line, sizeof(line) - 1, 0);
	size_t n;

	if (got < 2 || strncmp(line, "#!", 2))
		return false;
	line[got] = '\0';
	n = 2 + strspn(line + 2, " \t");
	snprintf(path, PATH_MAX, "%.*s", (int)strcspn(line + n, " \t\n"),
		 line + n);
	return true;
}

const char *loadable_refusal(char *path)
{
	const char *why = NULL;
	bool script = true;
	int fd;

	for (int i = 0; script && i < SCRIPT_DEPTH; i++) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return NULL;
		why = privileged(path);
		script = !why && script_interpreter(fd, path);
		if (!why && !script)
			why = elf_refusal(fd);
		close(fd);
	}
	return why;
}
