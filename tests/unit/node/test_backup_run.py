"""The Backup Manager as a user runs it, against a simulated DVR."""

import json
import os
import socketserver
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote

import av
import pytest

from cllmh_node.backup.folder import alone_in
from cllmh_node.recordings import MARKER
from fakes.fake_dvr import Footage, running
from unit.node.backup_site import (
    PASSWORD,
    SCRIPT,
    Site,
    backend,
    dvr_with,
    end,
    footage,
    raw_footage,
    wait_for,
    watching_command_lines,
)

SECRETS = (PASSWORD, quote(PASSWORD, safe=""))

STAND_IN = """#!{python}
# Writes raw H.264 as openRTSP does, at its pace, until -d is over.
import pathlib, signal, sys, time
args = sys.argv[1:]
folder, seconds = args[args.index("-F") + 1], float(args[args.index("-d") + 1])
pathlib.Path({seen!r}).write_text("\\n".join(args))
if "-u" in args and args[args.index("-u") + 2] != {password!r}:
    sys.exit("Failed to get a SDP description: 401 Unauthorized")
if "channel=9" in args[-1]:
    sys.exit("Failed to get a SDP description: 404 Stream Not Found")
signal.signal(signal.SIGHUP, lambda *_: sys.exit(0))
pictures = [b"\\0\\0\\0\\1" + part for part in pathlib.Path({raw!r}).read_bytes().split(b"\\0\\0\\0\\1")[1:]]
began, shown = time.monotonic(), 0
with open(folder + "video-H264-1", "wb", 0) as out:
    while time.monotonic() - began < seconds:
        out.write(pictures[shown % len(pictures)])
        is_picture = pictures[shown % len(pictures)][4] & 31 in (1, 5)
        shown += 1
        time.sleep({frame_s} * is_picture)
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return footage(tmp_path_factory.mktemp("footage"))


def length_s(path: Path) -> float:
    with av.open(str(path)) as container:
        return float(container.duration or 0) / 1e6


def no_secret_in(*texts: str) -> None:
    assert [secret for secret in SECRETS for text in texts if secret in text or json.dumps(secret)[1:-1] in text] == []


def test_channels_are_recorded_reported_and_the_password_is_shown_by_nothing(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 3)) as port, backend() as hub, watching_command_lines(PASSWORD) as seen:
        site = Site.at(tmp_path, port, CHANNELS="1-3", BACKEND_ENDPOINT=hub.url, HEALTH_CHECK_URL=hub.url)
        ended = site.run("--json")
    assert ended.code == 0, ended.said
    assert (ended.result["recorded"], ended.result["failed"]) == (3, 0)
    for channel in ("1", "2", "3"):
        (file,) = site.files(channel)
        assert length_s(file) == pytest.approx(1.0, abs=0.1)
        assert file.parent.name == f"{file.name[:4]}-{file.name[4:6]}-{file.name[6:8]}"
    assert sorted(report["channel"] for report in hub.of_kind("backup_channel")) == [1, 2, 3]
    (run,) = hub.of_kind("backup_run")
    assert (run["recorded"], run["exit_code"]) == (3, 0)
    assert all(key == report["id"] and report["node"] == "node-a" for key, report in hub.taken)
    expected = ["backup_started", "backup_dynamic_calm", *["backup_channel_recorded"] * 3, "backup_finished"]
    assert site.events() == expected
    assert seen == set()
    no_secret_in(ended.out, ended.said, site.log(), json.dumps(hub.taken))
    assert not (site.backups / ".part").exists()


def test_one_channel_that_is_missing_does_not_cost_the_others(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 1)) as port:
        site = Site.at(tmp_path, port, MAX_RETRIES="3")
        ended = site.run("--json")
    assert ended.code == 1
    good, missing = ended.result["results"]
    assert (good["outcome"], missing["outcome"]) == ("recorded", "failed")
    assert (missing["attempts"], missing["error"]["cause"]) == (1, "not_found")
    assert "event=backup_channel_failed channel=2 cause=not_found" in site.log()


def test_a_wrong_password_is_sent_twice_at_most_whatever_the_number_of_channels(tmp_path: Path, shown: Footage) -> None:
    dvr = dvr_with(shown, 16)
    with running(dvr) as port:
        site = Site.at(tmp_path, port, CHANNELS="16", RTSP_PASSWORD="wrong", MAX_RETRIES="3")
        ended = site.run("--json")
    assert ended.code == 1
    assert {channel["error"]["cause"] for channel in ended.result["results"]} == {"auth_failed"}
    assert dvr.logins_refused <= 2
    assert "refuses user admin" in ended.said


def test_a_stream_that_drops_at_half_time_is_kept_aside_and_tried_again(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 1, drop_after_s={1: 2.5})) as port:
        site = Site.at(tmp_path, port, CHANNELS="1", VIDEO_DURATION="5", MAX_RETRIES="1")
        ended = site.run("--json")
    assert ended.code == 1
    (channel,) = ended.result["results"]
    assert (channel["attempts"], len(channel["aside"])) == (2, 2)
    assert channel["error"]["cause"] == "camera_lost"
    assert site.events().count("backup_invalid") == 2
    assert site.events().count("backup_retry") == 1
    assert (site.files("1"), len(site.files("1-invalid"))) == ([], 2)


def test_sigterm_ends_it_within_5_s_and_keeps_what_was_recorded(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 2)) as port, backend() as hub:
        site = Site.at(tmp_path, port, VIDEO_DURATION="600", BACKEND_ENDPOINT=hub.url)
        process = site.start("--json")
        wait_for(lambda: sum(path.stat().st_size > 30_000 for path in site.backups.glob(".part/*/*/*.mp4")) == 2)
        ended, seconds = end(process)
    assert seconds < 5
    assert ended.code == 1
    assert [channel["outcome"] for channel in ended.result["results"]] == ["interrupted"] * 2
    assert all(length_s(site.files(channel)[0]) >= 1 for channel in ("1", "2"))
    assert site.files("*-invalid") == []
    assert site.events().count("backup_channel_interrupted") == 2


def test_sigterm_ends_it_within_5_s_while_a_dvr_does_not_answer(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 2, hang=frozenset({2}))) as port:
        site = Site.at(tmp_path, port, VIDEO_DURATION="600")
        process = site.start("--json")
        wait_for(lambda: any(path.stat().st_size > 30_000 for path in site.backups.glob(".part/1/*/*.mp4")))
        ended, seconds = end(process)
    assert seconds < 5
    assert ended.code == 1
    assert length_s(site.files("1")[0]) >= 1


def test_sigterm_ends_it_within_5_s_while_the_health_check_waits(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 1, silent=True)) as port:
        site = Site.at(tmp_path, port, HEALTH_CHECK_URL=f"http://127.0.0.1:{port}/", HEALTH_CHECK_TIMEOUT="60")
        process = site.start()
        wait_for(lambda: Path(site.variables["LOG_FILE"]).exists() and "backup_started" in site.log())
        ended, seconds = end(process)
    assert (ended.code, seconds < 5) == (1, True)
    assert site.events()[-1] == "backup_ended_early"


def test_a_second_one_in_the_same_folder_refuses(tmp_path: Path) -> None:
    site = Site.at(tmp_path, 9)
    with alone_in(site.backups):
        ended = site.run()
    assert ended.code == 1
    assert "another Backup Manager is at work here" in ended.said
    assert site.events() == ["backup_locked"]


def test_a_failing_health_check_ends_it_with_3_and_nothing_is_recorded(tmp_path: Path, shown: Footage) -> None:
    dvr = dvr_with(shown, 1)
    with running(dvr) as port, backend() as hub:
        hub.status = 503
        site = Site.at(tmp_path, port, HEALTH_CHECK_URL=hub.url.replace("http://", "http://user:key@"))
        ended = site.run()
        site.variables["HEALTH_CHECK_URL"] = f"rtsp://admin:wrong@127.0.0.1:{port}/cam/realmonitor?channel=1&subtype=1"
        of_rtsp = site.run()
    assert (ended.code, of_rtsp.code) == (3, 3)
    assert "answers 503, 2xx is wanted" in ended.said
    assert "rtsp://***@" in of_rtsp.said
    assert "key" not in ended.said
    assert "wrong" not in of_rtsp.said
    assert "PLAY 200" not in dvr.requests


def test_a_health_check_by_rtsp_wants_a_picture(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 2)) as port:
        url = f"rtsp://admin:{SECRETS[1]}@127.0.0.1:{port}/cam/realmonitor?channel=1&subtype=1"
        ended = Site.at(tmp_path, port, CHANNELS="1", HEALTH_CHECK_URL=url).run()
    assert ended.code == 0, ended.said
    no_secret_in(ended.said)


def test_without_a_backend_reports_wait_in_the_nodes_spool(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 1)) as port:
        site = Site.at(tmp_path, port, CHANNELS="1", SPOOL_DIR=tmp_path / "spool")
        assert site.run().code == 0
    kinds = [path.name.split("-")[1] for path in sorted((tmp_path / "spool").iterdir())]
    assert kinds == ["backup_channel", "backup_run"]


def test_another_script_can_back_up_one_channel(tmp_path: Path, shown: Footage) -> None:
    code = (
        "import backup_manager as b; r = b.backup_channel(2); print(r.outcome, r.path, b.get_dynamic_max_workers() > 0)"
    )
    with running(dvr_with(shown, 2)) as port:
        site = Site.at(tmp_path, port, PYTHONPATH=SCRIPT.parent)
        ended = site.run(command=[sys.executable, "-c", code])
    assert ended.code == 0, ended.said
    (file,) = site.files("2")
    assert ended.out.split() == ["recorded", str(file.relative_to(site.backups)), "True"]


def test_a_dry_run_shows_what_would_be_done_and_does_nothing(tmp_path: Path, shown: Footage) -> None:
    dvr = dvr_with(shown, 2)
    with running(dvr) as port:
        site = Site.at(tmp_path, port)
        ended = site.run("--dry-run", command=[sys.executable, str(SCRIPT)])
    assert ended.code == 0
    assert f"rtsp://***@127.0.0.1:{port}/cam/realmonitor?channel=2&subtype=1" in ended.out
    assert "workers" in ended.out
    assert f"{site.backups}/2/" in ended.out
    no_secret_in(ended.out, ended.said)
    assert dvr.requests == []
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_a_clear_failure(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 1)) as port:
        site = Site.at(tmp_path, port, CHANNELS="1", EXPECTED_KBPS="1000000", VIDEO_DURATION="86400")
        ended = site.run("--json")
    assert ended.code == 1
    assert ended.result["results"][0]["error"]["cause"] == "no_room"
    assert "bytes are free, about 10800000000000 are needed" in ended.said


def test_the_hdd_monitor_is_asked_for_room_where_it_watches_the_same_disk(tmp_path: Path, shown: Footage) -> None:
    asked: list[str] = []

    class Monitor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            answer = {"path": str(tmp_path), "has_room": False, "reason": "900 bytes are to stay free"}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
            """Say nothing."""

        def address_string(self) -> str:
            return "socket"

    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "http.sock"), Monitor) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        with running(dvr_with(shown, 1)) as port:
            site = Site.at(tmp_path, port, CHANNELS="1", HDD_MONITOR=tmp_path / "http.sock")
            ended = site.run()
        server.shutdown()
        thread.join()
    assert ended.code == 1
    assert "the HDD monitor says: 900 bytes are to stay free" in ended.said
    assert asked == ["/disk", "/room?bytes=128000&for=backup"]


def test_a_monitor_that_is_away_does_not_stop_the_backup(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 1)) as port:
        site = Site.at(tmp_path, port, CHANNELS="1", HDD_MONITOR=tmp_path / "none.sock")
        assert site.run().code == 0
    assert "backup_room_unknown" in site.events()


def test_old_backups_are_deleted_by_the_operators_rule_and_no_others(tmp_path: Path, shown: Footage) -> None:
    old = tmp_path / "backup/7/2020-01-02/20200102T030405.000Z.mp4"
    strange = tmp_path / "backup/notes/2020.txt"
    for path in (old, strange):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
        os.utime(path, (1_577_934_245, 1_577_934_245))
    with running(dvr_with(shown, 1)) as port:
        site = Site.at(tmp_path, port, CHANNELS="1", BACKUP_KEEP_DAYS="30")
        assert site.run().code == 0
    assert not old.exists()
    assert strange.exists()
    assert len(site.files("1")) == 1
    assert "event=clips_deleted count=1 reason=max_age" in site.log()
    assert (site.backups / MARKER).exists()


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `openRTSP` that takes its options and writes what it would; the file has what it was given."""
    raw, seen = raw_footage(tmp_path), tmp_path / "seen"
    program = tmp_path / "bin/openRTSP"
    program.parent.mkdir()
    values = {"python": sys.executable, "raw": str(raw), "seen": str(seen), "password": PASSWORD, "frame_s": 0.04}
    program.write_text(STAND_IN.format(**values), encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return seen


def test_openrtsp_records_raw_and_an_mp4_with_right_times_comes_of_it(
    tmp_path: Path, shown: Footage, stand_in: Path
) -> None:
    with running(dvr_with(shown, 1)) as port:
        ended = Site.at(tmp_path, port, CHANNELS="1", VIDEO_DURATION="2", RECORDER="openrtsp").run("--json")
    assert ended.code == 0, ended.said
    (channel,) = ended.result["results"]
    assert channel["recorder"] == "openrtsp"
    assert length_s(tmp_path / "backup" / channel["path"]) == pytest.approx(2.0, abs=0.3)
    given = stand_in.read_text(encoding="utf-8").splitlines()
    assert given[-1] == f"rtsp://127.0.0.1:{port}/cam/realmonitor?channel=1&subtype=1"
    assert given[given.index("-u") + 1 :][:2] == ["admin", PASSWORD]
    assert "command line, which every user of this machine can read" in ended.said
    no_secret_in(ended.said, ended.out)


def test_sigterm_keeps_what_openrtsp_has_recorded(tmp_path: Path, shown: Footage, stand_in: Path) -> None:
    assert stand_in.parent == tmp_path
    with running(dvr_with(shown, 1)) as port:
        site = Site.at(tmp_path, port, CHANNELS="1", RECORDER="openrtsp", VIDEO_DURATION="600")
        process = site.start()
        wait_for(lambda: any(path.stat().st_size > 60_000 for path in site.backups.glob(".part/1/*/video-*")))
        ended, seconds = end(process)
    assert seconds < 5
    assert ended.code == 1
    assert length_s(site.files("1")[0]) > 0.5


def test_a_channel_that_openrtsp_finds_missing_is_not_tried_again(
    tmp_path: Path, shown: Footage, stand_in: Path
) -> None:
    assert stand_in.parent == tmp_path
    with running(dvr_with(shown, 9)) as port:
        ended = Site.at(tmp_path, port, CHANNELS="9,", RECORDER="openrtsp", MAX_RETRIES="3").run("--json")
    (channel,) = ended.result["results"]
    assert (channel["error"]["cause"], channel["attempts"]) == ("not_found", 1)


def test_a_terminal_shows_channels_seconds_and_bytes(tmp_path: Path, shown: Footage) -> None:
    terminal, inner = os.openpty()
    with running(dvr_with(shown, 2)) as port:
        site = Site.at(tmp_path, port)
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            env=os.environ | site.variables,
            cwd=tmp_path,
            stderr=inner,
            stdout=subprocess.DEVNULL,
        )
        os.close(inner)
        drawn = b""
        while process.poll() is None or b"finished" not in drawn:
            try:
                drawn += os.read(terminal, 65536)
            except OSError:  # the other end is closed
                break
        os.close(terminal)
    assert b"of 2 channels done, 2 recording, " in drawn
    assert b" MB" in drawn
