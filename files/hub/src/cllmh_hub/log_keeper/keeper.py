"""What the keeper does with the store; each function is one step."""

import json
import logging
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch, NotFoundError

from cllmh_hub import elasticsearch_client, log
from cllmh_hub.log_keeper.config import PATTERN, LogKeeperConfig, Repository
from cllmh_hub.log_keeper.days import DayIndex, over_age, over_budget, parse

TEMPLATE = "cllmh-logs"
REPOSITORY = "cllmh-logs"
_REQUEST_TIMEOUT_S = 60
_RESTORE_TIMEOUT_S = 3600
_SNAPSHOT_POLL_S = 2.0
_DELETE_AT_ONCE = 50
"""Names in one request: they are in its URL, which has an end."""

_logger = logging.getLogger(__name__)


class KeeperError(Exception):
    """Something is not as it should be; the text says what."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot of all days."""

    name: str
    state: str
    start: datetime
    indices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """How the store is; `problems` are sentences, and none is well."""

    status: str
    nodes: int
    indices: int
    bytes: int
    max_bytes: int
    blocked: list[str]
    newest_snapshot: str | None
    problems: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def connect(config: LogKeeperConfig, password_file: Path | None = None) -> Elasticsearch:
    """Return a client that speaks to whichever machine answers; raise ConfigError where there is no password."""
    return elasticsearch_client.connect(
        config, password_file=password_file, request_timeout=_REQUEST_TIMEOUT_S, retry_on_timeout=True
    )


def apply(store: Elasticsearch, config: LogKeeperConfig) -> list[str]:
    """Put the index template and the repository into place; return what had to be changed."""
    changed = []
    text = resources.files(__package__ or "").joinpath("index_template.json").read_text(encoding="utf-8")
    template = json.loads(text)
    if _stored_template(store) != template:
        store.indices.put_index_template(name=TEMPLATE, **template)
        # The days that are there already (or none is), today above all: a new field would be refused in them.
        store.indices.put_mapping(index=PATTERN, allow_no_indices=True, **template["template"]["mappings"])
        changed.append("index template")
    wanted = config.snapshots.repository
    if wanted and _stored_repository(store) != _repository_fields(wanted):
        store.snapshot.create_repository(name=REPOSITORY, repository=wanted.model_dump())
        changed.append("snapshot repository")
    return changed


def delete_days(store: Elasticsearch, config: LogKeeperConfig, now: datetime) -> list[str]:
    """Delete the days that are over, then those that do not fit; return their names."""
    days = _days(store)
    today = now.date()
    old = over_age(days, config.keep_days.model_dump(), today)
    rest = [day for day in days if day not in old]
    many = over_budget(rest, config.max_bytes, today)
    for reason, gone, level in (("age", old, logging.INFO), ("budget", many, logging.WARNING)):
        for day in gone:
            size = day.size_bytes
            log.event(_logger, "log_day_deleted", level=level, index=day.name, reason=reason, bytes=size)
    names = [day.name for day in (*old, *many)]
    for begin in range(0, len(names), _DELETE_AT_ONCE):
        store.indices.delete(index=names[begin : begin + _DELETE_AT_ONCE], ignore_unavailable=True)
    return names


def take_snapshot(store: Elasticsearch, config: LogKeeperConfig, now: datetime) -> str | None:
    """Take a snapshot if one is due, and delete those that are too many; return its name.

    Raises KeeperError when it does not become whole.
    """
    if config.snapshots.repository is None:
        return None
    whole = [snapshot for snapshot in snapshots(store) if snapshot.state == "SUCCESS"]
    every = timedelta(hours=config.snapshots.every_hours)
    # The timer comes a little earlier or later each time.
    if whole and now - whole[-1].start < every - timedelta(minutes=10):
        return None
    if not _days(store):
        return None
    name = f"cllmh-logs-{now:%Y%m%dt%H%M%Sz}"
    store.snapshot.create(repository=REPOSITORY, snapshot=name, indices=PATTERN, include_global_state=False)
    while (taken := _snapshot(store, name)).state == "IN_PROGRESS":
        time.sleep(_SNAPSHOT_POLL_S)
    if taken.state != "SUCCESS":
        raise KeeperError(f"snapshot {name} is {taken.state}; the log of Elasticsearch says why")
    log.event(_logger, "log_snapshot_taken", snapshot=name, indices=len(taken.indices))
    _delete_surplus(store, config.snapshots.keep)
    return name


def snapshots(store: Elasticsearch) -> list[Snapshot]:
    """Return all snapshots, the newest last."""
    found = store.snapshot.get(repository=REPOSITORY, snapshot=PATTERN)["snapshots"]
    return sorted(map(_as_snapshot, found), key=lambda snapshot: snapshot.start)


def restore(store: Elasticsearch, name: str, pattern: str) -> list[str]:
    """Bring days back from the snapshot `name` (or `latest`) that match `pattern` and are missing; return their names.

    Raises KeeperError when there is no such snapshot, or not all of a day comes back.
    """
    if name == "latest":
        whole = [snapshot for snapshot in snapshots(store) if snapshot.state == "SUCCESS"]
        if not whole:
            raise KeeperError("there is no whole snapshot")
        snapshot = whole[-1]
    else:
        snapshot = _snapshot(store, name)
    present = {day.name for day in _days(store)}
    missing = [index for index in sorted(snapshot.indices) if fnmatchcase(index, pattern) and index not in present]
    if missing:
        answer = store.options(request_timeout=_RESTORE_TIMEOUT_S).snapshot.restore(
            repository=REPOSITORY,
            snapshot=snapshot.name,
            indices=missing,
            include_global_state=False,
            wait_for_completion=True,
        )
        shards = answer["snapshot"]["shards"]
        if shards["failed"]:
            raise KeeperError(f"{shards['failed']} of {shards['total']} parts did not come back from {snapshot.name}")
        log.event(_logger, "log_days_restored", snapshot=snapshot.name, indices=len(missing))
    return missing


def status(store: Elasticsearch, config: LogKeeperConfig, now: datetime, *, nodes: int = 1) -> Status:
    """Return how the store is, and what is wrong with it; `nodes` is how many machines there should be."""
    health = store.cluster.health()
    days = _days(store)
    used = sum(day.size_bytes for day in days)
    blocked = _blocked(store)
    newest = None
    problems = []
    if health["status"] == "red" or (nodes > 1 and health["status"] != "green"):
        problems.append(f"the cluster is {health['status']}: {health['unassigned_shards']} parts are on no machine")
    if health["number_of_nodes"] < nodes:
        problems.append(f"{health['number_of_nodes']} of {nodes} machines are in the cluster")
    if blocked:
        problems.append(f"{len(blocked)} indices take nothing, because of a block: {', '.join(blocked[:3])}")
    if used > config.max_bytes:
        problems.append(f"the indices have {used} bytes of {config.max_bytes}")
    if config.snapshots.repository:
        whole = [snapshot for snapshot in snapshots(store) if snapshot.state == "SUCCESS"]
        newest = whole[-1] if whole else None
        since = newest.start if newest else _begin_of(days, now)
        if now - since > 2 * timedelta(hours=config.snapshots.every_hours):
            problems.append(f"no snapshot since {since.isoformat()}")
    return Status(
        status=health["status"],
        nodes=health["number_of_nodes"],
        indices=len(days),
        bytes=used,
        max_bytes=config.max_bytes,
        blocked=blocked,
        newest_snapshot=newest.name if newest else None,
        problems=problems,
    )


def _stored_template(store: Elasticsearch) -> dict[str, Any] | None:
    try:
        found = store.indices.get_index_template(name=TEMPLATE)["index_templates"][0]["index_template"]
    except NotFoundError:
        return None
    return {key: found.get(key) for key in ("index_patterns", "priority", "template")}


def _stored_repository(store: Elasticsearch) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = store.snapshot.get_repository(name=REPOSITORY)[REPOSITORY]
    except NotFoundError:
        return None
    return {"type": found["type"], "settings": found["settings"]}


def _repository_fields(repository: Repository) -> dict[str, Any]:
    """Return it as Elasticsearch tells it back: each setting is a text."""
    settings = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in repository.settings.items()
    }
    return {"type": repository.type, "settings": settings}


def _days(store: Elasticsearch) -> list[DayIndex]:
    found = store.indices.stats(index=PATTERN, metric="store")["indices"]
    return parse({name: figures["total"]["store"]["size_in_bytes"] for name, figures in found.items()})


def _blocked(store: Elasticsearch) -> list[str]:
    found = store.indices.get_settings(index=PATTERN, name="index.blocks.*", flat_settings=True)
    return sorted(name for name, index in found.items() if "true" in index["settings"].values())


def _begin_of(days: Iterable[DayIndex], now: datetime) -> datetime:
    oldest = min((day.day for day in days), default=now.date())
    return datetime(oldest.year, oldest.month, oldest.day, tzinfo=UTC)


def _snapshot(store: Elasticsearch, name: str) -> Snapshot:
    try:
        return _as_snapshot(store.snapshot.get(repository=REPOSITORY, snapshot=name)["snapshots"][0])
    except NotFoundError as error:
        raise KeeperError(f"there is no snapshot {name}") from error


def _as_snapshot(found: dict[str, Any]) -> Snapshot:
    start = datetime.fromtimestamp(found["start_time_in_millis"] / 1000, UTC)
    return Snapshot(found["snapshot"], found["state"], start, tuple(found["indices"]))


def _delete_surplus(store: Elasticsearch, keep: int) -> None:
    """Delete whole snapshots above `keep`, and older ones that never became whole."""
    found = snapshots(store)
    whole = [snapshot for snapshot in found if snapshot.state == "SUCCESS"]
    gone = whole[:-keep]
    gone += [snapshot for snapshot in found if snapshot.state != "SUCCESS" and snapshot.start < whole[-1].start]
    for snapshot in gone:
        store.snapshot.delete(repository=REPOSITORY, snapshot=snapshot.name)
        log.event(_logger, "log_snapshot_deleted", snapshot=snapshot.name)
