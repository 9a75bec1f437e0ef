"""Around Promtail: it starts with what Loki lacks, and a file is kept until Loki has its last line."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

FILES = Path(__file__).parents[3] / "roles" / "promtail" / "files"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FILES / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


class Loki:
    """Answers queries by id, for one site."""

    def __init__(self, ids: set[str]) -> None:
        loki = self
        self.tenants: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                loki.tenants.append(self.headers["X-Scope-OrgID"])
                asked = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
                query = asked.get("query", [""])[0]
                values = [["1764424800000000000", "x", {"structuredMetadata": {"id": known}}] for known in sorted(ids)]
                found = [{"stream": {}, "values": values}] if "id=" not in query else []
                found += [{"stream": {}} for known in ids if f'id="{known}"' in query]
                body = json.dumps({"data": {"result": found}}).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                """Stay silent."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def loki() -> Iterator[Loki]:
    loki = Loki({"f9@10"})
    thread = threading.Thread(target=loki.server.serve_forever)
    thread.start()
    yield loki
    loki.server.shutdown()
    loki.server.server_close()
    thread.join()


def file_of(folder: Path, *ids: str, age_s: float = 600) -> Path:
    """Write a file of syslog-ng's whose last change is some time ago."""
    file = folder / "2026-11-29T14.log"
    lines = [{"site": "warung", "id": identity, "at": "1764424800000000000", "line": "x" * 200} for identity in ids]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    os.utime(file, (time.time() - age_s,) * 2)
    return file


def test_a_file_whose_last_line_is_in_loki_may_go(loki: Loki, tmp_path: Path) -> None:
    answer = run("promtail_shipped.py", loki.url, str(file_of(tmp_path, "f9@f", "f9@10")))
    assert answer.returncode == 0, answer.stderr
    assert loki.tenants == ["warung"]


def test_a_file_whose_last_line_is_not_in_loki_stays_and_says_which(loki: Loki, tmp_path: Path) -> None:
    answer = run("promtail_shipped.py", loki.url, str(file_of(tmp_path, "f9@10", "f9@11")))
    assert answer.returncode == 1
    assert "f9@11" in answer.stderr


def test_a_file_that_is_still_written_stays(loki: Loki, tmp_path: Path) -> None:
    answer = run("promtail_shipped.py", loki.url, str(file_of(tmp_path, "f9@10", age_s=1)))
    assert answer.returncode == 1
    assert loki.tenants == []


def test_a_file_stays_while_loki_is_away_or_its_end_is_no_line_of_ours(loki: Loki, tmp_path: Path) -> None:
    file = file_of(tmp_path, "f9@10")
    assert "cannot be asked" in run("promtail_shipped.py", "http://127.0.0.1:9", str(file)).stderr
    with file.open("a") as end:
        end.write('{"cut')
    os.utime(file, (0, 0))
    assert "look at it" in run("promtail_shipped.py", loki.url, str(file)).stderr


def resumed(loki: Loki, folder: Path, offset: int | None, step_bytes: int = 10_000) -> int:
    """Return the position of `file_of`'s file after a start with this one before it."""
    positions = folder / "positions.yml"
    if offset is not None:
        positions.write_text(f'positions:\n  {folder}/2026-11-29T14.log: "{offset}"\n  /gone.log: "77"\n')
    answer = run("promtail_resume.py", str(positions), loki.url, str(step_bytes), f"{folder}/*.log")
    assert answer.returncode == 0, answer.stderr
    _, line = positions.read_text().splitlines()
    return int(line.split('"')[1])


def test_promtail_starts_with_the_first_line_that_loki_lacks(loki: Loki, tmp_path: Path) -> None:
    size = file_of(tmp_path, "f9@10", "f9@10", "f9@11", "f9@12").stat().st_size // 4
    assert resumed(loki, tmp_path, 4 * size) == 2 * size, "what was in its memory alone comes again"
    assert resumed(loki, tmp_path, size) == 2 * size, "what Loki had taken since the position was saved does not"
    assert resumed(loki, tmp_path, None) == 2 * size


def test_a_file_that_loki_has_whole_is_not_read_again_and_a_line_that_is_being_written_is(
    loki: Loki, tmp_path: Path
) -> None:
    file = file_of(tmp_path, "f9@10", "f9@10")
    size = file.stat().st_size
    with file.open("a") as end:
        end.write('{"site": "warung", "id": "f9@11"')
    assert resumed(loki, tmp_path, size + 5) == size


def test_only_the_end_of_a_file_is_compared(loki: Loki, tmp_path: Path) -> None:
    size = file_of(tmp_path, "f9@0f", "f9@10", "f9@11").stat().st_size // 3
    assert resumed(loki, tmp_path, 3 * size, step_bytes=2 * size) == 2 * size
