/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the kernel that one runs on answers otherwise than the oracle's: a file
 * of lines
 *
 *	kernel 6.18
 *	reason WORD in words
 *	FILE NUMBER NAME WORD
 *
 * where each op that differs stands, with the reason why.
 */
#include "replay.h"

static bool known(const struct differences *all, const char *reason)
{
	for (size_t i = 0; i < all->nreasons; i++)
		if (!strcmp(all->reasons[i], reason))
			return true;
	return false;
}

static bool add(struct differences *all, const char *line)
{
	const char *last = strrchr(line, ' ');
	struct difference *to;

	if (!last || !known(all, last + 1) ||
	    (size_t)(last - line) >= sizeof(to->op))
		return false;
	if (!(all->n & (all->n - 1)))
		all->list = realloc(all->list, (all->n ? 2 * all->n : 1) *
						       sizeof(*all->list));
	to = &all->list[all->n++];
	*to = (struct difference){ .met = false };
	memcpy(to->op, line, (size_t)(last - line));
	snprintf(to->reason, sizeof(to->reason), "%s", last + 1);
	return true;
}

static bool take_line(struct differences *all, const char *line)
{
	char (*reason)[32] = &all->reasons[all->nreasons];

	if (!*line || *line == '#')
		return true;
	if (sscanf(line, "kernel %15s", all->kernel) == 1)
		return true;
	if (!strncmp(line, "reason ", 7)) {
		all->nreasons += all->nreasons < NR_REASONS - 1;
		return sscanf(line, "reason %31s", *reason) == 1;
	}
	return add(all, line);
}

bool differences_read(struct differences *all, const char *path)
{
	FILE *in = fopen(path, "r");
	bool good = in;
	char line[200];

	memset(all, 0, sizeof(*all));
	while (good && fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = '\0';
		good = take_line(all, line);
	}
	if (!good)
		fprintf(stderr, "%s: %s\n", path, in ? line : strerror(errno));
	if (in)
		fclose(in);
	return good;
}

void differences_free(struct differences *all)
{
	free(all->list);
}

/* "dir/NAME.txt" and "12 c: todev 0 A 1 2" are "NAME 12 todev". */
static void key_of(char *key, size_t size, const char *file, const char *text)
{
	const char *base = strrchr(file, '/');
	struct op op;
	int n;

	base = base ? base + 1 : file;
	n = snprintf(key, size, "%.*s ", (int)strcspn(base, "."), base);
	if (strcmp(text, "end") && op_parse(&op, text))
		snprintf(key + n, size - (size_t)n, "%.*s %s",
			 (int)strcspn(text, " "), text, op.args[0]);
	else
		snprintf(key + n, size - (size_t)n, "%s", text);
}

bool differences_meet(struct differences *all, const char *file,
		      const char *text)
{
	char key[sizeof(all->list->op)];

	key_of(key, sizeof(key), file, text);
	for (size_t i = 0; i < all->n; i++)
		if (!strcmp(all->list[i].op, key))
			return all->list[i].met = true;
	printf("%s ?\n", key);
	return false;
}

bool differences_met(const struct differences *all, const char *file)
{
	bool good = true;
	char key[sizeof(all->list->op)];

	key_of(key, sizeof(key), file, "");
	for (size_t i = 0; i < all->n; i++) {
		const struct difference *it = &all->list[i];

		if (it->met || strncmp(it->op, key, strlen(key)))
			continue;
		printf("%s %s, but it does not differ\n", it->op, it->reason);
		good = false;
	}
	return good;
}
