"""The sender: posts what waits in the spool to the hub, oldest first."""

import errno
import json
import logging
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import requests
from pydantic import field_validator

from cllmh_node.config import ConfigError, Field, ServiceConfig, read_secret
from cllmh_node.log import event
from cllmh_node.reports.spool import Spool, Spooled

logger = logging.getLogger(__name__)


class SenderConfig(ServiceConfig):
    """Where reports wait and who takes them."""

    spool_dir: Path = Path("/var/lib/cllmh/spool")
    """Directory the services put their reports into."""

    hub_url: str
    """Address of the hub that takes reports, such as `https://hub.example/api/report`."""

    node: str = Field(min_length=1)
    """This node's name. The hub knows whose the token is and refuses any other name."""

    site: str = Field(min_length=1)
    """The site this node stands at."""

    token_file: Path | None = None
    """File with the node's token, mode 0600; read anew after the hub refused it. None for a backend without."""

    ca_file: Path | None = None
    """Certificates (PEM) that may sign the hub's certificate; no others are trusted. None for the system's."""

    timeout_s: float = Field(default=15.0, gt=0, le=300)
    """How long one request may take, in seconds."""

    poll_s: float = Field(default=1.0, gt=0, le=60)
    """How often to look for new reports, in seconds."""

    back_off_max_s: float = Field(default=60.0, ge=1, le=3600)
    """The longest pause after failures, in seconds."""


class ReportsConfig(SenderConfig):
    """`/etc/cllmh/reports.yml`: a node's hub, which wants a token and has a certificate of a private authority."""

    token_file: Path
    """File with the node's token, mode 0600; read anew after the hub refused it."""

    ca_file: Path
    """Certificates (PEM) that may sign the hub's certificate; no others are trusted."""

    @field_validator("hub_url")
    @classmethod
    def _https_only(cls, value: str) -> str:
        """Refuse an address that would carry the token in clear text."""
        if not value.startswith("https://"):
            raise ValueError("must begin with https://")
        return value


Outcome = Literal["stored", "rejected", "keep"]
"""What became of one attempt: the hub holds it, will never take it, or did not answer as it should (yet)."""

_NEVER = frozenset({400, 409, 413, 422})
"""Answers that will not change with time. All but these and 2xx mean: try again later."""


class Sender:
    """Empties a spool to the hub, one report a request, and waits longer after each failure."""

    def __init__(self, config: SenderConfig) -> None:
        """Send what waits in `config.spool_dir` to `config.hub_url`."""
        self._config = config
        self._spool = Spool(config.spool_dir)
        self._session = _session(config.ca_file)
        self._token = ""
        self._failures = 0

    def run(self, stop: threading.Event, alive: Callable[[], object] = lambda: None) -> None:
        """Send until `stop` is set; `alive` is called between requests (the watchdog's sign of life)."""
        self._spool.clear_unfinished()
        while not stop.is_set():
            alive()
            emptied = self.send_waiting(stop, alive)
            pause_s = self._config.poll_s if emptied else self.back_off_s()
            # A long pause is cut in pieces: the watchdog wants to hear from us during an outage too.
            until = time.monotonic() + pause_s
            while not stop.is_set() and (left_s := until - time.monotonic()) > 0:
                stop.wait(min(left_s, 5.0))
                alive()

    def send_waiting(self, stop: threading.Event | None = None, alive: Callable[[], object] = lambda: None) -> bool:
        """Send all that waits, oldest first; stop at the first that must be kept, so that the order holds.

        Returns whether the spool was emptied.
        """
        for report in self._spool.waiting():
            if stop is not None and stop.is_set():
                return False
            if self._send(report) == "keep":
                self._failures += 1
                return False
            if self._failures:
                event(logger, "hub_reachable", failures=self._failures)
                self._failures = 0
            alive()
        return True

    def back_off_s(self) -> float:
        """Return the pause before the next attempt: doubled at each failure, jittered, at most the configured one.

        The jitter keeps a fleet from coming back all at once when the hub does.
        """
        longest_s = min(self._config.back_off_max_s, 2.0 ** min(self._failures, 16))
        return random.SystemRandom().uniform(longest_s / 2, longest_s)

    def _send(self, report: Spooled) -> Outcome:
        """Try one report once."""
        try:
            body = json.loads(report.path.read_bytes())
            report_id = str(body["id"])
        except FileNotFoundError:  # dropped by a service that needed the room
            return "stored"
        except (ValueError, KeyError, TypeError):
            return self._reject(report, "not a report")
        envelope = {**body, "node": self._config.node, "site": self._config.site}
        try:
            if not self._token and self._config.token_file is not None:
                self._token = read_secret(self._config.token_file)
            answer = self._session.post(
                self._config.hub_url,
                json=envelope,
                headers={"Idempotency-Key": report_id} | self._login(),
                timeout=self._config.timeout_s,
                allow_redirects=False,
            )
        except ConfigError as error:
            return self._keep(report, str(error))
        except OSError as error:  # requests' own errors are OSErrors too
            return self._keep(report, _reason(error))
        if 200 <= answer.status_code < 300:
            report.path.unlink(missing_ok=True)
            return "stored"
        if answer.status_code in _NEVER:
            return self._reject(report, f"HTTP {answer.status_code}")
        if answer.status_code in (401, 403):
            self._token = ""  # it may have been renewed
        return self._keep(report, f"HTTP {answer.status_code}")

    def _login(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _reject(self, report: Spooled, reason: str) -> Outcome:
        """Set the report aside and say so."""
        self._spool.reject(report)
        event(logger, "report_rejected", level=logging.ERROR, kind=report.kind, file=report.path.name, reason=reason)
        return "rejected"

    def _keep(self, report: Spooled, reason: str) -> Outcome:
        """Leave the report where it is; say so once per outage."""
        if self._failures == 0:
            event(logger, "hub_unreachable", level=logging.WARNING, kind=report.kind, reason=reason)
        return "keep"


def _session(ca_file: Path | None) -> requests.Session:
    """Return a session that trusts `ca_file` alone, if given, and takes no proxy or password from the environment."""
    session = requests.Session()
    session.trust_env = False
    session.verify = True if ca_file is None else str(ca_file)
    return session


def _reason(error: OSError) -> str:
    """Return why it failed in few words; of a request the class alone, as its text may carry headers."""
    if isinstance(error, requests.RequestException):
        return type(error).__name__
    return errno.errorcode.get(error.errno, str(error.errno)) if error.errno is not None else str(error)
