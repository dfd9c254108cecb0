/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Files of the oracle: which line is what, and which op is one. */
#include "replay.h"

#include <ctype.h>
#include <limits.h>

/* Far from each other; D and L have a page table's end in them. */
const struct region regions[NR_REGIONS] = {
	{ 'A', 24, 1UL << 36 },
	{ 'B', 24, 2UL << 36 },
	{ 'C', 24, 3UL << 36 },
	{ 'D', 24, (4UL << 36) + 500 * PAGE },
	{ 'L', 1024, (5UL << 36) + 256 * PAGE },
	{ 'H', 1024, 6UL << 36 },
};

int region_by_name(const char *name)
{
	for (int i = 0; i < NR_REGIONS; i++)
		if (name[0] == regions[i].name && !name[1])
			return i;
	return -1;
}

const struct region *region_of(unsigned long addr)
{
	for (int i = 0; i < NR_REGIONS; i++)
		if (addr >= regions[i].base &&
		    addr < regions[i].base + regions[i].pages * PAGE)
			return &regions[i];
	return NULL;
}

static enum line_kind kind_of(const char *text)
{
	if (isdigit((unsigned char)text[0]))
		return LINE_OP;
	if (text[0] == '#')
		return LINE_COMMENT;
	if (text[0] == '=')
		return LINE_ASSERT;
	if (!strcmp(text, "end"))
		return LINE_END;
	return LINE_RESULT;
}

static bool bad(struct script *script, unsigned int line, const char *why)
{
	fprintf(stderr, "%s:%u: %s\n", script->name, line, why);
	script_free(script);
	return false;
}

static void add(struct script *script, const char *text, unsigned int number)
{
	if (!(script->n & (script->n - 1)))
		script->lines = realloc(script->lines,
					(script->n ? 2 * script->n : 1) *
						sizeof(*script->lines));
	script->lines[script->n++] = (struct line){
		.kind = kind_of(text), .text = strdup(text), .number = number };
	sscanf(text, "# profile=%15s", script->profile);
}

bool script_parse(struct script *script, char *text, size_t size,
		  const char *name)
{
	char *at = text, *end;
	unsigned int number = 1;
	struct op op;

	*script = (struct script){ .name = name,
				   .around = strstr(name, "around64k") };
	for (; at < text + size; at = end + 1, number++) {
		end = at + strcspn(at, "\n");
		if (!*end && end < text + size)
			return bad(script, number, "no text");
		*end = '\0';
		if (number == 1 && strncmp(at, "# oracle 1 ", 11))
			return bad(script, number, "no file of the oracle");
		if (!*at)
			continue;
		add(script, at, number);
		if (script->lines[script->n - 1].kind == LINE_OP &&
		    !op_parse(&op, at))
			return bad(script, number, "no op, or not with these arguments");
	}
	return script->n || bad(script, 1, "no file of the oracle");
}

/* All of it, with a NUL behind; NULL: it cannot be read. To be freed. */
static char *contents(FILE *in, size_t *ret_size)
{
	char *text = NULL, some[4096];
	FILE *out = open_memstream(&text, ret_size);
	size_t n;

	while ((n = fread(some, 1, sizeof(some), in)))
		fwrite(some, 1, n, out);
	fclose(out);
	if (!ferror(in))
		return text;
	free(text);
	return NULL;
}

bool script_read(struct script *script, const char *path)
{
	FILE *in = fopen(path, "r");
	size_t size;
	char *text = in ? contents(in, &size) : NULL;
	bool good = text && script_parse(script, text, size, path);

	if (!text)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	free(text);
	if (in)
		fclose(in);
	return good;
}

void script_free(struct script *script)
{
	for (size_t i = 0; i < script->n; i++)
		free(script->lines[i].text);
	free(script->lines);
	script->lines = NULL;
	script->n = 0;
}

/* ---------------------------------------------------------------------- ops */

/*
 * What follows the name of an op: r a region with pages of it, f a file, p pages
 * of that, n a number, d a device, s a slot of pins, w a word, which whoever does
 * the op knows.
 */
static const struct {
	const char *name;
	const char *args;
} grammar[] = {
	{ "mmap", "rww" }, { "munmap", "r" }, { "mremap", "rrw" },
	{ "mprotect", "rw" }, { "madv", "rw" }, { "mlock", "r" },
	{ "munlock", "r" }, { "cr", "r" }, { "cw", "rn" }, { "dr", "dr" },
	{ "dw", "drn" }, { "todev", "dr" }, { "tosys", "dr" }, { "excl", "dr" },
	{ "chk", "dr" }, { "snap", "dr" }, { "rel", "dr" }, { "open", "d" },
	{ "close", "d" }, { "fsync", "f" }, { "trunc", "fp" },
	{ "punch", "fpp" }, { "fw", "fppn" }, { "fr", "fpp" },
	{ "clearsd", "" }, { "clearref", "" }, { "fork", "" }, { "exit", "" },
	{ "pin", "sr" }, { "unpin", "s" }, { "pinr", "s" }, { "pinw", "sn" },
	{ "ureg", "rw" }, { "uunreg", "r" }, { "uwp", "rn" }, { "ucopy", "rn" },
	{ "uzero", "r" },
};

static bool number_below(const char *text, unsigned long limit)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	return isdigit((unsigned char)*text) && !*end && !errno &&
	       value < limit;
}

/* A region, a page of it, how many from there on. */
static bool range_good(char *const *args)
{
	int region = region_by_name(args[0]);
	unsigned long pages = region < 0 ? 0 : regions[region].pages;

	return number_below(args[1], pages) &&
	       number_below(args[2], pages + 1) && strtoul(args[2], NULL, 10) &&
	       strtoul(args[1], NULL, 10) + strtoul(args[2], NULL, 10) <= pages;
}

/* How many of the words an argument takes; 0: it is wrong. */
static int arg_good(char what, char *const *args, int n)
{
	switch (n ? what : 0) {
	case 'r':
		return n > 2 && range_good(args) ? 3 : 0;
	case 'f':
		return !strcmp(*args, "T") || !strcmp(*args, "X");
	case 'p':
		return number_below(*args, MOST_PAGES);
	case 'n':
		return number_below(*args, ULONG_MAX);
	case 'd':
		return number_below(*args, NR_FILES);
	case 's':
		return number_below(*args, NR_SLOTS);
	default:
		return what == 'w' && n;
	}
}

/* NULL: there is no such op. */
static const char *args_of(const struct op *op)
{
	for (size_t i = 0; i < sizeof(grammar) / sizeof(*grammar); i++)
		if (!strcmp(op->args[0], grammar[i].name))
			return grammar[i].args;
	return NULL;
}

unsigned long op_file_id(const struct op *op)
{
	return *args_of(op) == 'd' ? strtoul(op->args[1], NULL, 10) : NR_FILES;
}

static bool args_good(const struct op *op)
{
	const char *args = args_of(op);
	int at = 1, n;

	if (!args)
		return false;
	for (; *args; args++, at += n) {
		n = arg_good(*args, op->args + at, op->n - at);
		if (!n)
			return false;
	}
	return at == op->n;
}

bool op_parse(struct op *op, const char *text)
{
	char *save = NULL, *word;

	if (strlen(text) >= sizeof(op->buf))
		return false;
	op->text = text;
	strcpy(op->buf, text);
	op->n = 0;
	strtok_r(op->buf, " ", &save);		/* its number */
	word = strtok_r(NULL, " ", &save);
	op->child = word && !strcmp(word, "c:");
	if (op->child)
		word = strtok_r(NULL, " ", &save);
	for (; word && op->n < NR_ARGS; word = strtok_r(NULL, " ", &save))
		op->args[op->n++] = word;
	return op->n && !word && args_good(op);
}
