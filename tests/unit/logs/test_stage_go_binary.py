"""The ways of staging a program written in Go, against a release page on this machine."""

from __future__ import annotations

import hashlib
import zipfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from served_folder import served
from unit.logs.stagers import loaded

ROOT = Path(__file__).parents[3]
STAND_IN = "#!/bin/sh\necho 'loki, version 3.7.6 (a stand-in)'\n"


@pytest.fixture(scope="module")
def stager() -> Iterator[ModuleType]:
    with loaded("go_binary") as module:
        yield module


@pytest.fixture
def release(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a release with one archive and its checksum file; yield its folder and address."""
    folder = tmp_path / "release"
    folder.mkdir()
    with zipfile.ZipFile(folder / "loki-linux-amd64.zip", "w") as archive:
        archive.writestr("loki-linux-amd64", STAND_IN)
    digest = hashlib.sha256((folder / "loki-linux-amd64.zip").read_bytes()).hexdigest()
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  other.zip\n{digest}  loki-linux-amd64.zip\n")
    with served(folder) as url:
        yield folder, url


def arguments(tmp_path: Path, release_url: str, source: str = "any") -> Namespace:
    """Return what main() would pass, with a lock file that names this release."""
    lock = tmp_path / "artifacts.lock.yml"
    if not lock.exists():
        text = (ROOT / "artifacts.lock.yml").read_text()
        pinned = yaml.safe_load(text)["loki"]["release_url"]
        lock.write_text(text.replace(pinned, release_url))
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir(exist_ok=True)
    return Namespace(name="loki", artifacts=artifacts, lock=lock, architecture="x86_64", source=source)


def digest_in_lock(args: Namespace) -> str | None:
    return yaml.safe_load(args.lock.read_text())["loki"]["release_sha256"]["amd64"]


def test_the_release_is_verified_recorded_and_not_fetched_twice(
    stager: ModuleType, release: tuple[Path, str], tmp_path: Path
) -> None:
    folder, url = release
    args = arguments(tmp_path, url)
    assert stager.stage(args) == "staged 3.7.6 from release"
    assert yaml.safe_load(args.lock.read_text())["promtail"]["release_sha256"]["amd64"] is None
    assert digest_in_lock(args) == hashlib.sha256((folder / "loki-linux-amd64.zip").read_bytes()).hexdigest()
    entry = yaml.safe_load((args.artifacts / "entries" / "loki.yml").read_text())
    assert entry["sha256"] == hashlib.sha256(STAND_IN.encode()).hexdigest()
    (folder / "loki-linux-amd64.zip").unlink()
    assert stager.stage(args) == "valid 3.7.6"


def test_a_damaged_staged_file_is_fetched_again(stager: ModuleType, release: tuple[Path, str], tmp_path: Path) -> None:
    args = arguments(tmp_path, release[1])
    stager.stage(args)
    (args.artifacts / "loki" / "3.7.6" / "amd64" / "loki").write_text("cut sho")
    assert stager.stage(args) == "staged 3.7.6 from release"


def test_an_archive_that_differs_from_its_checksum_is_refused(
    stager: ModuleType, release: tuple[Path, str], tmp_path: Path
) -> None:
    folder, url = release
    with (folder / "loki-linux-amd64.zip").open("ab") as archive:
        archive.write(b"tampered")
    args = arguments(tmp_path, url)
    with pytest.raises(stager.IntegrityError, match="the release says"):
        stager.stage(args)
    assert not (args.artifacts / "entries" / "loki.yml").exists()


def test_a_release_that_was_replaced_is_refused_by_the_lock(
    stager: ModuleType, release: tuple[Path, str], tmp_path: Path
) -> None:
    args = arguments(tmp_path, release[1])
    args.lock.write_text(args.lock.read_text().replace("amd64: null", f"amd64: {'a' * 64}"))
    with pytest.raises(stager.IntegrityError, match=r"artifacts\.lock\.yml says aaaa"):
        stager.stage(args)


def test_without_a_release_or_a_compiler_the_placed_file_is_taken(
    stager: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = arguments(tmp_path, "http://127.0.0.1:9")
    incoming = args.artifacts / "incoming"
    incoming.mkdir()
    (incoming / "loki").write_text(STAND_IN)

    def no_compiler(*_: object) -> Path:
        raise stager.NotThisWayError("no Go here")

    monkeypatch.setattr(stager, "from_module", no_compiler)
    assert stager.stage(args) == "staged 3.7.6 from placed"


def test_a_program_without_a_release_is_built_from_its_module(
    stager: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = arguments(tmp_path, "http://127.0.0.1:9")
    args.name = "versitygw"
    version = yaml.safe_load(args.lock.read_text())["versitygw"]["version"]

    def build(name: str, _pin: dict[str, str], _architecture: str, work: Path, *_: Path) -> Path:
        (work / name).write_text(f"#!/bin/sh\necho 'Version  : {version}'\n")
        return work / name

    monkeypatch.setattr(stager, "from_module", build)
    assert stager.stage(args) == f"staged {version} from module"


def test_a_placed_file_of_another_version_is_refused(stager: ModuleType, tmp_path: Path) -> None:
    args = arguments(tmp_path, "http://127.0.0.1:9", source="placed")
    incoming = args.artifacts / "incoming"
    incoming.mkdir()
    (incoming / "loki").write_text(STAND_IN.replace("3.7.6", "2.9.0"))
    with pytest.raises(stager.IntegrityError, match=r"is not loki 3\.7\.6"):
        stager.stage(args)


def test_an_older_compiler_is_not_new_enough(stager: ModuleType) -> None:
    assert stager.numbers("go1.26.8") >= stager.numbers("1.26.5")
    assert stager.numbers("go1.9.2") < stager.numbers("1.26.5")
