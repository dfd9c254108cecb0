/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Without libdw symbols are all there is. */
#include "explore/names.h"

bool names_dwarf_place(const void *pc, struct names_place *ret_place)
{
	return false;
}

bool names_dwarf_object(const void *addr, char *buf, size_t size)
{
	return false;
}

bool names_code(const void *in,
		void (*fn)(const struct names_code *code, void *arg), void *arg)
{
	return false;
}

bool names_pointed(const void *in, const void *addr, const void *piece,
		   const void *(*piece_of)(const void *addr, size_t *ret_size),
		   char *buf, size_t size)
{
	return false;
}
