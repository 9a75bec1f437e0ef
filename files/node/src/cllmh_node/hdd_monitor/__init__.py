"""The HDD monitor: watches the disk of the recordings, makes room on it, and answers questions about it over HTTP.

`config` -> what is seen, as plain values (`mounts`, `usage`, `growth`, `smart`, `recorder`, `levels`) -> `pruner`
(makes room in its thread) -> `disk` (the status at one moment) -> `monitor` (the loop that looks and reports) ->
`listing`, `room`, `metrics`, `app` (HTTP, reads only) -> `service` (socket, threads, systemd).
"""
