"""A cluster of three machines: who belongs to it, and that a machine that dies takes no line with it.

Figures go to build/elasticsearch_cluster.json.
"""

import json
import os
import secrets
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import testinfra
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from elasticsearch import ApiError, Elasticsearch, TransportError

testinfra_hosts = ["ssh://hub"]

ROOT = Path(__file__).parents[3]
LAB = os.environ.get("CLLMH_LAB", "0")
STATE = ROOT / "build/lab" / LAB / "state"
CA = STATE / "pki/ca.crt"
MACHINES = {"hub": f"10.77.{LAB}.10", "node-a": f"10.77.{LAB}.21", "dvr-a": f"10.77.{LAB}.22"}
LINES, BATCH = 20_000, 500
DAY = datetime.now(UTC)
INDEX = f"cllmh-logs-info-{DAY:%Y.%m.%d}"


def client(user, **options):
    """Return the client of a user, which asks whichever machine answers."""
    password = (STATE / "elasticsearch" / user).read_text().strip()
    urls = [f"https://{address}:9200" for address in MACHINES.values()]
    options = {"request_timeout": 10, "max_retries": 5, "retry_on_timeout": True, **options}
    return Elasticsearch(urls, ca_certs=str(CA), basic_auth=(user, password), **options)


@pytest.fixture(scope="module")
def machine(request):
    """Return a function that gives a machine by its name."""
    return lambda name: testinfra.get_host(f"ssh://{name}", ssh_config=request.config.option.ssh_config)


def wait_for(what, condition, timeout_s=180):
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if condition():
                return
        except (ApiError, TransportError):
            pass
        assert time.monotonic() < deadline, f"no {what} after {timeout_s} s"
        time.sleep(0.5)


def health():
    return dict(client("log_keeper").cluster.health())


def cluster_uuid():
    return client("log_keeper").cluster.state(metric="master_node")["cluster_uuid"]


def test_three_machines_are_one_cluster(host):
    found = health()
    assert (found["status"], found["number_of_nodes"]) == ("green", 3)
    assert host.run("cllmh-hub log-keeper status --nodes=3").rc == 0


def test_only_the_first_machine_has_the_keeper(machine):
    timers = {name: machine(name).run("systemctl is-active cllmh-log-keeper.timer").stdout.strip() for name in MACHINES}
    assert timers == {"hub": "active", "node-a": "inactive", "dvr-a": "inactive"}


def certificate_of(name, folder):
    """Return the files of a certificate of our authority for a machine of that name."""
    authority = x509.load_pem_x509_certificate(CA.read_bytes())
    signer = load_pem_private_key((STATE / "pki/ca.key").read_bytes(), password=None)
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(DAY - timedelta(days=1))
        .not_valid_after(DAY + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), x509.DNSName("localhost")]), critical=False)
        .sign(signer, SHA256())
    )
    (folder / "host.crt").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "host.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "host.crt", folder / "host.key"


@pytest.mark.parametrize(("name", "belongs"), [("dvr-a", True), ("node-b", False)])
def test_a_site_s_node_cannot_join(tmp_path, name, belongs):
    context = ssl.create_default_context(cafile=str(CA))
    context.load_cert_chain(*certificate_of(name, tmp_path))
    with socket.create_connection((MACHINES["hub"], 9301), timeout=5) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="hub") as connection:
                connection.settimeout(3)
                closed = connection.recv(1) == b""
        except TimeoutError:
            closed = False  # it waits for what we have to say
        except (ssl.SSLError, ConnectionError):
            closed = True
    assert closed is not belongs


class Writer(threading.Thread):
    """Writes lines as the log door does: what is not taken comes again."""

    def __init__(self):
        super().__init__()
        self.host_id = secrets.token_hex(4)
        self.written = 0
        self.sent_again = 0
        self.longest_s = 0.0
        self.seconds = 0.0

    def run(self):
        door = client("log_door")
        begin = time.monotonic()
        for first in range(0, LINES, BATCH):
            waiting = list(range(first, first + BATCH))
            batch_begin = time.monotonic()
            while waiting:
                waiting = self._send(door, waiting)
                self.sent_again += len(waiting)
                if waiting:
                    time.sleep(0.5)
            self.longest_s = max(self.longest_s, time.monotonic() - batch_begin)
            self.written += BATCH
        self.seconds = time.monotonic() - begin

    def _send(self, door, numbers):
        """Return the numbers that have to come again."""
        operations = []
        for number in numbers:
            key = f"{self.host_id}@{number:016x}"
            line = {"at": DAY.isoformat(), "id": key, "site": "site-a", "severity": "info", "message": f"line {number}"}
            operations += [{"create": {"_index": INDEX, "_id": f"site-a:{key}"}}, line]
        try:
            items = door.bulk(operations=operations)["items"]
        except (ApiError, TransportError):
            return numbers
        return [n for n, item in zip(numbers, items, strict=True) if item["create"]["status"] not in (201, 409)]


def stored(host_id):
    reader = client("log_reader")
    reader_count = reader.count(index=INDEX, query={"prefix": {"id": f"{host_id}@"}})
    return reader_count["count"]


def test_the_death_of_the_leading_machine_loses_and_doubles_nothing(machine):
    state = client("log_keeper").cluster.state(metric="master_node,nodes")
    leader = state["nodes"][state["master_node"]]["name"]
    writer = Writer()
    writer.start()
    wait_for("first lines", lambda: writer.written >= LINES // 4)
    victim = machine(leader)
    victim.check_output("systemctl mask --runtime elasticsearch && systemctl kill --signal=KILL elasticsearch")
    died = time.monotonic()
    wait_for("cluster of two", lambda: health()["number_of_nodes"] == 2)
    two_s = time.monotonic() - died
    writer.join(timeout=300)
    assert not writer.is_alive(), f"{writer.written} of {LINES} lines after 300 s"
    wait_for("all lines with two machines", lambda: stored(writer.host_id) == LINES, timeout_s=30)
    back = time.monotonic()
    victim.check_output("systemctl unmask --runtime elasticsearch && systemctl start elasticsearch")
    wait_for("whole cluster", lambda: (health()["status"], health()["number_of_nodes"]) == ("green", 3), timeout_s=300)
    figures = {
        "lines": LINES,
        "stored": stored(writer.host_id),
        "killed": leader,
        "seconds": round(writer.seconds, 1),
        "lines_per_s": round(LINES / writer.seconds),
        "sent_again": writer.sent_again,
        "longest_batch_s": round(writer.longest_s, 1),
        "two_machines_after_s": round(two_s, 1),
        "whole_again_after_s": round(time.monotonic() - back, 1),
    }
    (ROOT / "build/elasticsearch_cluster.json").write_text(json.dumps(figures, indent=2) + "\n")
    assert figures["stored"] == LINES


def test_the_first_machine_joins_again_with_an_empty_disk_and_begins_no_cluster_of_its_own(machine):
    reader = client("log_reader")
    before = reader.count(index=INDEX)["count"]
    cluster = cluster_uuid()
    first = machine("hub")
    first.check_output("systemctl stop elasticsearch && find /var/lib/elasticsearch -mindepth 1 -delete")
    wait_for("cluster of two", lambda: health()["number_of_nodes"] == 2)
    first.check_output("systemctl start elasticsearch")
    wait_for("whole cluster", lambda: (health()["status"], health()["number_of_nodes"]) == ("green", 3), timeout_s=300)
    assert cluster_uuid() == cluster
    assert reader.count(index=INDEX)["count"] == before > 0
