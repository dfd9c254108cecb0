# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The known-bad variants, all of them. See mutants.py."""

from fences import FENCES
from model import EVENT_ROWS
from orders import ORDERS
from patch import PATCHES
from rcache import RCACHES
from scheme import FILTERED, INDEXED, LISTS, OPTIONS, RESERVED, SCHEME
from waits import HOLDS, KEEPS, WAITS, WAKES

GROUPS = [FENCES, ORDERS, WAITS, WAKES, HOLDS, KEEPS, SCHEME, RESERVED, LISTS,
          INDEXED, FILTERED, OPTIONS, EVENT_ROWS, RCACHES, PATCHES]
MUTANTS = [mutant for group in GROUPS for mutant in group.mutants]
