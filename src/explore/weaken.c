/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * --weaken: accesses and fences with a labelled ordering comment, by the line
 * that they are in, made relaxed.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "internal.h"
#include "names.h"

#define MAX_TABLES 8
#define MAX_WEAK 64
#define CACHED 1024

static const struct explore_label *tables[MAX_TABLES];
static unsigned int ntables;
static const struct explore_label *weak[MAX_WEAK];
static unsigned int nweak;

/* What was found out about places in the code. */
static struct {
	const void *pc;
	bool weak;
} cache[CACHED];

void explore_register_labels(const struct explore_label *labels)
{
	if (ntables < MAX_TABLES)
		tables[ntables++] = labels;
}

unsigned int explore_labels(void (*fn)(const char *label, const char *file,
				       int line, void *arg), void *arg)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < ntables; i++)
		for (const struct explore_label *l = tables[i]; l->label; l++) {
			if (fn)
				fn(l->label, l->file, l->first, arg);
			n++;
		}
	return n;
}

static bool take(const char *label, size_t length)
{
	bool found = false;

	for (unsigned int i = 0; i < ntables; i++)
		for (const struct explore_label *l = tables[i]; l->label; l++)
			if (strlen(l->label) == length &&
			    !memcmp(l->label, label, length) &&
			    nweak < MAX_WEAK) {
				weak[nweak++] = l;
				found = true;
			}
	return found;
}

int weaken_parse(const char *labels)
{
	struct names_place place;
	const char *end;

	nweak = 0;
	memset(cache, 0, sizeof(cache));
	x.weaken = labels && *labels;
	if (!x.weaken)
		return 0;
	names_place((const char *)(uintptr_t)x.scenario->run + 1, &place);
	if (!place.line)
		return explore_fail(-EOPNOTSUPP, "there is no debug information, "
				    "by which labels are found");
	for (; *labels; labels = *end ? end + 1 : end) {
		end = strchrnul(labels, ',');
		if (!take(labels, (size_t)(end - labels)))
			return explore_fail(-EINVAL, "no ordering comment has "
					    "the label %.*s",
					    (int)(end - labels), labels);
	}
	return 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

struct question {
	const void *pc;
	struct names_place place;
};

static void *look_up(void *arg)
{
	struct question *question = arg;

	names_place(question->pc, &question->place);
	return NULL;
}

/* libdw takes more stack than what is explored has: it gets one of its own. */
static struct names_place place_of(const void *pc)
{
	struct question question = { .pc = pc };
	pthread_t thread;

	if (!pthread_create(&thread, NULL, look_up, &question))
		pthread_join(thread, NULL);
	return question.place;
}

bool weaken_at(const void *pc)
{
	size_t slot = mix((uintptr_t)pc) % CACHED;
	struct names_place place;

	if (cache[slot].pc == pc)
		return cache[slot].weak;
	cache[slot].pc = pc;
	cache[slot].weak = false;
	place = place_of(pc);
	for (unsigned int i = 0; place.file && i < nweak; i++)
		if (!strcmp(base_name(weak[i]->file), base_name(place.file)) &&
		    (int)place.line >= weak[i]->first &&
		    (int)place.line <= weak[i]->last)
			cache[slot].weak = true;
	return cache[slot].weak;
}
