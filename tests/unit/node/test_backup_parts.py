"""The Backup Manager's parts: what it is told, what it makes of the CPU's load, its log lines, its checks."""

import json
import logging
import os
import pickle
import re
import shutil
import socket
import socketserver
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllmh_node.backup import load, logs
from cllmh_node.backup.channel import choose_recorder
from cllmh_node.backup.logs import logging_to
from cllmh_node.backup.messages import load_log_messages
from cllmh_node.backup.settings import BackupSettings, read_settings
from cllmh_node.backup.streams import check_file, validate_rtsp_stream
from cllmh_node.backup.syslog import SyslogHandler
from cllmh_node.config import ConfigError
from cllmh_node.log import StructuredFormatter, event, messages
from cllmh_node.recordings import MARKER
from fakes.fake_dvr import Footage, running
from unit.node.backup_site import PASSWORD, SCRIPT, Site, dvr_with, footage, raw_footage, watching_command_lines

SECRET = quote(PASSWORD, safe="")


def settings(folder: Path, **more: object) -> BackupSettings:
    return read_settings(Site.at(folder, 554, **more).variables)


# --- variables


def test_every_missing_and_wrong_variable_is_in_one_message(tmp_path: Path) -> None:
    wrong = {
        "RTSP_USERNAME": "admin",
        "RTSP_SUBTYPE": "main",
        "VIDEO_DURATION": "-5",
        "CHANNELS": "1-4,x",
        "LOG_MESSAGES_FILE": str(tmp_path / "none.json"),
        "BACKEND_ENDPOINT": "ftp://backend",
        "ENABLE_SYSLOG": "true",
        "LOG_FILE": str(tmp_path),
    }
    with pytest.raises(ConfigError) as caught:
        read_settings(wrong)
    names = [line.split(":")[0] for line in str(caught.value).splitlines()]
    assert names == sorted({*wrong.keys() - {"RTSP_USERNAME"}, "RTSP_IP", "RTSP_PASSWORD", "BACKUP_DIR"})


def test_a_wrong_variable_ends_it_with_2_before_anything_starts(tmp_path: Path) -> None:
    site = Site.at(tmp_path, 554, CHANNELS="0")
    del site.variables["RTSP_IP"]
    ended = site.run(command=[sys.executable, str(SCRIPT)])
    assert ended.code == 2
    assert ended.said.splitlines() == [
        "CHANNELS: '0': it must be 1 to 256, or a list such as 1-4,7",
        "RTSP_IP: is missing. Address or name of the DVR.",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given_text", "channels"),
    [("4", (1, 2, 3, 4)), ("1-4,7", (1, 2, 3, 4, 7)), ("3,", (3,)), (" 8 , 2-3 ", (8, 2, 3)), ("5-5", (5,))],
)
def test_channels_are_a_number_or_a_list_with_ranges(
    tmp_path: Path, given_text: str, channels: tuple[int, ...]
) -> None:
    assert settings(tmp_path, CHANNELS=given_text).channels == channels


@pytest.mark.parametrize("text", ["0", "-1", "257", "4-2", "1..4", "1-", "99999999999999999999"])
def test_other_channels_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"^CHANNELS: '"):
        settings(tmp_path, CHANNELS=text)


def test_the_url_is_spelled_as_the_vendor_does_and_the_password_is_escaped(tmp_path: Path) -> None:
    login = f"rtsp://admin:{SECRET}@127.0.0.1:554"
    urls = {
        "dahua": f"{login}/cam/realmonitor?channel=3&subtype=1",
        "hikvision": f"{login}/Streaming/Channels/302",
    }
    for vendor, url in urls.items():
        of_vendor = settings(tmp_path, RTSP_VENDOR=vendor)
        assert of_vendor.address(3).url(of_vendor.rtsp_password) == url
    own = settings(tmp_path, RTSP_PATH="/live/{channel}_{subtype}", RTSP_SUBTYPE=0)
    assert own.address(3).path == "/live/3_0"


def test_the_password_may_be_in_a_file_and_is_shown_by_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o600)
    found = settings(tmp_path, RTSP_PASSWORD="", RTSP_PASSWORD_FILE=secret)
    assert found.rtsp_password == PASSWORD
    assert PASSWORD not in repr(found)
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301  how it goes to the processes
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="lets everybody at the secret"):
        settings(tmp_path, RTSP_PASSWORD="", RTSP_PASSWORD_FILE=secret)
    with pytest.raises(ConfigError, match="too long for FFmpeg") as caught:
        settings(tmp_path, RTSP_PASSWORD="#" * 60)
    assert "###" not in str(caught.value)


def test_the_recorders_own_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / MARKER).touch()
    with pytest.raises(ConfigError, match=r"BACKUP_DIR: .* is a recorder's folder"):
        settings(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.exists("/usr/bin/setpriv"), reason="needs another user")  # noqa: PTH110
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"(?m)^BACKUP_DIR: .*/proc/1.* cannot be written|is no folder"):
        settings(tmp_path, BACKUP_DIR="/proc/version/backup")


def test_a_token_is_not_sent_in_clear_text(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t\n")
    token.chmod(0o600)
    with pytest.raises(ConfigError, match="must begin with https"):
        settings(tmp_path, BACKEND_TOKEN_FILE=token, BACKEND_ENDPOINT="http://backend/api/report")


def test_auto_gives_a_password_to_no_program_that_would_show_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "openRTSP"
    program.touch()
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert choose_recorder(settings(tmp_path)) == "ffmpeg"
    assert choose_recorder(settings(tmp_path, RTSP_USERNAME="-", RTSP_PASSWORD="")) == "openrtsp"
    assert choose_recorder(settings(tmp_path, RECORDER="openrtsp")) == "openrtsp"


def test_openrtsp_that_is_not_installed_is_refused_with_the_remedy(tmp_path: Path) -> None:
    if any(Path(folder, "openRTSP").exists() for folder in os.environ["PATH"].split(":")):
        pytest.skip("openRTSP is installed here")
    with pytest.raises(ConfigError, match=r"RECORDER: .*apt-get install livemedia-utils"):
        settings(tmp_path, RECORDER="openrtsp")


def test_the_functions_can_be_imported_and_read_the_environment(tmp_path: Path) -> None:
    code = "import backup_manager as b; print(b.get_rtsp_url(2)); print(*map(callable, map(b.__dict__.get, b.__all__)))"
    site = Site.at(tmp_path, 554)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | site.variables | {"PYTHONPATH": str(SCRIPT.parent)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    url, found = done.stdout.splitlines()
    assert url == f"rtsp://admin:{SECRET}@127.0.0.1:554/cam/realmonitor?channel=2&subtype=1"
    assert found == "True " * 7 + "True"


def test_variables_come_from_a_file_and_those_of_the_system_win(tmp_path: Path) -> None:
    site = Site.at(tmp_path, 554)
    lines = [f"{name}='{value}'" for name, value in site.variables.items() if name != "RTSP_PASSWORD"]
    (tmp_path / ".env").write_text("\n".join([*lines, "RTSP_PASSWORD=from-file"]), encoding="utf-8")
    site.variables = {"CHANNELS": "3-4"}
    ended = site.run("--dry-run", "--json", command=[sys.executable, str(SCRIPT)])
    assert ended.code == 0, ended.said
    assert [channel["channel"] for channel in ended.result["channels"]] == [3, 4]


def test_the_example_is_complete_and_every_variable_is_documented() -> None:
    root = SCRIPT.parents[2]
    names = {name.upper() for name in BackupSettings.model_fields}
    example = (SCRIPT.parent / ".env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^#? ?([A-Z_]+)=", example, re.MULTILINE)) == names
    page = (root / "docs/backup.md").read_text(encoding="utf-8")
    assert {name for name in names if f"`{name}`" not in page} == set()


# --- load


@given(st.floats(allow_nan=True), st.floats(allow_nan=True))
def test_dynamic_values_are_monotone_and_bounded_whatever_the_load(one: float, other: float) -> None:
    fewer = (load.concurrency_limit, lambda percent: load.max_workers(percent, cores=2))
    more = (load.retry_delay, lambda percent: load.max_retries(percent, 3))
    for function, low, high in [(fewer[0], 4, 32), (fewer[1], 4, 32), (more[0], 1, 15), (more[1], 3, 6)]:
        values = [function(percent) for percent in (one, other)]
        assert all(type(value) is int and low <= value <= high for value in values)
        if one <= other:
            assert values[0] >= values[1] if function in fewer else values[0] <= values[1]


def test_the_load_moves_every_value() -> None:
    calm, loaded = load.Dynamic.of(10), load.Dynamic.of(100)
    assert (calm.concurrency_limit, calm.retry_delay_s, calm.max_retries) == (32, 1, 3)
    assert (loaded.concurrency_limit, loaded.retry_delay_s, loaded.max_retries) == (4, 15, 6)
    assert loaded.max_workers < calm.max_workers
    assert load.max_retries(100, calm=0) == 0


# --- texts and lines


def test_texts_may_be_in_one_language_or_in_two(tmp_path: Path) -> None:
    file = tmp_path / "messages.json"
    file.write_text('{"a": "one", "b": {"en": "two", "id": "dua"}}', encoding="utf-8")
    assert load_log_messages(str(file)) == {"a": "one", "b": {"en": "two", "id": "dua"}}
    assert load_log_messages(SCRIPT.parents[1] / "log_messages.json") == messages()


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {"en": null}}', "\xff"])
def test_a_file_of_texts_that_is_none_is_refused_by_its_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "messages.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"messages\.json: "):
        load_log_messages(file)


@pytest.mark.parametrize("text", [None, "{", "{0}", "{channel.x}", "{channel!z}"])
def test_a_missing_or_broken_text_falls_back_to_the_key_with_its_values(text: str | None) -> None:
    record = logging.makeLogRecord({"cllmh_event": "tape_full", "cllmh_fields": {"channel": 3, "text": "a b"}})
    catalogue = {} if text is None else {"tape_full": {"en": text}}
    line = StructuredFormatter(catalogue=catalogue).format(record)
    assert r'event=tape_full channel=3 text="a b" msg="tape_full channel=3 text=\"a b\""' in line


def test_lines_go_to_the_file_in_the_language_that_is_wanted(tmp_path: Path) -> None:
    with logging_to(settings(tmp_path, LOG_LANGUAGE="id")):
        event(logging.getLogger("test"), "backup_worker_died", channel=3)
    line = (tmp_path / "log/backup_manager.log").read_text(encoding="utf-8")
    assert 'event=backup_worker_died channel=3 msg="Proses kanal 3 berakhir' in line
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) & 0o007 == 0


@pytest.fixture
def tcp_lines() -> Iterator[tuple[int, list[bytes], threading.Event]]:
    lines: list[bytes] = []
    came = threading.Event()

    class Taker(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                lines.append(line)
                came.set()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Taker) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1], lines, came
        server.shutdown()
        thread.join()


def test_syslog_over_tcp_takes_lines_of_either_form(tcp_lines: tuple[int, list[bytes], threading.Event]) -> None:
    port, lines, came = tcp_lines
    forms = {
        "rfc5424": rb"<134>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ backup_manager \d+ - - hello\n",
        "rfc3164": rb"<134>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ backup_manager\[\d+\]: hello\n",
    }
    for form, pattern in forms.items():
        came.clear()
        handler = SyslogHandler("127.0.0.1", port, "tcp", form)
        handler.handle(logging.makeLogRecord({"msg": "hello", "levelno": logging.INFO}))
        assert came.wait(5)
        handler.close()
        assert re.fullmatch(pattern, lines[-1])
        assert handler.lost == 0


def test_the_log_file_is_rotated_and_the_newest_lines_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_BYTES", 2_000)
    told = settings(tmp_path)
    with logging_to(told):
        for number in range(200):
            event(logging.getLogger("test"), "backup_no_room", text=f"line {number} ")
    kept = [told.log_file, *(told.log_file.with_name(f"{told.log_file.name}.{number}") for number in range(1, 5))]
    assert sorted(told.log_file.parent.glob(f"{told.log_file.name}*")) == sorted(kept)
    assert all(path.stat().st_size <= 2_000 for path in kept)
    numbers = [int(found) for path in reversed(kept) for found in re.findall(r'text="line (\d+) ', path.read_text())]
    assert numbers == list(range(numbers[0], 200))


def test_syslog_over_udp_carries_fields_and_severity(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        told = settings(tmp_path, ENABLE_SYSLOG="yes", SYSLOG_SERVER="127.0.0.1", SYSLOG_PORT=server.getsockname()[1])
        with logging_to(told):
            event(logging.getLogger("test"), "backup_worker_died", level=logging.ERROR, channel=3)
        line = server.recv(4096).decode()
    assert line.startswith("<131>1 ")
    assert "- - event=backup_worker_died channel=3 msg=" in line


def test_a_syslog_server_that_is_away_costs_nothing_but_its_lines() -> None:
    handler = SyslogHandler("127.0.0.1", 9, "tcp", "rfc5424")
    for _ in range(3):
        handler.handle(logging.makeLogRecord({"msg": "hello", "levelno": logging.INFO}))
    assert handler.lost == 3


# --- streams and files


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return footage(tmp_path_factory.mktemp("footage"))


def test_a_stream_is_valid_when_it_has_a_picture_and_its_password_is_in_no_command_line(shown: Footage) -> None:
    dvr = dvr_with(shown, 1)
    with running(dvr) as port, watching_command_lines(SECRET) as seen:
        url = f"rtsp://admin:{SECRET}@127.0.0.1:{port}/cam/realmonitor?channel={{}}&subtype=1"
        assert validate_rtsp_stream(url.format(1))
        assert not validate_rtsp_stream(url.format(9))
        assert not validate_rtsp_stream(url.format(1).replace(SECRET, "wrong"))
    assert seen == set()
    assert dvr.logins_refused == 1


def test_a_stream_that_says_nothing_is_given_up_in_time(shown: Footage) -> None:
    with running(dvr_with(shown, 1, silent=True)) as port:
        assert not validate_rtsp_stream(f"rtsp://127.0.0.1:{port}/cam/realmonitor?channel=1&subtype=1", 0.5)


@pytest.mark.parametrize("url", ["", "http://x/", "rtsp://h/a'\nfile '/etc/passwd", "rtsp://h/a b"])
def test_what_is_no_address_of_a_stream_is_not_valid(url: str) -> None:
    assert not validate_rtsp_stream(url)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds with two keyframes, in an MP4."""
    raw = raw_footage(tmp_path_factory.mktemp("recording"))
    path = raw.with_suffix(".mp4")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-r", "25", "-i", str(raw), "-c", "copy", str(path)]
    subprocess.run(command, check=True, timeout=30)
    return path


def test_a_whole_recording_is_found_whole(recording: Path) -> None:
    assert check_file(recording, 2.0).problem is None


def test_what_debian_12_says_of_its_memory_is_no_complaint_of_the_file(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ffprobe = tmp_path / "ffprobe"
    ffprobe.write_text(f'#!/bin/sh\necho "Warning: using insecure memory!" >&2\nexec {shutil.which("ffprobe")} "$@"\n')
    ffprobe.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert check_file(recording, 2.0).problem is None


def test_a_short_one_is_told_with_its_length(recording: Path) -> None:
    assert check_file(recording, 3.0).problem is None  # within a second
    assert check_file(recording, 3.5).problem == "it is 2.0 s long instead of 3.5 s"


def test_a_damaged_keyframe_is_found(recording: Path, tmp_path: Path) -> None:
    content = bytearray(recording.read_bytes())
    data = content.index(b"mdat") + 1000
    content[data : data + 400] = bytes(range(100)) * 4
    (tmp_path / "damaged.mp4").write_bytes(content)
    assert check_file(tmp_path / "damaged.mp4", 2.0).problem is not None


def test_a_file_that_is_none_is_told_without_a_crash(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    assert "ffprobe" in str(check_file(tmp_path / "a.mp4", 2.0).problem)


def test_the_catalogue_of_the_stand_alone_script_is_that_of_the_package() -> None:
    assert json.loads((SCRIPT.parents[1] / "log_messages.json").read_text(encoding="utf-8")) == messages()
