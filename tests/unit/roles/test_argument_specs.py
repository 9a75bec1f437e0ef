"""Every role says what it takes: defaults and specification agree, and each variable is explained."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[3] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if (path / "tasks").is_dir())


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def options(role: str) -> dict[str, dict[str, Any]]:
    """Return the options of all entry points of a role by name."""
    specs = load(ROLES / role / "meta/argument_specs.yml")["argument_specs"]
    return {name: option for entry in specs.values() for name, option in (entry.get("options") or {}).items()}


def walk(prefix: str, option: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return an option and all that are nested in it, each with its path."""
    found = [(prefix, option)]
    for name, nested in (option.get("options") or {}).items():
        found += walk(f"{prefix}.{name}", nested)
    return found


@pytest.mark.parametrize("role", NAMES)
def test_each_default_is_specified(role: str) -> None:
    defaults = load(ROLES / role / "defaults/main.yml") or {}
    assert [name for name in defaults if name not in options(role)] == []


@pytest.mark.parametrize("role", NAMES)
def test_specified_defaults_are_those_that_apply(role: str) -> None:
    defaults = load(ROLES / role / "defaults/main.yml") or {}
    for name, option in options(role).items():
        if "default" in option:
            assert name in defaults, f"{name} is said to have a default"
            # A computed default may be told in other words.
            assert defaults[name] == option["default"] or "{{" in str(defaults[name])


@pytest.mark.parametrize("role", NAMES)
def test_each_variable_carries_the_name_of_its_role(role: str) -> None:
    foreign = [name for name in options(role) if not name.startswith((f"{role}_", "common_"))]
    assert foreign == []
    internal = load(ROLES / role / "vars/main.yml") or {}
    assert [name for name in internal if not name.startswith(f"__{role}_")] == []


@pytest.mark.parametrize("role", NAMES)
def test_each_variable_has_a_type_and_a_description(role: str) -> None:
    for name, option in options(role).items():
        for path, part in walk(name, option):
            assert part.get("type"), f"{path} has no type"
            # A colon makes a dictionary of a sentence that is not quoted.
            text = part.get("description")
            assert text, f"{path} has no description"
            assert isinstance(text, str) or all(isinstance(line, str) for line in text), (
                f"{path} is described by {text}"
            )
            assert part["type"] != "list" or part.get("elements"), f"{path} does not say what it is a list of"


@pytest.mark.parametrize("role", NAMES)
def test_each_role_says_what_it_is_for(role: str) -> None:
    specs = load(ROLES / role / "meta/argument_specs.yml")["argument_specs"]
    assert all(entry.get("short_description") for entry in specs.values())
    assert load(ROLES / role / "meta/main.yml")["galaxy_info"]["description"]
