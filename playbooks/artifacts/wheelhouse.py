"""Stage a Python application: one archive for each version of Python, with its wheel and all it depends on.

The archive holds the wheels and a requirements.txt that names each with its sha256, so that
`uv pip install --no-index --require-hashes` on a machine accepts these files and no others; and uv itself, one
static binary, which makes virtual environments without a Debian package and installs ten times faster than pip.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import staging
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# glibc of the oldest target, Debian 12. pip does not infer that it also runs what older ones run.
_GLIBC_MINOR = 36
_DOWNLOAD_TIMEOUT_S = 1800
_BUILD_TIMEOUT_S = 300


def main() -> int:
    """Stage what the arguments name and print `staged ...` or `unchanged ...`."""
    arguments = _parser().parse_args()
    artifacts: Path = arguments.artifacts.resolve()
    source: Path = arguments.source.resolve()
    entry = staging.read_entry(artifacts, arguments.name)
    base = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    version = staging.source_version(base, source, arguments.architecture, *arguments.python)
    tools = arguments.tools.read_text(encoding="utf-8")
    installer = Target(arguments.python[0], arguments.architecture).select(tools, only="uv")[0]
    is_same = (entry.get("version"), entry.get("installer")) == (version, installer)
    files: dict[str, dict[str, str]] = entry.get("files", {}) if is_same else {}
    if files and all(staging.is_staged(artifacts, files.get(python)) for python in arguments.python):
        print(f"unchanged {arguments.name} {version}")
        return 0

    folder = artifacts / arguments.name
    files = {}
    with staging.workshop(artifacts, arguments.name) as scratch:
        wheel = build_wheel(source, version, base, scratch)
        for python in arguments.python:
            target = Target(python, arguments.architecture)
            house = scratch / f"wheelhouse-{python}"
            house.mkdir()
            requirements = target.select((source / "requirements.lock").read_text(encoding="utf-8"))
            for dependency in download(requirements, target, artifacts / "wheels" / f"python{python}"):
                shutil.copy2(dependency, house)
            shutil.copy2(wheel, house)
            (uv,) = download([installer], target, artifacts / "wheels" / "uv")
            extract_command(uv, "uv", house)
            own = f"{arguments.name}=={version} --hash=sha256:{staging.file_sha256(wheel)}"
            (house / "requirements.txt").write_text("\n".join([*requirements, own, ""]), encoding="utf-8")
            archive = folder / f"{arguments.name}-{version}-python{python}.tar.gz"
            sha256 = staging.pack(house, archive)
            files[python] = {"path": archive.relative_to(artifacts).as_posix(), "sha256": sha256}
    staged: dict[str, Any] = {
        "version": version,
        "architecture": arguments.architecture,
        "installer": installer,
        "files": files,
    }
    staging.write_entry(artifacts, arguments.name, staged)
    # A rollout that is under way may still copy what was staged before.
    used = [*files.values(), *entry.get("files", {}).values()]
    staging.remove_others(folder, {artifacts / file["path"] for file in used})
    print(f"staged {arguments.name} {version}")
    return 0


class Target:
    """The Python and machine that wheels are chosen for, which are not those this runs on."""

    def __init__(self, python: str, architecture: str) -> None:
        """Take ``python`` as `3.11` and ``architecture`` as `uname -m` prints it."""
        self.python = python
        self.architecture = architecture
        self._environment = {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": architecture,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{python}.0",
            "python_version": python,
            "sys_platform": "linux",
        }

    def select(self, lock: str, only: str | None = None) -> list[str]:
        """Return the requirements of a universal ``lock`` that this target needs (or ``only`` one), with their hashes.

        pip evaluates markers for the interpreter it runs in, whatever --python-version says: so it gets none.
        """
        selected = []
        for line in re.sub(r"\\\n", " ", lock).splitlines():
            specification, *hashes = line.partition(" #")[0].split(" --hash=")
            if specification.strip() and not specification.startswith("#"):
                requirement = Requirement(specification)
                if only not in (None, requirement.name):
                    continue
                if requirement.marker is None or requirement.marker.evaluate(self._environment):
                    hash_options = " ".join(f"--hash={value.strip()}" for value in hashes)
                    selected.append(f"{requirement.name}{requirement.specifier} {hash_options}")
        return selected

    def pip_options(self) -> list[str]:
        """Return the options that make pip choose wheels for this target."""
        tags = [f"manylinux_2_{minor}_{self.architecture}" for minor in range(_GLIBC_MINOR, 4, -1)]
        platforms = [*tags, f"manylinux2014_{self.architecture}"]
        return [
            "--only-binary=:all:",
            "--implementation=cp",
            f"--python-version={self.python}",
            *(f"--platform={platform}" for platform in platforms),
        ]


def download(requirements: list[str], target: Target, cache: Path) -> list[Path]:
    """Return the wheels for ``requirements``, fetched where ``cache`` does not hold them."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=cache) as scratch:
        listing = Path(scratch, "requirements.txt")
        listing.write_text("\n".join([*requirements, ""]), encoding="utf-8")
        files = [f"--find-links={cache}", f"--dest={scratch}", f"--requirement={listing}"]
        options = ["download", "--no-deps", "--require-hashes", *files, *target.pip_options()]
        # Without asking the index first: sources change often, what they depend on seldom does.
        if pip([*options, "--no-index"], _DOWNLOAD_TIMEOUT_S, stderr=subprocess.DEVNULL):
            status = pip(options, _DOWNLOAD_TIMEOUT_S)
            if status:
                raise SystemExit(f"pip download for Python {target.python} failed with {status}, see above")
        wheels = []
        for path in sorted(Path(scratch).glob("*.whl")):
            wheels.append(path.replace(cache / path.name))
    if len(wheels) != len(requirements):
        raise SystemExit(f"pip fetched {len(wheels)} wheels for {len(requirements)} requirements of {listing}")
    return wheels


def extract_command(wheel: Path, name: str, folder: Path) -> None:
    """Put the command ``name`` that a wheel carries into ``folder``."""
    with zipfile.ZipFile(wheel) as archive:
        inside = next(path for path in archive.namelist() if path.endswith(f".data/scripts/{name}"))
        (folder / name).write_bytes(archive.read(inside))
    (folder / name).chmod(0o755)


def build_wheel(source: Path, version: str, base: str, scratch: Path) -> Path:
    """Build the wheel of the project in ``source`` under ``version`` and return its path."""
    tree = scratch / "source"
    staging.copy_sources(source, tree)
    project = tree / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    project.write_text(text.replace(f'version = "{base}"', f'version = "{version}"', 1), encoding="utf-8")
    status = pip(
        ["wheel", "--no-deps", "--no-build-isolation", "--no-index", f"--wheel-dir={scratch}", str(tree)],
        _BUILD_TIMEOUT_S,
    )
    if status:
        raise SystemExit(f"pip wheel of {source} failed with {status}, see above")
    name = canonicalize_name(tomllib.loads(text)["project"]["name"]).replace("-", "_")
    return scratch / f"{name}-{version}-py3-none-any.whl"


def pip(arguments: list[str], timeout_s: float, stderr: int | None = None) -> int:
    """Run this interpreter's pip and return its exit status."""
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    return subprocess.run(command, timeout=timeout_s, stderr=stderr, check=False).returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the application, as pip knows it")
    parser.add_argument("--source", required=True, type=Path, help="folder with pyproject.toml and requirements.lock")
    parser.add_argument("--tools", required=True, type=Path, help="requirements.txt that pins uv")
    parser.add_argument("--artifacts", required=True, type=Path, help="folder to stage into")
    parser.add_argument("--architecture", required=True, help="of the machines, as `uname -m` prints it")
    parser.add_argument("python", nargs="+", help="version of Python, such as 3.11")
    return parser


if __name__ == "__main__":
    sys.exit(main())
