"""What a node's ledger states is what the hub reads."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cllmh_hub.completeness.records import Statement
from cllmh_node.log import StructuredFormatter
from cllmh_node.logs.statement import state_what_was_taken

START = datetime(2026, 11, 29, 3, 10, tzinfo=UTC)


@pytest.mark.parametrize("numbers", [[], [7], [*range(1, 1001), 2001], list(range(0, 2400, 2))])
def test_the_hub_reads_a_statement_as_the_node_meant_it(
    numbers: list[int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    at_ns = int(START.timestamp()) * 10**9
    ledger = "".join(f"f9aa28aa@{number:016x} {at_ns + number}\n" for number in numbers)
    (tmp_path / f"{START:%Y%m%dT%H%M}Z.ids").write_text(ledger)
    with caplog.at_level(logging.INFO):
        state_what_was_taken(tmp_path, START, START + timedelta(minutes=15))
    texts = [StructuredFormatter().format(record).partition(" info ")[2] for record in caplog.records]
    statements = [Statement.parse("node-a", text) for text in texts]
    stated = {
        number
        for statement in statements
        if statement
        for first, last in statement.ids.get("f9aa28aa", [])
        for number in range(first, last + 1)
    }
    assert statements
    assert None not in statements, texts
    assert stated == set(numbers)
    assert {(one.start, one.end) for one in statements if one} == {(START, START + timedelta(minutes=10))}
    assert sorted(one.part for one in statements if one) == list(range(1, len(statements) + 1))
