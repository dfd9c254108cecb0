/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "ear.h"

const char *const event_names[] = {
	[MMU_NOTIFY_UNMAP] = "UNMAP",
	[MMU_NOTIFY_CLEAR] = "CLEAR",
	[MMU_NOTIFY_PROTECTION_VMA] = "VMA",
	[MMU_NOTIFY_PROTECTION_PAGE] = "PAGE",
	[MMU_NOTIFY_SOFT_DIRTY] = "SOFT",
	[MMU_NOTIFY_RELEASE] = "RELEASE",
	[MMU_NOTIFY_MIGRATE] = "MIGRATE",
	[MMU_NOTIFY_EXCLUSIVE] = "EXCLUSIVE",
};

char heard[2000];
static int depth;

static void hear(const char *what)
{
	strncat(heard, what, sizeof(heard) - strlen(heard) - 1);
}

static int on_start(struct mmu_notifier *mn,
		    const struct mmu_notifier_range *range)
{
	char text[80];
	long first = ((long)range->start - (long)BASE) / 4096;

	if (depth++)
		hear("[");
	snprintf(text, sizeof(text), "%s%s%s", *heard && !strchr("[ ",
		 heard[strlen(heard) - 1]) ? " " : "", event_names[range->event],
		 mmu_notifier_range_blockable(range) ? "" : "~");
	hear(text);
	if (range->end - range->start < 1UL << 40)
		snprintf(text, sizeof(text), " %ld+%ld", first,
			 (long)(range->end - range->start) / 4096);
	else
		snprintf(text, sizeof(text), " all");
	hear(text);
	return 0;
}

static void on_end(struct mmu_notifier *mn,
		   const struct mmu_notifier_range *range)
{
	if (--depth)
		hear("]");
}

static const struct mmu_notifier_ops ops = {
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
};

static struct mmu_notifier ear = { .ops = &ops };

void listen_now(void)
{
	assert_int_equal(mmu_notifier_register(&ear, mm), 0);
	*heard = '\0';
}

int events_end(void **state)
{
	mmu_notifier_unregister(&ear, mm);
	return machine_end(state);
}

int newest_begin(void **state)
{
	int ret = machine_begin(state);

	machine.level = UHMM_KERNEL_NEWEST;
	machine_remake();
	return ret;
}

bool at_newest(void)
{
	return machine.level == UHMM_KERNEL_NEWEST;
}
