"""What the role mikrotik_ddns leaves on the hub."""

import json

testinfra_hosts = ["ssh://hub"]


def test_the_hub_knows_the_routers_name(host):
    file = host.file("/etc/cllmh/routers.d/router-a.json")
    assert (file.user, file.mode) == ("root", 0o644)
    assert json.loads(file.content_string) == {
        "name": "router-a",
        "site": "site-a",
        "ddns_name": "a1b2c3d4e5f6.sn.mynetname.net",
        "status": "updated",
    }


def test_the_hub_does_not_get_the_routers_password(host):
    assert host.run("grep -rF router-a-secret /etc/cllmh").rc == 1
