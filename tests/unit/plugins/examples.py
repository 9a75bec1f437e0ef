"""The examples of a module's documentation, as a playbook would run them."""

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import yaml
from ansible.template import Templar, trust_as_template


def examples_of(module: ModuleType, places: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the arguments of each example, with those that name a place moved into the test's own.

    Fails when an example is not one task with a name, or has an argument that the documentation does not.
    """
    documentation = yaml.safe_load(module.DOCUMENTATION)
    for task in yaml.safe_load(module.EXAMPLES):
        extra = set(task) - {"name", "register", f"cllmh.cctv.{documentation['module']}"}
        assert not extra, f"{task.get('name')}: a test does not know what to do with {extra}"
        arguments = task[f"cllmh.cctv.{documentation['module']}"]
        unknown = set(arguments) - set(documentation["options"])
        assert not unknown, f"{task['name']}: {unknown} are no options"
        yield task["name"], {name: _rendered(places.get(name, value)) for name, value in arguments.items()}


def _rendered(value: Any) -> Any:
    """Return a value with its templates filled in."""
    if isinstance(value, dict):
        return {name: _rendered(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_rendered(inner) for inner in value]
    if isinstance(value, str) and "{{" in value:
        return Templar().template(trust_as_template(value))
    return value
