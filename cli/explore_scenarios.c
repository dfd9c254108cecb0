/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Where scenarios come from: the object that belongs to the tool, and those that
 * the user names.
 */
#include <link.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explore.h"

/* The object in the folder of the build, or where it is installed. */
static const char *object(void)
{
	static char path[PATH_MAX];
	static const char beside[] = "/scenarios/scenarios.so";
	ssize_t n = readlink("/proc/self/exe", path,
			     sizeof(path) - sizeof(beside));

	if (n > 0) {
		path[n] = '\0';
		strcpy(strrchr(path, '/'), beside);
		if (!access(path, R_OK))
			return path;
	}
	return UHMM_SCENARIOS;
}

bool scenarios_load(void)
{
	char error[300];

	if (!explore_load(object(), error, sizeof(error)))
		return true;
	fprintf(stderr, "uhmm: %s\n", error);
	return false;
}

struct uhmm_scenario *scenarios_named(const char *what, const char *name)
{
	struct uhmm_scenario *scenario;
	char error[300];

	if (!strchr(what, '/')) {
		if (!scenarios_load())
			return NULL;
		scenario = explore_find(what);
		if (!scenario)
			fprintf(stderr, "uhmm: no scenario '%s'; see 'uhmm "
				"explore --list'\n", what);
		return scenario;
	}
	if (explore_load(what, error, sizeof(error))) {
		fprintf(stderr, "uhmm: %s\n", error);
		return NULL;
	}
	scenario = name ? explore_find(name) : explore_scenarios();
	if (!scenario)
		fprintf(stderr, "uhmm: %s has no scenario%s%s\n", what,
			name ? " " : "", name ? name : "");
	return scenario;
}

const char *scenario_result_name(enum uhmm_result result)
{
	static const char *const names[] = {
		[UHMM_RESULT_NONE] = "-",
		[UHMM_RESULT_NEVER] = "Never",
		[UHMM_RESULT_SOMETIMES] = "Sometimes",
		[UHMM_RESULT_ALWAYS] = "Always",
	};

	return names[result];
}

/* -------------------------------------------------------------- the build id */

struct search {
	uintptr_t addr;
	char *buf;
	size_t size;
};

static void print_id(const struct search *search, const unsigned char *id,
		     size_t n)
{
	size_t i;

	for (i = 0; i < n && 2 * i + 3 <= search->size; i++)
		snprintf(search->buf + 2 * i, 3, "%02x", id[i]);
}

static void find_note(const struct search *search, const char *note, size_t size)
{
	const ElfW(Nhdr) *head;
	size_t name, whole;

	while (size >= sizeof(*head)) {
		head = (const void *)note;
		name = sizeof(*head) + (head->n_namesz + 3) / 4 * 4;
		whole = name + (head->n_descsz + 3) / 4 * 4;
		if (whole > size)
			return;
		if (head->n_type == NT_GNU_BUILD_ID && head->n_namesz == 4 &&
		    !memcmp(note + sizeof(*head), "GNU", 4))
			print_id(search, (const unsigned char *)note + name,
				 head->n_descsz);
		note += whole;
		size -= whole;
	}
}

static int find_object(struct dl_phdr_info *info, size_t size, void *data)
{
	struct search *search = data;
	const ElfW(Phdr) *part;
	bool inside = false;

	for (part = info->dlpi_phdr; part < info->dlpi_phdr + info->dlpi_phnum;
	     part++)
		inside |= part->p_type == PT_LOAD &&
			  search->addr - info->dlpi_addr - part->p_vaddr <
				  part->p_memsz;
	for (part = info->dlpi_phdr;
	     inside && part < info->dlpi_phdr + info->dlpi_phnum; part++)
		if (part->p_type == PT_NOTE)
			find_note(search, (const char *)info->dlpi_addr +
					  part->p_vaddr, part->p_memsz);
	return inside;
}

void scenario_build(const struct uhmm_scenario *scenario, char *buf, size_t size)
{
	struct search search = {
		.addr = (uintptr_t)scenario, .buf = buf, .size = size };

	*buf = '\0';
	dl_iterate_phdr(find_object, &search);
}
