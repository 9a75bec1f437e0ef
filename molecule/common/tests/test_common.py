"""What the role common leaves on a machine."""

testinfra_hosts = ["ssh://node-a", "ssh://node-b"]


def test_services_run_as_a_user_without_a_shell(host):
    user = host.user("cllmh")
    assert user.exists
    assert user.shell == "/usr/sbin/nologin"


def test_secrets_are_closed_to_others(host):
    folder = host.file("/etc/cllmh/secrets")
    assert folder.is_directory
    assert (folder.user, folder.group, folder.mode) == ("root", "cllmh", 0o750)


def test_state_and_logs_belong_to_the_services(host):
    for path in ("/var/lib/cllmh", "/var/lib/cllmh/spool", "/var/log/cllmh"):
        folder = host.file(path)
        assert folder.is_directory, path
        assert folder.user == "cllmh", path


def test_clock_is_utc(host):
    assert host.check_output("date +%Z") == "UTC"
    assert host.file("/etc/localtime").linked_to == "/usr/share/zoneinfo/Etc/UTC"


def test_directories_come_back_when_somebody_removed_them(host):
    host.check_output("rm -rf /var/log/cllmh && systemd-tmpfiles --create")
    assert host.file("/var/log/cllmh").user == "cllmh"
