#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Set Promtail's positions to the first line that Loki lacks.

``promtail_resume.py POSITIONS LOKI_URL BYTES WILDCARD...``, run before each start. A position says what Promtail had
read when it was last saved: Loki may lack lines before it, which were in Promtail's memory alone, and have lines after
it. A line that is sent twice Loki drops for a short while only. So each file is compared with Loki, from `BYTES` before
its position on. Exit code 1 when Loki cannot be asked.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

POSITION = re.compile(r"""^ +(["']?)(?P<path>/.*)\1: "(?P<offset>\d+)"$""", re.MULTILINE)
PAGE = 2000
"""Lines that are compared at once; fewer than role loki's `loki_max_query_lines`."""

TIMEOUT_S = 30
PATIENCE_S = 60
"""How long Loki may take to be ready; after that systemd starts anew."""


@dataclass
class Line:
    """A whole line of a file: where it begins and ends, and what it is; None for what is no line of ours."""

    begins: int
    ends: int
    content: dict[str, str] | None


def lines_from(path: Path, offset: int) -> Iterator[Line]:
    """Yield each whole line that begins at or after an offset."""
    with path.open("rb") as file:
        if offset > 0:
            file.seek(offset - 1)
            file.readline()
        while (text := file.readline()).endswith(b"\n"):
            line = Line(file.tell() - len(text), file.tell(), None)
            with contextlib.suppress(ValueError, KeyError, TypeError):
                found = json.loads(text)
                line.content = {key: str(found[key]) for key in ("site", "id", "at")}
            yield line


def ids_in_loki(url: str, site: str, start_ns: int, end_ns: int) -> set[str]:
    """Return the ids of a site's lines in [start, end). Of more than a page at one time not all are seen."""
    ids: set[str] = set()
    while True:
        asked = {"query": f"{{site={json.dumps(site)}}}", "start": start_ns, "end": end_ns, "limit": PAGE}
        request = urllib.request.Request(
            f"{url}/loki/api/v1/query_range?{urllib.parse.urlencode(asked | {'direction': 'forward'})}",
            headers={"X-Scope-OrgID": site, "X-Loki-Response-Encoding-Flags": "categorize-labels"},
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            streams = json.load(answer)["data"]["result"]
        values = [value for stream in streams for value in stream["values"]]
        ids |= {value[2].get("structuredMetadata", {}).get("id", "") for value in values}
        newest = max((int(value[0]) for value in values), default=start_ns)
        if len(values) < PAGE or newest == start_ns:
            return ids
        start_ns = newest


def first_missing(url: str, path: Path, offset: int) -> int:
    """Return where the first line begins, from an offset on, that Loki lacks; where it has all, the end."""
    lines, end = lines_from(path, offset), offset
    while page := list(itertools.islice(lines, PAGE)):
        times: dict[str, list[int]] = {}
        for content in (line.content for line in page if line.content):
            times.setdefault(content["site"], []).append(int(content["at"]))
        known = {site: ids_in_loki(url, site, min(at), max(at) + 1) for site, at in times.items()}
        for line in page:
            if line.content and line.content["id"] not in known[line.content["site"]]:
                return line.begins
        end = page[-1].ends
    return end


def resumed(positions: str, url: str, step_bytes: int, wildcards: list[str]) -> str:
    """Return the text of a positions file for all files there are."""
    known = {found["path"]: int(found["offset"]) for found in POSITION.finditer(positions)}
    paths = sorted(path for wildcard in wildcards for path in Path("/").glob(wildcard.lstrip("/")))
    offsets = {path: first_missing(url, path, max(0, known.get(str(path), 0) - step_bytes)) for path in paths}
    return "positions:\n" + "".join(f'  {path}: "{offset}"\n' for path, offset in offsets.items())


def main() -> int:
    """Wait for Loki, compare, and replace the file in one step."""
    file, url, step_bytes, *wildcards = sys.argv[1:]
    positions, until = Path(file), time.monotonic() + PATIENCE_S
    before = positions.read_text(encoding="utf-8") if positions.exists() else ""
    while True:
        try:
            urllib.request.urlopen(f"{url}/ready", timeout=TIMEOUT_S).close()
            after = resumed(before, url, int(step_bytes), wildcards)
            break
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > until:
                print(f"Loki at {url} cannot be asked what it has: {error}", file=sys.stderr)
                return 1
            time.sleep(1)
    new = positions.with_suffix(".new")
    with new.open("w", encoding="utf-8") as output:
        output.write(after)
        output.flush()
        os.fsync(output.fileno())
    new.replace(positions)
    return 0


if __name__ == "__main__":
    sys.exit(main())
