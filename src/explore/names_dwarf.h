/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What names_dwarf.c and names_pointers.c share.
 */
#ifndef EXPLORE_NAMES_DWARF_H
#define EXPLORE_NAMES_DWARF_H

#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stddef.h>

struct text {
	char *buf;
	size_t size;
};

__attribute__((format(printf, 2, 3)))
void text_append(struct text *text, const char *fmt, ...);

Dwfl_Module *dwarf_module_at(Dwarf_Addr addr);
/* Its type with names, const and volatile taken off. */
bool dwarf_type_of(Dwarf_Die *die, Dwarf_Die *ret_type);
Dwarf_Word dwarf_offset_of_member(Dwarf_Die *member);
/* Of a variable that stands at one address; without bias. */
bool dwarf_address_of(Dwarf_Die *variable, Dwarf_Addr *ret_addr);
/* From a type and an offset in it to ".member[3].word". */
void dwarf_append_path(struct text *text, Dwarf_Die *type, Dwarf_Word offset);

#endif
