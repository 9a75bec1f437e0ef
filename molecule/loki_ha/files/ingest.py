#!/usr/bin/env python3
"""Write numbered lines to Loki as the hub's door does, and ask for them meanwhile: ingest.py TENANT LINES RATE RESULT.

RESULT (JSON) has how many lines were `taken`, how many attempts `failed`, the `longest_s` until a batch was taken, and
each question that was `asked`: when it `began` and `ended` (seconds since 1970), the lines that were `taken` before it
and those that the answer `found` (null: no answer).
"""

import http.client
import json
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

LOKI = "http://127.0.0.1:3100"
BATCH = 200
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
DOOR_TIMEOUT_S = 20
NO_ANSWER = (OSError, http.client.HTTPException)
"""What a call raises without an answer, or with a status that is not 2xx."""


class Ingest:
    """One tenant's lines, `rate` a second as far as Loki takes them."""

    def __init__(self, tenant, lines, rate, result):
        self.tenant, self.lines, self.rate, self.result = tenant, lines, rate, result
        self.done = {"taken": 0, "failed": 0, "longest_s": 0.0, "asked": []}

    def call(self, path, body=None):
        """Return the body of an answer; one of NO_ANSWER is raised where there is none."""
        headers = {"Content-Type": "application/json", "X-Scope-OrgID": self.tenant}
        request = urllib.request.Request(LOKI + path, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=DOOR_TIMEOUT_S) as answer:
            return answer.read()

    def write(self):
        """Write all lines, each batch until it is taken."""
        began = time.monotonic()
        for start in range(0, self.lines, BATCH):
            time.sleep(max(0.0, began + start / self.rate - time.monotonic()))
            numbers = range(start, min(start + BATCH, self.lines))
            body = json.dumps({"streams": self.streams(numbers)}).encode()
            at = time.monotonic()
            while not self.push(body):
                self.done["failed"] += 1
                time.sleep(0.2)
            self.done["longest_s"] = max(self.done["longest_s"], time.monotonic() - at)
            self.done["taken"] = numbers.stop
            self.save()

    def streams(self, numbers):
        """Return lines as streams, one of each severity: each is on hosts of its own choice."""
        first_ns = time.time_ns()
        return [
            {
                "stream": {"job": "cctv", "site": self.tenant, "kind": "node", "severity": severity},
                "values": [
                    [str(first_ns + n), f"line {n} {'x' * 80}", {"id": f"{self.tenant}@{n}"}]
                    for n in numbers[index :: len(SEVERITIES)]
                ],
            }
            for index, severity in enumerate(SEVERITIES)
        ]

    def push(self, body):
        """Say whether a batch was taken."""
        try:
            self.call("/loki/api/v1/push", body)
        except NO_ANSWER:
            return False
        return True

    def ask(self):
        """Ask once how many lines there are."""
        question = f'sum(count_over_time({{job="cctv",site="{self.tenant}"}}[1h]))'
        taken, began = self.done["taken"], time.time()
        try:
            answer = json.loads(self.call(f"/loki/api/v1/query?{urllib.parse.urlencode({'query': question})}"))
            series = answer["data"]["result"]
            found = int(series[0]["value"][1]) if series else 0
        except NO_ANSWER:
            found = None
        self.done["asked"].append({"began": began, "ended": time.time(), "taken": taken, "found": found})

    def save(self):
        """Replace the result as a whole."""
        partial = self.result.with_suffix(".partial")
        partial.write_text(json.dumps(self.done))
        partial.replace(self.result)

    def run(self):
        """Write, and ask every half second until all is written."""
        writer = threading.Thread(target=self.write, daemon=True)
        writer.start()
        while writer.is_alive():
            self.ask()
            time.sleep(0.5)
        self.ask()
        self.save()


if __name__ == "__main__":
    Ingest(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])).run()
