"""Syslog lines as devices send them."""

import socket
from datetime import UTC, datetime, timedelta, timezone

import pytest

from fakes.send_syslog import send, syslog_line

AT = datetime(2026, 11, 2, 14, 24, 35, 265_000, timezone(-timedelta(hours=5)))


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("rfc3164", "<30>Nov  2 14:24:35 dvr-a dvr: login admin"),
        ("routeros-bsd", "<30>Nov  2 14:24:35 dvr-a dvr login admin"),
        ("routeros", "<30>2026-11-02T14:24:35.265-0500 dvr-a dvr login admin"),
        ("routeros-default", "dvr login admin"),
    ],
)
def test_each_format(form: str, line: str) -> None:
    assert syslog_line(form, 30, "dvr-a", "dvr", "login admin", AT) == line


def test_utc_has_an_offset_too() -> None:
    assert "35.000+0000 " in syslog_line("routeros", 6, "r", "t", "x", AT.replace(microsecond=0, tzinfo=UTC))


def test_the_line_comes_from_the_given_address() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        send("<30>hello", server.getsockname(), "127.0.0.2", "udp")
        data, sender = server.recvfrom(1000)
    assert data == b"<30>hello"
    assert sender[0] == "127.0.0.2"


def test_a_line_over_tcp_ends_with_a_newline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        send("<30>hello", server.getsockname()[:2], None, "tcp")
        connection, _ = server.accept()
        with connection:
            assert connection.makefile("rb").read() == b"<30>hello\n"
