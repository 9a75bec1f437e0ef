# Copyright (c) 2026 The CLLMH engineers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that finds variables no role of this collection knows, so that a typo is an error."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from ansible.errors import AnsibleFilterError

# Uses libyaml where it is there: it parses all roles' specs in a fraction of the time.
from ansible.module_utils.common.yaml import yaml_load

DOCUMENTATION = r"""
name: misspelt_variables
author: The CLLMH engineers (@cllmh)
version_added: 0.1.0
short_description: Find variables that no role knows
description:
  - Compares variable names with the options in the C(meta/argument_specs.yml) of every role in a folder.
  - A name is misspelt when it begins with a role's name and is not among the options of that role,
    or when it is nearly the name of an option (C(motion_recoder_cameras)).
positional: roles_dir, host
options:
  _input:
    description: Names of the variables to check.
    type: list
    elements: str
    required: true
  roles_dir:
    description: Folder of the roles, on the controller.
    type: path
    required: true
  host:
    description: Inventory name of the host the variables belong to; it is named in the sentences.
    type: str
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.assert:
    that: query('varnames', '^[a-z]') | cllmh.cctv.misspelt_variables(role_path ~ '/..', inventory_hostname) == []
"""

RETURN = r"""
_value:
  description: One sentence for each misspelt variable, with the nearest name that exists.
  type: list
  elements: str
"""

# Ratio from difflib above which a foreign name is taken for a slip of the pen, not for the user's own variable.
_SLIP = 0.92


def known_variables(roles_dir: Path) -> dict[str, set[str]]:
    """Return the names of the options of each role under ``roles_dir``, over all its entry points."""
    known: dict[str, set[str]] = {}
    for path in sorted(roles_dir.glob("*/meta/argument_specs.yml")):
        with path.open(encoding="utf-8") as stream:
            specs = yaml_load(stream)["argument_specs"]
        known[path.parts[-3]] = {name for entry in specs.values() for name in entry.get("options") or {}}
    return known


def misspelt_variables(names: Iterable[str], roles_dir: str, host: str) -> list[str]:
    """Return a sentence for each of ``names`` that looks like a role's variable and is none."""
    known = known_variables(Path(roles_dir))
    if not known:
        raise AnsibleFilterError(f"no role with meta/argument_specs.yml under {roles_dir}")
    options = sorted(set().union(*known.values()))
    sentences = []
    for name in sorted(set(names).difference(options)):
        # `hub_api_x` belongs to hub_api even if a role `hub` came to exist.
        role = max((role for role in known if name.startswith(f"{role}_")), key=len, default=None)
        if role:
            nearest = get_close_matches(name, known[role], n=1, cutoff=0.0)
            sentences.append(f"{host}: the role {role} has no variable {name}" + _hint(nearest))
        elif not name.startswith("ansible_"):
            nearest = get_close_matches(name, options, n=1, cutoff=_SLIP)
            if nearest:
                sentences.append(f"{host}: no role has a variable {name}" + _hint(nearest))
    return sentences


def _hint(nearest: list[str]) -> str:
    return f", did you mean {nearest[0]}?" if nearest else ""


class FilterModule:
    """Filters of this file, as Ansible looks them up."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"misspelt_variables": misspelt_variables}
