/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What a script tells a device to do. */
#include "replay.h"

static const struct {
	const char *name;
	unsigned long request;
	char shows;		/* 'v' values, 'b' bytes */
	bool counts;
} commands[] = {
	{ "dr", HMM_DMIRROR_READ, 'v', true },
	{ "dw", HMM_DMIRROR_WRITE, 0, true },
	{ "todev", HMM_DMIRROR_MIGRATE_TO_DEV, 'v', true },
	{ "tosys", HMM_DMIRROR_MIGRATE_TO_SYS, 0, true },
	{ "excl", HMM_DMIRROR_EXCLUSIVE, 'v', true },
	{ "chk", HMM_DMIRROR_CHECK_EXCLUSIVE, 0, false },
	{ "snap", HMM_DMIRROR_SNAPSHOT, 'b', true },
	{ "rel", HMM_DMIRROR_RELEASE, 0, false },
};

static void show(struct replay *replay, const struct op *op,
		 const struct hmm_dmirror_cmd *cmd,
		 char shows, uint64_t *bytes)
{
	char text[12 * MOST_PAGES];

	if (shows == 'v') {
		print_values(replay, bytes, cmd->cpages);
	} else if (shows == 'b') {
		snapshot_letters((unsigned char *)bytes, cmd->cpages);
		text_letters(text, (char *)bytes, cmd->cpages);
		fprintf(replay->out, " %sb %s\n", op->child ? "c" : "", text);
	}
}

/* dr D R S N, and dw D R S N V. */
static int run(struct replay *replay, const struct op *op, int which,
	       struct uhmm_dmirror *file)
{
	int region = op->n > 4 ? region_by_name(op->args[2]) : -1;
	struct hmm_dmirror_cmd cmd = { 0 };
	uint64_t *bytes;
	int ret;

	if (region < 0)
		return -1;
	cmd.addr = regions[region].base +
		   strtoul(op->args[3], NULL, 10) * PAGE;
	cmd.npages = strtoul(op->args[4], NULL, 10);
	if (!cmd.npages || cmd.npages > MOST_PAGES)
		return -1;
	bytes = pages_of(cmd.npages,
			 op->n > 5 ? strtoul(op->args[5], NULL, 10) : 0);
	cmd.ptr = (uintptr_t)bytes;
	ret = uhmm_dmirror_ioctl(file, commands[which].request, &cmd);
	if (ret || !commands[which].counts)
		result_error(replay, ret);
	else
		result(replay, "0 c=%lu f=%lu", (unsigned long)cmd.cpages,
		       (unsigned long)cmd.faults);
	fprintf(replay->out, " r %s\n", replay->result);
	if (!ret)
		show(replay, op, &cmd, commands[which].shows, bytes);
	free(bytes);
	return 0;
}

/* Where a file of a process is kept; NULL: no such id. */
static struct uhmm_dmirror **file_of(struct replay *replay,
				     const struct op *op)
{
	unsigned long id = op->n > 1 ? strtoul(op->args[1], NULL, 10) :
				       NR_FILES;

	if (id >= NR_FILES)
		return NULL;
	return op->child ? &replay->child_files[id] : &replay->files[id];
}

static void close_file(struct replay *replay, const struct op *op,
		       struct uhmm_dmirror **file)
{
	/* What a child has from its parent stays the parent's. */
	if (!op->child || file >= &replay->child_files[2])
		uhmm_dmirror_close(*file);
	*file = NULL;
}

void files_release(struct uhmm_dmirror **files, unsigned int ids)
{
	struct hmm_dmirror_cmd cmd = { .npages = 1 };

	for (int i = 0; i < NR_FILES; i++)
		if (ids & 1U << i && files[i])
			uhmm_dmirror_ioctl(files[i], HMM_DMIRROR_RELEASE,
					   &cmd);
}

/* A device in two processes is still one. */
static void emptied(struct replay *replay, const struct op *op)
{
	if (replay->link)
		replay->world->emptied(replay, op_file_id(op) & 1);
}

bool op_device(struct replay *replay, const struct op *op, int *ret)
{
	struct uhmm_dmirror **file = file_of(replay, op);
	const char *name = op->args[0];
	int device;

	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(name, commands[i].name)) {
			*ret = file && *file ? run(replay, op, i, *file) : -1;
			if (!strcmp(name, "rel"))
				emptied(replay, op);
			return true;
		}
	if (strcmp(name, "open") && strcmp(name, "close"))
		return false;
	*ret = -1;
	if (!file || !*file != !strcmp(name, "open"))
		return true;
	*ret = 0;
	device = (file - (op->child ? replay->child_files : replay->files)) & 1;
	if (!strcmp(name, "close")) {
		close_file(replay, op, file);
		emptied(replay, op);
		return true;
	}
	if (op->child)
		state_forget_child(replay, device);
	result_error(replay, uhmm_dmirror_open(replay->devices[device],
			op->child ? replay->child : replay->mm, file));
	return true;
}

int devices_begin(struct replay *replay)
{
	struct uhmm_dmirror_options options = {
		.size = sizeof(options),
		.type = MEMORY_DEVICE_PRIVATE,
		.newest = replay->newest,
		.quirks = replay->quirks,
	};

	for (int i = 0; i < NR_DEVICES; i++)
		if (uhmm_dmirror_create(&options, &replay->devices[i]))
			return -1;
	return 0;
}

int files_begin(struct replay *replay)
{
	for (int i = 0; i < NR_DEVICES; i++)
		if (uhmm_dmirror_open(replay->devices[i], replay->mm,
				      &replay->files[i]))
			return -1;
	return 0;
}

void child_files_inherit(struct replay *replay)
{
	replay->child_files[0] = replay->files[0];
	replay->child_files[1] = replay->files[1];
}

void child_files_close(struct replay *replay)
{
	for (int i = 0; i < NR_FILES; i++) {
		if (i > 1 && replay->child_files[i])
			uhmm_dmirror_close(replay->child_files[i]);
		replay->child_files[i] = NULL;
	}
}

void devices_end(struct replay *replay)
{
	for (int i = 0; i < NR_FILES; i++)
		if (replay->files[i])
			uhmm_dmirror_close(replay->files[i]);
	for (int i = 0; i < NR_DEVICES; i++)
		if (replay->devices[i])
			uhmm_dmirror_destroy(replay->devices[i]);
}
