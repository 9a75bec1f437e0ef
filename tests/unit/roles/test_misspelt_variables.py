"""A typo in the inventory is an error that names the host, the variable and what was meant."""

import runpy
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

ROOT = Path(__file__).parents[3]
ROLES = str(ROOT / "roles")
misspelt_variables = runpy.run_path(str(ROOT / "plugins/filter/misspelt_variables.py"))["misspelt_variables"]


def test_known_variables_and_those_of_others_pass() -> None:
    names = ["common_site", "pki_valid_days", "my_site_note", "inventory_hostname", "ansible_host", "__pki_subject"]
    assert misspelt_variables(names, ROLES, "node-a") == []


def test_a_typo_behind_the_role_is_named_with_what_was_meant() -> None:
    (sentence,) = misspelt_variables(["pki_valid_dayz"], ROLES, "node-a")
    assert sentence == "node-a: the role pki has no variable pki_valid_dayz, did you mean pki_valid_days?"


def test_a_typo_in_the_name_of_the_role_is_found() -> None:
    (sentence,) = misspelt_variables(["pyhton_app_keep_versions"], ROLES, "node-a")
    assert sentence == "node-a: no role has a variable pyhton_app_keep_versions, did you mean python_app_keep_versions?"


def test_a_wrong_folder_is_not_taken_for_a_folder_without_roles(tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError, match="no role with meta/argument_specs"):
        misspelt_variables(["common_site"], str(tmp_path), "node-a")
