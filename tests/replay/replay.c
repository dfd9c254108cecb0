/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A script from its first op to its last. */
#include "replay.h"

#define FILE_PAGES 20

/* The sets differ in what the kernel was set to. */
static struct uhmm_model_options options_for(struct replay *replay,
					     const struct script *script)
{
	bool written = !*script->profile;

	return (struct uhmm_model_options){
		.size = sizeof(struct uhmm_model_options),
		.level = replay->newest ? UHMM_KERNEL_NEWEST : UHMM_KERNEL_6_1,
		.thp = written ? UHMM_THP_MADVISE : UHMM_THP_NEVER,
		.swap_pages = written || !strcmp(script->profile, "swap") ?
				      65536 : 0,
		.huge_pages = written ? 4 : 0,
		.fault_around = script->around ? 16 : 0,
		.change_pte = events_change_pte,
		.change_pte_arg = &replay->log,
	};
}

static int make_file(struct replay *replay, enum uhmm_model_file_kind kind,
		     unsigned long value)
{
	uint64_t *bytes = pages_of(FILE_PAGES, value);
	int file = replay->world->file(replay->mm, kind, FILE_PAGES * PAGE);

	replay->world->file_write(replay->mm, file, bytes, FILE_PAGES * PAGE,
				  0);
	replay->world->file_sync(replay->mm, file);
	free(bytes);
	return file;
}

static int begin(struct replay *replay, const struct script *script)
{
	struct uhmm_model_options options = options_for(replay, script);

	if (replay->world->create(&options, &replay->mm))
		return -1;
	replay->mem_file = make_file(replay, UHMM_MODEL_FILE_MEMORY, 900000);
	replay->disk_file = make_file(replay, UHMM_MODEL_FILE_DISK, 800000);
	if (devices_begin(replay) || files_begin(replay))
		return -1;
	return replay->world->outcomes_only ? 0 : events_begin(replay);
}

static void end(struct replay *replay)
{
	for (int i = 0; i < NR_SLOTS; i++)
		if (replay->pins[i])
			replay->world->unpin(replay->mm, replay->pins[i]);
	events_end(replay);
	devices_end(replay);
	replay->world->exit(replay->mm);
	for (int i = 0; i < 2 * STATES * NR_REGIONS; i++)
		free((&replay->last[0][0][0])[i]);
}

static void check(struct replay *replay, const char *line)
{
	char want[64] = "";
	bool good;

	/* "= TEXT", with "[ok]" or "[DIFFERENT]" behind it. */
	sscanf(line, "= %63[^[\n]", want);
	for (size_t n = strlen(want); n && want[n - 1] == ' '; n--)
		want[n - 1] = '\0';
	good = !strncmp(replay->result, want, strlen(want));
	replay->checks++;
	replay->different += !good;
	fprintf(replay->out, "= %s [%s]\n", want, good ? "ok" : "DIFFERENT");
}

int replay_op(struct replay *replay, const char *text)
{
	struct op op;
	long at;

	fflush(replay->out);
	at = ftell(replay->out);
	result(replay, "0");
	if (!op_parse(&op, text) || op_run(replay, &op))
		return -1;
	/* Ops that have something to show print their result before it. */
	if (ftell(replay->out) == at)
		fprintf(replay->out, " r %s\n", replay->result);
	return 0;
}

static int step(struct replay *replay, const char *text)
{
	fprintf(replay->out, "%s\n", text);
	replay->log.n = 0;
	if (replay_op(replay, text))
		return -1;
	events_print(replay);
	state_print(replay);
	return 0;
}

int replay_run(struct replay *replay, const struct script *script)
{
	int ret = begin(replay, script);

	if (ret) {
		fprintf(stderr, "no %s to play it on\n", replay->world->name);
		return ret;
	}
	for (size_t i = 0; i < script->n && !ret; i++) {
		const struct line *line = &script->lines[i];

		if (line->kind == LINE_OP && step(replay, line->text)) {
			fprintf(stderr, "%s:%u: not to be played: %s\n",
				script->name, line->number, line->text);
			ret = -1;
		}
		if (line->kind == LINE_COMMENT)
			fprintf(replay->out, "%s\n", line->text);
		else if (line->kind == LINE_ASSERT)
			check(replay, line->text);
		else if (line->kind == LINE_END)
			break;
	}
	if (!ret)
		fprintf(replay->out, "end\n");
	if (replay->child) {
		child_exit(replay);
		state_print(replay);
	}
	if (!ret)
		state_end(replay);
	end(replay);
	return ret;
}
