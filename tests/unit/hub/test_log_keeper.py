"""Which days of log lines go, and what the keeper's configuration may say."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from cllmh_hub.cli import main
from cllmh_hub.config_file import ConfigError, load_config
from cllmh_hub.log_keeper.config import LogKeeperConfig
from cllmh_hub.log_keeper.days import over_age, over_budget, parse
from unit.hub.certificates import Certificates

TODAY = date(2026, 11, 29)
KEEP = {"info": 30, "warning": 180, "critical": 730}
CONFIG = """
urls: [https://localhost:9200]
password_file: /etc/cllmh/secrets/elasticsearch_log_keeper
"""


def name_of(log_class: str, days_ago: int) -> str:
    return f"cllmh-logs-{log_class}-{TODAY - timedelta(days=days_ago):%Y.%m.%d}"


def test_other_indices_are_not_ours() -> None:
    others = [
        "cllmh-logs-info-2026.13.01",
        "cllmh-logs-debug-2026.11.01",
        "cllmh-logs-info-2026.11.01-old",
        ".security-7",
    ]
    assert parse(dict.fromkeys(others, 1)) == []


@pytest.mark.parametrize("log_class", KEEP)
def test_a_class_keeps_its_days_and_not_one_more(log_class: str) -> None:
    days = parse(dict.fromkeys((name_of(log_class, ago) for ago in range(800)), 1))
    gone = {index.name for index in over_age(days, KEEP, TODAY)}
    assert gone == {name_of(log_class, ago) for ago in range(KEEP[log_class] + 1, 800)}


def test_under_the_budget_nothing_goes() -> None:
    days = parse({name_of("info", 1): 60, name_of("critical", 1): 40})
    assert over_budget(days, 100, TODAY) == []


def test_over_the_budget_the_oldest_of_the_least_important_goes_first() -> None:
    sizes = {name_of(log_class, ago): 10 for log_class in KEEP for ago in (1, 2, 3)}
    gone = [index.name for index in over_budget(parse(sizes), 50, TODAY)]
    assert gone == [*(name_of("info", ago) for ago in (3, 2, 1)), name_of("warning", 3)]


def test_today_stays_whatever_the_budget() -> None:
    sizes = {name_of(log_class, ago): 10 for log_class in KEEP for ago in (0, 1)}
    gone = {index.name for index in over_budget(parse(sizes), 1, TODAY)}
    assert gone == {name_of(log_class, 1) for log_class in KEEP}


def test_the_smallest_configuration_keeps_severe_lines_longer(tmp_path: Path) -> None:
    file = tmp_path / "log_keeper.yml"
    file.write_text(CONFIG)
    config = load_config(file, LogKeeperConfig)
    assert config.keep_days.model_dump() == KEEP
    assert config.snapshots.repository is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("keep_days: {info: 0}", "keep_days.info: 0"),
        ("keep_days: {debug: 7}", "keep_days.debug: unknown key"),
        ("max_bytes: 10", "max_bytes: 10"),
        ("snapshots: {keep: 0}", "snapshots.keep: 0"),
        ("urls: []", "urls"),
        ("urls: [http://localhost:9200]", "urls[0]"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, line: str, told: str) -> None:
    file = tmp_path / "log_keeper.yml"
    file.write_text("\n".join([text for text in CONFIG.splitlines() if text[:4] != line[:4]] + [line]))
    with pytest.raises(ConfigError, match=r"log_keeper\.yml") as caught:
        load_config(file, LogKeeperConfig)
    assert told in str(caught.value)


@pytest.fixture
def absent_store(tmp_path: Path, certificates: Certificates) -> Path:
    """Return the configuration of a keeper whose store is not there."""
    password = tmp_path / "password"
    password.write_text("rahasia-besar\n")
    password.chmod(0o600)
    file = tmp_path / "log_keeper.yml"
    file.write_text(f"urls: [https://127.0.0.1:9]\npassword_file: {password}\nca_file: {certificates.ca}\n")
    return file


def test_an_unreachable_store_is_told_in_one_line(absent_store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["log-keeper", "status", "--config", str(absent_store)]) == 1
    said = capfd.readouterr().err
    assert "event=log_keeper_failed" in said
    assert "rahasia-besar" not in said
    assert len(said.splitlines()) == 1
