"""Files are rotated by size and age, and no line is lost while they are."""

import os
import socket
import time

import pytest

testinfra_hosts = ["ssh://node-a", "ssh://node-b"]
NET = f"10.77.{os.environ.get('CLLMH_LAB', '0')}"
ADDRESSES = {"node-a": f"{NET}.21", "node-b": f"{NET}.31"}
DVR_PORT = 5514
RULES = "/etc/logrotate.d/cllmh"


def rotate(host, *options):
    """Run logrotate on our rules as the timer would and return its messages."""
    return host.check_output(f"logrotate {' '.join(options)} --state /var/lib/logrotate/trial {RULES}")


def lines_with(host, text, files):
    """Count the lines with the text over some files."""
    return int(host.check_output(f"cat {files} | grep -c {text} || true"))


def test_the_rules_have_no_errors(host):
    assert "error" not in host.run(f"logrotate --debug {RULES}").stderr


def test_sizes_are_looked_at_each_hour(host):
    assert host.service("logrotate.timer").is_enabled
    assert "*-*-* *:15:00" in host.check_output("systemctl show -p TimersCalendar logrotate.timer")


def test_nginx_has_one_rule_and_it_is_ours(host):
    assert not host.file("/etc/logrotate.d/nginx").exists
    assert "/var/log/nginx/*.log {" in host.check_output(f"cat {RULES}")


def test_a_file_that_has_grown_is_rotated_before_its_day_is_over(host):
    host.check_output("truncate -s 60M /var/log/cllmh/grown.log && chown cllmh:cllmh /var/log/cllmh/grown.log")
    host.check_output("echo small > /var/log/cllmh/small.log && chown cllmh:cllmh /var/log/cllmh/small.log")
    rotate(host)
    assert host.file("/var/log/cllmh/grown.log").size == 0
    assert host.file("/var/log/cllmh/grown.log").user == "cllmh"
    assert host.file("/var/log/cllmh/grown.log.1").exists
    assert not host.file("/var/log/cllmh/small.log.1").exists


@pytest.mark.parametrize("lines", [2000])
def test_no_device_line_is_lost_while_the_archive_is_rotated(host, lines):
    address = ADDRESSES[host.check_output("hostname")]
    text = f"mark-{time.time_ns()}"
    with socket.create_connection((address, DVR_PORT), timeout=5) as connection:
        for number in range(lines):
            connection.sendall(f"<14>{text} {number}\n".encode())
            if number == lines // 2:
                rotate(host, "--force")
    deadline = time.monotonic() + 20
    while lines_with(host, text, "/var/log/cllmh-devices/dvr.log*") < lines:
        assert time.monotonic() < deadline, "some lines are in neither file"
        time.sleep(0.2)
    assert lines_with(host, text, "/var/log/cllmh-devices/dvr.log") > 0, "the new file is the one that is written"
