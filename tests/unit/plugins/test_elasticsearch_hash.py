"""The filter that keeps plain passwords away from Elasticsearch's machines; molecule asks the real server."""

import base64
import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

PLUGIN = Path(__file__).parents[3] / "plugins" / "filter" / "elasticsearch_hash.py"
PASSWORD = "rahasia @:/#%$ ünïcode"


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("elasticsearch_hash", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def accepts(hashed: str, password: str) -> bool:
    """Check a password as Elasticsearch does."""
    cost, salt, digest = hashed.removeprefix("{PBKDF2}").split("$")
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), base64.b64decode(salt), int(cost), dklen=32)
    return base64.b64encode(made).decode() == digest


def test_elasticsearch_accepts_the_right_password_and_no_other(plugin: ModuleType) -> None:
    hashed = plugin.elasticsearch_hash(PASSWORD, "logs/reader")
    assert hashed.startswith("{PBKDF2}10000$")
    assert accepts(hashed, PASSWORD)
    assert not accepts(hashed, PASSWORD + " ")


def test_a_second_run_gives_the_same_hash(plugin: ModuleType) -> None:
    assert plugin.elasticsearch_hash(PASSWORD, "logs/reader") == plugin.elasticsearch_hash(PASSWORD, "logs/reader")


def test_two_users_with_one_password_have_different_hashes(plugin: ModuleType) -> None:
    first = plugin.elasticsearch_hash(PASSWORD, "logs/reader").split("$")
    second = plugin.elasticsearch_hash(PASSWORD, "logs/door").split("$")
    assert first[1] != second[1]
    assert first[2] != second[2]


@pytest.mark.parametrize(
    ("password", "seed"), [("", "logs/reader"), (None, "logs/reader"), (PASSWORD, ""), (PASSWORD, 5)]
)
def test_nothing_is_hashed_that_is_no_password(plugin: ModuleType, password: Any, seed: Any) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        plugin.elasticsearch_hash(password, seed)
    assert PASSWORD not in str(caught.value)
