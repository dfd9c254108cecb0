/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Which programs can have an agent: those that ld.so loads, and that it loads
 * what LD_PRELOAD names for.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "run.h"

#define SCRIPT_DEPTH 4

/* As execvp() does. False: it is nowhere. */
static bool find_file(const char *name, char *path)
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
static const char *elf_refusal(FILE *file)
{
	static const unsigned char want[] = {
		ELFMAG0, 'E', 'L', 'F', ELFCLASS64,
	};
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;

	rewind(file);
	if (fread(&ehdr, sizeof(ehdr), 1, file) != 1 ||
	    memcmp(ehdr.e_ident, want, sizeof(want)))
		return "it is not a 64-bit ELF program";
	for (int i = 0; i < ehdr.e_phnum; i++) {
		if (fseek(file, (long)(ehdr.e_phoff +
				       (unsigned int)i * sizeof(phdr)),
			  SEEK_SET) ||
		    fread(&phdr, sizeof(phdr), 1, file) != 1)
			break;
		if (phdr.p_type == PT_INTERP)
			return NULL;
	}
	return "it is statically linked: there is no ld.so to preload anything";
}

/* The interpreter in the first line of a script. */
static bool script_interpreter(FILE *file, char *path)
{
	char line[256];
	size_t n;

	rewind(file);
	if (!fgets(line, sizeof(line), file) || strncmp(line, "#!", 2))
		return false;
	n = 2 + strspn(line + 2, " \t");
	snprintf(path, PATH_MAX, "%.*s", (int)strcspn(line + n, " \t\n"),
		 line + n);
	return true;
}

bool program_check(const char *name, char *reason, size_t size)
{
	char path[PATH_MAX];
	const char *why = NULL;
	bool script = true;
	FILE *file;

	if (!find_file(name, path)) {
		snprintf(reason, size, "%s: %s", name, strerror(ENOENT));
		return false;
	}
	for (int i = 0; script && i < SCRIPT_DEPTH; i++) {
		file = fopen(path, "re");
		/* exec() has its own words for what cannot be read. */
		if (!file)
			return true;
		why = privileged(path);
		script = !why && script_interpreter(file, path);
		if (!why && !script)
			why = elf_refusal(file);
		fclose(file);
	}
	if (why)
		snprintf(reason, size, "%s: %s", path, why);
	return !why;
}

/* Beside the tool where both were built, else where it was installed. */
const char *program_preload(enum board_device device)
{
	const char *name = device == BOARD_DMIRROR ? "libuhmm-dmirror.so" :
						     "libuhmm-preload.so";
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	char *slash;

	if (n > 0) {
		path[n] = '\0';
		slash = strrchr(path, '/');
		strcpy(slash ? slash + 1 : path, name);
		if (!access(path, R_OK))
			return path;
	}
	snprintf(path, sizeof(path), "%s/%s", UHMM_TOOL_LIBDIR, name);
	return access(path, R_OK) ? NULL : path;
}
