#!/usr/bin/env python3
"""Stage Elasticsearch below the artifacts directory.

Three ways, tried in this order: the official archive, which brings its own Java (verified against the release's own
checksum file and against artifacts.lock.yml); the server that the project publishes for integration tests, by Maven
(for tests: it lacks most of the product); an official archive that the user placed as
incoming/<archive>. Prints "staged ..." when it changed something, "valid ..." when it did not.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import release
import staging
import yaml
from release import IntegrityError, NotThisWayError

_NAME = "elasticsearch"
_MAVEN_TIMEOUT_S = 1800


def from_release(pin: dict[str, Any], architecture: str, work: Path, lock: Path) -> Path:
    """Return the official archive; NotThisWayError when the release cannot be reached."""
    name = archive_name(pin, architecture)
    locked = pin["release_sha512"].get(architecture)
    archive, found = release.fetch(
        pin["release_url"], f"{name}.sha512", name, algorithm="sha512", locked=locked, work=work
    )
    if locked is None:
        release.record_in_lock(lock, _NAME, architecture, found)
    return archive


def from_maven(pin: dict[str, Any], work: Path) -> Path:
    """Return the server for integration tests, packed as the official archive is."""
    artifact = f"{pin['maven_artifact']}:{pin['version']}:zip"
    command = [
        "mvn",
        "--batch-mode",
        "--quiet",
        "dependency:copy",
        f"-Dartifact={artifact}",
        f"-DoutputDirectory={work}",
    ]
    try:
        subprocess.run(command, stdout=sys.stderr, timeout=_MAVEN_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotThisWayError(f"Maven: {error}") from error
    fetched = work / f"{_NAME}-{pin['version']}.zip"
    found = staging.file_sha256(fetched)
    if found != pin["maven_sha256"]:
        raise IntegrityError(f"{fetched.name}: sha256 is {found}; artifacts.lock.yml says {pin['maven_sha256']}")
    tree = work / "tree"
    with zipfile.ZipFile(fetched) as content:
        content.extractall(tree)  # noqa: S202  its checksum is the pinned one
    for program in tree.glob("*/bin/*"):
        program.chmod(0o755)  # zipfile forgets it
    staging.pack(tree, work / "maven.tar.gz")
    return work / "maven.tar.gz"


def from_placed_file(pin: dict[str, Any], architecture: str, artifacts: Path) -> Path:
    """Return the archive the user put into incoming/; it stays there."""
    placed = artifacts / "incoming" / archive_name(pin, architecture)
    if not placed.is_file():
        raise NotThisWayError(f"no file {placed}")
    return placed


def archive_name(pin: dict[str, Any], architecture: str) -> str:
    """Return what the official archive is called."""
    return f"{_NAME}-{pin['version']}-linux-{architecture}.tar.gz"


def has_java(archive: Path, version: str) -> bool:
    """Tell whether the archive brings its own Java; refuse it when it is another version than the pinned one."""
    with tarfile.open(archive) as content:
        names = content.getnames()
    if not any(name.endswith(f"/lib/{_NAME}-{version}.jar") for name in names):
        raise IntegrityError(f"{archive.name} is not Elasticsearch {version}: it has no lib/{_NAME}-{version}.jar")
    return any(name.endswith("/jdk/bin/java") for name in names)


def stage(args: argparse.Namespace) -> str:
    """Stage it and return the line to print: 'staged <version> from <way>' or 'valid <version>'."""
    artifacts: Path = args.artifacts.resolve()
    pin = yaml.safe_load(args.lock.read_text(encoding="utf-8"))[_NAME]
    version = str(pin["version"])
    path = f"{_NAME}/{version}/{args.architecture}/{_NAME}.tar.gz"
    entry = staging.read_entry(artifacts, _NAME)
    # Whoever asks for one way does not get what came another way.
    if entry.get("path") == path and args.source in ("any", entry["source"]) and staging.is_staged(artifacts, entry):
        return f"valid {version}"
    refused = []
    with staging.workshop(artifacts, _NAME) as work:
        ways = {
            "release": lambda: from_release(pin, args.architecture, work, args.lock),
            "maven": lambda: from_maven(pin, work),
            "placed": lambda: from_placed_file(pin, args.architecture, artifacts),
        }
        for way, get in ways.items():
            if args.source not in ("any", way):
                continue
            try:
                archive = get()
            except NotThisWayError as error:
                refused.append(str(error))
                continue
            java = has_java(archive, version)
            target = artifacts / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if way == "placed":
                target.unlink(missing_ok=True)
                target.hardlink_to(archive)
            else:
                archive.replace(target)
            sha256 = staging.file_sha256(target)
            staging.write_entry(
                artifacts,
                _NAME,
                {"version": version, "path": path, "sha256": sha256, "source": way, "has_java": java},
            )
            return f"staged {version} from {way}"
    raise NotThisWayError("; ".join(refused))


def main() -> int:
    """Parse the arguments, stage, and say in one line what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artifacts", type=Path, required=True, help="the artifacts directory")
    parser.add_argument("--lock", type=Path, required=True, help="artifacts.lock.yml")
    parser.add_argument("--architecture", choices=["x86_64", "aarch64"], default="x86_64")
    parser.add_argument("--source", choices=["any", "release", "maven", "placed"], default="any")
    try:
        print(stage(parser.parse_args()))
    except (NotThisWayError, IntegrityError) as error:
        print(f"Elasticsearch cannot be staged: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
