/* SPDX-License-Identifier: 0BSD */
/* A driver of one page, on the model: no device, no kernel module, no root. */
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <uhmm/hmm.h>
#include <uhmm/model.h>
#include <uhmm/mmu_notifier.h>

enum { PAGE = 4096 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mmu_interval_notifier mirror;
static unsigned long frame;	/* all that the device has; 0: nothing */

static bool zap(struct mmu_interval_notifier *sub,
		const struct mmu_notifier_range *range, unsigned long cur_seq)
{
	if (!mmu_notifier_range_blockable(range))
		return false;
	pthread_mutex_lock(&lock);
	mmu_interval_set_seq(sub, cur_seq);
	frame = 0;		/* and a real device stops here */
	pthread_mutex_unlock(&lock);
	return true;
}

static int fault(unsigned long addr)
{
	unsigned long pfn;
	struct hmm_range range = {
		.notifier = &mirror, .start = addr, .end = addr + PAGE, .hmm_pfns = &pfn,
		.default_flags = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE,
	};

	while (!frame && !hmm_range_fault_unlocked_timeout(&range, 0)) {
		pthread_mutex_lock(&lock);
		if (!mmu_interval_read_retry(&mirror, range.notifier_seq))
			frame = uhmm_hmm_pfn_of(pfn);
		pthread_mutex_unlock(&lock);
	}
	return frame ? 0 : -1;
}

int main(void)
{
	static const struct mmu_interval_notifier_ops ops = { .invalidate = zap };
	struct mm_struct *mm;
	long sent = 42, got = 0, addr;

	if (uhmm_mm_create_model(NULL, NULL, &mm) ||
	    (addr = uhmm_model_mmap(mm, 0, PAGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, 0, 0)) < 0 ||
	    mmu_interval_notifier_insert(&mirror, mm, addr, PAGE, &ops) ||
	    fault(addr) || uhmm_page_write(mm, frame, 0, &sent, sizeof(sent)) ||
	    uhmm_model_read(mm, addr, &got, sizeof(got), NULL) || got != sent)
		return 2;	/* the CPU reads what the device wrote */
	uhmm_model_madvise(mm, addr, PAGE, MADV_DONTNEED);
	printf("%d stale\n", frame != 0);
	return frame != 0;	/* the device was told in time */
}
