/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Each block is mapped for itself, and unmapped when it is freed. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096UL

void *malloc(size_t size)
{
	size_t length = (size + 16 + PAGE - 1) & -PAGE;
	size_t *p = mmap(NULL, length, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	p[0] = length;
	p[1] = size;
	return p + 2;
}

void free(void *block)
{
	if (block)
		munmap((size_t *)block - 2, ((size_t *)block)[-2]);
}

void *calloc(size_t n, size_t size)
{
	return malloc(n * size);
}

void *realloc(void *block, size_t size)
{
	void *p = malloc(size);
	size_t old = block ? ((size_t *)block)[-1] : 0;

	if (p && block)
		memcpy(p, block, old < size ? old : size);
	if (p)
		free(block);
	return p;
}
