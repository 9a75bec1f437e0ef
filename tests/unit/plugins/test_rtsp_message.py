"""Heads and logins: known vectors of the RFCs, and hostile texts."""

import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cllmh_node.rtsp.rtsp_message import (
    Challenge,
    authorization,
    body_size,
    choose_challenge,
    parse_challenges,
    parse_head,
    shorten,
)

RFC7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


def response_of(value: str) -> str:
    match = re.search(r'response="(\w+)"', value)
    assert match
    return match[1]


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_as_in_rfc_7616(algorithm: str, response: str) -> None:
    challenge = choose_challenge(parse_challenges([RFC7616.format(algorithm=algorithm)]))
    assert challenge
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    value = authorization(challenge, "GET", "/dir/index.html", "Mufasa", "Circle of Life", 1, cnonce)
    assert response_of(value) == response
    assert "qop=auth, nc=00000001" in value
    assert 'opaque="FQhe/' in value


def test_digest_with_qop_as_in_rfc_2617() -> None:
    challenge = Challenge(
        "digest",
        {"realm": "testrealm@host.com", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093", "qop": "auth,auth-int"},
    )
    value = authorization(challenge, "GET", "/dir/index.html", "Mufasa", "Circle Of Life", 1, "0a4f113b")
    assert response_of(value) == "6629fae49393a05397450978507c4ef1"


def test_digest_without_qop_as_in_the_errata_of_rfc_2069() -> None:
    challenge = Challenge("digest", {"realm": "testrealm@host.com", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093"})
    value = authorization(challenge, "GET", "/dir/index.html", "Mufasa", "CircleOfLife")
    assert response_of(value) == "1949323746fe6a43ef61f9606e7febea"
    assert "qop" not in value


def test_digest_with_session_secret() -> None:
    challenge = Challenge("digest", {"realm": "r", "nonce": "n", "algorithm": "MD5-sess", "qop": "auth"})

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    expected = md5(f"{md5(md5('u:r:p') + ':n:c')}:n:00000002:c:auth:{md5('PLAY:/')}")
    assert response_of(authorization(challenge, "PLAY", "/", "u", "p", 2, "c")) == expected


def test_basic() -> None:
    assert authorization(Challenge("basic", {}), "GET", "/", "Aladdin", "open sesame") == (
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    )


def test_the_strongest_scheme_is_taken() -> None:
    values = [
        'Basic realm="x", Digest realm="x", nonce="1", algorithm=MD5',
        'Digest realm="x", nonce="2", algorithm=SHA-256',
    ]
    challenge = choose_challenge(parse_challenges(values))
    assert challenge
    assert challenge.algorithm == "SHA-256"
    assert choose_challenge(parse_challenges(['Basic realm="x"', "Negotiate abc"])) == Challenge(
        "basic", {"realm": "x"}
    )
    assert choose_challenge(parse_challenges(['Digest realm="x", nonce="1", algorithm=SHA-512-256'])) is None


def test_quotes_in_names_are_escaped() -> None:
    value = authorization(Challenge("digest", {"realm": 'a"b', "nonce": "n"}), "GET", "/", 'x"y\\z', "p")
    assert r'username="x\"y\\z"' in value
    assert r'realm="a\"b"' in value


def test_only_protection_that_is_not_understood() -> None:
    with pytest.raises(ValueError, match="auth-int"):
        authorization(Challenge("digest", {"realm": "r", "nonce": "n", "qop": "auth-int"}), "GET", "/", "u", "p")


def test_a_head() -> None:
    response = parse_head(
        b"RTSP/1.0 401 Unauthorized\r\nCSeq: 2\r\nWWW-Authenticate: Basic\r\nwww-authenticate: Digest"
    )
    assert (response.status, response.reason, response.first("cseq")) == (401, "Unauthorized", "2")
    assert response.all("www-authenticate") == ["Basic", "Digest"]


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200 OK",
        b"RTSP/1.0 2000 OK",
        b"RTSP/1.0 200 OK\r\nno colon",
        b"RTSP/1.0 200 OK\r\n" + b"a:b\r\n" * 65,
    ],
)
def test_a_bad_head_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError, match=r"begins|colon|headers"):
        parse_head(head)


@pytest.mark.parametrize("size", ["-1", "1e3", "99999999999999999999", "65537", "٣", "0x10"])
def test_a_bad_length_is_refused(size: str) -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        body_size(parse_head(f"RTSP/1.0 200 OK\r\nContent-Length: {size}".encode()))


def test_foreign_text_is_short_and_on_one_line() -> None:
    assert shorten("a\r\nb\x1b[31m") == "a??b?[31m"
    assert len(shorten("x" * 10_000)) == 83


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_any_bytes_give_an_answer_or_a_refusal(data: bytes) -> None:
    for head in (data, b"RTSP/1.0 200 OK\r\n" + data):
        try:
            response = parse_head(head)
            body_size(response)
        except ValueError:
            continue
        assert response.status < 1000


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(alphabet='Digest Basic",=\\realmnonceqop\n', max_size=200))
def test_any_challenge_can_be_read(value: str) -> None:
    challenge = choose_challenge(parse_challenges([value, f"Digest {value}"]))
    if challenge:
        try:
            text = authorization(challenge, "GET", "/", "u", "p")
        except ValueError:
            return
        assert "\n" not in text.split("realm=")[0]
