"""Hostile and broken lines are stored as they are, or cut with a mark, and stop nothing."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unit.logs.harness import ADDRESSES, Receiver, SyslogNg, configuration, send

pytestmark = pytest.mark.skipif(shutil.which("syslog-ng") is None, reason="syslog-ng is not installed on this machine")

CASES = {
    b"caf\xe9 \xff\xfe": ("caf\\xe9 \\xff\\xfe", "bytes"),
    b"\xed\xa0\x80 half a surrogate": ("\\xed\\xa0\\x80 half a surrogate", "bytes"),
    "سلام دنیا، دوربین قطع شد".encode(): ("سلام دنیا، دوربین قطع شد", None),
    "kamera «depan» mati, hujan deras 😀".encode(): ("kamera «depan» mati, hujan deras 😀", None),
    b"${HOST} $(echo x) `id` %s {} \"q\" 'q' \\ \\x41": ("${HOST} $(echo x) `id` %s {} \"q\" 'q' \\ \\x41", None),
    b"tab\there \x1b[31mred\x07\x7f": ("tab\there \x1b[31mred\x07\x7f", None),
    b'"}]]},{"stream":{"site":"site-b"}': ('"}]]},{"stream":{"site":"site-b"}', None),
}
"""What is sent, what must be stored, and the mark it must have."""


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_line_is_stored_as_it_is_or_its_bytes_are_shown_with_a_mark(
    transport: str, tmp_path: Path, receiver: Receiver
) -> None:
    variables = configuration(tmp_path, receiver) | {"syslog_ng_elasticsearch_enabled": True}
    with SyslogNg(tmp_path / "run", variables):
        send(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], list(CASES), transport)
        lines = receiver.wait_for(len(CASES))
        documents = receiver.wait_for_documents(len(CASES))
    expected = sorted(CASES.values(), key=str)
    assert sorted(((line.text, line.metadata.get("altered")) for line in lines), key=str) == expected
    assert sorted(((found["message"], found.get("altered")) for found in documents), key=str) == expected
    archived = (tmp_path / "archive" / "dvr.log").read_bytes()
    assert all(sent in archived for sent in CASES)


def test_a_nul_byte_is_shown_in_a_datagram_and_ends_a_line_of_a_connection(tmp_path: Path, receiver: Receiver) -> None:
    variables = configuration(tmp_path, receiver)
    with SyslogNg(tmp_path / "run", variables):
        send(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], [b"<14>one\x00two"], "udp")
        (datagram,) = receiver.wait_for(1)
        send(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], [b"<14>three\x00four"])
        lines = receiver.wait_for(3)
    assert (datagram.text, datagram.metadata["altered"]) == ("one\\x00two", "bytes")
    assert [line.text for line in lines[1:]] == ["three", "four"]


def test_a_line_of_a_megabyte_is_cut_with_a_mark_and_nothing_of_it_is_lost(tmp_path: Path, receiver: Receiver) -> None:
    variables = configuration(tmp_path, receiver)
    long = b"".join(b"%07d " % number for number in range(131_072))
    with SyslogNg(tmp_path / "run", variables):
        send(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], [b"<14>" + long, b"<14>the next line"])
        lines = receiver.wait_for(18)
    lines.sort(key=lambda line: line.metadata["id"])
    *pieces, after = lines
    assert "".join(line.text for line in pieces).encode() == long
    assert [line.metadata.get("altered") for line in pieces] == ["cut"] * 16 + [None]
    assert after.text == "the next line"


def test_identical_lines_of_one_moment_are_all_stored(tmp_path: Path, receiver: Receiver) -> None:
    variables = configuration(tmp_path, receiver)
    with SyslogNg(tmp_path / "run", variables):
        send(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], [b"<14>2026-11-29 00:00:00 the same"] * 1000)
        lines = receiver.wait_for(1000)
    assert len({line.metadata["id"] for line in lines}) == 1000


FLOOD = """
import socket, sys, time
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
sender = socket.socket(type=kind)
sender.bind(("127.0.0.13", 0))
sender.connect(("127.0.0.1", int(sys.argv[2])))
print("flooding", flush=True)
try:
    while True:
        sender.send(b"<14>flood xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\\n")
except OSError:
    pass
"""


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_flood_from_one_device_leaves_the_others_their_share(
    transport: str, tmp_path: Path, receiver: Receiver
) -> None:
    """Of eight UDP sockets the kernel may give a quiet device the flooded one: so seven in eight keep their share."""
    variables = configuration(tmp_path, receiver)
    port = variables["syslog_ng_dvr_port"]
    with SyslogNg(tmp_path / "run", variables):
        command = [sys.executable, "-c", FLOOD, transport, str(port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flood:
            assert flood.stdout is not None
            assert flood.stdout.readline() == "flooding\n"
            quiet = [
                socket.socket(type=socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM) for _ in range(16)
            ]
            for number, device in enumerate(quiet):
                device.bind((f"127.0.1.{number + 1}", 0))
                device.connect(("127.0.0.1", port))
            for _ in range(50):
                for device in quiet:
                    device.send(b"<14>quiet\n")
                time.sleep(0.02)
            flood.kill()
        deadline = time.monotonic() + 30
        whole = 0
        while whole < 10 + 6 * (transport == "tcp"):
            assert time.monotonic() < deadline, f"{whole} of 16 quiet devices are whole"
            time.sleep(0.2)
            archived = (tmp_path / "archive" / "dvr.log").read_text()
            counts = [
                sum(f" 127.0.1.{number + 1} " in line for line in archived.splitlines() if "quiet" in line)
                for number in range(16)
            ]
            whole = counts.count(50)
        for device in quiet:
            device.close()
