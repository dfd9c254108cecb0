/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "explore/replay.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LINE_COLUMNS 72
#define OP_SIZE 400

/* ------------------------------------------------------------------- write */

void replay_op(const struct trace_event *e, char *buf, size_t size)
{
	bool has_value = e->kind <= TRACE_RMW || e->kind == TRACE_CHOOSE;
	char value[32] = "";

	if (has_value)
		snprintf(value, sizeof(value), " = %lu", e->value);
	snprintf(buf, size, "%u %s%s%s%s %s:%d", e->thread,
		 trace_kind_name(e->kind), e->object ? " " : "",
		 e->object ? e->object : "", value,
		 e->file ? e->file : e->function ? e->function : "?", e->line);
}

static void write_schedule(FILE *out, const struct trace *trace)
{
	const struct trace_step *step = trace->steps;
	unsigned int i, n, column = LINE_COLUMNS;
	char text[40];

	for (i = 0; i < trace->nsteps; i += n) {
		n = 1;
		if (step[i].choice) {
			snprintf(text, sizeof(text), "%u@%u", step[i].thread,
				 step[i].choice);
		} else {
			while (i + n < trace->nsteps && !step[i + n].choice &&
			       step[i + n].thread == step[i].thread)
				n++;
			snprintf(text, sizeof(text), "%u*%u", step[i].thread,
				 n);
		}
		if (column + 1 + strlen(text) > LINE_COLUMNS)
			column = fprintf(out, "%sschedule", i ? "\n" : "");
		column += fprintf(out, " %s", text);
	}
	if (trace->nsteps)
		putc('\n', out);
}

static void write_word(FILE *out, const char *word, const char *value)
{
	if (value && *value)
		fprintf(out, "%s %s\n", word, value);
}

int replay_write(FILE *out, const struct trace *trace, const char *object,
		 const char *build)
{
	char op[OP_SIZE];
	unsigned int i;

	fputs("uhmm-replay 1\n", out);
	write_word(out, "scenario", trace->scenario);
	write_word(out, "object", object);
	write_word(out, "build", build);
	write_word(out, "model", trace_model_name(trace->model));
	write_word(out, "engine", trace->engine);
	write_word(out, "weaken", trace->weaken);
	write_schedule(out, trace);
	for (i = 0; i < trace->nevents; i++) {
		replay_op(&trace->events[i], op, sizeof(op));
		write_word(out, "op", op);
	}
	return fflush(out) || ferror(out) ? -EIO : 0;
}

/* -------------------------------------------------------------------- read */

struct parser {
	struct replay *replay;
	unsigned int line;
	unsigned int room_steps;
	unsigned int room_ops;
	bool headed;
	char *problem;
	size_t size;
};

__attribute__((format(printf, 2, 3)))
static int complain(struct parser *p, const char *fmt, ...)
{
	int n = snprintf(p->problem, p->size, "line %u: ", p->line);
	va_list args;

	if (n < 0 || (size_t)n >= p->size)
		return -EINVAL;
	va_start(args, fmt);
	vsnprintf(p->problem + n, p->size - n, fmt, args);
	va_end(args);
	return -EINVAL;
}

/* Room for @n more of @size bytes; doubles. */
static int make_room(void *array, unsigned int used, unsigned int n,
		     unsigned int *room, size_t size)
{
	void **old = array, *bigger;

	if (used + n <= *room)
		return 0;
	bigger = realloc(*old, 2 * (used + n) * size);
	if (!bigger)
		return -ENOMEM;
	*room = 2 * (used + n);
	*old = bigger;
	return 0;
}

/* Digits only, at most @max. */
static bool parse_number(char **at, unsigned int max, unsigned int *ret)
{
	unsigned long value = 0;
	char *from = *at;

	for (; **at >= '0' && **at <= '9' && value <= max; ++*at)
		value = 10 * value + (**at - '0');
	*ret = value;
	return *at != from && value <= max;
}

static int parse_run(struct parser *p, char **at)
{
	struct replay *replay = p->replay;
	unsigned int thread, n, choice = 0;
	const char *from = *at;
	char sign;
	int ret;

	if (!parse_number(at, 2 * UHMM_EXPLORE_THREADS - 1, &thread))
		return complain(p, "no such thread: %.20s", from);
	sign = **at;
	if (sign)
		++*at;
	if (sign == '@' && parse_number(at, 255, &choice))
		n = 1;
	else if (sign != '*' || !parse_number(at, REPLAY_MAX_STEPS, &n))
		return complain(p, "not THREAD*STEPS or THREAD@CHOICE: %.20s",
				from);
	if (n > REPLAY_MAX_STEPS - replay->nsteps)
		return complain(p, "more than %u steps", REPLAY_MAX_STEPS);
	ret = make_room(&replay->steps, replay->nsteps, n, &p->room_steps,
			sizeof(*replay->steps));
	for (; !ret && n; n--)
		replay->steps[replay->nsteps++] = (struct trace_step){
			.thread = thread, .choice = choice };
	return ret;
}

static int parse_schedule(struct parser *p, char *at)
{
	int ret = 0;

	while (!ret && *at) {
		ret = parse_run(p, &at);
		if (!ret && *at && *at != ' ')
			return complain(p, "a blank is missing: %.20s", at);
		at += strspn(at, " ");
	}
	return ret;
}

static int parse_model(struct parser *p, const char *name)
{
	enum uhmm_model model;

	for (model = UHMM_MODEL_SC; model <= UHMM_MODEL_C11; model++)
		if (!strcmp(name, trace_model_name(model))) {
			p->replay->model = model;
			return 0;
		}
	return complain(p, "no such memory model: %.40s", name);
}

static int parse_op(struct parser *p, const char *op)
{
	struct replay *replay = p->replay;
	int ret = make_room(&replay->ops, replay->nops, 1, &p->room_ops,
			    sizeof(*replay->ops));

	if (!ret)
		replay->ops[replay->nops++] = op;
	return ret;
}

static int parse_line(struct parser *p, char *line)
{
	struct replay *replay = p->replay;
	const struct { const char *word; const char **value; } words[] = {
		{ "scenario", &replay->scenario },
		{ "object", &replay->object },
		{ "build", &replay->build },
		{ "engine", &replay->engine },
		{ "weaken", &replay->weaken },
	};
	char *value = line + strcspn(line, " ");
	size_t i;

	if (*value)
		*value++ = '\0';
	if (!p->headed) {
		p->headed = !strcmp(line, "uhmm-replay") && !strcmp(value, "1");
		return p->headed ? 0 : complain(p, "not a replay file that this "
						   "version knows");
	}
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(line, words[i].word)) {
			*words[i].value = value;
			return 0;
		}
	if (!strcmp(line, "model"))
		return parse_model(p, value);
	if (!strcmp(line, "schedule"))
		return parse_schedule(p, value);
	if (!strcmp(line, "op"))
		return parse_op(p, value);
	return complain(p, "unknown word: %.40s", line);
}

int replay_parse(struct replay *replay, const char *text, size_t size,
		 char *problem, size_t problem_size)
{
	struct parser p = {
		.replay = replay, .problem = problem, .size = problem_size };
	char *at, *end;
	int ret = 0;

	*replay = (struct replay){
		.scenario = "", .object = "", .build = "", .engine = "",
		.weaken = "", .text = malloc(size + 1) };
	if (!replay->text)
		return -ENOMEM;
	memcpy(replay->text, text, size);
	replay->text[size] = '\0';
	for (at = replay->text; !ret && at < replay->text + size; at = end + 1) {
		p.line++;
		end = at + strcspn(at, "\n");
		if (!*end && end != replay->text + size)
			ret = complain(&p, "a byte that is no text");
		*end = '\0';
		if (!ret && *at && *at != '#')
			ret = parse_line(&p, at);
	}
	if (!ret && !*replay->scenario)
		ret = complain(&p, "the file ends without a scenario");
	if (ret)
		replay_free(replay);
	return ret;
}

void replay_free(struct replay *replay)
{
	free(replay->steps);
	free(replay->ops);
	free(replay->text);
	*replay = (struct replay){ .scenario = "" };
}

int replay_compare(const struct replay *replay, const struct trace *trace,
		   char *problem, size_t problem_size)
{
	unsigned int i, n = trace->nevents;
	char op[OP_SIZE] = "the end";

	if (n > replay->nops)
		n = replay->nops;
	for (i = 0; i < n; i++) {
		replay_op(&trace->events[i], op, sizeof(op));
		if (strcmp(op, replay->ops[i]))
			break;
	}
	if (i == replay->nops && i == trace->nevents)
		return 0;
	if (i == trace->nevents)
		snprintf(op, sizeof(op), "the end");
	else
		replay_op(&trace->events[i], op, sizeof(op));
	snprintf(problem, problem_size,
		 "op %u differs: now \"%s\", then \"%s\"", i + 1, op,
		 i < replay->nops ? replay->ops[i] : "the end");
	return -ESTALE;
}
