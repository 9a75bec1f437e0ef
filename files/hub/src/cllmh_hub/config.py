"""The hub API's configuration: /etc/cllmh/hub.yml and the users file it names."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, HttpUrl, IPvAnyNetwork, StringConstraints, field_validator, model_validator
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from cllmh_hub.config_file import ServiceConfig, StrictModel
from cllmh_hub.contract.answers import Role
from cllmh_hub.contract.queries import Severity
from cllmh_hub.contract.reports import Name
from cllmh_hub.elasticsearch_login import ElasticsearchLogin

DEFAULT_CONFIG = Path("/etc/cllmh/hub.yml")


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("must be an IANA time zone such as Asia/Jakarta") from error
    return name


class Node(StrictModel):
    """One node: how the hub reaches it and how it proves who it is."""

    name: Name

    url: HttpUrl
    """The node's gateway, such as https://10.77.0.21."""

    token_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the token that the node sends with its reports."""

    cameras: tuple[Name, ...] = ()

    elasticsearch_severity: Severity = "debug"
    """The least severe lines that it sends to Elasticsearch; debug is all."""

    @field_validator("url")
    @classmethod
    def _encrypted(cls, url: HttpUrl) -> HttpUrl:
        if url.scheme != "https":
            raise ValueError("must begin with https://")
        return url


class Site(StrictModel):
    """One site; its name is also its tenant in Loki."""

    name: Name
    title: Annotated[str, StringConstraints(min_length=1)]
    timezone: Annotated[str, AfterValidator(_known_timezone)]
    nodes: tuple[Node, ...] = ()


class Tls(StrictModel):
    """How the hub proves itself to the nodes' gateways."""

    ca: Path = Path("/etc/cllmh/pki/ca.crt")
    cert: Path = Path("/etc/cllmh/pki/host.crt")
    key: Path = Path("/etc/cllmh/pki/host.key")


class ElasticsearchReader(ElasticsearchLogin):
    """The second store of log lines, as somebody who may only read."""

    username: str = "log_reader"


class LoginLimits(StrictModel):
    """How often a wrong password may be given before the answer is 429."""

    window_s: Annotated[int, Field(ge=1)] = 900
    """Failures older than this are forgotten."""

    failures_per_user: Annotated[int, Field(ge=1)] = 10
    failures_per_address: Annotated[int, Field(ge=1)] = 20


class HubConfig(ServiceConfig):
    """The whole of hub.yml."""

    sites: tuple[Site, ...]

    users_file: Path
    """The people: name, role and scrypt hash. Mode 0600 or 0640."""

    session_secret_file: Path
    """Its first line signs the session cookies; at least 32 characters. Mode 0600 or 0640."""

    allowed_networks: Annotated[tuple[IPvAnyNetwork, ...], Field(min_length=1)]
    """Addresses from which people may use the API."""

    trusted_proxies: Annotated[int, Field(ge=0, le=3)] = 1
    """Proxies in front of the API that each add one address to X-Forwarded-For; 1 is nginx on the unix socket."""

    database_url: str = "sqlite:////var/lib/cllmh/hub/hub.db"
    """SQLAlchemy URL, sqlite or postgresql+psycopg, without a password (PostgreSQL: `?passfile=FILE`)."""

    loki_url: HttpUrl = HttpUrl("http://127.0.0.1:3100")

    elasticsearch: ElasticsearchReader | None = None
    """None: Loki is the only store."""

    dead_letters_dir: Path = Path("/var/lib/cllmh/log_door")
    """Where the log door archives lines that a store will never take."""

    log_sites: tuple[Name, ...] = ()
    """Sites without a node, whose devices send to the hub itself; `unknown` for senders that nobody knows."""

    tls: Tls = Tls()

    routers_dir: Path = Path("/etc/cllmh/routers.d")
    """One JSON file a router: name, site, ddns_name, status."""

    login: LoginLimits = LoginLimits()

    session_hours: Annotated[float, Field(gt=0, le=720)] = 12
    """A session ends after so many hours without a request."""

    keep_reports_days: Annotated[int, Field(ge=1)] = 30
    """How long raw reports are kept; what they said about clips, gaps and disks stays."""

    @model_validator(mode="after")
    def _database_is_usable(self) -> Self:
        # Not a field's validator: its error would show the URL, and with it the password that it complains about.
        try:
            url = make_url(self.database_url)
        except ArgumentError:
            raise ValueError("database_url: must look like sqlite:////var/lib/cllmh/hub/hub.db") from None
        if url.password is not None:
            raise ValueError("database_url: must not hold a password, name a file: ?passfile=/etc/cllmh/secrets/pgpass")
        if url.get_backend_name() not in ("sqlite", "postgresql"):
            raise ValueError("database_url: must begin with sqlite:// or postgresql+psycopg://")
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        _refuse_twice("sites", (site.name for site in self.sites))
        _refuse_twice("log_sites", self.log_sites)
        _refuse_twice("nodes", (node.name for site in self.sites for node in site.nodes))
        if len({node.token_sha256 for _, node in self.nodes()}) < sum(1 for _ in self.nodes()):
            raise ValueError("sites: two nodes have the same token_sha256, each node needs its own token")
        return self

    def nodes(self) -> Iterable[tuple[Site, Node]]:
        """Yield every node with its site."""
        return ((site, node) for site in self.sites for node in site.nodes)


class User(StrictModel):
    """One person who may log in."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    role: Role = "viewer"

    password_hash: Annotated[str, StringConstraints(pattern=r"^scrypt:\d+:\d+:\d+\$[^$]+\$[0-9a-f]{128}$")]
    """As werkzeug writes it: `scrypt:N:r:p$salt$hex`."""


class UsersFile(StrictModel):
    """The whole of the users file."""

    users: tuple[User, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        _refuse_twice("users", (user.name for user in self.users))
        return self


def _refuse_twice(what: str, names: Iterable[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(f"{what}: {', '.join(twice)} is there more than once")
