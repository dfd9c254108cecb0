/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Who made a call. Where libc's function is nothing but the system call, the
 * first word of the stack is where it returns to. Further callers are words that
 * look like that: they point into code, behind a call. An old one that was left
 * on the stack may be taken for one; it was a caller not long ago.
 *
 * _dl_find_object() takes no lock and allocates nothing (glibc 2.35 and later);
 * without it no places are known. An object that it finds may be in the middle of
 * dlclose(), and be mapped no more: the kernel reads for us what lies there.
 */
#include "watcher.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define OBJECTS 256		/* a process's that are known at a time */
#define WORDS 96		/* of a stack that are looked at */
#define PAGE 4096UL
#define LONGEST_CALL 7
#define HEADERS 16		/* of an object, more than any has */
#define KNOWN 512		/* words that have been looked at */
#define KNOWN_NOT (1UL << 63)

/* As <dlfcn.h> of newer libcs has it. */
struct found_object {
	unsigned long long flags;
	void *start;
	void *end;
	struct link_map *map;
	void *frames;
	unsigned long long reserved[16];
};

/* A mapped object; @start 0: none. */
struct object {
	unsigned long start;
	unsigned long text_start, text_end;
	uint32_t number;
	bool inner;		/* libc, ld.so, the agent */
};

static int (*find_object)(void *address, struct found_object *object);
static struct stream *stream;
static struct object objects[OBJECTS];
static unsigned long known[KNOWN];
static char program[STREAM_NAME];

void site_init(struct stream *to)
{
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	program[n > 0 ? n : 0] = '\0';
	stream = to;
	find_object = dlsym(RTLD_DEFAULT, "_dl_find_object");
}

static bool is_inner(const char *name)
{
	static const char *const names[] = {
		"libc.so", "ld-linux", "ld.so", "libuhmm-preload",
	};
	const char *base = strrchr(name, '/');

	base = base ? base + 1 : name;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(base, names[i], strlen(names[i])))
			return true;
	return false;
}

/* False: not all of it is there any more. */
static bool copy(unsigned long from, void *to, size_t n)
{
	struct iovec here = { to, n }, there = { (void *)from, n };

	return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == (ssize_t)n;
}

/* The headers lie at its start. False: it is not there any more. */
static bool find_text(struct object *object)
{
	unsigned long base = object->start;
	ElfW(Phdr) phdr[HEADERS];
	ElfW(Ehdr) ehdr;
	int n;

	if (!copy(object->start, &ehdr, sizeof(ehdr)) ||
	    memcmp(ehdr.e_ident, ELFMAG, SELFMAG))
		return false;
	n = ehdr.e_phnum < HEADERS ? ehdr.e_phnum : HEADERS;
	if (!copy(object->start + ehdr.e_phoff, phdr, (size_t)n * sizeof(*phdr)))
		return false;
	for (int i = 0; i < n; i++)
		if (phdr[i].p_type == PT_LOAD) {
			base -= phdr[i].p_vaddr & -PAGE;
			break;
		}
	for (int i = 0; i < n; i++) {
		if (phdr[i].p_type != PT_LOAD || !(phdr[i].p_flags & PF_X))
			continue;
		object->text_start = base + phdr[i].p_vaddr;
		object->text_end = object->text_start + phdr[i].p_filesz;
		return true;
	}
	return false;
}

static const struct object *object_at(unsigned long address)
{
	struct found_object found;
	struct object *slot, fresh = { 0 };
	const char *name;

	if (!find_object || find_object((void *)address, &found))
		return NULL;
	fresh.start = (unsigned long)found.start;
	slot = &objects[(fresh.start / PAGE) % OBJECTS];
	if (slot->start == fresh.start)
		return slot;
	if (!find_text(&fresh))
		return NULL;
	name = found.map->l_name && found.map->l_name[0] ?
		       found.map->l_name : program;
	fresh.inner = is_inner(name);
	fresh.number = stream_object(stream, name);
	/* Two threads that write it write the same. */
	slot->start = 0;
	slot->text_start = fresh.text_start;
	slot->text_end = fresh.text_end;
	slot->number = fresh.number;
	slot->inner = fresh.inner;
	slot->start = fresh.start;
	return slot;
}

void site_forget(unsigned long start, unsigned long end)
{
	for (int i = 0; i < OBJECTS; i++)
		if (objects[i].start >= start && objects[i].start < end)
			objects[i].start = 0;
	for (int i = 0; i < KNOWN; i++)
		__atomic_store_n(&known[i], 0, __ATOMIC_RELAXED);
}

/* call rel32; call through a register or memory, with 0 to 4 bytes more. */
static bool is_behind_call(unsigned long address)
{
	unsigned char code[LONGEST_CALL];
	const unsigned char *at = code + LONGEST_CALL;

	if (!copy(address - LONGEST_CALL, code, LONGEST_CALL))
		return false;
	if (at[-5] == 0xe8)
		return true;
	for (int n = 2; n <= LONGEST_CALL; n++)
		if (at[-n] == 0xff && (at[-n + 1] >> 3 & 7) == 2)
			return true;
	return false;
}

/* The same; most have been asked for before. */
static bool behind_call(unsigned long address)
{
	unsigned long *place = &known[address % KNOWN];
	unsigned long answer = __atomic_load_n(place, __ATOMIC_RELAXED);

	if ((answer & ~KNOWN_NOT) != address) {
		answer = address | (is_behind_call(address) ? 0 : KNOWN_NOT);
		__atomic_store_n(place, answer, __ATOMIC_RELAXED);
	}
	return !(answer & KNOWN_NOT);
}

/* NULL: @word is no place that a call returns to. */
static const struct object *returns_to(unsigned long word)
{
	const struct object *object;

	if (word < PAGE || word >> 47)
		return NULL;
	object = object_at(word);
	if (!object || word < object->text_start + LONGEST_CALL ||
	    word >= object->text_end || !behind_call(word))
		return NULL;
	return object;
}

static uint64_t place(const struct object *object, unsigned long address)
{
	return (uint64_t)object->number << 48 | (address - object->start);
}

/* How many words there are: a stack may end before the page does. */
static size_t read_stack(const unsigned long *stack, unsigned long *words)
{
	struct iovec to = { words, WORDS * sizeof(*words) };
	struct iovec from[2] = { { (void *)stack, to.iov_len } };
	unsigned long left = PAGE - (unsigned long)stack % PAGE;
	ssize_t n;

	if (left >= to.iov_len) {
		memcpy(words, stack, to.iov_len);
		return WORDS;
	}
	from[0].iov_len = left;
	from[1] = (struct iovec){ (char *)stack + left, to.iov_len - left };
	n = process_vm_readv(getpid(), &to, 1, from, 2, 0);
	return n < 0 ? 0 : (size_t)n / sizeof(*words);
}

void site_find(const unsigned long *stack, uint64_t *ret_site,
	       uint64_t *ret_caller)
{
	const struct object *object;
	unsigned long words[WORDS];
	size_t n;

	*ret_site = *ret_caller = 0;
	if (!find_object || !stack)
		return;
	n = read_stack(stack, words);
	for (size_t i = 0; i < n && !*ret_caller; i++) {
		object = returns_to(words[i]);
		if (!object)
			continue;
		if (!*ret_site)
			*ret_site = place(object, words[i]);
		if (!object->inner)
			*ret_caller = place(object, words[i]);
	}
}
