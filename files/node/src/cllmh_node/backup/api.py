"""The functions that `backup_manager` offers to other scripts. Those that need settings read the environment."""

import os
from pathlib import Path

from cllmh_node.backup.channel import ChannelJob, ChannelResult
from cllmh_node.backup.load import (
    RETRIES_DEFAULT,
    Dynamic,
    concurrency_limit,
    cpu_load,
    max_retries,
    max_workers,
    retry_delay,
)
from cllmh_node.backup.messages import load_log_messages
from cllmh_node.backup.settings import BackupSettings, find_env_file, from_environment
from cllmh_node.backup.streams import validate_rtsp_stream

__all__ = [
    "backup_channel",
    "get_dynamic_concurrency_limit",
    "get_dynamic_max_retries",
    "get_dynamic_max_workers",
    "get_dynamic_retry_delay",
    "get_rtsp_url",
    "load_log_messages",
    "validate_rtsp_stream",
]


def get_dynamic_retry_delay() -> int:
    """Return the seconds between two attempts at the CPU's load of now: 1 to 15."""
    return retry_delay(cpu_load())


def get_dynamic_concurrency_limit() -> int:
    """Return how many channels a batch has at the CPU's load of now: 32 to 4."""
    return concurrency_limit(cpu_load())


def get_dynamic_max_workers() -> int:
    """Return how many processes record at the CPU's load of now: 16 to 2 of each core."""
    return max_workers(cpu_load())


def get_dynamic_max_retries() -> int:
    """Return how often a channel is tried again at the CPU's load of now: MAX_RETRIES (3) to twice that."""
    given = os.environ.get("MAX_RETRIES", "")
    return max_retries(cpu_load(), int(given) if given.isdecimal() else RETRIES_DEFAULT)


def get_rtsp_url(channel: int) -> str:
    """Return the URL of a channel. It holds the password: it must not be shown. Raises ConfigError."""
    settings = _settings()
    return settings.address(channel).url(settings.rtsp_password)


def backup_channel(channel: int) -> ChannelResult:
    """Record one channel in this process, as a run would, but do not report it. Raises ConfigError."""
    settings = _settings()
    return ChannelJob(settings, channel, Dynamic.of(cpu_load(), settings.max_retries)).run()


def _settings() -> BackupSettings:
    return from_environment(find_env_file(Path.cwd()))
