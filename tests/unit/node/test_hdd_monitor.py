"""The HDD monitor makes room in time, says so, and answers truthfully."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from cllmh_node.cli import main
from cllmh_node.config import ConfigError, load_config
from cllmh_node.hdd_monitor.config import HddMonitorConfig
from cllmh_node.hdd_monitor.levels import next_state
from cllmh_node.recordings import MARKER
from unit.hdd_site import Site, look, with_used_percent
from unit.recordings_folder import CLIP_BYTES, HOUR_S


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_room_is_made_when_the_disk_is_nearly_full_and_the_hub_hears_what_went(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = site.recordings.add(5 * HOUR_S), site.recordings.add(1 * HOUR_S)
    with_used_percent(monkeypatch, 90.5)
    monitor = site.monitor(retention={"max_used_percent": 90})
    now = time.time()
    look(monitor, now)
    assert site.recordings.files() == {new}
    assert site.reports("clips_deleted") == [{"paths": [old], "reason": "free_space"}]
    look(monitor, now + 61)
    disk = site.reports("disk")[-1]
    assert disk["last_prune"]["deleted"] == 1
    assert disk["last_prune"]["cameras"] == {"gate": {"clips": 1, "bytes": CLIP_BYTES}}
    assert disk["last_prune"]["classes"] == {"motion": {"clips": 1, "bytes": CLIP_BYTES}}
    assert disk["cameras"]["gate"]["clips"] == 1


def test_between_two_reports_the_disk_is_still_watched(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = site.recordings.add(5 * HOUR_S), site.recordings.add(1 * HOUR_S)
    monitor = site.monitor(retention={"max_used_percent": 90})
    with_used_percent(monkeypatch, 50)
    now = time.time()
    look(monitor, now)
    assert site.recordings.files() == {old, new}
    with_used_percent(monkeypatch, 90.5)
    look(monitor, now + 10)
    assert site.recordings.files() == {new}
    assert len(site.reports("disk")) == 1


def test_the_disk_is_reported_each_minute_and_at_once_when_its_state_changes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = site.monitor()
    now = time.time()
    for seconds, percent in ((0, 50), (10, 50), (20, 94), (30, 94), (60, 94), (80, 94), (90, 98), (100, 50)):
        with_used_percent(monkeypatch, percent)
        monitor.tick(now + seconds)
    assert [disk["state"] for disk in site.reports("disk")] == ["ok", "warn", "warn", "critical", "ok"]


def test_a_state_ends_below_the_threshold_that_began_it() -> None:
    seen = []
    state = next_state("ok", 92.9, 93, 97, 1)
    for percent in (93.0, 92.5, 91.9, 97.0, 96.1, 95.9, 92.0, 91.99):
        state = next_state(state, percent, 93, 97, 1)
        seen.append(state)
    assert seen == ["warn", "warn", "ok", "critical", "critical", "warn", "warn", "ok"]


def test_an_unmounted_disk_is_critical_and_nothing_is_deleted(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.recordings.add(5 * HOUR_S)
    (site.recordings.root / MARKER).unlink()
    site.recorder_says(gate="quiet")
    monitor = site.monitor(retention={"max_bytes": 0})
    for second in (0, 10, 20):
        look(monitor, time.time() + second)
    assert len(site.recordings.files()) == 1
    answer = site.client(monitor).get("/health")
    assert answer.status_code == 503
    assert "Is its disk mounted?" in answer.get_json()["checks"]["disk"]["text"]
    assert [record.message for record in caplog.records].count("disk_state") == 1


def test_a_folder_that_does_not_exist_is_a_problem_and_no_crash(site: Site) -> None:
    monitor = site.monitor(recordings_dir=str(site.folder / "gone" / "recordings"))
    monitor.tick(time.time())
    assert monitor.status.state == "critical"
    assert site.reports("disk")[0]["total_bytes"] > 0


def test_before_the_recorder_ever_ran_there_is_nothing_to_prune(site: Site) -> None:
    site.recordings.index.unlink()
    monitor = site.monitor(retention={"max_bytes": 0})
    look(monitor, time.time())
    assert monitor.status.state == "ok"
    assert site.client(monitor).get("/clips").get_json() == {"items": []}


def test_recordings_without_the_index_that_is_configured_are_a_warning_until_it_is_there(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.recordings.add(5 * HOUR_S)
    index = site.folder / "wrong.db"
    monitor = site.monitor(index=str(index), retention={"max_bytes": 0})
    now = time.time()
    for minute in range(3):
        look(monitor, now + 61 * minute)
    disk = site.reports("disk")[-1]
    assert (disk["state"], disk["causes"]) == ("warn", ["prune"])
    assert f"{index}: there is no index of clips although" in disk["problem"]
    assert [record.message for record in caplog.records].count("prune_failed") == 1
    assert len(site.recordings.files()) == 1
    site.recordings.index.rename(index)
    look(monitor, now + 300)
    assert (monitor.status.state, site.recordings.files()) == ("ok", set())


def test_a_policy_that_cannot_be_met_is_logged_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.recordings.add(5 * HOUR_S, "pinned")
    monitor = site.monitor(retention={"max_bytes": 100})
    for minute in range(3):
        look(monitor, time.time() + 61 * minute)
    records = [record for record in caplog.records if record.message == "disk_short"]
    assert len(records) == 1
    assert monitor.status.pruning.short_bytes == CLIP_BYTES - 100


def test_health_is_ok_while_the_recorder_speaks(site: Site) -> None:
    site.recorder_says(gate="quiet", yard="recording")
    answer = site.client(site.monitor()).get("/health")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "ok")


def test_health_fails_when_the_recorder_is_silent(site: Site) -> None:
    client = site.client(site.monitor())
    assert client.get("/health").status_code == 503
    site.recorder_says(age_s=120, gate="quiet")
    answer = client.get("/health")
    assert answer.status_code == 503
    assert "has said nothing for 12" in answer.get_json()["checks"]["recorder"]["text"]


def test_a_lost_camera_degrades_health_and_is_named(site: Site) -> None:
    site.recorder_says(gate="lost", yard="quiet")
    answer = site.client(site.monitor()).get("/health")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "degraded")
    assert answer.get_json()["checks"]["recorder"]["text"] == "lost cameras: gate"


def test_a_node_without_a_recorder_is_healthy(site: Site) -> None:
    monitor = site.monitor(recorder_status=None)
    answer = site.client(monitor, recorder_status=None).get("/health")
    assert list(answer.get_json()["checks"]) == ["disk"]
    assert answer.status_code == 200


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": 5, "cameras": {}}', '{"at": "2026-11-22T00:00:00Z"}'])
def test_a_broken_status_file_counts_as_silence(site: Site, text: str) -> None:
    site.status_file.write_text(text)
    assert site.client(site.monitor()).get("/health").status_code == 503


def test_disk_tells_capacity_and_what_each_camera_takes(site: Site) -> None:
    site.recordings.add(2 * HOUR_S)
    site.recordings.add(1 * HOUR_S)
    site.recordings.add(1 * HOUR_S, camera="yard", size_bytes=5)
    monitor = site.monitor()
    monitor.tick(time.time())
    disk = site.client(monitor).get("/disk").get_json()
    assert disk["total_bytes"] >= disk["used_bytes"] + disk["free_bytes"] > 0
    assert {name: (use["bytes"], use["clips"]) for name, use in disk["cameras"].items()} == {
        "gate": (2 * CLIP_BYTES, 2),
        "yard": (5, 1),
    }
    assert disk["mount"]["mount_point"]


def test_clips_are_listed_newest_first_and_by_camera_and_time(site: Site) -> None:
    paths = [site.recordings.add(hours * HOUR_S) for hours in (5, 4, 3)]
    site.recordings.add(2 * HOUR_S, camera="yard")
    client = site.client(site.monitor())

    def listed(**query: Any) -> list[str]:
        return [clip["path"] for clip in client.get("/clips", query_string=query).get_json()["items"]]

    assert listed(camera="gate") == paths[::-1]
    assert listed(camera="gate", limit=1) == paths[-1:]
    middle = {name: iso_hours_ago(site, hours) for name, hours in (("from", 4.5), ("to", 3.5))}
    assert listed(**middle) == [paths[1]]
    clip = client.get("/clips?limit=1").get_json()["items"][0]
    assert clip["seconds"] == 10.0
    assert clip["labels"] == []


def iso_hours_ago(site: Site, hours: float) -> str:
    return datetime.fromtimestamp(site.recordings.now - hours * HOUR_S, UTC).isoformat()


@pytest.mark.parametrize("query", ["from=yesterday", "limit=0", "limit=many", "limit=1001", "to=12"])
def test_a_wrong_question_gets_an_answer_that_says_what_is_wrong(site: Site, query: str) -> None:
    answer = site.client(site.monitor()).get(f"/clips?{query}")
    assert answer.status_code == 400
    assert query.split("=")[0] in answer.get_json()["error"]["message"]


def test_an_unreadable_index_is_503(site: Site) -> None:
    site.recordings.index.write_bytes(b"garbage" * 1000)
    answer = site.client(site.monitor()).get("/clips")
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (503, "index_unavailable")


def test_unknown_paths_and_methods_are_json_errors(site: Site) -> None:
    client = site.client(site.monitor())
    assert client.get("/nowhere").get_json()["error"]["code"] == "not_found"
    assert client.post("/disk").get_json()["error"]["code"] == "method_not_allowed"


def test_metrics_can_be_scraped(site: Site) -> None:
    site.recordings.add(1 * HOUR_S)
    site.recorder_says(gate="lost")
    monitor = site.monitor()
    monitor.tick(time.time())
    lines = site.client(monitor).get("/metrics").get_data(as_text=True).splitlines()
    assert 'cllmh_clips_bytes{camera="gate"} 10000' in lines
    assert 'cllmh_camera_up{camera="gate"} 0' in lines
    assert "cllmh_disk_state 0" in lines


def test_metrics_have_what_the_recorder_counts_for_each_camera(site: Site) -> None:
    counters = {"frames": 250, "bytes": 5_000_000, "looked_at": 10, "clips": 1, "gaps": 0, "sessions": 2}
    camera = {"state": "recording", "counters": {**counters, "lag_s": 0.04, "look_at_every": 1}}
    site.status_file.write_text(json.dumps({"at": "2026-01-02T03:04:05.000Z", "cameras": {"gate": camera, "old": {}}}))
    lines = site.client(site.monitor()).get("/metrics").get_data(as_text=True).splitlines()
    assert 'cllmh_camera_frames_total{camera="gate"} 250' in lines
    assert "# TYPE cllmh_camera_frames_total counter" in lines
    assert 'cllmh_camera_lag_seconds{camera="gate"} 0.04' in lines
    assert 'cllmh_camera_state{camera="gate",state="recording"} 1' in lines
    assert 'cllmh_camera_state{camera="gate",state="lost"} 0' in lines
    assert 'cllmh_camera_decode_plan_info{camera="gate",plan="keyframes"} 1' in lines
    assert not any(line.startswith('cllmh_camera_frames_total{camera="old"}') for line in lines)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warn_used_percent": 98}, "critical_used_percent must not be less"),
        ({"retention": {"max_age_s": 1}}, "max_age_s must not be less than min_age_s"),
        ({"recordings_dir": "recordings"}, "recordings_dir: .*: must begin with /"),
        ({"mount_point": "disk"}, "mount_point: .*: must begin with /"),
        ({"mount_point": "/elsewhere"}, "is not below mount_point /elsewhere"),
        ({"listen": "127.0.0.1:99999"}, "listen: '127.0.0.1:99999': the port must be a number from 1 to 65535"),
        ({"retention": {"max_used": 1}}, "retention.max_used: unknown key; did you mean max_used_percent"),
    ],
)
def test_a_wrong_configuration_is_explained(site: Site, changes: dict[str, Any], message: str) -> None:
    path = site.folder / "hdd_monitor.yml"
    path.write_text(yaml.safe_dump({**site.settings, **changes}))
    with pytest.raises(ConfigError, match=message):
        load_config(path, HddMonitorConfig)


def test_a_place_that_cannot_be_listened_on_is_named(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    path = site.folder / "hdd_monitor.yml"
    path.write_text(yaml.safe_dump({**site.settings, "socket": str(site.folder / "gone" / "http.sock")}))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for options in ([], ["--listen", f"127.0.0.1:{port}"], ["--listen", "127.0.0.1:99999"]):
            assert main(["hdd-monitor", "--config", str(path), *options]) == 2
            place = options[1] if options else str(site.folder / "gone" / "http.sock")
            assert f"{place}: cannot be listened on: " in capsys.readouterr().err


def test_the_service_answers_on_its_socket_tells_systemd_and_ends_when_told(site: Site) -> None:
    site.recorder_says(gate="quiet")
    path = site.folder / "hdd_monitor.yml"
    path.write_text(yaml.safe_dump({**site.settings, "interval_s": 0.1}))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(site.folder / "notify"))
        systemd.settimeout(20)
        service = subprocess.Popen(
            [sys.executable, "-m", "cllmh_node", "hdd-monitor", "--config", path],
            env={**os.environ, "NOTIFY_SOCKET": str(site.folder / "notify")},
        )
        try:
            heard = {systemd.recv(100) for _ in range(3)}
            assert heard == {b"READY=1", b"WATCHDOG=1"}
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(site.folder / "http.sock"))
                client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.0 200 OK")
        finally:
            service.send_signal(signal.SIGTERM)
            assert service.wait(20) == 0
    assert (site.folder / "http.sock").stat().st_mode & 0o777 == 0o660


def test_prune_by_hand_uses_the_same_configuration_and_tells_the_hub(
    site: Site, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    from cllmh_node.cli import main

    caplog.set_level(logging.CRITICAL)
    old, new = site.recordings.add(5 * HOUR_S), site.recordings.add(1 * HOUR_S)
    path = site.folder / "hdd_monitor.yml"
    path.write_text(yaml.safe_dump({**site.settings, "retention": {"max_bytes": CLIP_BYTES}}))
    assert main(["prune", "--config", str(path), "--check"]) == 0
    assert f"would delete {old}" in capsys.readouterr().out
    assert site.recordings.files() == {old, new}
    assert main(["prune", "--config", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["deleted"][0]["path"] == old
    assert site.recordings.files() == {new}
    assert site.reports("clips_deleted") == [{"paths": [old], "reason": "quota"}]
    assert main(["prune", "--root", "/etc", "--max-bytes", "0"]) == 1
    assert "system folder" in capsys.readouterr().err
