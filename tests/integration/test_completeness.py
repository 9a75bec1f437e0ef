"""`cllmh-hub logs complete` and its API, with holes made on purpose: a real Loki, a stand-in for Elasticsearch."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from werkzeug.security import generate_password_hash

from cllmh_hub.app import create_app
from cllmh_hub.cli import main
from cllmh_hub.completeness.elasticsearch_pages import ElasticsearchPages
from cllmh_hub.completeness.loki_pages import LokiPages
from cllmh_hub.completeness.pages import Pages
from cllmh_hub.completeness.proof import prove
from cllmh_hub.completeness.statements import Span
from cllmh_hub.config import ElasticsearchReader, HubConfig
from cllmh_hub.config_file import load_config
from cllmh_hub.contract.completeness import CompletenessAnswer, NodeHourAnswer
from cllmh_hub.loki import Loki
from loki_server import WHY_NOT, Pushed, nanoseconds, running_loki
from unit.hub.certificates import make_certificates
from unit.hub.helpers import PASSWORDS, Browser
from unit.hub.log_search import PASSWORD, FakeLogSearch

HOST = "f9aa28aa"
NOW = datetime.now(UTC)
THIS_HOUR = NOW.replace(minute=0, second=0, microsecond=0)
KINDS = ("node", "dvr", "router")
MINUTES = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Store:
    """A store of log lines: how it gets them, how the proof reads them, and what hub.yml says of it."""

    name: str
    push: Callable[[str, Iterable[Pushed]], None]
    pages: Callable[[str, int], Pages]
    settings: dict[str, Any]
    nowhere: dict[str, Any]
    """The same, but there is no store."""


@pytest.fixture(scope="module")
def loki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    if WHY_NOT:
        pytest.skip(WHY_NOT)
    with running_loki(tmp_path_factory.mktemp("loki")) as server:
        yield Store(
            "loki",
            server.push,
            lambda site, limit: LokiPages(Loki(server.url), site, limit),
            {"loki_url": server.url},
            {"loki_url": "http://127.0.0.1:1"},
        )


@pytest.fixture(scope="module")
def elasticsearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("elasticsearch")
    certificates = make_certificates(folder)
    (folder / "password").write_text(PASSWORD + "\n")
    (folder / "password").chmod(0o600)
    with FakeLogSearch(certificates.password_context()).running() as server:
        assert isinstance(server, FakeLogSearch)
        settings = {"urls": [server.url], "ca_file": certificates.ca, "password_file": folder / "password"}
        reader = ElasticsearchReader.model_validate(settings)
        written = json.loads(reader.model_dump_json())
        yield Store(
            "elasticsearch",
            server.push,
            lambda site, limit: ElasticsearchPages(reader, site, limit),
            {"elasticsearch": written},
            {"elasticsearch": {**written, "urls": ["https://127.0.0.1:1"]}},
        )
        assert server.points == {}


@pytest.fixture(params=["loki", "elasticsearch"])
def store(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue(request.param)
    return found


def hour(ago: int) -> datetime:
    """Return the beginning of a whole hour before this one."""
    return THIS_HOUR - timedelta(hours=ago)


def line(number: int, received: datetime, *, host_id: str = HOST, **changes: Any) -> Pushed:
    """Return a line that a node took over, of one of its three kinds in turn."""
    kind = KINDS[number % 3]
    host = "node-a" if kind == "node" else f"{kind}-a"
    name = f"{host_id}@{number:016x}"
    made = Pushed(
        nanoseconds(received), f"line {number}", name, received.isoformat(timespec="microseconds"), host, kind
    )
    return replace(made, **changes)


def lines(first: int, last: int, start: datetime) -> list[Pushed]:
    """Return lines first to last, received one a second from `start` on."""
    return [line(number, start + timedelta(seconds=number - first)) for number in range(first, last + 1)]


def statement(
    start: datetime,
    ids: str,
    number: int,
    *,
    end: datetime | None = None,
    host: str = "node-a",
    first_at: datetime | None = None,
    part: str = "part=1 parts=1",
) -> Pushed:
    """Return the node's statement about an hour, or until `end`, with the id `number`."""
    end = end or start + timedelta(hours=1)
    spans = [item.split("@")[1].split("-") for item in ids.split(",") if item]
    total = sum(int(span[-1], 16) - int(span[0], 16) + 1 for span in spans)
    at = f" first_at={stamp(first_at or start)} last_at={stamp(end)}" if ids else ""
    text = f'event=lines_taken start={stamp(start)} end={stamp(end)} lines={total} {part}{at} ids="{ids}" msg="taken"'
    return line(number, end + timedelta(seconds=3), text=text, kind="node", host=host)


def stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def ask(store: Store, site: str, first: int = 3, last: int = 3, **options: Any) -> CompletenessAnswer:
    """Return the proof of the hours from `first` to `last` hours ago."""
    pages = store.pages(site, options.pop("limit", 5000))
    return prove(pages, ["node-a"], Span(hour(first), hour(last - 1)), now=NOW, **options)


def only(answer: CompletenessAnswer) -> NodeHourAnswer:
    assert len(answer.items) == 1, answer
    return answer.items[0]


def shown(ranges: list[Any]) -> list[str]:
    return [f"{int(part.first[9:], 16)}-{int(part.last[9:], 16)}" for part in ranges]


def test_an_hour_of_which_each_line_is_stored_is_complete(store: Store) -> None:
    store.push("whole", [*lines(1, 500, hour(3)), statement(hour(3), f"{HOST}@1-1f4", 501)])
    found = only(ask(store, "whole"))
    assert (found.state, found.stated, found.stored, found.unstated) == ("complete", 500, 500, 0)
    assert (found.node, found.hour, shown(found.ids)) == ("node-a", hour(3), ["1-500"])
    assert found.doubled_count == 0


def test_exactly_the_holes_are_named(store: Store) -> None:
    holes = {1, 17, 18, 19, 250, 500}
    kept = [item for item in lines(1, 500, hour(3)) if int(item.id[9:], 16) not in holes]
    store.push("holes", [*kept, statement(hour(3), f"{HOST}@1-1f4", 501)])
    found = only(ask(store, "holes", limit=7))
    assert (found.state, shown(found.missing)) == ("missing", ["1-1", "17-19", "250-250", "500-500"])
    assert (found.missing_count, found.stated, found.stored) == (6, 500, 494)


def test_numbers_that_no_line_was_given_are_not_missing(store: Store) -> None:
    store.push("burnt", [*lines(1, 100, hour(3)), *lines(1101, 1200, hour(3) + 10 * MINUTES)])
    store.push("burnt", [statement(hour(3), f"{HOST}@1-64,{HOST}@44d-4b0", 1201)])
    found = only(ask(store, "burnt"))
    assert (found.state, shown(found.ids)) == ("complete", ["1-100", "1101-1200"])


def test_a_line_that_is_stored_twice_is_doubled(store: Store) -> None:
    again = replace(line(40, hour(3) + 39 * timedelta(seconds=1)), at_ns=nanoseconds(hour(3) + 2 * MINUTES))
    again = replace(again, severity="crit")  # Elasticsearch has an id once in the index of a day and class
    store.push("twice", [*lines(1, 100, hour(3)), again, statement(hour(3), f"{HOST}@1-64", 101)])
    found = only(ask(store, "twice", limit=9))
    assert (found.state, shown(found.doubled), found.doubled_count) == ("complete", ["40-40"], 1)


def test_a_line_that_was_sent_again_is_not_doubled(store: Store) -> None:
    for _ in range(2):
        store.push("resent", [*lines(1, 50, hour(3)), statement(hour(3), f"{HOST}@1-32", 51)])
    found = only(ask(store, "resent"))
    assert (found.state, found.doubled_count) == ("complete", 0)


@pytest.mark.parametrize("limit", [20, 5000])
def test_more_lines_of_one_nanosecond_than_a_page_holds_are_all_read(store: Store, limit: int) -> None:
    site = f"flood-{limit}"
    total = 6000 if limit == 5000 else 300
    flood = [
        replace(item, at_ns=nanoseconds(hour(3)), kind="dvr", severity="info") for item in lines(1, total, hour(3))
    ]
    around = [line(total + 1, hour(3) + MINUTES), line(total + 2, hour(3) + MINUTES)]
    missing = [item for item in flood if item.id != f"{HOST}@{77:016x}"]
    store.push(site, [*missing, *around, statement(hour(3), f"{HOST}@1-{total + 2:x}", total + 3)])
    found = only(ask(store, site, limit=limit))
    assert (shown(found.missing), found.doubled_count, found.stored) == (["77-77"], 0, total + 1)


def test_an_hour_is_open_until_the_node_has_stated_all_of_it(store: Store) -> None:
    half = hour(3) + 30 * MINUTES
    store.push("open", [*lines(1, 60, hour(3)), statement(hour(3), f"{HOST}@1-3c", 61, end=half), line(62, half)])
    found = only(ask(store, "open"))
    assert (found.state, found.stated, found.unstated) == ("open", 60, 2)


def test_a_statement_of_which_a_part_is_lost_proves_nothing(store: Store) -> None:
    part = statement(hour(3), f"{HOST}@1-3c", 61, part="part=1 parts=2")
    store.push("part", [*lines(1, 60, hour(3)), part, statement(hour(2), "", 62)])
    assert only(ask(store, "part")).state == "unproven"


def test_an_hour_without_a_statement_before_one_with_it_is_unproven(store: Store) -> None:
    store.push("gap", [*lines(1, 60, hour(3)), statement(hour(2), f"{HOST}@3d-3d", 62), line(61, hour(2))])
    answer = ask(store, "gap", 3, 2)
    assert [(item.state, item.stated, item.unstated) for item in answer.items] == [
        ("unproven", 0, 60),
        ("complete", 1, 0),
    ]


def test_hours_in_which_the_node_was_off_are_complete_by_the_statement_after_them(store: Store) -> None:
    store.push("off", [*lines(1, 9, hour(5)), statement(hour(5), f"{HOST}@1-9", 10)])
    store.push("off", [statement(hour(4), "", 11, end=hour(2))])
    assert [item.state for item in ask(store, "off", 5, 3).items] == ["complete"] * 3
    assert [item.stated for item in ask(store, "off", 5, 3).items] == [9, 0, 0]


def test_a_line_of_the_journal_that_was_read_days_later_is_found(store: Store) -> None:
    made = hour(3) - timedelta(days=3)
    late = replace(line(7, hour(3) + 6 * timedelta(seconds=1)), at_ns=nanoseconds(made))
    store.push("late", [late])
    store.push("late", [item for item in lines(1, 30, hour(3)) if item.id != late.id])
    store.push("late", [statement(hour(3), f"{HOST}@1-1e", 31, first_at=made)])
    found = only(ask(store, "late"))
    assert (found.state, found.stored, found.doubled_count) == ("complete", 30, 0)


def test_a_node_of_which_nothing_is_known_is_listed(store: Store) -> None:
    found = only(ask(store, "silent"))
    assert (found.node, found.state, found.stated) == ("node-a", "open", 0)


def test_two_nodes_of_a_site_do_not_share_a_counter(store: Store) -> None:
    other = [replace(item, id=item.id.replace(HOST, "0badcafe")) for item in lines(5, 20, hour(3))]
    stated = replace(statement(hour(3), "0badcafe@1-14", 21, host="node-b"), id=f"0badcafe@{21:016x}")
    store.push("two", [*other, stated, *lines(1, 20, hour(3)), statement(hour(3), f"{HOST}@1-14", 21)])
    rows = {item.node: item for item in ask(store, "two").items}
    assert {name: (row.state, row.missing_count) for name, row in rows.items()} == {
        "node-a": ("complete", 0),
        "node-b": ("missing", 4),
    }


def test_what_is_older_than_the_shortest_retention_is_not_called_lost(loki: Store) -> None:
    age = 24 * 8
    loki.push("aged", [*lines(2, 30, hour(age)), statement(hour(age), f"{HOST}@1-1e", 31)])
    found = only(ask(loki, "aged", age, age))
    assert (found.state, found.missing_count) == ("expired", 1)


def test_nonsense_in_ids_and_statements_is_counted_and_spoils_nothing(store: Store) -> None:
    wrong = [
        replace(line(900, hour(3)), id="zz"),
        replace(line(900, hour(3)), rcv="yesterday"),
        replace(line(903, hour(3)), text="event=lines_taken start=now", kind="node"),
        replace(
            statement(hour(3), f"{HOST}@1-ffffffffffff", 904), text="event=lines_taken start=1 end=2 lines=1 ids=x"
        ),
    ]
    store.push("nonsense", [*lines(1, 30, hour(3)), statement(hour(3), f"{HOST}@1-1e", 31), *wrong])
    answer = ask(store, "nonsense")
    assert (only(answer).state, answer.unreadable) == ("complete", 4)


def test_an_answer_that_takes_too_long_says_where_to_go_on(store: Store) -> None:
    number = 1
    for ago in (5, 4, 3):
        last = number + 99
        store.push(
            "long", [*lines(number, last, hour(ago)), statement(hour(ago), f"{HOST}@{number:x}-{last:x}", last + 1)]
        )
        number = last + 2
    found: list[NodeHourAnswer] = []
    since = hour(5)
    questions = 0
    while since is not None:
        answer = prove(store.pages("long", 60), ["node-a"], Span(since, hour(2)), now=NOW, budget_s=0.0)
        found += answer.items
        questions += 1
        since = answer.next  # type: ignore[assignment]
    assert [(item.hour, item.state) for item in found] == [(hour(ago), "complete") for ago in (5, 4, 3)]
    assert questions > 1


@pytest.fixture
def config(tmp_path: Path, store: Store) -> Path:
    """A hub of two sites with a node each, and one person who may log in."""
    sites = [
        {
            "name": name,
            "title": name,
            "timezone": "Asia/Jakarta",
            "nodes": [{"name": node, "url": "https://127.0.0.1:1", "token_sha256": node[-1] * 64}],
        }
        for name, node in (("shop", "node-a"), ("store", "node-b"))
    ]
    users = [{"name": "nadia", "password_hash": generate_password_hash(PASSWORDS["nadia"], "scrypt:1024:8:1")}]
    for name, text in (("users", json.dumps({"users": users})), ("secret", "s" * 48)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    settings = {
        "sites": sites,
        "users_file": str(tmp_path / "users"),
        "session_secret_file": str(tmp_path / "secret"),
        "allowed_networks": ["192.168.0.0/16"],
        "database_url": f"sqlite:///{tmp_path}/hub.db",
        **store.settings,
    }
    (tmp_path / "hub.yml").write_text(json.dumps(settings))
    return tmp_path / "hub.yml"


def test_the_api_tells_the_same(store: Store, config: Path) -> None:
    store.push("store", [*lines(1, 50, hour(3)), statement(hour(3), f"{HOST}@1-33", 52, host="node-b")])
    browser = Browser(create_app(load_config(config, HubConfig)).test_client())
    assert browser.log_in().status_code == 200
    url = (
        f"/api/v1/logs/completeness?store={store.name}&site=store&node=node-b&from={stamp(hour(3))}&to={stamp(hour(2))}"
    )
    found = browser.get(url).get_json()
    assert [(item["node"], item["state"], item["missing_count"]) for item in found["items"]] == [
        ("node-b", "missing", 1)
    ]
    assert found["items"][0]["missing"] == [
        {"first": f"{HOST}@{51:016x}", "last": f"{HOST}@{51:016x}", "count": 1},
    ]
    assert (found["next"], found["unreadable"]) == (None, 0)


def test_the_command_prints_a_row_for_each_node_and_hour(
    store: Store, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.push("shop", [*lines(1, 50, hour(4)), statement(hour(4), f"{HOST}@1-32", 51)])
    store.push("shop", [*lines(52, 60, hour(3)), statement(hour(3), f"{HOST}@34-3d", 62)])
    span = ["--since", stamp(hour(4)), "--until", stamp(hour(2))]
    command = ["logs", "complete", "--config", str(config), "--store", store.name, "--site", "shop", *span]
    assert main([*command, "--json"]) == 1
    rows = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [(row["site"], row["node"], row["state"], row["missing_count"]) for row in rows] == [
        ("shop", "node-a", "complete", 0),
        ("shop", "node-a", "missing", 1),
    ]
    assert rows[1]["missing"][0]["first"] == f"{HOST}@{61:016x}"
    assert main(command) == 1
    table = capsys.readouterr().out
    assert f"missing {HOST}@{61:016x} to {61:016x} (1)" in table
    assert main([*command[:-1], stamp(hour(3))]) == 0


def test_a_store_that_cannot_be_asked_is_not_taken_for_a_complete_one(
    store: Store, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(json.dumps(json.loads(config.read_text()) | store.nowhere))
    assert main(["logs", "complete", "--config", str(config), "--store", store.name]) == 3
    assert "cannot be reached" in capsys.readouterr().err


def test_a_name_that_is_not_in_the_configuration_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "complete", "--config", str(config), "--node", "node-z"]) == 2
    assert "--node: node-z: is not in" in capsys.readouterr().err
