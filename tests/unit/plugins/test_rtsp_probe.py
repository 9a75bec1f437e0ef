"""The module rtsp_probe and the verb probe: what a person or a playbook gets back."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from cllmh_node.cli import main
from fakes.fake_dvr import FakeDvr, Footage, running
from unit.collection import imported
from unit.plugins.rtsp_samples import write_stream

PASSWORD = "rahasia@:/#%1"


@pytest.fixture(scope="module")
def rtsp_probe() -> Iterator[ModuleType]:
    """The module, imported as Ansible imports it from the collection."""
    with imported("rtsp_probe") as module:
        yield module


@pytest.fixture
def dvr(tmp_path: Path) -> FakeDvr:
    footage = Footage.load(write_stream(tmp_path / "stream.h264"), fps=10)
    return FakeDvr({(1, False): footage, (2, False): footage}, "admin", PASSWORD, "hikvision")


class Ansible:
    """Runs the module against a DVR and returns its answer; `printed` is all that was shown."""

    def __init__(self, module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
        self.module = module
        self.capsys = capsys
        self.printed = ""

    def __call__(self, port: int | None, *, check: bool = False, **given: Any) -> dict[str, Any]:
        given = {"host": "127.0.0.1", "port": port, "vendor": "hikvision", "username": "admin"} | given
        given = {name: value for name, value in given.items() if value is not None}
        with patch_module_args({**given, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            self.module.main()
        shown = self.capsys.readouterr()
        self.printed = shown.out + shown.err
        answer: dict[str, Any] = json.loads(shown.out)
        return answer


@pytest.fixture
def ansible(rtsp_probe: ModuleType, capsys: pytest.CaptureFixture[str]) -> Ansible:
    return Ansible(rtsp_probe, capsys)


@pytest.mark.parametrize("check", [True, False])
def test_it_lists_what_there_is_and_writes_nothing(ansible: Ansible, dvr: FakeDvr, tmp_path: Path, check: bool) -> None:
    before = sorted(tmp_path.rglob("*"))
    with running(dvr) as port:
        answer = ansible(port, check=check, password=PASSWORD)
    assert not answer["changed"]
    assert [(row["channel"], row["stream"], row["codec"], row["width"]) for row in answer["streams"]] == [
        (1, "main", "H264", 768),
        (1, "sub", "H264", 768),
        (2, "main", "H264", 768),
        (2, "sub", "H264", 768),
    ]
    assert answer["streams"][3]["path"] == "/Streaming/Channels/202"
    assert answer["table"][0].startswith("NAME")
    assert answer["counts"] == {"ok": 4}
    # The DVR was asked, never told: no session, no setting.
    assert {request.split()[0] for request in dvr.requests} == {"OPTIONS", "DESCRIBE"}
    assert sorted(tmp_path.rglob("*")) == before


def test_a_wrong_password_is_an_answer_and_is_shown_nowhere(ansible: Ansible, dvr: FakeDvr) -> None:
    with running(dvr) as port:
        answer = ansible(port, password="letmein-4711")
    assert "failed" not in answer
    assert answer["counts"] == {"ok": 0, "auth": 32}
    assert not answer["streams"][0]["ok"]
    assert "letmein-4711" not in ansible.printed
    assert dvr.logins_refused == 1


def test_it_fails_where_that_is_asked_for_and_says_all_the_same(ansible: Ansible, dvr: FakeDvr) -> None:
    with running(dvr) as port:
        wanted = {"channels": ["1-3"], "streams": ["main"], "password": PASSWORD}
        assert "failed" not in ansible(port, fail_on=["auth", "timeout"], **wanted)
        answer = ansible(port, fail_on=["auth", "not_found"], **wanted)
    assert answer["failed"]
    assert answer["msg"].startswith("1 of 3 streams cannot be had. 127.0.0.1:")
    assert answer["counts"] == {"ok": 2, "not_found": 1}


def test_cameras_each_with_its_own_login(ansible: Ansible, dvr: FakeDvr) -> None:
    with running(dvr) as port:
        common = {"host": "127.0.0.1", "port": port, "path": "/Streaming/Channels/101"}
        cameras = [
            {"name": "gate", "username": "admin", "password": PASSWORD, **common},
            {"name": "yard", "username": "admin", "password": "letmein-4711", **common},
            {"name": "roof", **common},
        ]
        answer = ansible(None, cameras=cameras, host=None, username=None, vendor=None)
    assert [(row["name"], row["error"]) for row in answer["streams"]] == [
        ("gate", None),
        ("yard", "auth"),
        ("roof", "auth"),
    ]
    assert answer["devices"][0]["server"] == "fake-dvr"
    assert "letmein-4711" not in ansible.printed
    assert PASSWORD not in ansible.printed


def test_it_watches_for_a_second(ansible: Ansible, dvr: FakeDvr) -> None:
    with running(dvr) as port:
        answer = ansible(port, password=PASSWORD, channels=[1], streams=["main"], receive_s=1)
    received = answer["streams"][0]["received"]
    assert received["packets"] > 10
    assert received["keyframe_interval_s"] == pytest.approx(0.5)
    assert "KBIT/S" in answer["table"][0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"channels": [0]}, "channel is 0, it must be 1 to 256"),
        ({"channels": ["4-1"]}, "channel is 4-1, it must be 1 to 256"),
        ({"port": 99_999}, "port is 99999, it must be 1 to 65535."),
        ({"vendor": "generic"}, "vendor is generic but all of the following are missing: path_template"),
        ({"vendor": "generic", "path_template": "live"}, "begins with /"),
        ({"vendor": "generic", "path_template": "/{foo}"}, "path template is '/{foo}', it must have {channel}"),
        ({"host": "a b"}, "host is 'a b'"),
        ({"host": None}, "one of the following is required: cameras, host"),
        ({"tls": True, "ca_file": "/missing.pem"}, "ca_file is /missing.pem, it must be a file of certificates"),
        ({"receive_s": 9999}, "receive_s is 9999.0, it must be 0 to 600."),
        ({"connections_per_host": 0}, "connections_per_host is 0, it must be 1 to 256."),
        ({"fail_on": ["anything"]}, "value of fail_on must be one or more of"),
    ],
)
def test_arguments_that_cannot_be_right(ansible: Ansible, given: dict[str, Any], said: str) -> None:
    answer = ansible(given.pop("port", 554), **given)
    assert answer["failed"]
    assert said in answer["msg"]


def test_a_path_with_a_line_break_is_refused_before_anything_is_sent(ansible: Ansible, dvr: FakeDvr) -> None:
    with running(dvr) as port:
        cameras = [{"name": "gate", "host": "127.0.0.1", "port": port, "path": "/a\r\nX: y"}]
        answer = ansible(None, cameras=cameras, host=None, username=None)
    assert answer["failed"]
    assert "camera gate: path is" in answer["msg"]
    assert not dvr.requests


def test_a_password_in_a_path_is_not_shown(ansible: Ansible, dvr: FakeDvr) -> None:
    with running(dvr) as port:
        cameras = [{"name": "gate", "host": "127.0.0.1", "port": port, "path": "/live?pwd=rahasia&channel=1"}]
        answer = ansible(None, cameras=cameras, host=None, username=None, vendor=None)
    (row,) = answer["streams"]
    assert row["path"] == "/live?pwd=***&channel=1"
    assert row["error"]
    assert "rahasia" not in json.dumps([row, answer["table"]])


def documented_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return name -> type, default, choices, ..., as the argument specification would have it."""
    kept = ("type", "default", "choices", "elements", "required", "aliases")
    return {
        name: {key: option[key] for key in kept if key in option}
        | ({"options": documented_options(option["suboptions"])} if "suboptions" in option else {})
        for name, option in options.items()
    }


def test_the_documentation_says_what_the_arguments_are(rtsp_probe: ModuleType) -> None:
    def plain(arguments: dict[str, Any]) -> dict[str, Any]:
        hidden = ("no_log", "required_by")
        return {
            name: {key: value for key, value in option.items() if key not in (*hidden, "options")}
            | ({"options": plain(option["options"])} if "options" in option else {})
            for name, option in arguments.items()
        }

    assert documented_options(yaml.safe_load(rtsp_probe.DOCUMENTATION)["options"]) == plain(rtsp_probe.ARGUMENTS)


def test_the_documentation_names_every_result(rtsp_probe: ModuleType, ansible: Ansible, dvr: FakeDvr) -> None:
    returned = yaml.safe_load(rtsp_probe.RETURN)
    with running(dvr) as port:
        answer = ansible(port, password=PASSWORD)
    assert set(answer) - {"changed", "invocation"} == set(returned)
    assert set(answer["streams"][0]) == set(returned["streams"]["contains"])


def test_every_example_runs_against_a_dvr(rtsp_probe: ModuleType, ansible: Ansible, tmp_path: Path) -> None:
    """The examples' addresses, passwords and seconds are replaced, all else is as a reader would copy it."""
    footage = Footage.load(write_stream(tmp_path / "stream.h264"), fps=10)
    channels = {(number, False): footage for number in range(1, 5)}
    for example in yaml.safe_load(rtsp_probe.EXAMPLES):
        given = example.get("cllmh.cctv.rtsp_probe")
        if given is None:
            continue
        dvr = FakeDvr(channels, str(given.get("username", "viewer")), PASSWORD)
        with running(dvr) as port:
            for device in [given, *given.get("cameras", [])]:
                device |= {"host": "127.0.0.1", "port": port} if "host" in device else {}
                device |= {"password": PASSWORD} if "password" in device else {}
                device |= {"tls": False} if "tls" in device else {}
            given |= {"channels": ["1-4"]} if given.get("channels") == ["1-64"] else {}
            given |= {"receive_s": 0.5} if "receive_s" in given else {}
            answer = ansible(given.pop("port", None), **{"host": None, "username": None, "vendor": None, **given})
        assert "failed" not in answer, example["name"]
        known = 1 if "cameras" in given else len(answer["streams"])  # one of the cameras has a path of its own
        assert answer["counts"]["ok"] == known, example["name"]


def login(folder: Path, password: str = PASSWORD) -> list[str]:
    """Return the verb's arguments for a login."""
    secret = folder / "password"
    secret.write_text(password + "\n", encoding="utf-8")
    secret.chmod(0o600)
    return ["--username", "admin", "--password-file", str(secret)]


def test_the_verb_prints_a_table(dvr: FakeDvr, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(dvr) as port:
        code = main(["probe", "127.0.0.1", "--port", str(port), *login(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert lines[0].startswith("NAME")
    assert [row.split()[:4] for row in lines[1:3]] == [
        ["1", "main", "H264", "768x576"],
        ["1", "sub", "H264", "768x576"],
    ]


def test_the_verb_prints_json_lines(dvr: FakeDvr, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(dvr) as port:
        where = ["127.0.0.1", "--port", str(port), "--vendor", "hikvision", "--channel", "2", "--channel", "7"]
        asked = ["probe", *where, "--stream", "main", "--json", *login(tmp_path)]
        assert main(asked) == 0
        assert main([*asked, "--fail-on", "not_found"]) == 1
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["channel"], row["error"]) for row in shown] == [(2, None), (7, "not_found")] * 2


def test_the_verb_asks_for_the_recorders_cameras(
    dvr: FakeDvr, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD, encoding="utf-8")
    secret.chmod(0o600)
    with running(dvr) as port:
        device = {"host": "127.0.0.1", "port": port, "username": "admin", "password_file": str(secret)}
        cameras = [{"name": f"cam{n}", "path": f"/Streaming/Channels/{n}01", **device} for n in (1, 2)]
        config = tmp_path / "recorder.yml"
        folders = {"recordings_dir": str(tmp_path / "recordings"), "state_dir": str(tmp_path / "state")}
        config.write_text(yaml.safe_dump({**folders, "cameras": cameras}), encoding="utf-8")
        assert main(["probe", "--config", str(config), "--json"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["name"], row["ok"]) for row in shown] == [("cam1", True), ("cam2", True)]


def test_the_verb_says_why_it_could_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "127.0.0.1", "--port", "1", "--vendor", "dahua", "--timeout", "1"]) == 1
    assert capsys.readouterr().err == "127.0.0.1:1 cannot be reached: Connection refused.\n"
    missing = tmp_path / "missing"
    assert main(["probe", "127.0.0.1", "--vendor", "dahua", "--password-file", str(missing)]) == 2
    assert capsys.readouterr().err == f"{missing}: the secret cannot be read: No such file or directory\n"
    assert main(["probe"]) == 2


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"rahasia\n", 0o644, "mode 0644 lets everybody at the secret, it must be 0600 or 0640"),
        (b"\nrahasia\n", 0o600, "is empty, its first line must be the secret"),
        (b"rahasia\xff\n", 0o600, "is not UTF-8, its first line must be the secret"),
    ],
)
def test_the_verb_refuses_a_password_file_that_cannot_be_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, mode: int, said: str
) -> None:
    secret = tmp_path / "password"
    secret.write_bytes(content)
    secret.chmod(mode)
    assert main(["probe", "127.0.0.1", "--port", "1", "--username", "admin", "--password-file", str(secret)]) == 2
    shown = capsys.readouterr()
    assert shown.err == f"{secret}: {said}\n"
    assert not shown.out


def test_the_verb_names_the_camera_whose_host_is_a_url_and_does_not_show_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "recorder.yml"
    folders = {"recordings_dir": str(tmp_path / "recordings"), "state_dir": str(tmp_path / "state")}
    camera = {"name": "gate", "host": "rtsp://admin:rahasia@127.0.0.1", "path": "/live"}
    config.write_text(yaml.safe_dump({**folders, "cameras": [camera]}), encoding="utf-8")
    assert main(["probe", "--config", str(config)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"{config}: cameras[0]: host must be a name or an address alone")
    assert "rahasia" not in shown
