"""The page of all variables is current."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_page_of_variables_is_what_the_roles_say() -> None:
    script = runpy.run_path(str(ROOT / "scripts/variables.py"))
    page = (ROOT / "docs/variables.md").read_text(encoding="utf-8")
    assert page == script["render"](ROOT / "roles"), "make it anew: .venv/bin/python scripts/variables.py"
