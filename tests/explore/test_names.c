/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What addresses of this program are called.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "explore/names.h"

struct device {
	int id;
	struct {
		unsigned long seq;
		unsigned long pages[4];
	} view[2];
};

struct device first_device = { .id = 1 };
static char name[200];

__attribute__((noinline)) static const void *here(void)
{
	return __builtin_return_address(0);
}

static bool dwarf;		/* there is such information, and who reads it */

static bool has_dwarf(void)
{
	return dwarf;
}

static void variables_have_their_name(void **state)
{
	assert_true(names_object(&first_device, name, sizeof(name)));
	assert_string_equal(name,
			    has_dwarf() ? "first_device.id" : "first_device");
}

static void parts_of_variables_are_told_apart(void **state)
{
	char offset[40];

	snprintf(offset, sizeof(offset), "first_device+%zu",
		 offsetof(struct device, view[1].pages[2]));
	assert_true(names_object(&first_device.view[1].pages[2], name,
				 sizeof(name)));
	assert_string_equal(name, has_dwarf() ?
			    "first_device.view[1].pages[2]" : offset);
}

static void memory_that_is_no_variable_has_no_name(void **state)
{
	int local = 1;

	assert_false(names_object(&local, name, sizeof(name)));
	assert_string_equal(name, "");
	assert_false(names_object(NULL, name, sizeof(name)));
}

struct node {
	struct node *next;
	struct device device;
};

/* What a heap would have. */
static _Alignas(struct node) char heap[2 * sizeof(struct node)];
static struct node *const piece = (struct node *)heap;
struct node *list;
void *anything;

static const void *piece_of(const void *addr, size_t *ret_size)
{
	size_t at = (size_t)((const char *)addr - heap);

	*ret_size = sizeof(*piece);
	return at < sizeof(heap) ? &piece[at / sizeof(*piece)] : NULL;
}

static void check_pointed(const void *addr, const char *want)
{
	size_t size;
	bool found = names_pointed(&list, addr, piece_of(addr, &size), piece_of,
				   name, sizeof(name));

	assert_true(found == (has_dwarf() && want));
	if (found)
		assert_string_equal(name, want);
}

static void objects_are_called_by_who_leads_to_them(void **state)
{
	check_pointed(&piece[0].device.id, NULL);
	list = &piece[0];
	check_pointed(&piece[0].device.id, "list->device.id");
	check_pointed(&piece[1].device.view[1].seq, NULL);
	piece[0].next = &piece[1];
	check_pointed(&piece[1].device.view[1].seq,
		      "list->next->device.view[1].seq");
	list = NULL;
	anything = &piece[1];
	check_pointed(&piece[1].device, "anything+8");
}

static void code_has_function_and_line(void **state)
{
	struct names_place place;
	int line;

	line = __LINE__, names_place(here(), &place);
	assert_string_equal(place.function, __func__);
	if (has_dwarf()) {
		assert_string_equal(place.file, "test_names.c");
		assert_int_equal(place.line, line);
	} else {
		assert_string_equal(place.file, "");
		assert_int_equal(place.line, 0);
	}
}

static void what_is_no_code_is_a_question_mark(void **state)
{
	struct names_place place;

	names_place(&first_device, &place);
	assert_string_equal(place.function, "?");
	names_place(NULL, &place);
	assert_string_equal(place.function, "?");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(variables_have_their_name),
		cmocka_unit_test(parts_of_variables_are_told_apart),
		cmocka_unit_test(memory_that_is_no_variable_has_no_name),
		cmocka_unit_test(objects_are_called_by_who_leads_to_them),
		cmocka_unit_test(code_has_function_and_line),
		cmocka_unit_test(what_is_no_code_is_a_question_mark),
	};

	dwarf = argc > 1 && !strcmp(argv[1], "dwarf");
	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
