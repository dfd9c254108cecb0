/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What an address is called: functions and lines for code, variables and their
 * members for data. From the symbol tables of what is loaded and, where libdw
 * is there, from the debugging information.
 */
#ifndef EXPLORE_NAMES_H
#define EXPLORE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * @file is without folders, @path with them; "" and 0: not known. Strings live
 * until something is loaded and asked for.
 */
struct names_place {
	const char *function;
	const char *path;
	const char *file;
	unsigned int line;
};

/* @pc is a return address: the place is the call before it. */
void names_place(const void *pc, struct names_place *ret_place);

/*
 * "mirror.invalidate_seq", "table[3]" or, for want of types, "mirror+8". False:
 * @addr is in no variable, and @buf is empty.
 */
bool names_object(const void *addr, char *buf, size_t size);

/*
 * "mm->lock", of memory on a heap to which variables of the loaded file that
 * @in is in lead, directly or through other such memory. False: none does.
 * @piece is where the piece that @addr is in begins; @piece_of finds that of
 * any address, NULL: none.
 */
bool names_pointed(const void *in, const void *addr, const void *piece,
		   const void *(*piece_of)(const void *addr, size_t *ret_size),
		   char *buf, size_t size);

/* A piece of code, from @from on and before @to, and the line that it is of. */
struct names_code {
	uintptr_t from, to;
	const char *path;
	unsigned int line;
};

/*
 * Call @fn for all code of the loaded file that @in is in, what is inlined being
 * of the line where it was written. False: that is not known.
 */
bool names_code(const void *in,
		void (*fn)(const struct names_code *code, void *arg), void *arg);

/* names_dwarf.c or names_nodwarf.c: false if they do not know. */
bool names_dwarf_place(const void *pc, struct names_place *ret_place);
bool names_dwarf_object(const void *addr, char *buf, size_t size);

#endif
