#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ask whether a file of devices' lines is in Loki to its end: ``promtail_shipped.py LOKI_URL FILE [QUIET_S]``.

Exit code 0 says that nobody writes to the file any more and that its last line is in Loki: it may be renamed. Promtail
ships a file from the beginning to the end, so the last line comes last. Anything else is 1, with the reason.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

QUIET_S = 120
"""Seconds since the last line: syslog-ng closes a file that got none for 60."""

LONGEST_LINE_BYTES = 1 << 20
TIMEOUT_S = 30


def last_line(file: Path) -> dict[str, str]:
    """Return the last line of a file; raise ValueError where it is no whole line."""
    with file.open("rb") as lines:
        lines.seek(max(0, file.stat().st_size - LONGEST_LINE_BYTES))
        line = lines.read().rstrip(b"\n").rsplit(b"\n", 1)[-1]
    found = json.loads(line)
    return {key: str(found[key]) for key in ("site", "id", "at")}


def is_in_loki(url: str, line: dict[str, str]) -> bool:
    """Return whether Loki has the line of this site, time (ns) and id."""
    selector = f"{{site={json.dumps(line['site'])}}} | id={json.dumps(line['id'])}"
    query = {"query": selector, "start": line["at"], "end": str(int(line["at"]) + 1), "limit": "1"}
    request = urllib.request.Request(
        f"{url}/loki/api/v1/query_range?{urllib.parse.urlencode(query)}", headers={"X-Scope-OrgID": line["site"]}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return bool(json.load(answer)["data"]["result"])


def main() -> int:
    """Say why a file has to stay, if it has to."""
    url, file = sys.argv[1], Path(sys.argv[2])
    wanted_s = float(sys.argv[3]) if len(sys.argv) > 3 else QUIET_S
    quiet_s = time.time() - file.stat().st_mtime
    if quiet_s < wanted_s:
        print(f"{file}: its last line is {quiet_s:.0f} s old; it stays until it is {wanted_s:.0f} s", file=sys.stderr)
        return 1
    try:
        line = last_line(file)
        if is_in_loki(url, line):
            return 0
    except (ValueError, KeyError) as error:
        print(
            f"{file}: its last line is not one of syslog-ng's ({error}); look at it and move it away", file=sys.stderr
        )
        return 1
    except (OSError, urllib.error.URLError) as error:
        print(f"{file}: stays, as Loki at {url} cannot be asked whether it has it: {error}", file=sys.stderr)
        return 1
    print(f"{file}: stays, as Loki does not have its last line, {line['id']} (journalctl -u promtail)", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
