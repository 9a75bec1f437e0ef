"""What the role mikrotik_ddns wrote to the router, which runs on the machine of the DVR."""

import json

testinfra_hosts = ["ssh://dvr-a"]


def test_the_router_was_written_to_once_and_never_in_check_mode(host):
    state = json.loads(host.file("/var/lib/lab/router.json").content_string)
    assert state["cloud"]["ddns-enabled"] == "yes"
    # Check, converge, idempotence: only the second had anything to write, and only what differed.
    assert state["writes"] == [{"path": "/ip/cloud/set", "given": {"ddns-enabled": "yes"}}]
