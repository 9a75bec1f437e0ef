"""Devices without a node: nothing is lost or doubled while files are rotated and Promtail is killed."""

import shutil
from pathlib import Path

import pytest

from bench import logs_rotation
from bench.logs.roles import staged

LOOK_UP = list(Path("/usr/lib/syslog-ng").glob("*/libadd-contextual-data.so"))


@pytest.mark.skipif(
    not (staged("loki") and staged("promtail")), reason="Loki or Promtail is not staged: `make artifacts`"
)
@pytest.mark.skipif(not (LOOK_UP and shutil.which("logrotate")), reason="syslog-ng or logrotate is not installed")
def test_every_line_is_in_loki_once_while_its_file_is_rotated_and_promtail_is_killed() -> None:
    result = logs_rotation.run(short=True)
    assert result.value("lines") == 20_000
    assert result.value("kills_of_promtail") == 1
    assert (result.value("lost"), result.value("doubled")) == (0, 0), result
