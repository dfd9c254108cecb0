/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What is left out, of BROKEN_*: nothing, but where a test says so. */
unsigned int live_broken, rcache_broken;
