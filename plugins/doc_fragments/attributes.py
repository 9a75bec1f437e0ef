# Copyright (c) 2026 CLLMH contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of this collection say about check mode, diff mode and platforms."""

from __future__ import annotations


class ModuleDocFragment:
    """`extends_documentation_fragment: cllmh.cctv.attributes`, plus one of the parts below."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and says then what it would do, without doing it.
  diff_mode:
    description: Says in diff mode what changes, as C(before) and C(after).
  platform:
    description: The systems that the module runs on.
    support: full
    platforms: posix
"""

    READ_ONLY = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: The module only reads; it does the same in check mode.
  diff_mode:
    support: N/A
    details: The module changes nothing.
"""
