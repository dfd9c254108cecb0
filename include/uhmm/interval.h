/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef UHMM_INTERVAL_H
#define UHMM_INTERVAL_H

/**
 * struct uhmm_interval_node - an interval of addresses as the index keeps it
 * @start: first byte
 * @last: last byte, inclusive, so that the top of the address space has a name
 * @order: breaks ties: of two intervals with one @start the one that was
 *	inserted first comes first; the low 4 bits are a note of the index
 *
 * The kernel's name for the member that holds it, &struct
 * mmu_interval_notifier.interval_tree, and its @start and @last are kept.
 * Written by the index at insert, and constant until remove returns but for
 * the note.
 */
struct uhmm_interval_node {
	unsigned long start;
	unsigned long last;
	unsigned long order;
};

#endif
