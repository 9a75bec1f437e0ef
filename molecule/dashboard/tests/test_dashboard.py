"""What the role dashboard promises: a whole version behind the link, readable by nginx, told apart by browsers."""

import re
import time

testinfra_hosts = ["ssh://hub"]
HOME = "/opt/cllmh/cllmh-dashboard"


def test_the_link_points_at_a_version(host):
    link = host.file(f"{HOME}/current")
    assert link.is_symlink
    assert re.fullmatch(rf"{HOME}/\d+\.\d+\.\d+\+[0-9a-f]{{8}}", link.linked_to)


def test_every_file_the_page_asks_for_is_there_and_readable_by_nginx(host):
    page = host.file(f"{HOME}/current/index.html").content_string
    asked = re.findall(r'(?:src|href)="(/[^"]+)"', page)
    assert any(name.endswith(".js") for name in asked)
    for name in ["/index.html", *asked]:
        file = host.file(f"{HOME}/current{name}")
        assert file.is_file, name
        assert (file.user, file.group, file.mode) == ("root", "root", 0o644), name


def test_the_page_runs_under_a_policy_without_inline_scripts(host):
    page = host.file(f"{HOME}/current/index.html").content_string
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))
    assert "<style" not in page
    assert "style=" not in page


def test_a_new_version_has_a_new_time_so_that_browsers_fetch_it(host):
    changed = host.file(f"{HOME}/current/index.html").mtime.timestamp()
    assert time.time() - changed < 86_400


def test_nothing_half_unpacked_is_left(host):
    names = host.check_output(f"ls -A {HOME}").split()
    assert all(name == "current" or name[0].isdigit() for name in names), names
