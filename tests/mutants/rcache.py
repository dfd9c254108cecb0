# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The registration cache: what others get wrong, and what is its own."""

from detectors import SUB, Group, Mutant, unit

FIND = 'src/core/find.c'
HINTS = 'src/rcache/hints.c'
MISS = 'src/rcache/miss.c'
RCACHE = 'src/rcache/rcache.c'
REAP = 'src/rcache/reap.c'
REGION = 'src/rcache/region.c'
URING = 'src/rcache/uring.c'
PINS = 'src/rcache/uring_pins.c'

RCACHES = Group('The registration cache', '', [
    Mutant('retry', 'what collided with an invalidation lives',
           [(MISS, 'collided = mmu_interval_read_retry(&r->sub, seq) &&',
             'collided = false &&')],
           [unit('rcache', 'what_collides_is_registered_again')], quick=True),
    Mutant('whose', 'a search finds what another cache has',
           [(FIND, 'if (sub_of(found[i])->ops == ops)', 'if (1)')],
           [unit('rcache', 'caches_do_not_mind_each_other')]),
    Mutant('overlaps', 'what lives in a request is not noticed',
           [(RCACHE, 'w->overlaps |= READ_ONCE(region_of(out[i])->life) != 0;',
             '')],
           [unit('rcache', 'overlaps_are_merged')]),
    Mutant('alone', 'what is not alone is registered as if it were',
           [(SUB, 'ret = alone ? index_insert_alone(&mm->index, '
             '&sub->interval_tree) :\n\t\t      index_insert(',
             'ret = index_insert(')],
           [unit('rcache', 'overlaps_are_merged')]),
    Mutant('born', 'what comes to life meanwhile is not noticed',
           [(MISS, '\tif (w->born != c->counters.registrations)\n'
             '\t\tw->overlaps = true;\n', ''),
            (MISS, 'w->overlaps || w->born != c->counters.registrations',
             'w->overlaps')],
           [unit('rcache', 'what_came_meanwhile_is_merged')]),
    Mutant('life', 'an entry that is retired lives on',
           [(REGION, '\t\tWRITE_ONCE(r->life, 0);\n', '')],
           [unit('rcache', 'an_invalidation_deregisters_first')]),
    Mutant('hint', 'the hint of an entry that is retired lives on',
           [(HINTS, '\tWRITE_ONCE(h->life, 0);\n\t/* That is', '\t/* That is'),
            (HINTS, '\tWRITE_ONCE(h->start, HINT_NONE);\n', '')],
           [unit('rcache', 'an_invalidation_deregisters_first')]),
    Mutant('holds', 'what is in use is deregistered with the rest',
           [(REAP, '\t\tholds_mark(c);\n', '')],
           [unit('rcache', 'what_is_in_use_is_kept_and_not_returned')]),
    Mutant('holds of an invalidation', 'it deregisters what is in use',
           [(REAP, 'if (!holds_have(c, mine[i])) {', 'if (1) {')],
           [unit('rcache', 'what_is_in_use_is_kept_and_not_returned')]),
    Mutant('hold of a miss', 'the hold of a get that misses counts as free',
           [(RCACHE, '\thold_end(g->hold, HOLD_TAKEN);\n', '')],
           [unit('rcache', 'what_came_meanwhile_is_merged')]),
    Mutant('reaper', 'what one reaper found in use the next one leaves, too',
           [(REAP, 'if (r->busy == c->reaper)', 'if (r->busy)')],
           [unit('rcache', 'what_is_in_use_is_kept_and_not_returned')]),
    Mutant('claim', 'an entry is deregistered twice',
           [(REAP, 'if (state & (REGION_CLAIMED | REGION_GONE))', 'if (0)')],
           [unit('rcache', 'an_invalidation_deregisters_first')]),
    Mutant('last put', 'the last put of what is retired leaves it',
           [(RCACHE, 'if (READ_ONCE(r->state) & REGION_RETIRED && !c->ended)',
             'if (0)')],
           [unit('rcache', 'what_is_in_use_is_kept_and_not_returned')]),
    Mutant('second chance', 'what was used goes like all others',
           [(REAP, 'if (!r->life || second_chance(r))', 'if (!r->life)')],
           [unit('rcache', 'what_is_used_gets_a_second_chance')]),
    Mutant('memlock', 'what may be locked is no limit',
           [(RCACHE, '\t\to->max_bytes = limit.rlim_cur;\n', '\t\t;\n')],
           [unit('rcache', 'what_may_be_locked_is_a_limit')]),
    Mutant('child', 'a child finds what its parent has',
           [(RCACHE, '\t\thints_end(c);\n', ''),
            (RCACHE, '\t\tc->ended = true;\n', '')],
           [unit('rcache', 'a_child_has_none_of_it')]),
    Mutant('lock of a ring', 'in a child the lock of a ring is the parent\'s',
           [(URING, '\t\tspin_lock_init(&u->lock);\n', '')],
           [unit('rcache_uring',
                 'a_child_has_nothing_and_waits_for_nobody')]),
    Mutant('pins of a parent', 'in a child what the parent has pinned counts',
           [(URING, '\t\tpins_forget(&u->pins);\n', '')],
           [unit('rcache_uring',
                 'a_child_has_nothing_and_waits_for_nobody')]),
    Mutant('tag too late', 'a tag is waited for once the kernel has been asked',
           [(URING, '\tuint64_t tag = uring_tagged(u) ? pin_hold(u, slot) : 0;\n'
             '\tint err = slot_update(u, slot, &nothing, 0);\n',
             '\tint err = slot_update(u, slot, &nothing, 0);\n'
             '\tuint64_t tag = uring_tagged(u) ? pin_hold(u, slot) : 0;\n')],
           [unit('rcache_uring', 'a_tag_may_come_before_the_call_returns')],
           quick=True),
    Mutant('tag of another life', 'an old tag releases what is there now',
           [(PINS, '\t\tpin->life = fetch_add(&lives, 1);\n', '')],
           [unit('rcache_uring', 'tags_of_nothing_are_counted')]),
    Mutant('not held', 'what could not be taken out counts as held',
           [(URING, 'pin_unhold(u, tag)', '(void)tag')],
           [unit('rcache_uring', 'what_stays_in_its_slot_is_not_held')]),
    Mutant('what is held', 'what the device holds counts against no limit',
           [(MISS, '\t\theld = c->ops->held(c->device);\n', '\t\t;\n')],
           [unit('rcache_uring', 'limits_count_what_is_held')]),
    Mutant('wait for a tag', 'who waits does so for what is let go of later, too',
           [(PINS, 'pin && pin->number <= number;', 'pin;')],
           [unit('rcache_uring', 'who_waits_does_so_for_what_is_held_then')]),
])
