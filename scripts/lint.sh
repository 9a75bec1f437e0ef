#!/usr/bin/env bash
# Every linter, no skips; all run, and the exit code says whether any complained.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=()
check() { echo "== $1"; shift; "$@" || failed+=("$*"); }
check "ruff" ruff check .
check "ruff format" ruff format --check .
check "mypy cllmh-node" mypy -p cllmh_node
check "mypy cllmh-hub" mypy -p cllmh_hub
check "mypy scripts" mypy scripts/*.py roles/lab/files/lab.py
check "mypy module_utils" mypy plugins/module_utils
check "yamllint" yamllint --strict .
check "ansible-lint" ansible-lint --strict
check "ansible-test sanity" scripts/sanity.sh
check "dashboard" scripts/dashboard.sh lint
check "LogQL of Grafana's dashboards" scripts/grafana.sh
if ((${#failed[@]})); then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "all clean"
