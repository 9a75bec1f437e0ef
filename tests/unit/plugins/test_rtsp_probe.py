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

    def __call__(self, port: int, *, check: bool = False, **given: Any) -> dict[str, Any]:
        given = {"host": "127.0.0.1", "port": port, "vendor": "hikvision", "username": "admin"} | given
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
    assert answer["table"][0].startswith("CHANNEL")
    # The DVR was asked, never told: no session, no setting.
    assert {request.split()[0] for request in dvr.requests} == {"DESCRIBE"}
    assert sorted(tmp_path.rglob("*")) == before


def test_a_wrong_password_fails_with_its_cause_and_without_the_password(ansible: Ansible, dvr: FakeDvr) -> None:
    with running(dvr) as port:
        answer = ansible(port, password="letmein-4711")
    assert answer["failed"]
    assert answer["error"] == "auth"
    assert "letmein-4711" not in ansible.printed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"channels": [0]}, "channel is 0, it must be 1 to 256."),
        ({"port": 99_999}, "port is 99999, it must be 1 to 65535."),
        ({"vendor": "generic"}, "vendor is generic but all of the following are missing: path_template"),
        ({"vendor": "generic", "path_template": "live"}, "begins with /"),
        ({"host": "a b"}, "host is 'a b'"),
    ],
)
def test_arguments_that_cannot_be_right(ansible: Ansible, given: dict[str, Any], said: str) -> None:
    answer = ansible(given.pop("port", 554), **given)
    assert answer["failed"]
    assert said in answer["msg"]


def test_the_documentation_names_every_option_and_result(
    rtsp_probe: ModuleType, ansible: Ansible, dvr: FakeDvr
) -> None:
    documented = yaml.safe_load(rtsp_probe.DOCUMENTATION)["options"]
    assert set(documented) == {
        *("host", "port", "username", "password", "vendor", "path_template"),
        *("channels", "max_channel", "streams", "timeout"),
    }
    returned = yaml.safe_load(rtsp_probe.RETURN)
    with running(dvr) as port:
        answer = ansible(port, password=PASSWORD)
    assert set(answer) - {"changed", "invocation"} == set(returned) - {"error"}
    assert set(answer["streams"][0]) == set(returned["streams"]["contains"])
    for example in yaml.safe_load(rtsp_probe.EXAMPLES):
        assert set(example.get("cllmh.cctv.rtsp_probe", {})) <= set(documented)


def test_the_verb_prints_a_table(dvr: FakeDvr, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n", encoding="utf-8")
    with running(dvr) as port:
        login = ["--username", "admin", "--password-file", str(secret)]
        code = main(["probe", "127.0.0.1", "--port", str(port), "--vendor", "hikvision", *login])
    lines = capsys.readouterr().out.splitlines()
    table = lines[next(number for number, line in enumerate(lines) if line.startswith("CHANNEL")) :]
    assert code == 0
    assert [row.split()[:4] for row in table[1:3]] == [
        ["1", "main", "H264", "768x576"],
        ["1", "sub", "H264", "768x576"],
    ]


def test_the_verb_prints_json_lines(dvr: FakeDvr, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD, encoding="utf-8")
    with running(dvr) as port:
        login = ["--username", "admin", "--password-file", str(secret)]
        where = ["127.0.0.1", "--port", str(port), "--vendor", "hikvision", "--channel", "7", "--stream", "main"]
        assert main(["probe", *where, "--json", *login]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [(row["channel"], row["error"]) for row in shown] == [(7, "not_found")]


def test_the_verb_says_why_it_could_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "127.0.0.1", "--port", "1", "--vendor", "dahua", "--timeout", "1"]) == 1
    assert capsys.readouterr().err == "127.0.0.1:1 cannot be reached: Connection refused.\n"
    missing = tmp_path / "missing"
    assert main(["probe", "127.0.0.1", "--vendor", "dahua", "--password-file", str(missing)]) == 2
    assert capsys.readouterr().err == f"{missing}: No such file or directory\n"
