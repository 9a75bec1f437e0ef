#!/usr/bin/env bash
# Make .venv whole from the pinned lists; a half-made one is mended, a finished one is kept.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! [ -x .venv/bin/python ] || ! .venv/bin/python -c '' 2>/dev/null; then
  rm -rf .venv
  python3 -m venv .venv
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check "$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.txt)"
export VIRTUAL_ENV="$PWD/.venv" UV_NO_PROGRESS=1
uv=.venv/bin/uv
$uv pip sync --quiet --require-hashes requirements.txt requirements-dev.txt files/node/requirements.lock files/hub/requirements.lock
$uv pip install --quiet --no-deps --no-build-isolation -e files/node -e files/hub
touch .venv/.complete
