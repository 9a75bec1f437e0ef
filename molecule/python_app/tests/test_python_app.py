"""What the role python_app leaves on Debian 13 (hub) and Debian 12 (node-b)."""

testinfra_hosts = ["ssh://hub", "ssh://node-b"]

APP = "/opt/cllmh/cllmh-hub"


def test_command_runs_and_says_the_version_it_is_installed_as(host):
    version = host.check_output(f"readlink {APP}/current")
    assert host.check_output(f"{APP}/current/bin/python -c %s", f"{IMPORT}") == version
    assert host.run("cllmh-hub --help").rc == 0


IMPORT = "from importlib.metadata import version; print(version('cllmh-hub'))"


def test_half_built_tree_of_a_killed_run_was_built_anew(host):
    assert not host.file(f"{APP}/current/lib/half-built").exists
    assert host.file(f"{APP}/current/.complete").exists


def test_only_the_newest_versions_are_kept(host):
    assert len(host.file(APP).listdir()) == 4, "three versions and the link"


def test_wheelhouse_is_gone_after_the_install(host):
    assert not host.file("/var/cache/cllmh/cllmh-hub").exists
