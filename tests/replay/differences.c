/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the kernel that one runs on answers otherwise than the oracle's: a file
 * of lines
 *
 *	kernel 6.18
 *	reason WORD in words
 *	FILE NUMBER NAME WORD
 *
 * where each op that differs by itself stands, with the reason why, and each
 * that leaves something else behind. What else differs has to come of those.
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
	memset(to, 0, sizeof(*to));
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
	if (all)
		free(all->list);
	free(all);
}

/* "dir/NAME.txt" and "12 c: todev 0 A 1 2" are "NAME 12 todev". */
static void key_of(char *key, size_t size, const char *file, const char *text)
{
	const char *base = strrchr(file, '/');
	struct op op;
	int n;

	base = base ? base + 1 : file;
	n = snprintf(key, size, "%.*s ", (int)strcspn(base, "."), base);
	if (op_parse(&op, text))
		snprintf(key + n, size - (size_t)n, "%.*s %s",
			 (int)strcspn(text, " "), text, op.args[0]);
}

/**
 * struct judging - of a file
 * @path: where it is
 * @first: the first of its differences
 * @n: how many
 * @taint: what has come of them
 * @good: no other was found
 */
struct judging {
	const char *path;
	const struct difference *first;
	size_t n;
	struct taint *taint;
	bool good;
};

/* The bit of an op that is known to differ, or 0. */
static uint64_t root_of(const struct judging *judging, const char *text)
{
	char key[sizeof(judging->first->op)];

	key_of(key, sizeof(key), judging->path, text);
	for (size_t i = 0; i < judging->n; i++)
		if (!strcmp(judging->first[i].op, key))
			return UINT64_C(1) << i;
	return 0;
}

static void judge_op(void *arg, const struct outcome *outcome)
{
	struct judging *judging = arg;

	if (taint_judge(judging->taint, outcome,
			root_of(judging, outcome->text)))
		return;
	printf("%s: %s\n    file %s%s\n    here %s%s\n", judging->path,
	       outcome->text, outcome->r[0], outcome->v[0], outcome->r[1],
	       outcome->v[1]);
	judging->good = false;
}

static void judge_end(void *arg, const struct outcome *outcome)
{
	struct judging *judging = arg;

	if (taint_judge_end(judging->taint, outcome))
		return;
	printf("%s: so the last reads differ\n", judging->path);
	judging->good = false;
}

/* Those of a file stand one behind the other. */
static void find(struct judging *judging, const struct differences *all)
{
	char key[sizeof(all->list->op)];

	key_of(key, sizeof(key), judging->path, "");
	for (size_t i = 0; i < all->n; i++) {
		if (strncmp(all->list[i].op, key, strlen(key))) {
			if (judging->n)
				break;
			continue;
		}
		if (!judging->n++)
			judging->first = &all->list[i];
	}
}

bool differences_judge(const struct differences *all, const char *path,
		       const struct script *expected, const struct script *got)
{
	struct judging judging = { .path = path, .taint = taint_begin(),
				   .good = true };
	const struct judge judge = { judge_op, judge_end, &judging };
	uint64_t used;

	find(&judging, all);
	if (judging.n > 64) {
		printf("%s: more than 64 differences\n", path);
		judging.good = false;
		judging.n = 64;
	}
	compare_judged(&judge, expected, got);
	used = taint_end(judging.taint);
	for (size_t i = 0; i < judging.n; i++) {
		if (used >> i & 1)
			continue;
		printf("%s %s, but nothing differs for it\n",
		       judging.first[i].op, judging.first[i].reason);
		judging.good = false;
	}
	return judging.good;
}
