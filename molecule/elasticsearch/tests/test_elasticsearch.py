"""What the role elasticsearch promises: who may do what, a template that holds, retention, snapshots that come back."""

import json
import os
import re
import secrets
import shlex
import socket
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from elasticsearch import ApiError, Elasticsearch, TransportError

testinfra_hosts = ["ssh://hub"]

STATE = Path(__file__).parents[3] / "build/lab" / os.environ.get("CLLMH_LAB", "0") / "state"
CA = STATE / "pki/ca.crt"
CONTROLLER = f"10.77.{os.environ.get('CLLMH_LAB', '0')}.1"
ALL = "cllmh-logs-*"
FIELDS = {
    *("at", "rcv", "id", "site", "kind", "severity", "host", "app", "facility", "pid"),
    *("topics", "orig", "altered", "message"),
}
CLASSES = {"info": "info", "err": "warning", "crit": "critical"}
NOW = datetime.now(UTC)


def password_of(user):
    return (STATE / "elasticsearch" / user).read_text().strip()


@pytest.fixture(scope="module")
def port(request):
    """Return a port on this machine that leads to Elasticsearch, which listens on the hub's loopback address alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    tunnel = ["ssh", "-F", request.config.option.ssh_config, "-N", "-o", "ExitOnForwardFailure=yes"]
    with subprocess.Popen([*tunnel, "-L", f"{number}:127.0.0.1:9200", "hub"]) as process:
        deadline = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", number)):
            assert time.monotonic() < deadline, "no tunnel to the hub"
            time.sleep(0.1)
        yield number
        process.terminate()


@pytest.fixture(scope="module")
def client(port):
    """Return a function that gives the client of a user."""

    def connect(user, password=None, **options):
        login = {"basic_auth": (user, password or password_of(user))} if user else {}
        return Elasticsearch(f"https://localhost:{port}", ca_certs=str(CA), request_timeout=60, **login, **options)

    return connect


@pytest.fixture(scope="module")
def door(client):
    return client("log_door")


@pytest.fixture(scope="module")
def reader(client):
    return client("log_reader")


@pytest.fixture(scope="module")
def keeper(client):
    return client("log_keeper")


def document(severity="info", at=NOW, **fields):
    return {
        "at": at.isoformat(),
        "rcv": NOW.isoformat(),
        "id": f"1a2b3c4d@{secrets.token_hex(8)}",
        "site": "site-a",
        "kind": "router",
        "severity": severity,
        "host": "router-a",
        "app": "routeros",
        "facility": "daemon",
        "message": "interface ether1 link down",
        **fields,
    }


def index_of(line):
    day = datetime.fromisoformat(line["at"])
    return f"cllmh-logs-{CLASSES[line['severity']]}-{day:%Y.%m.%d}"


def write(door, *lines, index=None):
    """Write lines as the log door does, wait until they can be found, and return each one's answer."""
    operations = []
    for line in lines:
        operations += [{"create": {"_index": index or index_of(line), "_id": f"{line['site']}:{line['id']}"}}, line]
    return [item["create"] for item in door.bulk(operations=operations, refresh="wait_for")["items"]]


def statuses(items):
    return [item["status"] for item in items]


def found(reader, line):
    query = {"term": {"id": line["id"]}}
    return [hit["_source"] for hit in reader.search(index=ALL, query=query)["hits"]["hits"]]


def refusal(call, *arguments, **options):
    """Return the HTTP status with which a call is refused."""
    with pytest.raises(ApiError) as caught:
        call(*arguments, **options)
    return caught.value.status_code


def days(keeper):
    return set(keeper.indices.stats(index=ALL, metric="store")["indices"])


def keep(host, *options):
    """Run the keeper as its timer does, or with options by hand."""
    if options:
        return host.check_output("cllmh-hub log-keeper " + " ".join(options))
    return host.check_output("systemctl start cllmh-log-keeper || journalctl -u cllmh-log-keeper -n 20 --no-pager")


def test_it_runs_hardened_as_its_own_user(host):
    service = host.service("elasticsearch")
    assert service.is_running, host.check_output("tail -n 50 /var/log/elasticsearch/elasticsearch.log")
    assert service.is_enabled
    shown = host.check_output("systemctl show -p User,ProtectSystem,NoNewPrivileges elasticsearch").splitlines()
    assert set(shown) == {"User=elasticsearch", "ProtectSystem=strict", "NoNewPrivileges=yes"}
    assert host.service("cllmh-log-keeper.timer").is_running


def test_it_is_reached_from_this_machine_only(host):
    listening = host.check_output("ss -Hltn 'sport = 9200 or sport = 9300'")
    assert len(listening.splitlines()) == 2
    assert all("127.0.0.1]:" in line or "127.0.0.1:" in line for line in listening.splitlines()), listening


def test_a_password_is_only_where_it_is_used_and_roots(host):
    used = {
        "log_door": ["log_door_elasticsearch"],
        "log_keeper": ["elasticsearch_log_keeper"],
        "log_reader": ["hub_elasticsearch"],
    }
    for user, names in used.items():
        found = host.run("grep -rlF %s /etc /var/lib/cllmh /var/log", password_of(user)).stdout.split()
        assert found == [f"/etc/cllmh/secrets/{name}" for name in names]
        assert [(host.file(path).user, host.file(path).mode) for path in found] == [("root", 0o600)] * len(names)


def test_who_does_not_say_who_they_are_gets_nothing(client, port):
    assert refusal(client(None).search, index=ALL) == 401
    assert refusal(client("log_reader", password="guess").search, index=ALL) == 401
    with pytest.raises(TransportError):
        Elasticsearch(f"http://localhost:{port}", request_timeout=10, max_retries=0).search(index=ALL)


def test_a_line_is_stored_once_however_often_it_comes(door, reader):
    line = document()
    assert statuses(write(door, line)) == [201]
    assert statuses(write(door, line, document())) == [409, 201]
    assert found(reader, line) == [line]


def test_the_door_can_do_nothing_but_add_lines(door, keeper):
    line = document()
    assert statuses(write(door, line)) == [201]
    name, key = index_of(line), f"{line['site']}:{line['id']}"
    changed = {**line, "message": "nothing happened"}
    target = {"_index": name, "_id": key}
    for operation in ([{"index": target}, changed], [{"update": target}, {"doc": changed}], [{"delete": target}]):
        (item,) = door.bulk(operations=operation)["items"]
        assert [answer["status"] for answer in item.values()] == [403], item
    assert refusal(door.search, index=ALL) == 403
    assert refusal(door.indices.delete, index=name) == 403
    assert refusal(door.indices.put_mapping, index=name, dynamic="true") == 403
    assert refusal(door.indices.put_settings, index=name, settings={"number_of_replicas": 5}) == 403
    assert refusal(door.indices.put_index_template, name="mine", index_patterns=["cllmh-logs-*"]) == 403
    assert name in days(keeper)


def test_the_door_writes_to_the_days_of_known_classes_only(door):
    assert statuses(write(door, document(), index="other-logs")) == [403]
    (item,) = write(door, document(), index="cllmh-logs-unknown-2026.01.01")
    assert item["status"] in (403, 404)


def test_the_reader_only_reads(reader):
    line = document()
    assert refusal(write, reader, line) == 403
    assert refusal(reader.indices.delete, index=index_of(line)) == 403
    assert refusal(reader.search, index=".security*", allow_no_indices=False) in (403, 404)


def test_the_keeper_reads_and_writes_no_line(keeper):
    assert refusal(keeper.search, index=ALL) == 403
    assert refusal(write, keeper, document()) == 403


def test_without_the_template_lines_wait_and_the_keeper_mends_it(host, door, reader, keeper):
    keeper.indices.delete_index_template(name="cllmh-logs")
    line = document("crit", at=NOW - timedelta(days=300 + secrets.randbelow(60)))
    assert statuses(write(door, line)) == [403]  # a field for it would have to be made, which the door may not
    keep(host)
    assert statuses(write(door, line)) == [201]
    assert found(reader, line) == [line]
    assert keeper.indices.get_mapping(index=index_of(line))[index_of(line)]["mappings"]["dynamic"] == "strict"


def test_no_line_makes_a_field(door, keeper):
    hostile = document(**{f"field{number}": number for number in range(2000)})
    (item,) = write(door, hostile)
    assert item["status"] == 400
    assert "strict" in json.dumps(item["error"])
    nested = document(message={"a": {"b": 1}})
    assert statuses(write(door, nested)) == [400]
    for name, index in keeper.indices.get_mapping(index=ALL).items():
        assert set(index["mappings"]["properties"]) == FIELDS, name
        assert index["mappings"]["dynamic"] == "strict"


@pytest.mark.parametrize(
    "fields",
    [
        {"message": "x" * 1_000_000},
        {"message": "\x00 \x1b[31m ${HOST} \"'\\ {{ 7*7 }}"},
        {"message": "دوربین قطع شد, kamera terputus \U0001f4f7"},
        {"app": "a" * 100_000, "host": "h" * 40_000, "pid": "-1"},
        {"topics": ["firewall", "info"], "orig": "jan/01/1970 00:00:01", "rcv": "yesterday", "altered": "cut"},
    ],
    ids=["1 MB", "control characters", "other scripts", "long names", "odd stamps"],
)
def test_what_devices_send_is_stored_as_it_is(door, reader, fields):
    line = document(**fields)
    assert statuses(write(door, line)) == [201]
    assert found(reader, line) == [line]


def test_a_line_is_found_by_a_word_of_it(door, reader):
    word = f"gudang{secrets.token_hex(4)}"
    assert statuses(write(door, document(message=f"Pintu {word} terbuka"))) == [201]
    assert reader.count(index=ALL, query={"match": {"message": word}})["count"] == 1


def test_ids_in_order_show_which_lines_are_missing(door, reader):
    host_id = secrets.token_hex(4)
    numbers = [number for number in range(300) if number not in (7, 120, 121)]
    write(door, *[document(id=f"{host_id}@{number:016x}", host="node-x") for number in numbers])
    pages = {"size": 1000, "sort": [{"id": "asc"}], "_source": ["id"]}
    hits = reader.search(index=ALL, query={"prefix": {"id": f"{host_id}@"}}, **pages)["hits"]["hits"]
    stored = [int(hit["_source"]["id"].partition("@")[2], 16) for hit in hits]
    assert stored == numbers


def through_the_door(host, *lines):
    """Send lines as a node does, behind the gateway; return the status."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    command = "curl -s -o /dev/null -w '%{http_code}' --unix-socket /run/cllmh-log-door/door.sock"
    headers = "-H 'X-Cllmh-Site: site-a' -H 'Content-Type: application/x-ndjson'"
    sent = f"{command} {headers} --data-binary @- http://hub/logs/elasticsearch <<'END'\n{text}END"
    return int(host.check_output(sent))


def ask_the_api(host, path, *options):
    """Ask the hub's API as nginx does; return the head of its answer and the JSON."""
    caller = (f"X-Forwarded-For: {CONTROLLER}", "X-Forwarded-Proto: https", "X-Requested-With: cllmh")
    headers = [word for header in caller for word in ("-H", header)]
    curl = ["curl", "-s", "-i", "-m", "60", "--unix-socket", "/run/cllmh-hub-api/api.sock", *headers, *options]
    head, text = re.split(r"\r?\n\r?\n", host.check_output(shlex.join([*curl, f"http://hub{path}"])), maxsplit=1)
    return head, json.loads(text)


def wait_until_found(reader, line):
    deadline = time.monotonic() + 20
    while not found(reader, line):
        assert time.monotonic() < deadline, f"{line['id']} is not found"
        time.sleep(0.2)


def test_what_the_store_will_never_take_is_in_the_doors_archive(host, reader):
    good, bad = document(), document(colour="red")
    assert through_the_door(host, bad, good) == 204
    wait_until_found(reader, good)
    assert found(reader, bad) == []
    letters = host.check_output("cat /var/lib/cllmh/log_door/site-a/*.jsonl")
    assert letters.count(bad["id"]) == 1
    assert good["id"] not in letters
    _, health = ask_the_api(host, "/health")
    assert health["dead_letters"] == len(letters.splitlines())


def test_old_days_go_and_severe_ones_stay(host, door, reader, keeper):
    ages = {"info": (29, 30, 31, 200), "err": (31, 180, 181), "crit": (181, 730, 731)}
    lines = {
        (severity, age): document(severity, at=NOW - timedelta(days=age)) for severity in ages for age in ages[severity]
    }
    assert set(statuses(write(door, *lines.values()))) == {201}
    keep(host)
    stays = {("info", 29), ("info", 30), ("err", 31), ("err", 180), ("crit", 181), ("crit", 730)}
    assert {key for key, line in lines.items() if found(reader, line)} == stays
    left = days(keeper)
    assert {key for key, line in lines.items() if index_of(line) in left} == stays


def test_above_the_budget_the_oldest_days_of_info_go_and_severe_lines_stay(host, door, reader, keeper):
    ages = {("info", 6): "goes", ("info", 4): "stays", ("err", 100): "stays", ("crit", 400): "stays"}
    lines = {key: document(key[0], at=NOW - timedelta(days=key[1]), message=secrets.token_hex(400_000)) for key in ages}
    assert set(statuses(write(door, *lines.values()))) == {201}
    sizes = {
        name: index["total"]["store"]["size_in_bytes"]
        for name, index in keeper.indices.stats(index=ALL, metric="store")["indices"].items()
    }
    last = index_of(lines["info", 6])
    going = [name for name in sizes if name.startswith("cllmh-logs-info-") and name <= last]
    budget = sum(sizes.values()) - sum(sizes[name] for name in going) + sizes[last] // 2
    config = host.check_output("mktemp")
    host.check_output(f"sed 's/^max_bytes: .*/max_bytes: {budget}/' /etc/cllmh/log_keeper.yml > {config}")
    keep(host, "run", f"--config={config}")
    assert {key for key, line in lines.items() if found(reader, line)} == {
        key for key, fate in ages.items() if fate == "stays"
    }
    assert days(keeper) == set(sizes) - set(going)
    used = json.loads(keep(host, "status"))["bytes"]
    assert used <= budget


def taken(host_id, number, at, **fields):
    """Return a line that node-a took over."""
    own = {"kind": "node", "host": "node-a", "app": "cron", "message": f"line {number}"}
    return document(at=at, id=f"{host_id}@{number:016x}", rcv=at.isoformat(), **{**own, **fields})


def statement(host_id, first, last, start, first_at):
    """Return node-a's own line about what it took in an hour, with the id after the last."""
    end = start + timedelta(hours=1)
    span = f"start={start.isoformat()} end={end.isoformat()} lines={last - first + 1} part=1 parts=1"
    span += f" first_at={first_at.isoformat()} last_at={end.isoformat()}"
    text = f'event=lines_taken {span} ids="{host_id}@{first:x}-{last:x}" msg="taken"'
    return taken(host_id, last + 1, end + timedelta(seconds=3), message=text)


@pytest.fixture(scope="module")
def two_hours(door):
    """Write two hours of lines; return their beginnings and the name of the node's ids.

    The first one has a line of the journal that was read days later, the second one has holes.
    """
    host_id = secrets.token_hex(4)
    second = NOW.replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    first = second - timedelta(hours=1)
    lines = [taken(host_id, number, first + timedelta(milliseconds=number // 5)) for number in range(1, 5501)]
    late = first - timedelta(days=3)
    lines[2000] |= {"at": late.isoformat()}
    lines += [statement(host_id, 1, 5500, first, late)]
    holes = (5502, 5600, 5601, 6000)
    lines += [taken(host_id, n, second + timedelta(seconds=n - 5502)) for n in range(5502, 6001) if n not in holes]
    lines += [statement(host_id, 5502, 6000, second, second)]
    assert set(statuses(write(door, *lines))) == {201}
    return first, second, host_id


def expected_proof(two_hours):
    first, second, host_id = two_hours
    names = [(5502, 5502), (5600, 5601), (6000, 6000)]
    missing = [[f"{host_id}@{number:016x}" for number in span] for span in names]
    return [(first, "complete", 5500, 5500, []), (second, "missing", 499, 495, missing)]


def as_proof(items):
    return [
        (
            datetime.fromisoformat(item["hour"]),
            *(item[key] for key in ("state", "stated", "stored")),
            [[part["first"], part["last"]] for part in item["missing"]],
        )
        for item in items
    ]


def span_of(two_hours):
    return two_hours[0].isoformat(), (two_hours[1] + timedelta(hours=1)).isoformat()


def test_exactly_the_lines_that_it_lacks_are_named(host, two_hours):
    since, until = span_of(two_hours)
    command = f"cllmh-hub logs complete --store=elasticsearch --site=site-a --since={since} --until={until} --json"
    told = host.run(command)
    assert told.rc == 1, told.stderr
    assert as_proof(map(json.loads, told.stdout.splitlines())) == expected_proof(two_hours)


def test_the_api_names_them_too(host, two_hours):
    login = {"username": "admin", "password": (STATE / "users/admin").read_text().strip()}
    head, _ = ask_the_api(host, "/api/v1/session", "-H", "Content-Type: application/json", "-d", json.dumps(login))
    cookie = re.search(r"(?im)^set-cookie: ([^;]+)", head)[1]
    since, until = (moment.replace("+00:00", "Z") for moment in span_of(two_hours))
    question = f"/api/v1/logs/completeness?store=elasticsearch&site=site-a&from={since}&to={until}"
    _, answer = ask_the_api(host, question, "-H", f"Cookie: {cookie}")
    assert as_proof(answer["items"]) == expected_proof(two_hours)
    assert answer["next"] is None


def test_a_lost_day_comes_back_from_a_snapshot(host, door, reader, keeper):
    line = document("crit", at=NOW - timedelta(days=400), message="disk 2 failed")
    assert statuses(write(door, line)) == [201]
    for name in [
        entry["snapshot"] for entry in keeper.snapshot.get(repository="cllmh-logs", snapshot="*")["snapshots"]
    ]:
        keeper.snapshot.delete(repository="cllmh-logs", snapshot=name)  # the timer takes one when one is due
    keep(host)
    (snapshot,) = [json.loads(text) for text in keep(host, "snapshots").splitlines()]
    assert snapshot["state"] == "SUCCESS"
    assert index_of(line) in snapshot["indices"]
    keeper.indices.delete(index=index_of(line))
    assert found(reader, line) == []
    assert json.loads(keep(host, "restore", "latest", "--index=cllmh-logs-critical-*")) == [index_of(line)]
    assert found(reader, line) == [line]
    assert json.loads(keep(host, "restore")) == []


@pytest.fixture
def admin(host, client):
    """Return the client of somebody who may do all, whom only this test knows."""
    files = "/etc/elasticsearch/users /etc/elasticsearch/users_roles"
    host.check_output(f"mkdir /root/kept && cp -p {files} /root/kept")
    host.check_output("sed -n 's/^log_reader:/tester:/p' /etc/elasticsearch/users > /root/tester")
    host.check_output(
        "cat /root/tester >> /etc/elasticsearch/users; echo superuser:tester >> /etc/elasticsearch/users_roles"
    )
    tester = client("tester", password=password_of("log_reader"))
    deadline = time.monotonic() + 30
    while True:  # the files are looked at every five seconds
        try:
            tester.cluster.health()
            break
        except ApiError:
            assert time.monotonic() < deadline, "the users' files are not read again"
            time.sleep(0.5)
    yield tester
    host.check_output("cp -p /root/kept/* /etc/elasticsearch/ && rm -r /root/kept /root/tester")


def test_a_blocked_index_answers_item_by_item_and_is_told(host, door, reader, admin):
    line = document("err", at=NOW - timedelta(days=3))
    assert statuses(write(door, line)) == [201]
    admin.indices.put_settings(index=index_of(line), settings={"index.blocks.write": True})
    blocked, other = document("err", at=NOW - timedelta(days=3)), document()
    items = write(door, blocked, other)
    assert statuses(items) == [403, 201]
    assert items[0]["error"]["type"] == "cluster_block_exception"
    for_the_door = document("err", at=NOW - timedelta(days=3))
    assert through_the_door(host, for_the_door) == 503  # the node keeps it
    told = host.run("cllmh-hub log-keeper status")
    assert told.rc == 1
    assert index_of(line) in json.loads(told.stdout)["blocked"]
    admin.indices.put_settings(index=index_of(line), settings={"index.blocks.write": None})
    assert through_the_door(host, for_the_door) == 204
    wait_until_found(reader, for_the_door)
    assert statuses(write(door, blocked, other)) == [201, 409]
    assert found(reader, blocked) == [blocked]
    assert host.run("cllmh-hub log-keeper status").rc == 0
