"""Our own services log one structured line an event, from the catalogue, and no secret in any of them."""

from __future__ import annotations

import ast
import json
import re
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCES = [*(ROOT / "files/node/src").rglob("*.py"), *(ROOT / "files/hub/src").rglob("*.py")]
CATALOGUE = json.loads((ROOT / "files/log_messages.json").read_text(encoding="utf-8"))
SECRET = re.compile(r"password|passphrase|secret|token|credential", re.IGNORECASE)
NO_FIELDS = {"level", "exc_info"}


@cache
def nodes() -> list[tuple[str, ast.AST]]:
    """Return (file, node) of all nodes of the sources."""
    trees = ((path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES)
    return [(str(path), node) for path, tree in trees for node in ast.walk(tree)]


def receiver_of(call: ast.Call) -> str:
    """Return `logger` of `logger.info(...)`."""
    return getattr(getattr(call.func, "value", None), "id", "")


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield (place, call) of each call of a function or method of this name."""
    for path, node in nodes():
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == name:
            yield f"{path}:{node.lineno}", node


def test_every_event_has_a_text_in_both_languages_and_every_text_an_event() -> None:
    words = {node.value for _, node in nodes() if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    keys = {call.args[1].value: place for place, call in calls("event") if isinstance(call.args[1], ast.Constant)}
    assert keys.keys() <= CATALOGUE.keys(), {key: keys[key] for key in keys.keys() - CATALOGUE.keys()}
    assert CATALOGUE.keys() <= words, f"nobody logs {CATALOGUE.keys() - words}"
    assert all(texts.keys() == {"en", "id"} for texts in CATALOGUE.values())


def test_an_event_gives_the_fields_that_its_text_names() -> None:
    for place, call in calls("event"):
        names = {keyword.arg for keyword in call.keywords}
        if not isinstance(call.args[1], ast.Constant) or None in names:  # **fields
            continue
        for language, text in CATALOGUE[call.args[1].value].items():
            wanted = {field for _, field, _, _ in string.Formatter().parse(text) if field}
            assert wanted <= names, f"{place}: the text ({language}) wants {wanted - names}"


def test_no_field_of_an_event_is_a_secret() -> None:
    for place, call in calls("event"):
        for keyword in call.keywords:
            if keyword.arg not in NO_FIELDS:
                assert not SECRET.search(ast.unparse(keyword)), f"{place}: {ast.unparse(keyword)}"


def test_services_log_in_no_other_way() -> None:
    loggers = {"logger", "logging", "log"}
    others = [place for place, _ in calls("print")]
    for level in ("debug", "info", "warning", "error", "exception", "critical"):
        others += [place for place, call in calls(level) if receiver_of(call) in loggers]
    assert not others
