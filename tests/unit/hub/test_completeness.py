"""The sets that the proof is made of, and its page of the API."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllmh_hub.completeness import ranges
from cllmh_hub.completeness.ranges import Found, TooScatteredError, count, joined, without
from cllmh_hub.completeness.records import NumberedLine, Statement
from unit.hub.helpers import Browser, error_code

NUMBERS = st.lists(st.integers(0, 60), max_size=60)


def numbers(found: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in found for number in range(first, last + 1)}


def as_ranges(given_numbers: list[int]) -> list[tuple[int, int]]:
    return joined((number, number) for number in given_numbers)


@given(NUMBERS)
def test_found_numbers_are_a_set_in_whatever_order_they_come(given_numbers: list[int]) -> None:
    found = Found()
    new = [found.add(number) for number in given_numbers]
    assert numbers(list(found)) == set(given_numbers)
    assert sum(new) == count(found) == len(set(given_numbers))
    assert list(found) == as_ranges(given_numbers)


@given(NUMBERS, NUMBERS)
def test_what_is_missing_is_the_difference(stated: list[int], stored: list[int]) -> None:
    missing = without(as_ranges(stated), as_ranges(stored))
    assert numbers(missing) == set(stated) - set(stored)
    assert missing == joined(missing)


def test_ids_that_come_from_no_counter_are_refused_before_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "MAX_RANGES", 10)
    found = Found()
    with pytest.raises(TooScatteredError, match="more than 10 ranges"):
        [found.add(number) for number in range(0, 100, 2)]


STATEMENT = (
    "event=lines_taken start=2026-11-29T03:10:00.000Z end=2026-11-29T03:20:00.000Z lines=1001 part=1 parts=1 "
    'first_at=2026-11-29T02:41:07.000Z last_at=2026-11-29T03:19:59.734Z ids="f9aa28aa@1-3e8,f9aa28aa@7d1" msg="taken"'
)


def test_a_statement_is_read_as_the_node_writes_it() -> None:
    statement = Statement.parse("node-a", STATEMENT)
    assert statement is not None
    assert statement.ids == {"f9aa28aa": [(1, 1000), (2001, 2001)]}
    one = Statement.parse(
        "node-a", STATEMENT.replace("1001", "1").replace('"f9aa28aa@1-3e8,f9aa28aa@7d1"', "f9aa28aa@7d1")
    )
    assert one is not None
    assert one.ids == {"f9aa28aa": [(2001, 2001)]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lines=1001", "lines=1000"),
        ("@7d1", "@0-7d1"),
        ("@1-3e8", "@3e8-1"),
        ("f9aa28aa@1-", "F9AA28AA@1-"),
        ("end=2026-11-29T03:20", "end=2026-11-29T03:10"),
        ("start=2026-11-29T03:10:00.000Z", "start=2026-11-29T03:10:00"),
        ("part=1", "part=2"),
        ("ids=", "numbers="),
        ("event=", "an event="),
        ("03:19:59", "99:19:59"),
    ],
)
def test_a_statement_that_contradicts_itself_is_none(old: str, new: str) -> None:
    assert Statement.parse("node-a", STATEMENT.replace(old, new)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "f9aa28aa@0000000000000001",
        "f9aa28aa@1 2026-11-29T03:10:00+00:00 node-a",
        "f9aa28aa@0000000000000001  node-a",
        "f9aa28aa@0000000000000001 0001-01-01T00:00:00+23:59 node-a",
    ],
)
def test_a_line_that_no_node_of_ours_writes_is_none(text: str) -> None:
    assert NumberedLine.parse(text, "node") is None


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "invalid_request"),
        ("site=site-z", "site_unknown"),
        ("site=site-a&node=node-b", "node_unknown"),
        ("site=site-a&from=2026-11-23T00:00:00Z", "invalid_request"),
        ("site=site-a&from=2026-01-01T00:00:00Z", "invalid_request"),
    ],
)
def test_a_faulty_question_is_refused(nadia: Browser, query: str, code: str) -> None:
    response = nadia.get(f"/api/v1/logs/completeness?{query}")
    assert (response.status_code, error_code(response)) == (400, code)


def test_only_who_is_logged_in_gets_an_answer(stranger: Browser) -> None:
    assert stranger.get("/api/v1/logs/completeness?site=site-a").status_code == 401
