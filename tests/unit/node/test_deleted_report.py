"""What log says of deleted clips."""

import logging
from dataclasses import replace

import pytest

from cllmh_node.recordings import Clip, Space
from cllmh_node.reports.deleted import report_deleted
from cllmh_node.retention import Deletion, Outcome

SPACE = Space(100, 90, 10, 90.0, 100, 100)


def fields(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [vars(record)["cllmh_fields"] for record in caplog.records]


def test_each_reason_is_told_with_its_own_bytes(caplog: pytest.LogCaptureFixture) -> None:
    sizes = {"max_age": (1, 2), "quota": (30,)}
    deleted = tuple(
        Deletion(Clip(f"gate/{reason}/{size}", 0, 1, size, "motion"), reason)
        for reason, group in sizes.items()
        for size in group
    )
    with caplog.at_level(logging.INFO):
        report_deleted(None, Outcome(deleted, (), (), SPACE, replace(SPACE, free_bytes=43)))
    assert fields(caplog) == [
        {"count": 2, "reason": "max_age", "size_bytes": 3},
        {"count": 1, "reason": "quota", "size_bytes": 30},
    ]


def test_rows_that_stay_in_the_index_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        report_deleted(None, Outcome((), (), (), SPACE, SPACE, index_problem="index.db: database is full"))
    assert fields(caplog) == [{"text": "index.db: database is full"}]
