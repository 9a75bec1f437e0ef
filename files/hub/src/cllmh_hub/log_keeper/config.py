"""The log keeper's configuration: /etc/cllmh/log_keeper.yml."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from cllmh_hub.config_file import ServiceConfig, StrictModel
from cllmh_hub.elasticsearch_login import ElasticsearchLogin

DEFAULT_CONFIG = Path("/etc/cllmh/log_keeper.yml")

PATTERN = "cllmh-logs-*"
"""All our indices."""

LogClass = Literal["info", "warning", "critical"]
"""Severities that are kept for the same time: up to notice, up to err, and crit and above."""

Days = Annotated[int, Field(ge=1, le=36_500)]


class KeepDays(StrictModel):
    """Days for which lines are kept, by class."""

    info: Days = 30
    warning: Days = 180
    critical: Days = 730


class Repository(StrictModel):
    """Where snapshots go, as Elasticsearch's repository API takes it."""

    type: str
    """`fs`, `s3` or another that the distribution has."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """Without secrets: those are in Elasticsearch's keystore."""


class Snapshots(StrictModel):
    """Snapshots of all days."""

    repository: Repository | None = None
    """None: no snapshots."""

    every_hours: Annotated[int, Field(ge=1, le=8760)] = 24
    keep: Annotated[int, Field(ge=1, le=1000)] = 7


class LogKeeperConfig(ServiceConfig, ElasticsearchLogin):
    """The whole of log_keeper.yml."""

    username: str = "log_keeper"
    keep_days: KeepDays = KeepDays()

    max_bytes: Annotated[int, Field(ge=1_000_000)] = 53_687_091_200
    """What all indices may take, copies included."""

    snapshots: Snapshots = Snapshots()
