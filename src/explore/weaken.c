/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * --weaken: accesses and fences with a labelled ordering comment, by the line
 * that they are in, made relaxed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "names.h"

#define MAX_TABLES 8
#define MAX_WEAK 64
#define MAX_SPANS 2048

static const struct explore_label *tables[MAX_TABLES];
static unsigned int ntables;
static const struct explore_label *weak[MAX_WEAK];
static unsigned int nweak;

/* The code of what is weak, inlined as it is in many places; by address. */
static struct span {
	uintptr_t from, to;
} spans[MAX_SPANS];
static unsigned int nspans;

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

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void add_code(const struct names_code *code, void *arg)
{
	const char *file = base_name(code->path);

	for (unsigned int i = 0; i < nweak && nspans < MAX_SPANS; i++)
		if ((int)code->line >= weak[i]->first &&
		    (int)code->line <= weak[i]->last &&
		    !strcmp(base_name(weak[i]->file), file)) {
			spans[nspans++] = (struct span){ code->from, code->to };
			return;
		}
}

static int compare(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

int weaken_parse(const char *labels)
{
	const char *end;

	nweak = nspans = 0;
	x.weaken = labels && *labels;
	if (!x.weaken)
		return 0;
	for (; *labels; labels = *end ? end + 1 : end) {
		end = strchrnul(labels, ',');
		if (!take(labels, (size_t)(end - labels)))
			return explore_fail(-EINVAL, "no ordering comment has "
					    "the label %.*s",
					    (int)(end - labels), labels);
	}
	if (!names_code((const void *)(uintptr_t)x.scenario->run, add_code,
			NULL))
		return explore_fail(-EOPNOTSUPP, "there is no debug information, "
				    "by which labels are found");
	if (!nspans)
		return explore_fail(-EOPNOTSUPP, "the scenario has no code of "
				    "what is to be weakened");
	qsort(spans, nspans, sizeof(spans[0]), compare);
	return 0;
}

/* @pc is a return address. */
bool weaken_at(const void *pc)
{
	uintptr_t addr = (uintptr_t)pc - 1;
	unsigned int low = 0, high = nspans, mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (spans[mid].to <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low < nspans && spans[low].from <= addr;
}
