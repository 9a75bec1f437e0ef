"""The log door's configuration: /etc/cllmh/log_door.yml."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, HttpUrl

from cllmh_hub.config_file import ServiceConfig
from cllmh_hub.elasticsearch_login import ElasticsearchLogin

DEFAULT_CONFIG = Path("/etc/cllmh/log_door.yml")


class ElasticsearchConfig(ElasticsearchLogin):
    """The second store."""

    username: str = "log_door"

    oldest_line_hours: Annotated[int, Field(ge=1)] = 2160
    newest_line_minutes: Annotated[int, Field(ge=0)] = 60
    """Lines dated before or after go to the index of the day of their receipt."""


class LogDoorConfig(ServiceConfig):
    """The whole of log_door.yml."""

    loki_url: HttpUrl = HttpUrl("http://127.0.0.1:3100")

    loki_dir: Path | None = None
    """Where Loki keeps its data, when it runs on this machine alone: no line is taken while that disk is too full."""

    loki_max_used_percent: Annotated[int, Field(ge=50, le=99)] = 90

    elasticsearch: ElasticsearchConfig | None = None
    """None: there is no second store."""

    dead_letters_dir: Path = Path("/var/lib/cllmh/log_door")
    """Where lines are archived that a store will never take: a folder a site, a file a day."""

    dead_letters_max_bytes: Annotated[int, Field(ge=100_000)] = 67_108_864
    """What the dead letters of one site may take; the oldest file goes first."""

    batches_per_store: Annotated[int, Field(ge=1, le=1000)] = 32
    """Batches that may wait for one store at once; more are sent back to the nodes, so that a store that hangs takes no
    thread from the other. Half of the service's threads."""

    metrics_port: Annotated[int, Field(ge=1, le=65535)] = 9466
    """Port on the loopback address where Prometheus finds the counters."""
