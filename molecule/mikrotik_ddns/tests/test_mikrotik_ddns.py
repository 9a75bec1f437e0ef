"""What the role mikrotik_ddns leaves on a router and on the hub."""

import json

import pytest


@pytest.mark.testinfra_hosts("ssh://dvr-a")
def test_the_router_was_written_to_once_and_never_in_check_mode(host):
    state = json.loads(host.file("/var/lib/lab/router.json").content_string)
    assert state["cloud"]["ddns-enabled"] == "yes"
    # Check, converge, idempotence: only the second had anything to write, and only what differed.
    assert state["writes"] == [{"path": "/ip/cloud/set", "given": {"ddns-enabled": "yes"}}]


@pytest.mark.testinfra_hosts("ssh://hub")
def test_the_hub_knows_the_routers_name(host):
    file = host.file("/etc/cllmh/routers.d/router-a.json")
    assert (file.user, file.mode) == ("root", 0o644)
    assert json.loads(file.content_string) == {
        "name": "router-a",
        "site": "site-a",
        "ddns_name": "a1b2c3d4e5f6.sn.mynetname.net",
        "status": "updated",
    }


@pytest.mark.testinfra_hosts("ssh://hub")
def test_the_hub_does_not_get_the_routers_password(host):
    assert host.run("grep -rF router-a-secret /etc/cllmh").rc == 1
