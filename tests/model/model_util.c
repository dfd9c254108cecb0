/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "model_util.h"

struct mm_struct *mm;
struct uhmm_model_options machine;

int machine_begin(void **state)
{
	(void)state;
	machine = (struct uhmm_model_options){ .size = sizeof(machine) };
	mm = NULL;
	machine_remake();
	return 0;
}

int machine_end(void **state)
{
	(void)state;
	mmput(mm);
	return 0;
}

void machine_remake(void)
{
	if (mm)
		mmput(mm);
	assert_int_equal(uhmm_mm_create_model(&machine, NULL, &mm), 0);
}

void area_file(int page, int n, int prot, int flags, int file)
{
	long ret = uhmm_model_mmap(mm, PG(page), LEN(n), prot,
				   flags | MAP_FIXED, file, 0);

	assert_int_equal(ret, PG(page));
}

void area_anon(int page, int n, int prot)
{
	area_file(page, n, prot, MAP_PRIVATE | MAP_ANONYMOUS, 0);
}

void area_shared(int page, int n, int prot)
{
	area_file(page, n, prot, MAP_SHARED | MAP_ANONYMOUS, 0);
}

int poke_in(struct mm_struct *in, int page, uint64_t value)
{
	uint64_t words[512];

	for (int i = 0; i < 512; i++)
		words[i] = value;
	return uhmm_model_write(in, PG(page), words, sizeof(words), NULL);
}

uint64_t peek_in(struct mm_struct *in, int page)
{
	uint64_t words[512];

	assert_int_equal(uhmm_model_read(in, PG(page), words, sizeof(words),
					 NULL), 0);
	for (int i = 1; i < 512; i++)
		assert_int_equal(words[i], words[0]);
	return words[0];
}

void check_entries(struct mm_struct *in, int page, const char *letters,
		   const char *file, int line)
{
	char got[65] = "";
	size_t n = strlen(letters);

	assert_true(n < sizeof(got));
	uhmm_model_pagemap(in, PG(page), n, got);
	_assert_string_equal(got, letters, file, line);
}
