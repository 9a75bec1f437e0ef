"""What the endpoints work with, made once from the configuration."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

from flask import current_app

from cllmh_hub.config import HubConfig, Node, Site
from cllmh_hub.database import Database
from cllmh_hub.log_door.dead_letters import ArchivedLetters
from cllmh_hub.loki import Loki
from cllmh_hub.people import LoginGuard, People
from cllmh_hub.reports import Housekeeping
from cllmh_hub.video import NodeVideos

_EXTENSION = "cllmh_hub"


def utc_now() -> datetime:
    """Return the time by the hub's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Services:
    """Everything an endpoint needs."""

    config: HubConfig
    database: Database
    people: People
    login_guard: LoginGuard
    loki: Loki
    videos: NodeVideos
    housekeeping: Housekeeping
    dead_letters: ArchivedLetters
    node_by_token: dict[str, tuple[Site, Node]]
    """SHA-256 of the token -> whose it is."""

    now: Callable[[], datetime]

    proving: threading.Lock = field(default_factory=threading.Lock)
    """Held by the one request of this process that may read all of a site's lines."""

    @classmethod
    def from_config(cls, config: HubConfig, *, now: Callable[[], datetime] = utc_now) -> "Services":
        """Open the database and read the users file; raise ConfigError when that file is wrong."""
        return cls(
            config=config,
            database=Database(config.database_url),
            people=People.from_file(config.users_file),
            login_guard=LoginGuard(config.login),
            loki=Loki(str(config.loki_url)),
            videos=NodeVideos(ca=config.tls.ca, cert=config.tls.cert, key=config.tls.key),
            housekeeping=Housekeeping(keep=timedelta(days=config.keep_reports_days)),
            dead_letters=ArchivedLetters(config.dead_letters_dir),
            node_by_token={node.token_sha256: (site, node) for site, node in config.nodes()},
            now=now,
        )

    def install(self) -> None:
        """Make these the current application's services."""
        current_app.extensions[_EXTENSION] = self


def services() -> Services:
    """Return the services of the application that answers this request."""
    return cast(Services, current_app.extensions[_EXTENSION])
