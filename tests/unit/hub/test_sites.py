"""The overview of all sites."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cllmh_hub.app import create_app
from cllmh_hub.config import HubConfig
from unit.hub.helpers import Browser, Clock, Reporter, clip, disk, status


def sites(browser: Browser) -> list[dict[str, Any]]:
    response = browser.get("/api/v1/sites")
    assert response.status_code == 200
    items: list[dict[str, Any]] = response.get_json()["items"]
    return items


def test_a_site_that_never_reported_is_shown_as_such(nadia: Browser) -> None:
    assert sites(nadia)[1] == {
        "name": "site-b",
        "title": "Gudang Mawar",
        "timezone": "Asia/Makassar",
        "routers": [],
        "nodes": [
            {
                "name": "node-b",
                "online": False,
                "last_report_at": None,
                "disk": None,
                "logs": None,
                "cameras": [
                    {
                        "name": name,
                        "state": "unknown",
                        "since": None,
                        "last_frame_at": None,
                        "last_clip_at": None,
                        "error": None,
                    }
                    for name in ("shop", "store")
                ],
            }
        ],
    }


def test_a_camera_is_shown_with_its_state_and_its_last_clip(nadia: Browser, node_a: Reporter) -> None:
    node_a.report("camera_status", status(state="recording"))
    node_a.report("clip_closed", clip(minute=2))
    node_a.report("clip_closed", clip(minute=1))
    assert sites(nadia)[0]["nodes"][0]["cameras"][0] == {
        "name": "gate",
        "state": "recording",
        "since": "2026-11-22T03:00:00.000Z",
        "last_frame_at": "2026-11-22T03:04:05.000Z",
        "last_clip_at": "2026-11-22T03:02:12.500Z",
        "error": None,
    }


def test_a_lost_camera_is_shown_with_the_cause(nadia: Browser, node_a: Reporter) -> None:
    lost = status(state="lost", last_frame_at=None, error={"cause": "auth_failed", "text": "401 Unauthorized"})
    node_a.report("camera_status", lost)
    camera = sites(nadia)[0]["nodes"][0]["cameras"][0]
    assert (camera["state"], camera["error"]) == ("lost", {"cause": "auth_failed", "text": "401 Unauthorized"})


def test_a_camera_that_came_back_has_no_error_any_more(nadia: Browser, node_a: Reporter, clock: Clock) -> None:
    node_a.report("camera_status", status(state="lost", error={"cause": "network", "text": "gone"}))
    clock.forward(1)
    node_a.report("camera_status", status(state="quiet"))
    assert sites(nadia)[0]["nodes"][0]["cameras"][0]["error"] is None


def test_a_late_report_does_not_hide_a_newer_one(nadia: Browser, node_a: Reporter, clock: Clock) -> None:
    late_status = node_a.envelope("camera_status", status(state="lost"))
    late_disk = node_a.envelope("disk", disk(state="critical"))
    clock.forward(5)
    node_a.report("camera_status", status(state="quiet"))
    node_a.report("disk", disk(state="ok"))
    assert node_a.post(late_status).status_code == 202
    assert node_a.post(late_disk).status_code == 202
    node = sites(nadia)[0]["nodes"][0]
    assert (node["cameras"][0]["state"], node["disk"]["state"]) == ("quiet", "ok")


@pytest.mark.parametrize(("silent_s", "online"), [(0, True), (180, True), (181, False)])
def test_a_node_is_online_while_it_reported_within_three_minutes(
    nadia: Browser, node_a: Reporter, clock: Clock, silent_s: int, online: bool
) -> None:
    # The node's clock is wrong by a day: only the hub's own counts.
    node_a.report("disk", disk(), at="2026-11-21T00:00:00.000Z")
    clock.forward(silent_s)
    node = sites(nadia)[0]["nodes"][0]
    assert (node["online"], node["last_report_at"]) == (online, "2026-11-22T03:04:05.678Z")


def test_a_disk_is_shown_as_reported(nadia: Browser, node_a: Reporter) -> None:
    taken = {"clips": 4, "bytes": 4000}
    pruned = {
        "at": "2026-11-22T02:00:00.000Z",
        "deleted": 4,
        "freed_bytes": 4096,
        "cameras": {"gate": taken},
        "classes": {"motion": taken},
    }
    usage = {"lost+found": {"bytes": 0, "clips": 0, "oldest": None}}
    growth = {
        "recorded_bytes_per_day": 50,
        "measured_days": 7.0,
        "reason": None,
        "days_held": 12.5,
        "full_at": "2026-12-04T00:00:00.000Z",
    }
    smart = {"state": "failing", "reason": "/dev/sda: the disk says that it is failing: replace it"}
    details = {
        "inodes_used_percent": 10.0,
        "causes": ["smart"],
        "problem": None,
        "classes": {"motion": {"bytes": 300, "clips": 3, "oldest": "2026-11-20T00:00:00.000Z"}},
        "growth": growth,
        "smart": smart,
    }
    reported = disk(state="warn", used_percent=91.5, last_prune=pruned, cameras=usage, **details)
    node_a.report("disk", reported)
    assert sites(nadia)[0]["nodes"][0]["disk"] == {**reported, "reported_at": "2026-11-22T03:04:05.678Z"}


def test_a_disk_of_a_node_of_an_earlier_release_is_shown_without_what_it_does_not_tell(
    nadia: Browser, node_a: Reporter
) -> None:
    pruned = {"at": "2026-11-22T02:00:00.000Z", "deleted": 4, "freed_bytes": 4096}
    assert node_a.report("disk", disk(last_prune=pruned)).status_code == 202
    shown = sites(nadia)[0]["nodes"][0]["disk"]
    assert (shown["growth"], shown["smart"], shown["classes"], shown["causes"]) == (None, None, {}, [])
    assert shown["last_prune"] == {**pruned, "cameras": {}, "classes": {}}


def test_a_disk_of_a_node_of_a_later_release_is_taken_and_shown(nadia: Browser, node_a: Reporter) -> None:
    later = {"state": "ok", "reason": None, "disks": [{"device": "/dev/sda"}]}
    assert node_a.report("disk", disk(smart=later, humidity_percent=40)).status_code == 202
    shown = sites(nadia)[0]["nodes"][0]["disk"]
    assert shown["smart"] == {"state": "ok", "reason": None}
    assert "humidity_percent" not in shown


def test_a_database_of_an_earlier_release_gets_what_it_lacks_and_keeps_what_it_has(
    settings: dict[str, Any], clock: Clock
) -> None:
    def browser_and_node() -> tuple[Browser, Reporter]:
        client = create_app(HubConfig.model_validate(settings), now=clock).test_client()
        browser = Browser(client)
        assert browser.log_in().status_code == 200
        return browser, Reporter(client, "node-a", "site-a", clock)

    _, node = browser_and_node()
    node.report("disk", disk())
    path = settings["database_url"].removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE disks DROP COLUMN details")
    person, node = browser_and_node()
    assert sites(person)[0]["nodes"][0]["disk"]["growth"] is None
    node.report("disk", disk(smart={"state": "ok"}))
    assert sites(person)[0]["nodes"][0]["disk"]["smart"] == {"state": "ok", "reason": None}


def test_a_router_is_shown_at_its_site_with_its_name(nadia: Browser, tmp_path: Path) -> None:
    router = {"name": "router-a", "site": "site-a", "ddns_name": "abc.sn.mynetname.net", "status": "updated"}
    (tmp_path / "routers.d" / "router-a.json").write_text(json.dumps(router))
    assert sites(nadia)[0]["routers"] == [
        {"name": "router-a", "ddns_name": "abc.sn.mynetname.net", "status": "updated"}
    ]
    assert sites(nadia)[1]["routers"] == []


def test_a_broken_router_file_is_logged_and_hides_no_other(
    nadia: Browser, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "routers.d" / "broken.json").write_text("{")
    (tmp_path / "routers.d" / "router-a.json").write_text('{"name": "router-a", "site": "site-a"}')
    assert sites(nadia)[0]["routers"] == [{"name": "router-a", "ddns_name": None, "status": None}]
    assert "router_file_unusable" in [record.getMessage() for record in caplog.records]


def test_a_nodes_log_buffers_are_shown_as_last_reported(nadia: Browser, node_a: Reporter, clock: Clock) -> None:
    def told(state: str, lines: int) -> dict[str, Any]:
        buffer = {"name": "loki", "state": state, "lines": lines, "used_bytes": 9, "size_bytes": 10, "dropped": 3}
        return {"buffers": [buffer], "datagrams_dropped": 7}

    late = node_a.envelope("log_buffers", told("ok", 0))
    clock.forward(5)
    node_a.report("log_buffers", told("warn", 900))
    assert node_a.post(late).status_code == 202
    logs = sites(nadia)[0]["nodes"][0]["logs"]
    assert logs.pop("reported_at")
    assert logs == told("warn", 900)


def test_a_log_buffer_that_cannot_be_is_refused(node_a: Reporter) -> None:
    buffer = {"name": "loki", "state": "ok", "lines": -1, "used_bytes": 9, "size_bytes": 10}
    answer = node_a.post(node_a.envelope("log_buffers", {"buffers": [buffer]}))
    assert answer.status_code == 400
    assert "lines" in answer.get_data(as_text=True)
