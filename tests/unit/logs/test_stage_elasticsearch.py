"""The ways of staging Elasticsearch, against a release page and a Maven on this machine."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from served_folder import served
from unit.logs.stagers import loaded

OFFICIAL = "elasticsearch-9.2.0-linux-x86_64.tar.gz"
NO_RELEASE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def stager() -> Iterator[ModuleType]:
    with loaded("elasticsearch") as module:
        yield module


def official_archive(version: str = "9.2.0") -> bytes:
    """Return an archive that looks like the official one."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in (f"lib/elasticsearch-{version}.jar", "jdk/bin/java", "bin/elasticsearch"):
            tar.addfile(tarfile.TarInfo(f"elasticsearch-{version}/{name}"))
    return packed.getvalue()


@pytest.fixture
def release(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a release with one archive and its checksum file; yield its folder and address."""
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / OFFICIAL).write_bytes(official_archive())
    digest = hashlib.sha512((folder / OFFICIAL).read_bytes()).hexdigest()
    (folder / f"{OFFICIAL}.sha512").write_text(f"{digest}  {OFFICIAL}\n")
    with served(folder) as url:
        yield folder, url


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a `mvn` in front of the path that copies a server for integration tests; return the server's sha256."""
    tools = tmp_path / "tools"
    tools.mkdir()
    with zipfile.ZipFile(tools / "server.zip", "w") as archive:
        archive.writestr("elasticsearch-9.2.0/lib/elasticsearch-9.2.0.jar", b"")
        archive.writestr("elasticsearch-9.2.0/bin/elasticsearch", b"#!/bin/sh\n")
    script = f"""#!/bin/sh
for word; do
  case $word in -DoutputDirectory=*) cp {tools}/server.zip "${{word#*=}}/elasticsearch-9.2.0.zip";; esac
done
"""
    (tools / "mvn").write_text(script)
    (tools / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    return hashlib.sha256((tools / "server.zip").read_bytes()).hexdigest()


def arguments(tmp_path: Path, release_url: str = NO_RELEASE, source: str = "any", maven_sha256: str = "0") -> Namespace:
    """Return what main() would pass, with a lock file that names this release."""
    lock = tmp_path / "artifacts.lock.yml"
    lock.write_text(f"""---
elasticsearch:
  version: 9.2.0
  release_url: {release_url}
  release_sha512:
    x86_64: null
  maven_artifact: org.elasticsearch.distribution.integ-test-zip:elasticsearch
  maven_sha256: "{maven_sha256}"
""")
    return Namespace(artifacts=tmp_path / "artifacts", lock=lock, architecture="x86_64", source=source)


def entry(args: Namespace) -> dict[str, object]:
    return dict(yaml.safe_load((args.artifacts / "entries/elasticsearch.yml").read_text()))


def test_the_release_is_verified_recorded_and_not_fetched_again(
    stager: ModuleType, tmp_path: Path, release: tuple[Path, str]
) -> None:
    folder, url = release
    args = arguments(tmp_path, url)
    assert stager.stage(args) == "staged 9.2.0 from release"
    assert entry(args)["has_java"] is True
    digest = hashlib.sha512((folder / OFFICIAL).read_bytes()).hexdigest()
    assert yaml.safe_load(args.lock.read_text())["elasticsearch"]["release_sha512"]["x86_64"] == digest
    (folder / OFFICIAL).unlink()
    assert stager.stage(args) == "valid 9.2.0"


def test_a_release_that_is_not_what_it_says_is_refused(
    stager: ModuleType, tmp_path: Path, release: tuple[Path, str], maven: str
) -> None:
    folder, url = release
    (folder / OFFICIAL).write_bytes(official_archive() + b"x")
    args = arguments(tmp_path, url, maven_sha256=maven)
    with pytest.raises(stager.IntegrityError, match="sha512"):
        stager.stage(args)
    assert not (args.artifacts / "entries/elasticsearch.yml").exists()


def test_without_a_release_maven_has_a_server_for_tests(stager: ModuleType, tmp_path: Path, maven: str) -> None:
    args = arguments(tmp_path, maven_sha256=maven)
    assert stager.stage(args) == "staged 9.2.0 from maven"
    staged = entry(args)
    assert (staged["source"], staged["has_java"]) == ("maven", False)
    with tarfile.open(args.artifacts / str(staged["path"])) as tar:
        assert tar.getmember("elasticsearch-9.2.0/bin/elasticsearch").mode == 0o755


def test_another_file_from_maven_is_refused(stager: ModuleType, tmp_path: Path, maven: str) -> None:
    with pytest.raises(stager.IntegrityError, match=maven):
        stager.stage(arguments(tmp_path))


def test_an_archive_of_another_version_is_refused(stager: ModuleType, tmp_path: Path) -> None:
    args = arguments(tmp_path, source="placed")
    (args.artifacts / "incoming").mkdir(parents=True)
    (args.artifacts / "incoming" / OFFICIAL).write_bytes(official_archive("9.1.0"))
    with pytest.raises(stager.IntegrityError, match=r"is not Elasticsearch 9\.2\.0"):
        stager.stage(args)


def test_where_no_way_is_open_each_is_told(stager: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(stager.NotThisWayError, match=r"release .*; Maven: .*; .*incoming"):
        stager.stage(arguments(tmp_path))
