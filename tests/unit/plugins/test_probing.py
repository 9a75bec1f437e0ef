"""Asking many streams at once: what is found at a simulated DVR, good or bad, and what the DVR had to bear."""

import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from cllmh_node.rtsp import probing
from cllmh_node.rtsp.offer import Offer, Question, table
from cllmh_node.rtsp.probing import Devices, Limits, ask_all
from cllmh_node.rtsp.rtp import Received
from cllmh_node.rtsp.rtsp import RtspClient
from cllmh_node.rtsp.rtsp_target import Target, Tls
from cllmh_node.rtsp.survey import Wanted, questions, survey
from fakes.fake_dvr import AUTH_SCHEMES, PCMA, FakeDvr, Footage, running
from unit.plugins.rtsp_samples import write_stream

PASSWORD = "p@s:s/w?r#d%41 é"
QUICK = Limits(total_timeout_s=20)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return Footage.load(write_stream(tmp_path_factory.mktemp("footage") / "stream.h264"), fps=10)


def dvr_of(footage: Footage, channels: int = 4, **more: object) -> FakeDvr:
    given = {"username": "admin", "password": PASSWORD, "vendor": "dahua", **more}
    return FakeDvr({(number, False): footage for number in range(1, channels + 1)}, **given)  # type: ignore[arg-type]


def target(port: int, password: str | None = PASSWORD, timeout_s: float = 5.0) -> Target:
    return Target("127.0.0.1", port, "admin" if password else None, password, timeout_s)


def ask(port: int, count: int, limits: Limits = QUICK, timeout_s: float = 5.0) -> tuple[Offer, ...]:
    """Ask for the main streams of so many channels."""
    return ask_all(questions(target(port, timeout_s=timeout_s), "dahua", range(1, count + 1), ["main"], None), limits)


def errors(offers: tuple[Offer, ...]) -> dict[str | None, int]:
    return dict(Counter(offer.error for offer in offers))


@pytest.mark.parametrize("auth", AUTH_SCHEMES)
@pytest.mark.parametrize("vendor", ["dahua", "hikvision"])
def test_a_dvr_is_asked_whatever_login_it_wants(footage: Footage, auth: str, vendor: str) -> None:
    dvr = FakeDvr({(1, False): footage, (3, False): footage}, "admin", PASSWORD, vendor, auth, audio=PCMA)
    with running(dvr) as port:
        found = survey(target(port), Wanted(vendor), QUICK)
    assert [offer.question.name for offer in found.offers] == ["1 main", "1 sub", "3 main", "3 sub"]
    first = found.offers[0]
    assert (first.codec, first.width, first.height, first.fps, first.audio) == ("H264", 768, 576, 10.0, "PCMA")
    (device,) = found.devices.values()
    assert device.server == "fake-dvr"
    assert "DESCRIBE" in device.methods
    assert {request.split()[0] for request in dvr.requests} == {"OPTIONS", "DESCRIBE"}


@pytest.mark.parametrize("vendor", ["dahua", "hikvision"])
def test_the_vendor_is_found_out_though_the_first_channel_has_no_camera(footage: Footage, vendor: str) -> None:
    with running(FakeDvr({(2, False): footage}, "admin", PASSWORD, vendor)) as port:
        found = survey(target(port), Wanted("auto", streams=["main"]), QUICK)
    assert found.vendor == vendor
    assert [offer.question.name for offer in found.offers] == ["2 main"]


def test_a_dvr_of_no_known_vendor_is_said_to_need_a_template() -> None:
    with running(FakeDvr({}, "admin", PASSWORD)) as port:
        found = survey(target(port), Wanted("auto"), QUICK)
    assert found.vendor is None
    (offer,) = found.offers
    assert offer.error == "not_found"
    assert "path_template" in (offer.message or "")


def test_a_template_of_ones_own_is_tried_first(footage: Footage) -> None:
    template = "/cam/realmonitor?channel={channel}&subtype={stream}&unicast=true"
    with running(dvr_of(footage)) as port:
        found = survey(target(port), Wanted("auto", ["2"], streams=["sub"], template=template), QUICK)
    assert found.vendor == "generic"
    assert found.offers[0].question.path == "/cam/realmonitor?channel=2&subtype=1&unicast=true"


@pytest.mark.parametrize("auth", ["digest", "digest-noqop", "digest-sha256", "basic"])
@pytest.mark.parametrize("vendor", ["auto", "dahua"])
def test_a_wrong_password_is_sent_once_for_64_channels(footage: Footage, auth: str, vendor: str) -> None:
    dvr = dvr_of(footage, 64, auth=auth, latency_s=0.01)
    with running(dvr) as port:
        found = survey(target(port, "guess"), Wanted(vendor, ["1-64"]), QUICK)
    assert errors(found.offers) == {"auth": 128}
    assert dvr.logins_refused == 1
    assert dvr.requests.count("DESCRIBE 401") <= 1 + QUICK.connections_per_host  # those that were on their way
    said = " ".join(offer.message or "" for offer in found.offers)
    assert "guess" not in said
    assert (
        2 <= len(table(found.offers)) <= 4
    )  # the row that was asked, and one for those before it, one for those after
    assert "The rest was not asked, so that the account is not locked." in said


def test_no_user_where_one_is_wanted(footage: Footage) -> None:
    with running(dvr_of(footage)) as port:
        (offer,) = survey(target(port, None), Wanted("dahua", ["1"], streams=["main"]), QUICK).offers
    assert offer.error == "auth"
    assert "no user name was given" in (offer.message or "")


def test_a_channel_that_may_not_be_watched_does_not_hide_the_others(footage: Footage) -> None:
    with running(dvr_of(footage, 8, refuse={3: 403})) as port:
        assert errors(ask(port, 8)) == {None: 7, "auth": 1}


def test_all_at_once_and_never_more_connections_than_allowed(footage: Footage) -> None:
    dvr = dvr_of(footage, 100, latency_s=0.02)
    with running(dvr) as port:
        offers = ask(port, 100, Limits(connections_per_host=10))
    assert errors(offers) == {None: 100}
    assert [offer.question.channel for offer in offers] == list(range(1, 101))
    assert dvr.most_connections == 10
    assert dvr.requests.count("DESCRIBE 200") == 100
    assert dvr.requests.count("OPTIONS 200") == 1


def test_a_dvr_that_takes_fewer_connections_keeps_those(footage: Footage) -> None:
    dvr = dvr_of(footage, 60, latency_s=0.02, max_connections=4)
    with running(dvr) as port:
        assert errors(ask(port, 60)) == {None: 60}
    assert dvr.requests.count("DESCRIBE 503") <= 12


def test_channels_that_hang_or_are_busy_do_not_hold_up_the_others(footage: Footage) -> None:
    dvr = dvr_of(footage, 64, hang=frozenset({1, 20, 21, 22}), refuse={5: 453, 30: 453})
    with running(dvr) as port:
        offers = ask(port, 64, timeout_s=1.5)
    assert errors(offers) == {None: 58, "timeout": 4, "busy": 2}
    assert dvr.requests.count("DESCRIBE 453") == 4  # each was asked once more, later


def test_a_dvr_that_never_answers_is_greeted_once(footage: Footage) -> None:
    dvr = dvr_of(footage, silent=True)
    with running(dvr) as port:
        offers = ask(port, 64, timeout_s=0.3)
    assert errors(offers) == {"timeout": 64}
    assert dvr.most_connections == 1


def test_a_dvr_that_hangs_on_every_channel_is_given_up(footage: Footage) -> None:
    dvr = dvr_of(footage, 200, auth="none", hang=frozenset(range(1, 201)))
    with running(dvr) as port:
        offers = ask(port, 200, Limits(connections_per_host=4), timeout_s=0.2)
    assert errors(offers) == {"timeout": 200}
    assert dvr.requests.count("DESCRIBE 0") <= 12


def test_a_login_that_is_never_answered_is_tried_three_times(footage: Footage) -> None:
    dvr = dvr_of(footage, 50, hang=frozenset(range(1, 51)))
    with running(dvr) as port:
        assert errors(ask(port, 50, timeout_s=0.2)) == {"timeout": 50}
    assert dvr.requests.count("DESCRIBE 0") == 3


def test_everything_ends_by_the_total_timeout_and_each_stream_has_an_answer(footage: Footage) -> None:
    dvr = dvr_of(footage, 100, latency_s=0.2)
    began = time.monotonic()
    with running(dvr) as port:
        found = errors(ask(port, 100, Limits(connections_per_host=1, total_timeout_s=1.5)))
    assert time.monotonic() - began < 4
    assert found[None] + found["timeout"] == 100
    assert 1 <= found[None] <= 7


def test_many_devices_at_once_each_with_its_own_trouble(footage: Footage) -> None:
    with ExitStack() as stack:
        good = stack.enter_context(running(dvr_of(footage)))
        locked = stack.enter_context(running(dvr_of(footage, password="another")))
        silent = stack.enter_context(running(dvr_of(footage, silent=True)))
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        closed = listener.getsockname()[1]
        listener.close()
        asked = [
            Question(f"{port}-{number}", target(port, timeout_s=0.5), f"/cam/realmonitor?channel={number}&subtype=0")
            for number in (1, 2)
            for port in (good, locked, silent, closed)
        ]
        offers = ask_all(asked, QUICK)
    assert [offer.error for offer in offers] == [None, "auth", "timeout", "unreachable"] * 2
    assert all(offer.message is None or offer.message.endswith(".") for offer in offers)


def test_an_answer_that_no_parser_foresaw_costs_its_own_stream_only(
    footage: Footage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = probing.ask

    def failing(client: RtspClient, question: Question, receive_s: float) -> Offer:
        offer = real(client, question, receive_s)
        if question.channel == 2:
            raise IndexError("rahasia")
        return offer

    monkeypatch.setattr(probing, "ask", failing)
    dvr = dvr_of(footage, 4)
    with running(dvr) as port:
        offers = ask(port, 4, Limits(connections_per_host=1))
    assert [offer.error for offer in offers] == [None, "protocol", None, None]
    said = offers[1].message or ""
    assert f"127.0.0.1:{port}/cam/realmonitor?channel=2&subtype=0 gave an answer" in said
    assert "IndexError in test_probing.py, line" in said
    assert "rahasia" not in said


def test_another_password_at_the_same_dvr_is_tried_for_itself(footage: Footage) -> None:
    dvr = dvr_of(footage)
    path = "/cam/realmonitor?channel=1&subtype=0"
    with running(dvr) as port:
        asked = [Question("a", target(port, "wrong"), path), Question("b", target(port), path)]
        assert [offer.error for offer in ask_all(asked, QUICK)] == ["auth", None]


def test_streams_are_watched_within_the_sessions_that_the_dvr_has(footage: Footage) -> None:
    dvr = dvr_of(footage, 6, max_sessions=3, audio=PCMA)
    with running(dvr) as port:
        offers = ask(port, 6, Limits(receive_s=1.2))
        deadline = time.monotonic() + 5
        while dvr.sessions and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert not dvr.sessions
    assert errors(offers) == {None: 6}
    assert dvr.requests.count("SETUP 200") == 6
    got = offers[0].received
    assert got is not None
    assert got.packets_lost == 0
    assert got.keyframes >= 2
    assert got.keyframe_interval_s == pytest.approx(0.5)  # five pictures at ten a second
    assert got.fps == pytest.approx(10, abs=0.5)
    # Five pictures of 4000 and four times 400 bytes, twice a second, and their headers.
    assert 60_000 < got.bit_rate_bps < 160_000


def test_a_stream_that_stalls_is_no_video(footage: Footage) -> None:
    with running(dvr_of(footage, 1, stall_after_s={1: -1.0})) as port:
        (offer,) = ask(port, 1, Limits(receive_s=1), timeout_s=0.4)
    assert offer.error == "no_video"
    assert "sent no video" in (offer.message or "")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that signs itself, as DVRs have it, and its key in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=dvr", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "dvr.pem")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True, timeout=60)
    return folder / "dvr.pem"


@pytest.mark.parametrize(
    ("checked", "known", "error"), [(True, False, "protocol"), (True, True, None), (False, False, None)]
)
def test_a_dvr_is_asked_over_tls(
    footage: Footage, certificate: Path, checked: bool, known: bool, error: str | None
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    dvr = dvr_of(footage, 8, tls=context, vendor="hikvision")
    tls = Tls(checked, str(certificate) if known else None)
    with running(dvr) as port:
        wanted = Wanted("hikvision", ["1-8"], streams=["main"])
        found = survey(Target("127.0.0.1", port, "admin", PASSWORD, 5.0, tls), wanted, QUICK)
    assert errors(found.offers) == {error: 8}
    if error:
        assert "Give it as ca_file" in (found.offers[0].message or "")
        assert not dvr.requests


def test_what_was_learnt_of_a_device_is_kept_for_the_next_question(footage: Footage) -> None:
    dvr, devices = dvr_of(footage), Devices()
    with running(dvr) as port:
        asked = questions(target(port, "guess"), "dahua", [1], ["main"], None)
        for _ in range(3):
            assert ask_all(asked, QUICK, devices)[0].error == "auth"
    assert dvr.logins_refused == 1


@pytest.mark.parametrize(
    "wrong",
    [{"connections_per_host": 0}, {"total_timeout_s": 0}, {"receive_s": -1}, {"receive_s": 601}, {"receive_s": 1e99}],
)
def test_limits_that_cannot_be_right_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="it must be"):
        Limits(**wrong)  # type: ignore[arg-type]  # wrong values are the point


def test_the_table_is_aligned() -> None:
    asked = [Question(name, Target("dvr"), "/a") for name in ("1 main", "10 sub")]
    offers = [Offer(asked[0], "H264", 1920, 1080, 25.0, "PCMA"), Offer(asked[1], error="busy", message="It is busy.")]
    assert table(offers) == [
        "NAME    CODEC  SIZE       FPS  AUDIO  NOTE",
        "1 main  H264   1920x1080  25   PCMA",
        "10 sub  -      -          -    -      It is busy.",
    ]
    watched = Offer(asked[0], "H264", 1920, 1080, 25.0, None, Received(5.0, 900, 2, 125, 3, 2.0, 25.0, 4_000_000))
    assert table([watched, offers[1]])[1] == "1 main  H264   1920x1080  25   -      4000    2 s       2"
