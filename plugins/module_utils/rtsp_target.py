# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""A DVR and how to log in to it, its URLs, and what is said when it cannot be asked. Python's standard library only.

A password is in no URL that is sent, no error and no `repr`.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import quote

MAX_PORT = 65_535
MAX_TIMEOUT_S = 3600
MAX_HOST_LENGTH = 255

_CREDENTIALS = re.compile(r"(rtsps?://)\S*@", re.IGNORECASE)
_NAME_OR_IPV4 = re.compile(r"[\w.-]+")
_PASSWORD_IN_PATH = re.compile(r"((?:pass|passwd|password|psw|pwd)=)[^\s&]*", re.IGNORECASE)


class RtspError(Exception):
    """A camera could not be asked or gave no usable answer; the text is one sentence that names host and path."""

    def __init__(self, cause: str, text: str) -> None:
        """Take a cause of `dvr.CAUSES` and a sentence, in which credentials in URLs are masked."""
        super().__init__(mask_url(text))
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Tls:
    """RTSPS: whether the device must have a certificate that is trusted, by `ca_file` or else by the system's list."""

    verify: bool = True
    ca_file: str | None = None

    def __post_init__(self) -> None:
        """Refuse a file that is none."""
        try:
            self.context()
        except OSError as error:
            raise ValueError(f"ca_file is {self.ca_file}, it must be a file of certificates (PEM): {error}") from error

    def context(self) -> ssl.SSLContext:
        """Return the settings of a connection; raises OSError where `ca_file` cannot be read or is none."""
        return _context(self.verify, self.ca_file)


@lru_cache(maxsize=16)
def _context(verify: bool, ca_file: str | None) -> ssl.SSLContext:
    """Make the settings once: to read the system's list of authorities takes 20 ms."""
    if verify:
        context = ssl.create_default_context(cafile=ca_file)
        # From Python 3.13 on the default: it refuses the certificates that devices sign for themselves for their form.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def is_host(text: str) -> bool:
    """Whether it is a name, or an address of either kind; one of IPv6 without brackets, as in fe80::1%eth0."""
    if len(text) > MAX_HOST_LENGTH:
        return False
    if _NAME_OR_IPV4.fullmatch(text):
        return True
    address, percent, interface = text.partition("%")
    try:
        IPv6Address(address)
    except ValueError:
        return False
    return not percent or _NAME_OR_IPV4.fullmatch(interface) is not None


@dataclass(frozen=True, slots=True)
class Target:
    """A DVR and how to log in. `timeout_s` is for connecting and for each answer, in seconds."""

    host: str
    port: int = 554
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_s: float = 5.0
    tls: Tls | None = None

    def __post_init__(self) -> None:
        """Refuse what would change the meaning of a request."""
        if "@" in self.host or "/" in self.host:  # a whole URL, perhaps with a password: it must not be shown
            raise ValueError(
                "host has an @ or a /, it must be a name or an address alone, without user, password and path"
            )
        if not is_host(self.host):
            raise ValueError(f"host is {self.host!r}, it must be a name or an address")
        if not 0 < self.port <= MAX_PORT:
            raise ValueError(f"port is {self.port}, it must be 1 to {MAX_PORT}")
        if self.username and re.search(r"[\x00-\x1f\x7f]", self.username):
            raise ValueError("username has a control character")
        if not 0 < self.timeout_s <= MAX_TIMEOUT_S:
            raise ValueError(f"timeout_s is {self.timeout_s}, it must be above 0 and at most {MAX_TIMEOUT_S}")

    @property
    def authority(self) -> str:
        """`host:port`, with an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def port_of(given: int | None, tls: Tls | None) -> int:
    """Return the port that is given, or that of RTSP, or that of RTSPS (RFC 7826, 22.14)."""
    if given is not None:
        return given
    return 322 if tls else 554


def rtsp_url(target: Target, path: str, *, credentials: bool = False) -> str:
    """Return the URL of a path; with `credentials` it holds the percent-encoded password: never show or log it."""
    if not path.startswith("/") or re.search(r"[^\x21-\x7e]", path):
        shown = mask_url(repr(path))
        raise ValueError(f"path is {shown}, it must begin with / and have neither spaces nor control characters")
    login = ""
    if credentials and target.username:
        login = f"{quote(target.username, safe='')}:{quote(target.password or '', safe='')}@"
    return f"{'rtsps' if target.tls else 'rtsp'}://{login}{target.authority}{path}"


def mask_url(text: str) -> str:
    """Hide user and password of every RTSP URL in a text, also where an `@` in the password was left as it is.

    Some cameras want the password in the path (`pwd=...`, also `pass`, `passwd`, `password`, `psw`): it is hidden too.
    """
    return _PASSWORD_IN_PATH.sub(r"\1***", _CREDENTIALS.sub(r"\1***@", text))
