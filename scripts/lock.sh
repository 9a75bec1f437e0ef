#!/usr/bin/env bash
# Compile every *.in and pyproject.toml to its pinned, hashed list. One resolution serves all, so that the
# development environment can hold them together.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header "$@"; }
compile requirements.in -o requirements.txt
compile files/node/pyproject.toml -c requirements.txt -o files/node/requirements.lock
compile files/hub/pyproject.toml -c requirements.txt -c files/node/requirements.lock -o files/hub/requirements.lock
compile requirements-dev.in -c requirements.txt -c files/node/requirements.lock -c files/hub/requirements.lock -o requirements-dev.txt
