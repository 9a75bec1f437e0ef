#!/usr/bin/env bash
# ansible-test sanity over the collection's plugins, without containers; arguments go to ansible-test.
# It refuses links and wants its own place, so what it needs is copied. Its tools are pinned by Ansible and come from
# PyPI into a home of their own in build/sanity; they are kept for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."
home="$PWD/build/sanity/home" tree="$PWD/build/sanity/ansible_collections/cllmh/cctv"
rm -rf "$tree"
mkdir -p "$tree" "$home/.ansible/test/cache" "$home/.config"
git ls-files -z --cached --others --exclude-standard galaxy.yml meta plugins tests/config.yml tests/sanity |
  xargs -0 cp --parents --no-dereference --target-directory="$tree"
if [ -d "$HOME/.config/pip" ]; then ln -sfn "$HOME/.config/pip" "$home/.config/pip"; fi
# ansible-test would fetch this from ansible.com, where not every machine gets to; Python brings a pip of its own.
cat >"$home/.ansible/test/cache/get_pip_24_2.py" <<'PYTHON'
import ensurepip

ensurepip.bootstrap(default_pip=True)
PYTHON
export HOME="$home" PATH="$PWD/.venv/bin:$PATH" LC_ALL=C.UTF-8
cd "$tree"
git init --quiet # else it asks this clone, which ignores build/
version=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
exec ansible-test sanity --local --python "$version" --color no "$@"
