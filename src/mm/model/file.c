/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Files of the model: in memory, which swap extends, or on a disk whose pages
 * are written when somebody asks for it.
 */
#include "internal.h"

#define SWAPPED(id) ((uint64_t)(id) << 1 | 1)

struct file *file_make(struct space *space, enum file_kind kind,
		       unsigned long size)
{
	struct file *file = arena_alloc(arena_of(space), sizeof(*file));

	if (!file)
		return NULL;
	file->kind = kind;
	file->size = size;
	file->refs = 1;
	file->inode = ++machine_of(space)->last_inode;
	file->next = machine_of(space)->files;
	machine_of(space)->files = file;
	return file;
}

struct file *file_by_handle(struct space *space, int handle)
{
	struct file *file = machine_of(space)->files;

	while (file && (file->handle != handle || handle <= 0))
		file = file->next;
	return file;
}

/* What the file has of a page, in memory or on swap, is not wanted any more. */
void file_forget_page(struct space *space, struct file *file,
		      unsigned long index)
{
	uint64_t word = sparse_get(&file->pages, index);
	struct frame *frame;

	if (!word)
		return;
	sparse_set(arena_of(space), &file->pages, index, 0);
	if (word & 1) {
		swap_unref(space, word >> 1);
		return;
	}
	frame = frame_get(space, word >> 1);
	frame->flags &= ~FRAME_CACHED;
	frame->file = NULL;
	frame_unref(space, word >> 1);
}

void file_unref(struct space *space, struct file *file)
{
	struct file **at = &machine_of(space)->files;
	unsigned long index = 0;

	if (--file->refs)
		return;
	while (sparse_next(&file->pages, &index))
		file_forget_page(space, file, index);
	sparse_free(arena_of(space), &file->pages);
	sparse_free(arena_of(space), &file->disk);
	while (*at != file)
		at = &(*at)->next;
	*at = file->next;
	arena_free(arena_of(space), file, sizeof(*file));
}

bool file_has(struct space *space, struct file *file, unsigned long index)
{
	return sparse_get(&file->pages, index) != 0;
}

/* The frame in the cache, or 0. */
unsigned long file_cached(struct space *space, struct file *file,
			  unsigned long index)
{
	uint64_t word = sparse_get(&file->pages, index);

	return word & 1 || index << PAGE_SHIFT >= file->size ? 0 : word >> 1;
}

static int cache_add(struct space *space, struct file *file,
		     unsigned long index, unsigned long pfn)
{
	struct frame *frame = frame_get(space, pfn);

	if (sparse_set(arena_of(space), &file->pages, index,
		       (uint64_t)pfn << 1))
		return -ENOMEM;
	frame->file = file;
	frame->index = index;
	frame->flags |= FRAME_CACHED;
	return 0;
}

unsigned long file_page(struct space *space, struct file *file,
			unsigned long index, bool *ret_oom)
{
	uint64_t word = sparse_get(&file->pages, index);
	unsigned long pfn;

	if (index << PAGE_SHIFT >= file->size)
		return 0;
	if (word && !(word & 1))
		return word >> 1;
	*ret_oom = true;
	pfn = frame_new(space);
	if (!pfn)
		return 0;
	if (word) {
		swap_read(space, word >> 1, frame_get(space, pfn));
		frame_get(space, pfn)->flags |= FRAME_DIRTY;
		swap_unref(space, word >> 1);
	} else {
		frame_fill(space, frame_get(space, pfn),
			   sparse_get(&file->disk, index));
	}
	if (cache_add(space, file, index, pfn)) {
		frame_unref(space, pfn);
		return 0;
	}
	return pfn;
}

/* A page of the cache moves; one with a swap slot does not. */
bool file_move_page(struct space *space, unsigned long from, unsigned long to)
{
	struct frame *src = frame_get(space, from), *dst;

	if (!src->file)
		return false;
	if (sparse_set(arena_of(space), &src->file->pages, src->index,
		       (uint64_t)to << 1))
		return false;
	dst = frame_get(space, to);
	dst->flags |= FRAME_CACHED;
	src->flags &= ~FRAME_CACHED;
	frame_ref(space, to);
	frame_unref(space, from);
	return true;
}

void file_swap_out(struct space *space, struct file *file, unsigned long index,
		   unsigned long id)
{
	file_forget_page(space, file, index);
	sparse_set(arena_of(space), &file->pages, index, SWAPPED(id));
}

/* A disk keeps the first word of a page: enough to tell pages apart. */
void file_write_back(struct space *space, struct file *file,
		     unsigned long index)
{
	struct frame *frame;
	unsigned long pfn = file_cached(space, file, index);
	uint64_t word;

	if (!pfn)
		return;
	frame = frame_get(space, pfn);
	if (!(frame->flags & FRAME_DIRTY))
		return;
	frame->flags &= ~FRAME_DIRTY;
	rmap_clean(space, pfn);
	frame_read(frame, 0, &word, sizeof(word));
	sparse_set(arena_of(space), &file->disk, index, word);
}

/* Every mapping of pages from @first to before @end, in all spaces. */
static void unmap_pages(struct space *space, struct file *file,
			unsigned long first, unsigned long end, bool cows)
{
	struct space *at;
	struct vma *vma;

	for (at = machine_of(space)->spaces; at; at = at->next) {
		for (vma = at->vmas; vma; vma = vma->next) {
			unsigned long last = vma_index(vma, vma->end);
			unsigned long from = max_ul(first, vma->pgoff);
			unsigned long to = min_ul(end, last);

			if (vma->file != file || from >= to)
				continue;
			from = vma->start + ((from - vma->pgoff) << PAGE_SHIFT);
			to = vma->start + ((to - vma->pgoff) << PAGE_SHIFT);
			zap_clear(at, vma, from, to, cows ? ZAP_COWS : 0);
		}
	}
}

static void forget_pages(struct space *space, struct file *file,
			 unsigned long first, unsigned long end)
{
	unsigned long index = first;

	while (sparse_next(&file->pages, &index) && index < end)
		file_forget_page(space, file, index++);
	index = first;
	while (sparse_next(&file->disk, &index) && index < end)
		sparse_set(arena_of(space), &file->disk, index++, 0);
}

static int truncate_to(struct space *space, struct file *file,
		       unsigned long size)
{
	unsigned long first = (size + PAGE_SIZE - 1) >> PAGE_SHIFT;
	unsigned long old = file->size;
	/* A file in memory that grows has nothing behind its end. */
	bool zap = file->kind == FILE_DISK || old > first << PAGE_SHIFT;

	if (size == old)
		return 0;
	file->size = size;
	if (zap)
		unmap_pages(space, file, first, ~0UL, true);
	forget_pages(space, file, first, ~0UL);
	if (zap)
		unmap_pages(space, file, first, ~0UL, true);
	return 0;
}

int file_punch(struct space *space, struct file *file, unsigned long first,
	       unsigned long end)
{
	if (file->kind != FILE_SHMEM)
		return -EOPNOTSUPP;
	if (first < end) {
		unmap_pages(space, file, first, end, false);
		forget_pages(space, file, first, end);
	}
	return 0;
}

/* ------------------------------------------------------------------ public */

/* The file, with the lock held until model_drop(); NULL: there is none. */
static struct file *file_enter(struct mm_struct *mm, int handle)
{
	struct file *file;

	model_retake(space_of(mm));
	file = file_by_handle(space_of(mm), handle);
	if (!file)
		model_drop(space_of(mm));
	return file;
}

int uhmm_model_file(struct mm_struct *mm, enum uhmm_model_file_kind kind,
		    unsigned long size)
{
	static const enum file_kind kinds[] = {
		[UHMM_MODEL_FILE_MEMORY] = FILE_SHMEM,
		[UHMM_MODEL_FILE_DISK] = FILE_DISK,
		[UHMM_MODEL_FILE_DEVICE] = FILE_DEVICE,
	};
	struct space *space = space_of(mm);
	struct file *file;
	int handle = -ENOMEM;

	if ((unsigned int)kind >= ARRAY_SIZE(kinds))
		return -EINVAL;
	model_lock(space);
	file = file_make(space, kinds[kind], size);
	if (file)
		handle = file->handle = ++machine_of(space)->last_handle;
	model_unlock(space);
	return handle;
}

int uhmm_model_file_close(struct mm_struct *mm, int handle)
{
	struct file *file = file_enter(mm, handle);

	if (!file)
		return -EBADF;
	file->handle = 0;
	file_unref(space_of(mm), file);
	model_drop(space_of(mm));
	return 0;
}

int uhmm_model_file_truncate(struct mm_struct *mm, int handle,
			     unsigned long size)
{
	struct file *file = file_enter(mm, handle);
	int ret;

	if (!file)
		return -EBADF;
	file->refs++;
	ret = truncate_to(space_of(mm), file, size);
	file_unref(space_of(mm), file);
	model_drop(space_of(mm));
	return ret;
}

int uhmm_model_file_punch(struct mm_struct *mm, int handle,
			  unsigned long offset, unsigned long len)
{
	struct file *file = file_enter(mm, handle);
	int ret;

	if (!file)
		return -EBADF;
	file->refs++;
	ret = file_punch(space_of(mm), file,
			 (offset + PAGE_SIZE - 1) >> PAGE_SHIFT,
			 (offset + len) >> PAGE_SHIFT);
	file_unref(space_of(mm), file);
	model_drop(space_of(mm));
	return ret;
}

int uhmm_model_file_sync(struct mm_struct *mm, int handle)
{
	struct file *file = file_enter(mm, handle);
	unsigned long index = 0;

	if (!file)
		return -EBADF;
	file->refs++;
	if (file->kind == FILE_DISK)
		for (; sparse_next(&file->pages, &index); index++)
			file_write_back(space_of(mm), file, index);
	file_unref(space_of(mm), file);
	model_drop(space_of(mm));
	return 0;
}

static long file_io(struct space *space, struct file *file, void *buf,
		    size_t len, unsigned long offset, bool write)
{
	unsigned long size = file->size;
	size_t done = 0;

	if (write && offset + len > size)
		file->size = offset + len;
	while (done < len && offset + done < file->size) {
		unsigned long at = (offset + done) % PAGE_SIZE, pfn;
		unsigned long index = (offset + done) >> PAGE_SHIFT;
		size_t n = min_ul(PAGE_SIZE - at, len - done);
		bool oom = false;

		n = min_ul(n, file->size - offset - done);
		/* What is in memory alone is not made in order to be read. */
		if (!write && file->kind == FILE_SHMEM &&
		    !file_has(space, file, index)) {
			memset((char *)buf + done, 0, n);
			done += n;
			continue;
		}
		pfn = file_page(space, file, index, &oom);
		if (!pfn) {
			if (write)
				file->size = max_ul(size, done ? offset + done :
								 0);
			return done ? (long)done : -ENOSPC;
		}
		if (write) {
			frame_write(space, frame_get(space, pfn), at,
				    (char *)buf + done, n);
			frame_get(space, pfn)->flags |= FRAME_DIRTY;
		} else {
			frame_read(frame_get(space, pfn), at,
				   (char *)buf + done, n);
		}
		done += n;
	}
	return done;
}

long uhmm_model_file_write(struct mm_struct *mm, int handle, const void *buf,
			   size_t len, unsigned long offset)
{
	struct file *file = file_enter(mm, handle);
	long ret;

	if (!file)
		return -EBADF;
	ret = file_io(space_of(mm), file, (void *)buf, len, offset, true);
	model_drop(space_of(mm));
	return ret;
}

long uhmm_model_file_read(struct mm_struct *mm, int handle, void *buf,
			  size_t len, unsigned long offset)
{
	struct file *file = file_enter(mm, handle);
	long ret;

	if (!file)
		return -EBADF;
	ret = file_io(space_of(mm), file, buf, len, offset, false);
	model_drop(space_of(mm));
	return ret;
}

/* A device's area has its page from the start. */
int device_map(struct space *space, struct vma *vma)
{
	for (unsigned long addr = vma->start; addr < vma->end;
	     addr += PAGE_SIZE) {
		unsigned long index = vma_index(vma, addr);
		bool oom = false;
		unsigned long pfn;

		if (index << PAGE_SHIFT >= vma->file->size)
			vma->file->size = (index + 1) << PAGE_SHIFT;
		pfn = file_page(space, vma->file, index, &oom);
		if (!pfn || frame_map(space, pfn) ||
		    pte_put(space, addr, pte_make(PTE_PRESENT, pfn, PTE_YOUNG)))
			return -ENOMEM;
	}
	return 0;
}
