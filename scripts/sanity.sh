#!/usr/bin/env bash
# ansible-test sanity over the collection's plugins, without containers; arguments go to ansible-test.
# It refuses links and wants its own place, so what it needs is copied. Its tools are pinned by Ansible and come from
# PyPI into build/sanity/home; they are kept for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."
tree="$PWD/build/sanity/ansible_collections/cllmh/cctv"
export HOME="$PWD/build/sanity/home" PATH="$PWD/.venv/bin:$PATH" LC_ALL=C.UTF-8
rm -rf "$tree"
mkdir -p "$tree" "$HOME/.ansible/test/cache"
git ls-files -z --cached --others --exclude-standard galaxy.yml meta plugins tests/config.yml tests/sanity |
  xargs -0 cp --parents --no-dereference --target-directory="$tree"
# ansible-test would fetch this from ansible.com, where not every machine gets to; Python brings a pip of its own.
cat >"$HOME/.ansible/test/cache/get_pip_24_2.py" <<'PYTHON'
import ensurepip

ensurepip.bootstrap(default_pip=True)
PYTHON
cd "$tree"
git init --quiet  # else it asks this clone, which ignores build/
version=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
exec ansible-test sanity --local --python "$version" --color no "$@"
