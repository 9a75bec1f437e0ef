"""What every service of a node stands on: command line, configuration, log lines, sd_notify."""

import json
import logging
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cllmh_node import log, systemd
from cllmh_node.cli import find_verbs, main, verb_names
from cllmh_node.clips.index import ClipIndex, ClipRow
from cllmh_node.config import ConfigError, load_config, read_secret
from cllmh_node.recorder.settings import CameraSettings, MotionSettings, RecorderConfig

SOURCES = Path(__file__).resolve().parents[3] / "files/node/src/cllmh_node"
MINIMAL = """
recordings_dir: FOLDER/recordings
state_dir: FOLDER/state
cameras:
  - {name: gate, host: 192.0.2.10, path: "/cam/realmonitor?channel=1&subtype=0"}
"""


def config_file(folder: Path, text: str = MINIMAL) -> Path:
    path = folder / "recorder.yml"
    path.write_text(text.replace("FOLDER", str(folder)))
    return path


def problem(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(config_file(folder, MINIMAL + text), RecorderConfig)
    return str(caught.value)


def test_the_smallest_configuration_has_a_default_for_everything_else(tmp_path: Path) -> None:
    config = load_config(config_file(tmp_path), RecorderConfig)
    camera = config.cameras[0]
    assert (camera.port, camera.pre_roll_s, camera.post_roll_s) == (554, 5, 5)
    assert config.index_path == tmp_path / "state/index.db"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("langauge: id", "langauge: unknown key; did you mean language? allowed here: "),
        ("language: fr", "language: 'fr': input should be 'en' or 'id'"),
        ("  - {name: yard, host: h, path: /, prot: 1}", "cameras[1].prot: unknown key; did you mean port? "),
        (
            "  - {name: yard, host: h, path: /, port: 0}",
            "cameras[1].port: 0: input should be greater than or equal to 1",
        ),
        ("  - {name: yard, host: h, path: /, channel: yes}", "cameras[1].channel: True: yes and no are no numbers"),
        ("reserve_bytes: true", "reserve_bytes: True: yes and no are no numbers, a number is wanted"),
        ("  - {name: yard, path: /}", "cameras[1].host: is missing"),
        ("  - {name: ../etc, host: h, path: /}", "cameras[1].name: '../etc': string should match pattern"),
        ("  - {name: gate, host: h, path: /}", "cameras: each name can be used once only, given more often: gate"),
        (
            "  - {name: yard, host: h, path: /, motion: {sigma: 4}}",
            "cameras[1].motion.sigma: unknown key; did you mean",
        ),
        (
            "  - {name: yard, host: h, path: /, ring_max_bytes: 99999999999999}",
            "cameras[1].ring_max_bytes: 99999999999999: input should be less than or equal to 1073741824",
        ),
        (
            "  - {name: yard, host: h, path: /, pre_roll_s: 60, max_clip_s: 10}",
            "cameras[1]: pre_roll_s 60 must be less than max_clip_s 10",
        ),
        ("  - {name: yard, host: a b, path: /}", "cameras[1]: host 'a b' must be a name or an address alone"),
        ("  - {name: yard, host: a/b, path: /}", "cameras[1]: host 'a/b' must be a name or an address alone"),
        ("spool_dir: FOLDER/state", "state_dir and spool_dir are both "),
        ("language: en\nlanguage: id", "line 7: key language is in line 6 already, it can be given once only"),
        ("  - {name: yard, host: h, host: i, path: /}", "line 6: key host is in line 6 already"),
    ],
)
def test_a_wrong_key_is_named_with_file_value_and_what_is_allowed(tmp_path: Path, text: str, expected: str) -> None:
    assert problem(tmp_path, text).startswith(f"{tmp_path}/recorder.yml: {expected}")


def test_a_password_in_the_configuration_is_refused_and_not_shown(tmp_path: Path) -> None:
    text = problem(tmp_path, "  - {name: yard, host: h, path: /, username: a, password: rahasia}")
    assert "cameras[1].password: unknown key" in text
    assert "rahasia" not in text


@pytest.mark.parametrize(
    "camera",
    [
        "host: 'admin:rahasia@dvr', path: /",
        "host: 'admin:rahasia', path: /",
        "host: dvr, path: 'rtsp://admin:rahasia@dvr/'",
        "host: dvr, path: 'live?user=admin&pwd=rahasia'",
        "host: dvr, path: '/live?pwd=rahasia', sub_path: '/live?pwd=rahasia'",
    ],
)
def test_a_password_in_host_or_path_is_refused_and_not_shown(tmp_path: Path, camera: str) -> None:
    text = problem(tmp_path, f"  - {{name: yard, {camera}}}")
    assert "cameras[1]" in text
    assert "rahasia" not in text


@pytest.mark.parametrize(
    "host", ["dvr", "dvr-1.toko.local", "192.0.2.10", "fe80::1", "fe80::1%eth0", "::ffff:192.0.2.1"]
)
def test_names_and_addresses_of_both_kinds_are_hosts(host: str) -> None:
    assert CameraSettings(name="gate", host=host, path="/").host == host


@pytest.mark.parametrize("place", [[[0, 0]] * 3, [[0, 0], [0.5, 0.5], [1, 1], [0.5, 0.5]], [[0, 0], [1, 0], [1, 1e-9]]])
def test_a_zone_without_an_area_is_refused(place: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="a polygon must have an area"):
        MotionSettings.model_validate({"zones": [place]})
    crosses_itself = [[0, 0], [1, 1], [1, 0], [0, 1]]
    assert MotionSettings.model_validate({"masks": [crosses_itself]}).masks


def test_one_wrong_value_is_one_error(tmp_path: Path) -> None:
    path = config_file(tmp_path, MINIMAL.replace("name: gate", "name: gate, port: 0"))
    with pytest.raises(ConfigError) as caught:
        load_config(path, RecorderConfig)
    (line,) = str(caught.value).splitlines()
    assert "cameras[0].port: 0" in line
    with pytest.raises(ConfigError, match="cameras: tuple should have at least 1 item"):
        load_config(config_file(tmp_path, MINIMAL[: MINIMAL.index("cameras")] + "cameras: []"), RecorderConfig)


def test_what_is_merged_is_not_given_twice(tmp_path: Path) -> None:
    text = MINIMAL + "  - &yard {name: yard, host: h, path: /}\n  - {<<: *yard, name: hall}\n"
    config = load_config(config_file(tmp_path, text), RecorderConfig)
    assert [camera.name for camera in config.cameras] == ["gate", "yard", "hall"]


def test_the_check_refuses_a_password_file_that_recording_would_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = MINIMAL.replace("name: gate", "name: gate, username: admin, password_file: FOLDER/none")
    assert main(["record", "--check", "--config", str(config_file(tmp_path, text))]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/none: the secret cannot be read: No such file or directory\n"
    assert main(["record", "--check", "--config", str(config_file(tmp_path))]) == 0
    assert "not looked at: disk, directories, cameras" in capsys.readouterr().out


def test_clips_of_a_camera_that_was_removed_are_still_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = ClipIndex(tmp_path / "state/index.db")
    index.add_clip(ClipRow("yard", "yard/1.mp4", 1.0, 2.0, 1, "motion"))
    index.close()
    command = ["clips", "--config", str(config_file(tmp_path)), "--json", "--camera"]
    assert main([*command, "yard"]) == 0
    assert capsys.readouterr().out.count("yard/1.mp4") == 1
    assert main([*command, "gate"]) == 0
    assert main([*command, "yrad"]) == 2
    assert "--camera: yrad: nothing was recorded of it, and it is not in" in capsys.readouterr().err


def test_broken_yaml_is_named_by_its_line_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "recorder.yml"
    path.write_text("a: 1\nb: [rahasia\n")
    with pytest.raises(ConfigError, match=r"recorder.yml: is not YAML: line \d") as caught:
        load_config(path, RecorderConfig)
    assert "rahasia" not in str(caught.value)


def test_a_secret_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("p@ss\nsecond line\n")
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="mode 0644 lets everybody at the secret"):
        read_secret(secret)
    secret.chmod(0o600)
    assert read_secret(secret) == "p@ss"


def test_wrong_configuration_ends_with_exit_code_2_and_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["record", "--check", "--config", str(tmp_path / "none.yml")]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/none.yml: cannot be read: No such file or directory\n"
    assert main(["record", "--check", "--config", str(config_file(tmp_path))]) == 0


def test_every_verb_says_in_one_line_what_it_does() -> None:
    verbs = dict(find_verbs(verb_names()))
    assert {"record", "clips", "gaps"} <= verbs.keys()
    for name, verb in verbs.items():
        assert verb.__doc__, name
        assert verb.__doc__.splitlines()[0].endswith("."), name


def test_a_command_loads_its_own_verb_alone(tmp_path: Path) -> None:
    code = (
        "import sys; from cllmh_node.cli import main; main(sys.argv[1:]); "
        "print(*sorted(name for name in sys.modules if name.startswith('cllmh_node.verbs.')))"
    )
    command = [sys.executable, "-c", code, "record", "--check", "--config", str(config_file(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "cllmh_node.verbs.record"


def test_clips_before_the_first_run_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clips", "--config", str(config_file(tmp_path))]) == 2
    assert "the recorder has not run with this configuration" in capsys.readouterr().err


def test_a_damaged_index_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "index.db").write_bytes(b"garbage" * 1000)
    for verb in ("clips", "gaps", "coverage"):
        assert main([verb, "--config", str(config_file(tmp_path))]) == 1
        assert f"{tmp_path}/state/index.db: cannot be read: file is not a database" in capsys.readouterr().err


@pytest.mark.parametrize("age", ["99999999999999d", "999999d"])
def test_an_age_before_all_times_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], age: str) -> None:
    with pytest.raises(SystemExit):
        main(["clips", "--config", str(config_file(tmp_path)), "--since", age])
    assert f"argument --since: '{age}' is before the year 1" in capsys.readouterr().err


def test_rules_for_a_camera_that_is_not_recorded_are_pointed_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = "retention: {cameras: {gaet: {max_bytes: 5}, gate: {max_bytes: 5}}}"
    assert main(["record", "--check", "--config", str(config_file(tmp_path, MINIMAL + rules))]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path}/recorder.yml: retention.cameras.gaet: is no camera here, which are: gate; ")


def test_a_camera_that_does_not_exist_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gaps", "--config", str(config_file(tmp_path)), "--camera", "gaet"]) == 2
    assert "which has: gate" in capsys.readouterr().err


def logged(language: str = "en", *, to_journal: bool = False, **fields: object) -> str:
    record = logging.LogRecord("x", logging.WARNING, "x.py", 1, "clip_closed", None, None)
    record.cllmh_event, record.cllmh_fields = "clip_closed", fields
    return log.StructuredFormatter(language=language, to_journal=to_journal).format(record)


def test_a_log_line_has_its_fields_and_a_text_in_the_language_wanted() -> None:
    line = logged(camera="gate", seconds=12.4, path="gate/x.mp4", at=datetime(2026, 1, 2, tzinfo=UTC))
    assert 'event=clip_closed camera=gate seconds=12.4 path=gate/x.mp4 at=2026-01-02T00:00:00.000Z msg="' in line
    assert "merekam 12.4 detik" in logged("id", camera="gate", seconds=12.4, path="x")


def test_a_log_line_stays_one_line_and_carries_its_severity_to_the_journal() -> None:
    line = logged(to_journal=True, camera='a "b"\nevent=forged', seconds=1, path="x")
    assert line.startswith("<4>event=clip_closed ")
    assert "\n" not in line
    assert r'camera="a \"b\"\nevent=forged"' in line


def test_every_event_has_a_text_in_both_languages() -> None:
    used = set()
    for path in SOURCES.rglob("*.py"):
        used |= set(re.findall(r'\bevent\(\s*(?:_?logger|log),\s*"(\w+)"', path.read_text(encoding="utf-8")))
    assert len(used) > 5
    assert used <= log.messages().keys()
    for key, texts in log.messages().items():
        assert set(texts) == {"en", "id"}, key
        fields = [set(re.findall(r"{(\w+)}", text)) for text in texts.values()]
        assert fields[0] == fields[1], key


def test_the_catalogue_is_sorted() -> None:
    text = (SOURCES / "log_messages.json").read_text(encoding="utf-8")
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert systemd.notify("READY=1")
        assert receiver.recv(100) == b"READY=1"
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not systemd.notify("READY=1")


def test_the_watchdog_is_served_twice_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    assert systemd.watchdog_interval_s() == 30
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert systemd.watchdog_interval_s() is None
