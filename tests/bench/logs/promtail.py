"""Promtail as its documentation shows it, on a node, with the node's certificate to the same gateway."""

from __future__ import annotations

import yaml

from bench.logs.hub import PUSH_PORT
from bench.logs.node import Node
from bench.logs.roles import artifact

LOG = "/var/log/promtail-bench.log"


def start(node: Node, hub: str) -> None:
    """Start it; it tails `LOG`."""
    tls = {"ca_file": "/etc/cllmh/pki/ca.crt", "cert_file": "/etc/cllmh/pki/host.crt"}
    tls["key_file"] = "/etc/cllmh/pki/host.key"
    labels = {"job": "cctv", "site": node.site, "kind": "node", "severity": "info", "__path__": LOG}
    config = {
        "server": {"disable": True},
        "positions": {"filename": "/var/lib/promtail-positions.yml"},
        "clients": [{"url": f"https://{hub}:{PUSH_PORT}/loki/api/v1/push", "tls_config": tls}],
        "scrape_configs": [{"job_name": "bench", "static_configs": [{"targets": ["localhost"], "labels": labels}]}],
    }
    node.write("/etc/promtail.yml", yaml.safe_dump(config))
    node.path(LOG).touch()
    node.start("promtail", str(artifact("promtail")), "-config.file=/etc/promtail.yml")
