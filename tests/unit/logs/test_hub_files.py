"""Devices without a node: what they send to the hub stands in the files of their site, against the real syslog-ng."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from free_ports import free_port
from unit.logs.harness import SyslogNg, installed_config_version, self_signed, send

DVR, ROUTER, STRANGER = "127.0.0.11", "127.0.0.12", "127.0.0.13"

pytestmark = pytest.mark.skipif(
    shutil.which("syslog-ng") is None or not list(Path("/usr/lib/syslog-ng").glob("*/libadd-contextual-data.so")),
    reason="syslog-ng or its look-up of addresses is not installed on this machine",
)


class Hub:
    """A syslog-ng with the role's configuration for a hub."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.sites = folder / "sites"
        self.certificates = self_signed(folder)
        self.variables: dict[str, Any] = {
            "template": "hub.conf",
            "__syslog_ng_config_version": installed_config_version(),
            "syslog_ng_kind": "hub",
            "syslog_ng_timezone": "Asia/Jakarta",
            "syslog_ng_sites_dir": str(self.sites),
            "syslog_ng_devices_file": str(folder / "devices.csv"),
            "syslog_ng_group": "root" if os.geteuid() == 0 else os.getlogin(),
            "syslog_ng_ca_file": str(folder / "ca.crt"),
            "syslog_ng_cert_file": str(folder / "host.crt"),
            "syslog_ng_key_file": str(folder / "host.key"),
            "syslog_ng_listen_address": "127.0.0.1",
            "syslog_ng_devices": [
                {"name": "dvr-warung", "kind": "dvr", "address": DVR, "site": "warung"},
                {"name": "gw-warung", "kind": "router", "address": ROUTER, "site": "warung"},
            ],
        }
        ports = ("dvr_port", "router_port", "dvr_tls_port", "router_tls_port")
        self.variables |= {f"syslog_ng_{port}": free_port() for port in ports}
        self.daemon = SyslogNg(folder, self.variables)

    def port(self, name: str) -> int:
        return int(self.variables[f"syslog_ng_{name}_port"])

    def lines(self, site: str, count: int) -> list[dict[str, str]]:
        """Wait until a site's files hold this many lines and return them."""
        deadline = time.monotonic() + 15
        while True:
            found = [
                json.loads(line)
                for file in sorted(self.sites.glob(f"{site}/*.log"))
                for line in file.read_bytes().split(b"\n")
                if line
            ]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, f"{len(found)} of {count} lines of {site}: {found}"
            time.sleep(0.05)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path / "hub")
    with hub.daemon:
        yield hub


def test_a_line_stands_under_the_site_of_its_address_with_all_that_loki_is_told(hub: Hub) -> None:
    send(hub.port("router"), ROUTER, [b"<30>system,error,critical login failure for user admin"])
    (line,) = hub.lines("warung", 1)
    assert line["line"] == "login failure for user admin"
    assert (line["kind"], line["severity"], line["host"]) == ("router", "crit", "gw-warung")
    assert line["topics"] == "system,error,critical"
    assert line["raw"] == "<30>system,error,critical login failure for user admin"
    assert abs(int(line["at"]) / 1e9 - time.time()) < 60
    assert "@" in line["id"]
    assert line["rcv"].endswith("+00:00")


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_an_unknown_sender_is_visible_under_its_address(hub: Hub, transport: str) -> None:
    send(hub.port("dvr"), STRANGER, [b"who am I"], transport)
    (line,) = hub.lines("unknown", 1)
    assert (line["host"], line["line"], line["site"]) == (STRANGER, "who am I", "unknown")


def test_a_known_address_on_the_port_of_another_kind_is_unknown(hub: Hub) -> None:
    send(hub.port("router"), DVR, [b"<30>system,info hello"])
    (line,) = hub.lines("unknown", 1)
    assert (line["host"], line["kind"]) == (DVR, "router")


def test_tls_is_taken_without_a_certificate_of_the_device(hub: Hub) -> None:
    context = ssl.create_default_context(cafile=str(hub.certificates / "ca.crt"))
    with socket.socket() as plain:
        plain.bind((DVR, 0))
        plain.connect(("127.0.0.1", hub.port("dvr_tls")))
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            connection.sendall(b"<14>Video loss on channel 3\n")
    (line,) = hub.lines("warung", 1)
    assert (line["line"], line["severity"], line["host"]) == ("Video loss on channel 3", "err", "dvr-warung")


def test_odd_text_is_one_line_each_and_changes_nothing_else(hub: Hub) -> None:
    texts = [
        'quotes " and \\ and ${HOST} and $(echo x)',
        "\u062f\u0648\u0631\u0628\u06cc\u0646 \u0642\u0637\u0639 \u0634\u062f",
        '{"site": "other", "severity": "crit"}',
        "x" * 60000,
    ]
    payloads = [f"<14>{text}".encode() for text in texts] + [b"<14>bad \xff\xfe bytes"]
    send(hub.port("dvr"), DVR, payloads)
    lines = hub.lines("warung", len(payloads))
    assert [line["line"] for line in lines[:-1]] == texts
    assert "bad " in lines[-1]["line"]
    assert {line["site"] for line in lines} == {"warung"}


def test_no_line_is_lost_when_syslog_ng_is_killed_between_two(hub: Hub) -> None:
    send(hub.port("dvr"), DVR, [b"<14>before"])
    hub.lines("warung", 1)
    hub.daemon.kill()
    with hub.daemon:
        send(hub.port("dvr"), DVR, [b"<14>after"])
        lines = hub.lines("warung", 2)
    assert [line["line"] for line in lines] == ["before", "after"]
    assert len({line["id"] for line in lines}) == 2
