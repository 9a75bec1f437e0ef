"""Write docs/variables.md: every variable of every role, from meta/argument_specs.yml and defaults/main.yml."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/variables.md"
_HEAD = """# Every variable

Made from the roles' `meta/argument_specs.yml` by `.venv/bin/python scripts/variables.py`; do not edit.
A name that is not here is an error: the role `common` refuses it and says what was probably meant.

Set a variable for all machines in `group_vars/all.yml`, for the hub or the nodes in `group_vars/hubs.yml` or
`group_vars/nodes.yml`, for one machine in `host_vars/<machine>.yml`. Without a default and without *required*,
leaving it out is fine.
"""


def main() -> int:
    """Write the page."""
    PAGE.write_text(render(ROOT / "roles"), encoding="utf-8")
    return 0


def render(roles: Path) -> str:
    """Return the page for the roles under ``roles`` as Markdown."""
    paths = sorted(roles.glob("*/meta/argument_specs.yml"))
    contents = "\n".join(f"- [{path.parts[-3]}](#{path.parts[-3]})" for path in paths)
    sections = [_HEAD, contents, *(_section(path.parents[1]) for path in paths)]
    return "\n".join(sections).rstrip() + "\n"


def _section(role: Path) -> str:
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    defaults_file = role / "defaults/main.yml"
    defaults = (yaml.safe_load(defaults_file.read_text(encoding="utf-8")) if defaults_file.exists() else None) or {}
    main = specs.get("main") or next(iter(specs.values()))
    lines = ["", f"## {role.name}", "", _text(main.get("description") or main["short_description"]), ""]
    options = {name: option for entry in specs.values() for name, option in (entry.get("options") or {}).items()}
    if not options:
        return "\n".join([*lines, "No variables.", ""])
    lines += ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, option in sorted(options.items()):
        lines += _rows(name, option, defaults.get(name, option.get("default")))
    return "\n".join([*lines, ""])


def _rows(name: str, option: dict[str, Any], default: Any) -> list[str]:
    """Return the row of an option, and a row for each option nested in it."""
    kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
    meaning = _text(option["description"])
    if "choices" in option:
        meaning += f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}."
    required = "*required*" if option.get("required") else ""
    shown = required if default is None else f"`{_cell(_value(default))}`"
    rows = [f"| `{name}` | {kind} | {shown} | {_cell(meaning)} |"]
    for nested, inner in (option.get("options") or {}).items():
        rows += _rows(f"{name}{'[]' if option['type'] == 'list' else ''}.{nested}", inner, inner.get("default"))
    return rows


def _value(default: Any) -> str:
    if isinstance(default, str):
        return " ".join(default.split()) or '""'
    return (
        str(yaml.safe_dump(default, default_flow_style=True, width=10_000, sort_keys=False))
        .removesuffix("...\n")
        .strip()
    )


def _text(description: str | list[str]) -> str:
    """Return a description as Markdown; Ansible marks code as C(..), O(..) and values as V(..)."""
    text = description if isinstance(description, str) else " ".join(description)
    return re.sub(r"\b[COV]\(([^)]*)\)", r"`\1`", " ".join(text.split()))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
