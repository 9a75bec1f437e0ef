"""Promtail as its documentation shows it, on a node, with the node's certificate to the same hub and Loki."""

from __future__ import annotations

import yaml

from bench.logs.hub import Hub, nginx
from bench.logs.network import wait_until_open
from bench.logs.node import Node
from bench.logs.roles import artifact

LOG = "/var/log/promtail-bench.log"
PORT = 8444

# The door takes JSON, which it can look into; Promtail sends protobuf. So its lines go past the door.
_NGINX = """\
daemon off;
pid /run/nginx-promtail.pid;
events {{}}
http {{
  access_log off;
  server {{
    listen {port} ssl;
    ssl_certificate /etc/cllmh/pki/host.crt;
    ssl_certificate_key /etc/cllmh/pki/host.key;
    ssl_client_certificate /etc/cllmh/pki/ca.crt;
    ssl_verify_client on;
    client_max_body_size 16m;
    location / {{
      proxy_pass {loki_url};
      proxy_set_header X-Scope-OrgID {site};
    }}
  }}
}}
"""


def start(node: Node, hub: Hub) -> None:
    """Start a gateway for it on the hub, and Promtail, which tails `LOG`."""
    hub.write("/etc/nginx/promtail.conf", _NGINX.format(port=PORT, loki_url=hub.loki_url, site=node.site))
    hub.start("promtail-gateway", nginx(), "-c", "/etc/nginx/promtail.conf")
    wait_until_open(hub.address, PORT)
    tls = {"ca_file": "/etc/cllmh/pki/ca.crt", "cert_file": "/etc/cllmh/pki/host.crt"}
    tls["key_file"] = "/etc/cllmh/pki/host.key"
    labels = {"job": "cctv", "site": node.site, "kind": "node", "severity": "info", "__path__": LOG}
    config = {
        "server": {"disable": True},
        "positions": {"filename": "/var/lib/promtail-positions.yml"},
        "clients": [{"url": f"https://{hub.address}:{PORT}/loki/api/v1/push", "tls_config": tls}],
        "scrape_configs": [{"job_name": "bench", "static_configs": [{"targets": ["localhost"], "labels": labels}]}],
    }
    node.write("/etc/promtail.yml", yaml.safe_dump(config))
    node.path(LOG).touch()
    node.start("promtail", str(artifact("promtail")), "-config.file=/etc/promtail.yml")
