"""A process of the recorder that starts slowly, on a busy machine, is waited for."""

import time

import pytest

from cllmh_node.recorder.shard_process import SILENT_S, STARTING_S, ShardProcess


@pytest.mark.parametrize(
    ("has_spoken", "silent_s", "is_stuck"),
    [(False, SILENT_S + 1, False), (False, STARTING_S + 1, True), (True, SILENT_S + 1, True), (True, 1, False)],
)
def test_a_process_is_stuck_when_it_falls_silent_but_not_while_it_is_still_loading(
    monkeypatch: pytest.MonkeyPatch, has_spoken: bool, silent_s: float, is_stuck: bool
) -> None:
    shard = ShardProcess(0, ("gate",))
    monkeypatch.setattr(shard, "pid", 1)
    monkeypatch.setattr(shard, "_heard_at", time.monotonic() - silent_s)
    monkeypatch.setattr(shard, "said", {"gate": {}} if has_spoken else {})
    assert shard.is_stuck() == is_stuck
