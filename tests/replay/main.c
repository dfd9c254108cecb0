/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* oracle_replay: plays a file of the oracle, and prints or compares it. */
#include "replay.h"

#include <getopt.h>
#include <glob.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

struct choice {
	const struct world_ops *world;
	bool newest;
	bool compare;
	bool quiet;
	bool list;
	unsigned int quirks;
	struct differences *known;
};

#define SKIPPED 77
/* For those that play on themselves. */
#define PATIENCE_SECONDS 60

static int play_to(const struct choice *choice, const struct script *script,
		   FILE *out)
{
	struct replay replay = { .world = choice->world,
				 .newest = choice->newest,
				 .quirks = choice->quirks,
				 .out = out };

	return replay_run(&replay, script);
}

/* In a process of its own. */
static int play_apart(const struct choice *choice, const struct script *script,
		      FILE *out)
{
	int status, ret;
	pid_t pid = fork();

	if (!pid) {
		alarm(PATIENCE_SECONDS);
		ret = play_to(choice, script, out);
		_exit(fflush(out) || ret);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	if (WIFSIGNALED(status))
		fprintf(stderr, "ended by %s\n", strsignal(WTERMSIG(status)));
	return status ? -1 : 0;
}

static char *contents(FILE *in)
{
	char *text = NULL;
	size_t size = 0;

	rewind(in);
	if (getdelim(&text, &size, '\0', in) >= 0)
		return text;
	free(text);
	return NULL;
}

/* The file anew; NULL: it could not be played. To be freed. */
static char *play(const struct choice *choice, const struct script *script)
{
	FILE *out = tmpfile();
	char *text = NULL;

	if (!out) {
		perror("a temporary file");
		return NULL;
	}
	if (!(choice->world->outcomes_only ? play_apart : play_to)
		     (choice, script, out))
		text = contents(out);
	fclose(out);
	return text;
}

static bool compare_all(const struct choice *choice,
			const struct script *script, const struct script *got,
			const char *path)
{
	struct comparison found = { .first = { "" } };
	bool good = true;

	compare(&found, script, got, choice->world->outcomes_only);
	printf("%s:", path);
	for (int i = 0; i < NR_LEVELS; i++) {
		printf(" C%d %lu", i + 1, found.differences[i]);
		good = good && (i == NR_LEVELS - 1 || !found.differences[i]);
	}
	printf("\n");
	for (int i = 0; i < NR_LEVELS; i++)
		if (found.differences[i])
			printf("  C%d: %s\n", i + 1, found.first[i]);
	return good;
}

static bool compare_with(const struct choice *choice,
			 const struct script *script, char *text,
			 const char *path)
{
	struct script got;
	bool good;

	if (!script_parse(&got, text, strlen(text), path))
		return false;
	good = choice->known ?
		differences_judge(choice->known, path, script, &got) :
		compare_all(choice, script, &got, path);
	script_free(&got);
	return good;
}

/* Can it be played by a process, without more than it has? */
static bool is_live(const struct script *script)
{
	static const char *const without[] = { "ureg", "uwp", "ucopy",
					       "uzero" };
	struct op op;

	for (size_t i = 0; i < script->n; i++) {
		if (script->lines[i].kind != LINE_OP ||
		    !op_parse(&op, script->lines[i].text))
			continue;
		for (size_t j = 0; j < sizeof(without) / sizeof(*without); j++)
			if (!strcmp(op.args[0], without[j]))
				return false;
		if (!strcmp(op.args[0], "mmap") && op.n > 4 &&
		    !strcmp(op.args[4], "dev"))
			return false;
	}
	return true;
}

/* 0; 1: it differs; 2: it could not be played. */
static int one_file(const struct choice *choice, const char *path)
{
	struct script script;
	int ret = 2;
	char *text;

	if (!script_read(&script, path))
		return ret;
	if (choice->list) {
		if (is_live(&script))
			puts(path);
		script_free(&script);
		return 0;
	}
	if (choice->known && !is_live(&script)) {
		script_free(&script);
		return 0;
	}
	text = play(choice, &script);
	if (text && choice->compare)
		ret = !compare_with(choice, &script, text, path);
	else if (text)
		ret = !choice->quiet && fputs(text, stdout) < 0;
	free(text);
	script_free(&script);
	return ret;
}

/* All that there are, where they came from. */
static int list_all(const struct choice *choice)
{
	int ret = 0;
	glob_t all;

	if (glob(ORACLE "/*/*.txt", 0, NULL, &all))
		return 2;
	for (size_t i = 0; i < all.gl_pathc && !ret; i++)
		ret = one_file(choice, all.gl_pathv[i]);
	globfree(&all);
	return ret;
}

static int usage(void)
{
	fprintf(stderr, "usage: oracle_replay [--mm=model|live] "
		"[--kernel-level=6.1|newest] "
		"[--compare | --differences=KNOWN | --quiet | --list-live] "
		"[--quirk=inclusive-end|device-filter] FILE...\n"
		"       oracle_replay --list-live\n");
	return 2;
}

static bool choose(struct choice *choice, int option, const char *arg)
{
	switch (option) {
	case 'c':
		choice->compare = true;
		return true;
	case 'l':
		choice->list = true;
		return true;
	case 'd':
		choice->compare = true;
		differences_free(choice->known);
		choice->known = calloc(1, sizeof(*choice->known));
		return differences_read(choice->known, arg);
	case 'q':
		choice->quiet = true;
		return true;
	case 'm':
		choice->world = *arg == 'l' ? &live_world : &model_world;
		return !strcmp(arg, "model") || !strcmp(arg, "live");
	case 'k':
		choice->newest = *arg == 'n';
		return !strcmp(arg, "6.1") || !strcmp(arg, "newest");
	case 'b':
		choice->quirks = *arg == 'i' ? UHMM_DMIRROR_INCLUSIVE_END :
					       UHMM_DMIRROR_DEVICE_FILTER;
		return !strcmp(arg, "inclusive-end") ||
		       !strcmp(arg, "device-filter");
	default:
		return false;
	}
}

/* What is known of another kernel says nothing here. NULL: it is this one. */
static const char *another_kernel(const struct differences *known)
{
	static char why[100];
	struct utsname is;
	size_t n = strlen(known->kernel);

	uname(&is);
	if (!strncmp(is.release, known->kernel, n) && is.release[n] == '.')
		return live_world_is_another();
	snprintf(why, sizeof(why), "known are the differences of Linux %s, "
		 "this is %.40s", known->kernel, is.release);
	return why;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "mm", required_argument, NULL, 'm' },
		{ "kernel-level", required_argument, NULL, 'k' },
		{ "compare", no_argument, NULL, 'c' },
		{ "differences", required_argument, NULL, 'd' },
		{ "list-live", no_argument, NULL, 'l' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "quirk", required_argument, NULL, 'b' },
		{ NULL, 0, NULL, 0 }
	};
	struct choice choice = { .world = &model_world };
	int option, worst = 0;
	const char *why_not;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!choose(&choice, option, optarg))
			return usage();
	if (optind == argc)
		return choice.list ? list_all(&choice) : usage();
	why_not = choice.known && choice.world == &live_world ?
			  another_kernel(choice.known) : NULL;
	if (why_not) {
		fprintf(stderr, "%s\n", why_not);
		worst = SKIPPED;
		optind = argc;
	}
	for (; optind < argc; optind++) {
		int ret = one_file(&choice, argv[optind]);

		worst = ret > worst ? ret : worst;
	}
	differences_free(choice.known);
	return worst;
}
