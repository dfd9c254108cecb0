/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Words in a row, many at once: as one by one, wherever they begin and however many. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/words.h"

#define MOST 40UL
#define FIRST 0x123456789abcdefUL

static unsigned long row[MOST + 8], expected[MOST + 8];
static unsigned long seed = 1;

static unsigned long draw(void)
{
	return seed = seed * 6364136223846793005UL + 1442695040888963407UL;
}

static void draw_all(void)
{
	for (unsigned long i = 0; i < MOST + 8; i++)
		row[i] = expected[i] = draw();
}

/* From each of four words on, none of them to MOST. */
#define EACH(at, n)                               \
	for (unsigned long at = 0; at < 4; at++)  \
		for (unsigned long n = 0; n <= MOST; n++)

static void bits_of_all(void **state)
{
	EACH(at, n) {
		unsigned long each = ~0UL;

		draw_all();
		for (unsigned long i = at; i < at + n; i++) {
			/* Most of them in all, or few in any. */
			row[i] |= n % 2 ? 0xffffUL : 0;
			each &= row[i];
		}
		assert_int_equal(words_and(row + at, n), each);
	}
}

static void they_count_up_and_none_beside(void **state)
{
	static const unsigned long steps[] = { 0, 1, 64, 1UL << 12 };

	for (unsigned long k = 0; k < 4; k++)
		EACH(at, n) {
			unsigned long was = 0;

			draw_all();
			for (unsigned long i = 0; i < n; i++) {
				was |= expected[at + i];
				expected[at + i] = FIRST + i * steps[k];
			}
			assert_int_equal(words_count_up(row + at, n, FIRST, steps[k]),
					 was);
			assert_memory_equal(row, expected, sizeof(row));
			assert_int_equal(words_run(row + at, n, FIRST, steps[k]), n);
		}
}

/* Up to the one that is another; and what is behind the last does not count. */
static void a_run_ends_where_one_is_another(void **state)
{
	EACH(at, n) {
		draw_all();
		words_count_up(row + at, n, FIRST, 64);
		for (unsigned long i = n; i--;) {
			row[at + i] ^= 1UL << i;
			assert_int_equal(words_run(row + at, n, FIRST, 64), i);
			row[at + i] ^= 1UL << i;
			assert_int_equal(words_run(row + at, i, FIRST, 64), i);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bits_of_all),
		cmocka_unit_test(they_count_up_and_none_beside),
		cmocka_unit_test(a_run_ends_where_one_is_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
