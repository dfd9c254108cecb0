/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Files of the oracle: which line is what. */
#include "replay.h"

#include <ctype.h>

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

bool script_parse(struct script *script, char *text, const char *name)
{
	size_t room = 0;
	char *save = NULL;

	*script = (struct script){ .around = strstr(name, "around64k") };
	for (char *at = strtok_r(text, "\n", &save); at;
	     at = strtok_r(NULL, "\n", &save)) {
		if (script->n == room) {
			room = room ? 2 * room : 64;
			script->lines = realloc(script->lines,
						room * sizeof(*script->lines));
		}
		script->lines[script->n++] = (struct line){
			.kind = kind_of(at), .text = strdup(at) };
		sscanf(at, "# profile=%15s", script->profile);
	}
	if (script->n && !strncmp(script->lines[0].text, "# oracle 1 ", 11))
		return true;
	fprintf(stderr, "%s: no file of the oracle\n", name);
	script_free(script);
	return false;
}

bool script_read(struct script *script, const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;
	bool good;

	if (!in || getdelim(&text, &size, '\0', in) < 0) {
		fprintf(stderr, "%s: %s\n", path, in ? "empty" :
						       strerror(errno));
		good = false;
	} else {
		good = script_parse(script, text, path);
	}
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
	return op->n;
}
