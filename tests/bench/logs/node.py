"""A node's part in the way of a log line: its journal, its services' files, and syslog-ng, configured by its role."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from bench.logs.hub import PUSH_PORT
from bench.logs.network import Machine, wait_until_open
from bench.logs.roles import Authority, render
from bench.processes import wait_for

DVR_PORT = 5514
FOLDERS = ("/var/lib/syslog-ng/cllmh", "/var/log/cllmh-devices", "/var/log/cllmh", "/var/lib/cllmh/log_ledger")
BUFFER_BYTES = 512 * 2**20
"""The role's default."""

SERVICE_LOG = "/var/log/cllmh/bench.log"
JOURNAL_SOCKET = "/run/systemd/journal/socket"
JOURNALD = "/lib/systemd/systemd-journald"
# Nothing that belongs to this machine is to be read or changed, and the journal shall not be what limits.
_JOURNALD_CONFIG = """[Journal]
Storage=persistent
SystemMaxUse=4G
RateLimitBurst=0
ReadKMsg=no
Audit=no
"""


class Node(Machine):
    """The node of a site; `syslog_ng` are variables of its role."""

    def __init__(
        self, folder: Path, number: int, authority: Authority, hub: str, *, syslog_ng: dict[str, Any] | None = None
    ) -> None:
        super().__init__(folder, number)
        self.site = folder.name
        certificate, key = authority.issue(self.site, self.site, self.address)
        self.write("/etc/cllmh/pki/ca.crt", authority.certificate)
        self.write("/etc/cllmh/pki/host.crt", certificate)
        self.write("/etc/cllmh/pki/host.key", key, 0o600)
        self.write("/etc/systemd/journald.conf", _JOURNALD_CONFIG)
        values = {
            "__syslog_ng_config_version": installed_config_version(),
            "syslog_ng_site": self.site,
            "syslog_ng_host": self.site,
            "syslog_ng_timezone": "UTC",
            "syslog_ng_hub_url": f"https://{hub}:{PUSH_PORT}/loki/api/v1/push",
            "syslog_ng_group": "root",
            "syslog_ng_elasticsearch_enabled": False,
        } | (syslog_ng or {})
        size_bytes = values.get("syslog_ng_buffer_bytes", BUFFER_BYTES)
        values["__syslog_ng_configured"] = [{"name": "loki", "dir": FOLDERS[0], "size_bytes": size_bytes}]
        text = render("syslog_ng", "etc/syslog-ng/syslog-ng.conf.j2", values)
        self.write("/etc/syslog-ng/syslog-ng.conf", text)
        for name in (*FOLDERS, "/var/log/journal"):
            self.path(name).mkdir(parents=True, exist_ok=True)

    def boot(self) -> None:
        """Start the journal and syslog-ng; wait until devices can send."""
        flushed = self.path("/run/systemd/journal/flushed")
        flushed.parent.mkdir(parents=True, exist_ok=True)
        flushed.touch()  # the journal goes to the disk from the beginning
        self.start("journald", JOURNALD)
        # syslog-ng does not start on an empty journal; a real one never is.
        wait_for(lambda: self.run("journalctl", "--quiet", "--lines=1"), 20, "the journal's first entry")
        self.start_syslog_ng()

    def start_syslog_ng(self) -> None:
        """Start syslog-ng; wait until devices can send."""
        self.start("syslog-ng", "syslog-ng", "--foreground", "--stderr", "--no-caps")
        wait_until_open(self.address, DVR_PORT)


def installed_config_version() -> str:
    """Return the configuration language of the installed syslog-ng, for example 3.38."""
    answer = subprocess.run(["syslog-ng", "--version"], capture_output=True, text=True, timeout=10, check=True)
    first = answer.stdout.splitlines()[0]
    return ".".join(first[first.index("(") + 1 :].split(".")[:2])
