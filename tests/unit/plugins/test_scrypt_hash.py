"""The filter that keeps plain passwords away from the hub."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from werkzeug.security import check_password_hash

PLUGIN = Path(__file__).parents[3] / "plugins" / "filter" / "scrypt_hash.py"
PASSWORD = "rahasia @:/#%$ ünïcode"


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scrypt_hash", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_hub_accepts_the_right_password_and_no_other(plugin: ModuleType) -> None:
    hashed = plugin.scrypt_hash(PASSWORD, "hub/nadia")
    assert check_password_hash(hashed, PASSWORD)
    assert not check_password_hash(hashed, PASSWORD + " ")


def test_a_second_run_gives_the_same_hash(plugin: ModuleType) -> None:
    assert plugin.scrypt_hash(PASSWORD, "hub/nadia") == plugin.scrypt_hash(PASSWORD, "hub/nadia")


def test_two_users_with_one_password_have_different_hashes(plugin: ModuleType) -> None:
    first = plugin.scrypt_hash(PASSWORD, "hub/nadia").split("$")
    second = plugin.scrypt_hash(PASSWORD, "hub/budi").split("$")
    assert first[1] != second[1]
    assert first[2] != second[2]


def test_the_salt_says_nothing_about_the_password(plugin: ModuleType) -> None:
    assert plugin.scrypt_hash("one", "hub/nadia").split("$")[1] == plugin.scrypt_hash("two", "hub/nadia").split("$")[1]


def test_the_hub_config_takes_the_form_of_the_hash(plugin: ModuleType) -> None:
    from cllmh_hub.config import User

    User(name="nadia", password_hash=plugin.scrypt_hash(PASSWORD, "hub/nadia"))


@pytest.mark.parametrize(
    ("password", "seed"), [("", "hub/nadia"), (None, "hub/nadia"), (12345, "hub/x"), ("secret", "")]
)
def test_what_is_no_password_is_refused_without_repeating_it(plugin: ModuleType, password: Any, seed: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        plugin.scrypt_hash(password, seed)
    assert "secret" not in str(caught.value)
    assert "12345" not in str(caught.value)


def test_ansible_finds_the_filter(plugin: ModuleType) -> None:
    assert plugin.FilterModule().filters() == {"scrypt_hash": plugin.scrypt_hash}
