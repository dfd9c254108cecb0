/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the program starts is looked at, for what ld.so preloads nothing into: the
 * summary is to say that it ran, and that nobody saw what it did. Where libc starts a
 * program by itself, as in system(), that is a shell with this environment.
 */
#include "starts.h"

#include <alloca.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "board.h"
#include "loadable.h"

#define EXPORT __attribute__((visibility("default")))

typedef int (*exec_fn)(const char *path, char *const argv[]);
typedef int (*exec_env_fn)(const char *path, char *const argv[],
			   char *const env[]);
typedef int (*spawn_fn)(pid_t *pid, const char *path,
			const posix_spawn_file_actions_t *actions,
			const posix_spawnattr_t *attr, char *const argv[],
			char *const env[]);

EXPORT int execv(const char *path, char *const argv[]);
EXPORT int execvp(const char *name, char *const argv[]);
EXPORT int execve(const char *path, char *const argv[], char *const env[]);
EXPORT int execvpe(const char *name, char *const argv[], char *const env[]);
EXPORT int execl(const char *path, const char *arg, ...);
EXPORT int execlp(const char *name, const char *arg, ...);
EXPORT int execle(const char *path, const char *arg, ...);
EXPORT int posix_spawn(pid_t *pid, const char *path,
		       const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attr, char *const argv[],
		       char *const env[]);
EXPORT int posix_spawnp(pid_t *pid, const char *name,
			const posix_spawn_file_actions_t *actions,
			const posix_spawnattr_t *attr, char *const argv[],
			char *const env[]);

void (*starts_without)(const char *path, const char *why);

static exec_fn next_execv, next_execvp;
static exec_env_fn next_execve, next_execvpe;
static spawn_fn next_spawn, next_spawnp;

static __attribute__((constructor(101))) void find_next(void)
{
	next_execv = (exec_fn)dlsym(RTLD_NEXT, "execv");
	next_execvp = (exec_fn)dlsym(RTLD_NEXT, "execvp");
	next_execve = (exec_env_fn)dlsym(RTLD_NEXT, "execve");
	next_execvpe = (exec_env_fn)dlsym(RTLD_NEXT, "execvpe");
	next_spawn = (spawn_fn)dlsym(RTLD_NEXT, "posix_spawn");
	next_spawnp = (spawn_fn)dlsym(RTLD_NEXT, "posix_spawnp");
}

static bool has(char *const env[], const char *name)
{
	size_t n = strlen(name);

	for (; env && *env; env++)
		if (!strncmp(*env, name, n) && (*env)[n] == '=')
			return true;
	return false;
}

/* What is not, exec() refuses, and a shell reads it by itself. */
static bool is_program(const char *path)
{
	char magic[SELFMAG];
	int fd = access(path, X_OK) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	bool is = fd >= 0 && read(fd, magic, SELFMAG) == SELFMAG &&
		  !memcmp(magic, ELFMAG, SELFMAG);

	if (fd >= 0)
		close(fd);
	return is;
}

static void look(const char *name, char *const env[])
{
	char path[PATH_MAX];
	int saved = errno;
	const char *why;

	/* A constructor of the program's may come before ours. */
	if (!next_execve)
		find_next();
	if (!starts_without || !name || !loadable_find(name, path))
		return;
	why = loadable_refusal(path);
	if (!why && !(has(env, "LD_PRELOAD") && has(env, BOARD_ENV)))
		why = "it was started without LD_PRELOAD";
	if (why && is_program(path))
		starts_without(name, why);
	errno = saved;
}

static int none(void)
{
	errno = ENOSYS;
	return -1;
}

int execv(const char *path, char *const argv[])
{
	look(path, environ);
	return next_execv ? next_execv(path, argv) : none();
}

int execvp(const char *name, char *const argv[])
{
	look(name, environ);
	return next_execvp ? next_execvp(name, argv) : none();
}

int execve(const char *path, char *const argv[], char *const env[])
{
	look(path, env);
	return next_execve ? next_execve(path, argv, env) : none();
}

int execvpe(const char *name, char *const argv[], char *const env[])
{
	look(name, env);
	return next_execvpe ? next_execvpe(name, argv, env) : none();
}

/*
 * By @exec, what is listed from @arg on, behind which there may be an environment.
 * On the stack, as in libc: it may be a child that shares all memory.
 */
static int exec_list(exec_env_fn exec, const char *name, const char *arg,
		     va_list list, bool with_env)
{
	size_t n = 1;
	va_list again;
	char **argv;

	va_copy(again, list);
	for (const char *next = arg; next; next = va_arg(again, const char *))
		n++;
	va_end(again);
	argv = alloca(n * sizeof(*argv));
	argv[0] = (char *)arg;
	for (size_t i = 1; i < n; i++)
		argv[i] = va_arg(list, char *);
	return exec(name, argv, with_env ? va_arg(list, char **) : environ);
}

int execl(const char *path, const char *arg, ...)
{
	va_list list;
	int ret;

	va_start(list, arg);
	ret = exec_list(execve, path, arg, list, false);
	va_end(list);
	return ret;
}

int execlp(const char *name, const char *arg, ...)
{
	va_list list;
	int ret;

	va_start(list, arg);
	ret = exec_list(execvpe, name, arg, list, false);
	va_end(list);
	return ret;
}

int execle(const char *path, const char *arg, ...)
{
	va_list list;
	int ret;

	va_start(list, arg);
	ret = exec_list(execve, path, arg, list, true);
	va_end(list);
	return ret;
}

int posix_spawn(pid_t *pid, const char *path,
		const posix_spawn_file_actions_t *actions,
		const posix_spawnattr_t *attr, char *const argv[],
		char *const env[])
{
	look(path, env);
	return next_spawn ? next_spawn(pid, path, actions, attr, argv, env) :
			    ENOSYS;
}

int posix_spawnp(pid_t *pid, const char *name,
		 const posix_spawn_file_actions_t *actions,
		 const posix_spawnattr_t *attr, char *const argv[],
		 char *const env[])
{
	look(name, env);
	return next_spawnp ? next_spawnp(pid, name, actions, attr, argv, env) :
			     ENOSYS;
}
