"""Reports from the services of a node to the hub: a spool directory and the sender that empties it.

A service calls `Spool.put`; the sender (`cllmh-node send-reports`, service `cllmh-reports`) posts the files,
oldest first, and deletes one only when the hub has said that it holds it. Between the two stands the file system
alone, so neither a dead link nor a killed process loses a report.

Guarantees, and what they rest on:

* A report is complete or absent: it is written under a temporary name, synced, renamed, and the directory is synced.
* The hub stores a report once: its id is in the file and is the `Idempotency-Key` of every attempt.
* The order is that of the clock at `put`: the file name begins with it.
* The disk is not filled: above `max_bytes` the oldest `camera_status` and `disk` reports go first (the next one
  tells the present state anyway), then the oldest of any kind, and a log line says how many.
"""

from cllmh_node.reports.spool import Spool

__all__ = ["Spool"]
