"""Asking one path of bad DVRs: a server that says what the test tells it to."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cllmh_node.rtsp.dvr import read_channels, stream_path
from cllmh_node.rtsp.offer import CAUSES
from cllmh_node.rtsp.rtsp import RtspClient
from cllmh_node.rtsp.rtsp_target import RtspError, Target, Tls, mask_url, rtsp_url
from unit.plugins.rtsp_samples import DAHUA_SDP

PASSWORD = "p@s:s/w?r#d%41 é"
PATH = "/cam/realmonitor?channel=1&subtype=0"
DESCRIBED = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: %d\r\n\r\n%s" % (len(DAHUA_SDP), DAHUA_SDP)


@contextmanager
def server(*scripts: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection after the other, each by its script; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for script in scripts:
                connection, _ = listener.accept()
                with connection:
                    try:
                        script(connection)
                    except OSError:
                        return  # the client gave up, as it should

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def says(*answers: bytes) -> Callable[[socket.socket], None]:
    """Return a script that gives one answer to each request and closes."""

    def script(connection: socket.socket) -> None:
        for answer in answers:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += connection.recv(4096) or b"\r\n\r\n"
            sequence = re.search(rb"CSeq: (\d+)", request)
            connection.sendall(answer.replace(b"CSeq: 1\r", b"CSeq: " + sequence[1] + b"\r") if sequence else answer)

    return script


def ask(port: int, timeout_s: float = 5.0) -> RtspError:
    """Ask and return the error."""
    with (
        RtspClient(Target("127.0.0.1", port, "admin", PASSWORD, timeout_s)) as client,
        pytest.raises(RtspError) as caught,
    ):
        client.describe(PATH)
    return caught.value


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = ask(port)
    assert error.cause == "unreachable"
    assert f"127.0.0.1:{port}" in str(error)


def test_a_name_that_cannot_be_one() -> None:
    with RtspClient(Target("a..b")) as client, pytest.raises(RtspError, match="no name of a host") as caught:
        client.describe(PATH)
    assert caught.value.cause == "unreachable"


@pytest.mark.parametrize("host", ["dvr:554", "fe80::1%", "[fe80::1]", "a b", "x" * 256, ""])
def test_what_is_no_host_is_refused_before_anything_is_sent(host: str) -> None:
    with pytest.raises(ValueError, match="it must be a name or an address"):
        Target(host)


def test_a_dvr_that_drips_meets_the_same_limit() -> None:
    def drip(connection: socket.socket) -> None:
        for byte in b"RTSP/1.0 200 OK\r\n" + b"x: y\r\n" * 1000:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)

    began = time.monotonic()
    with server(drip) as port:
        assert ask(port, timeout_s=0.5).cause == "timeout"
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", "protocol"),
        (b"\x16\x03\x01" + b"\0" * 100 + b"\r\n\r\n", "protocol"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 999999999\r\n\r\n", "protocol"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", "protocol"),
        (b"RTSP/1.0 200 OK\r\n" + b"x: y\r\n" * 100 + b"\r\n", "protocol"),
        (b"x" * 20_000, "protocol"),
        (b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", "protocol"),
        (b"$\0\xff\xff" * 40_000, "protocol"),
        (b"RTSP/1.0 302 Moved\r\nLocation: rtsp://other/\r\n\r\n", "protocol"),
        (b"RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\n\r\n", "protocol"),
        (b"RTSP/1.0 403 Forbidden\r\n\r\n", "auth"),
        (b"RTSP/1.0 404 Not Found\r\n\r\n", "not_found"),
        (b"RTSP/1.0 453 Not Enough Bandwidth\r\n\r\n", "busy"),
        (b"RTSP/1.0 503 Service Unavailable\r\n\r\n", "busy"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 28\r\n\r\nv=0\r\nm=audio 0 RTP/AVP 0\r\n\r\n", "no_video"),
        (b"", "unreachable"),
    ],
)
def test_a_bad_answer_has_a_cause_and_one_sentence(answer: bytes, cause: str) -> None:
    with server(says(answer)) as port:
        error = ask(port)
    assert error.cause == cause
    assert str(error).startswith("127.0.0.1:")
    assert str(error).endswith(".")
    assert "\n" not in str(error)
    assert PASSWORD not in str(error)


def test_tls_where_there_is_none_is_a_protocol_error() -> None:
    def plain(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"RTSP/1.0 400 Bad Request\r\n\r\n")

    with (
        server(plain) as port,
        RtspClient(Target("127.0.0.1", port, tls=Tls(verify=False))) as client,
        pytest.raises(RtspError, match="does not speak TLS") as caught,
    ):
        client.describe(PATH)
    assert caught.value.cause == "protocol"


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from(
            [b"RTSP/1.0 200 OK\r\n", b"CSeq: 1\r\n", b"Content-Length: 9\r\n", b"\r\n", b"v=0\r\n", b"$\0\0\4"]
        )
        | st.binary(max_size=30),
        max_size=12,
    )
)
def test_whatever_a_device_sends_is_an_answer_or_one_of_the_errors(parts: list[bytes]) -> None:
    def send(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"".join(parts))

    said = None
    with server(send) as port, RtspClient(Target("127.0.0.1", port, "admin", PASSWORD, 5.0)) as client:
        try:
            client.description(PATH)
        except RtspError as error:
            said = error
    assert said is None or (said.cause in CAUSES and "\n" not in str(said))


def test_media_and_late_answers_before_the_answer_are_skipped() -> None:
    stray = b"$\0\0\x04abcd" + b"\r\n" + b"RTSP/1.0 200 OK\r\nCSeq: 77\r\nContent-Length: 3\r\n\r\nold"
    with server(says(stray + DESCRIBED)) as port, RtspClient(Target("127.0.0.1", port)) as client:
        assert client.describe(PATH)[0].width == 1920


def test_a_dvr_that_closes_after_a_refusal_is_asked_again() -> None:
    gone = b"RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n"
    with server(says(gone), says(DESCRIBED)) as port, RtspClient(Target("127.0.0.1", port)) as client:
        with pytest.raises(RtspError, match="does not exist"):
            client.describe("/other")
        assert client.describe(PATH)[0].codec == "H264"


def test_a_nonce_that_ran_out_is_renewed_without_a_second_guess() -> None:
    challenge = b'RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nWWW-Authenticate: Digest realm="r", nonce="%d"\r\n\r\n'
    answers = (challenge % 1, DESCRIBED, challenge % 2, DESCRIBED)
    with server(says(*answers)) as port, RtspClient(Target("127.0.0.1", port, "admin", PASSWORD)) as client:
        assert client.describe(PATH) == client.describe(PATH)


def test_paths_by_vendor() -> None:
    assert stream_path("dahua", 4, "sub") == "/cam/realmonitor?channel=4&subtype=1"
    assert stream_path("hikvision", 12, "main") == "/Streaming/Channels/1201"
    assert stream_path("generic", 2, "sub", "/live/ch{channel}_{stream}") == "/live/ch2_1"
    for wrong in [("generic", 1, "main", None), ("axis", 1, "main", None), ("dahua", 0, "main", None)]:
        with pytest.raises(ValueError, match=r"must be|needs"):
            stream_path(*wrong)


@pytest.mark.parametrize(
    "template", ["/{foo}", "/live", "/{channel}/{foo}", "/{channel:02}", "/{{channel}}", "/{stream}"]
)
def test_a_template_that_would_ask_all_channels_by_one_path_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"path template is .* it must have \{channel\}, may have \{stream\}"):
        stream_path("generic", 1, "main", template)


def test_a_template_that_is_refused_does_not_show_the_password_in_it() -> None:
    for template in ("/live?pwd=rahasia", "live?pwd=rahasia&c={channel}"):
        with pytest.raises(ValueError, match="path template") as caught:
            stream_path("generic", 1, "main", template)
        assert "rahasia" not in str(caught.value)


@pytest.mark.parametrize("host", ["rtsp://admin:rahasia@127.0.0.1/x", "admin:rahasia@dvr", "//dvr"])
def test_a_url_given_as_host_is_refused_without_being_shown(host: str) -> None:
    with pytest.raises(ValueError, match="it must be a name or an address alone") as caught:
        Target(host)
    assert host not in str(caught.value)
    assert "rahasia" not in str(caught.value)


def test_a_password_is_encoded_in_a_url_and_masked_in_a_text() -> None:
    target = Target("fe80::1", 554, "admin", PASSWORD)
    url = rtsp_url(target, PATH, credentials=True)
    assert url == f"rtsp://admin:p%40s%3As%2Fw%3Fr%23d%2541%20%C3%A9@[fe80::1]:554{PATH}"
    assert mask_url(f"open {url} failed") == f"open rtsp://***@[fe80::1]:554{PATH} failed"
    assert mask_url("rtsp://admin:a@b/c:d@host/x") == "rtsp://***@host/x"
    assert mask_url("dvr:554/live?usr=a&PWD=b/c:d&n=1 is gone") == "dvr:554/live?usr=a&PWD=***&n=1 is gone"
    for key in ("pass", "passwd", "password", "psw", "pwd"):
        assert mask_url(f"/live?{key}=rahasia") == f"/live?{key}=***"
    with pytest.raises(ValueError, match="path is") as caught:
        rtsp_url(target, "/live?pwd=rahasia&n= 1")
    assert "rahasia" not in str(caught.value)
    assert PASSWORD not in repr(target)


@pytest.mark.parametrize("path", ["no-slash", "/a b", "/a\r\nX: y", "/é"])
def test_a_path_that_would_change_the_request_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path is"):
        rtsp_url(Target("host"), path)


@pytest.mark.parametrize(
    "wrong", [{"host": "a b"}, {"host": ""}, {"port": 0}, {"port": 70_000}, {"username": "a\r\nb"}, {"timeout_s": 0}]
)
def test_a_target_that_cannot_be_right_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"host|port|username|timeout_s"):
        Target(**{"host": "dvr", **wrong})  # type: ignore[arg-type]  # wrong types are the point


def test_channels_by_number_and_range() -> None:
    assert read_channels([3, "1-4", " 7 - 8 "]) == [3, 1, 2, 4, 7, 8]
    for wrong in ("0", "5-4", "1-257", "x", "1-", "-1", ""):
        with pytest.raises(ValueError, match="it must be 1 to 256"):
            read_channels([wrong])
