# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Patching libc: more than five bytes, or some of them, or in another's code."""

from detectors import Group, Mutant, unit

PATCH = 'src/mm/live/patch.c'
PLACES = 'src/mm/live/patch_x86_64.c'

PATCHES = Group('Patching libc', '', [
    Mutant('another libc', 'what is not the code that is expected is left out',
           [(PATCH, 'if (!ret && f->needed && live_patch.nsites == before)',
             'if (0)')],
           [unit('live_patch', 'another_libc_is_refused')], quick=True),
    Mutant('half way', 'what was written by then stays',
           [(PATCH, '\t\twhile (n--)\n', '\t\twhile (0)\n')],
           [unit('live_patch', 'half_way_it_is_taken_back')], quick=True),
    Mutant('all but one', 'the first place that was written stays',
           [(PATCH, '\t\twhile (n--)\n', '\t\twhile (n-- > 1)\n')],
           [unit('live_patch', 'half_way_it_is_taken_back')]),
    Mutant('what was written', 'what could not be written counts as done',
           [(PATCH, 'live_patch.sites[n].is))\n\t\tn++;',
             'live_patch.sites[n].is) | 1)\n\t\tn++;')],
           [unit('live_patch', 'what_cannot_be_written_is_as_it_was')]),
    Mutant('mark of an entry', 'the jump lies where the function begins',
           [(PLACES, 'ret = patch_place(code, at - 5, kind);',
             'ret = patch_place(code, kind == KIND_PLAIN ? code->start : at - 5,'
             '\n\t\t\t\t\t  kind);')],
           [unit('live_patch', 'the_mark_of_an_entry_stays')], quick=True),
    Mutant('five bytes', 'the trap goes, too, under who stands before it',
           [(PLACES, 'memcpy(site->is + 1, &distance, sizeof(distance));',
             'memcpy(site->is + 1, &distance, sizeof(distance));\n'
             '\tsite->is[5] = site->is[6] = 0x90;')],
           [unit('live_patch', 'five_bytes_and_nothing_else')], quick=True),
    Mutant('nothing else', 'the byte before each place is written, too',
           [(PATCH, 'return pwrite(fd, bytes, sizeof(site->is), '
             '(off_t)site->addr) ==',
             'pwrite(fd, "\\xcc", 1, (off_t)site->addr - 1);\n'
             '\treturn pwrite(fd, bytes, sizeof(site->is), '
             '(off_t)site->addr) ==')],
           [unit('live_patch', 'five_bytes_and_nothing_else')]),
    Mutant('no code', 'bridges that cannot be executed are made use of',
           [(PLACES, 'if (mprotect(code->page, PAGE, PROT_READ | PROT_EXEC))',
             'if (mprotect(code->page, PAGE, PROT_READ | PROT_EXEC) && 0)')],
           [unit('live_patch', 'where_no_code_may_be_made_it_is_refused')]),
    Mutant('reach', 'a bridge lies wherever there is room',
           [(PLACES, '(unsigned long)p - (text - REACH) < 2 * REACH', '1')],
           [unit('live_patch', 'without_room_beside_it_it_is_refused')]),
])
