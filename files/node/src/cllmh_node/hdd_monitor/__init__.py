"""The HDD monitor: watches the disk of the recordings, makes room on it, and answers questions about it over HTTP.

`config` -> `disk` (what the disk is like, pure functions) -> `monitor` (the loop that samples, prunes and reports)
-> `app` (HTTP, reads only) -> `service` (socket, thread, systemd).
"""
