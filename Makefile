# CLLMH: `make` lists the targets. Lab and tests need root on Debian; the rest does not.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PY := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo demo-down
demo: ## Boot two sites and a hub on this machine, roll everything out, prove it, leave it running
	@python3 scripts/demo.py up
demo-down: ## Remove all that `make demo` made: machines, mounts, bridge, NAT rules
	@python3 scripts/demo.py down

.PHONY: test lint test-unit test-roles test-e2e
test: ## Everything that must pass, from a fresh clone; installs what it needs
	@python3 scripts/test.py
lint: venv ## ansible-lint, ansible-test sanity, yamllint, ruff, mypy, eslint, vue-tsc
	@scripts/lint.sh
test-unit: venv ## Tests of the Python packages, plugins and the dashboard's logic (eight minutes)
	$(PY) -m pytest tests/unit $(PYTEST_ARGS)
	@scripts/dashboard.sh test
test-integration: venv ## The recorder against a simulated DVR, services, short benchmarks (13 minutes)
	$(PY) -m pytest tests/integration $(PYTEST_ARGS)
test-roles: venv ## Each role on real machines: check, converge, idempotence, verify (ROLE=name for one)
	@python3 scripts/test.py roles $(ROLE)
test-e2e: venv ## A fresh lab from bare machines to a person in front of the dashboard
	@python3 scripts/test.py e2e

.PHONY: bench bench-docs
bench: venv ## Measure the recorder (NAME=recorder_scale for one, SHORT=1 to see that it works); build/bench/
	@python3 scripts/machine.py --bench
	PYTHONPATH=tests $(PY) -m bench $(if $(SHORT),--short) $(NAME)
bench-docs: venv ## Write docs/benchmarks.md anew from build/bench/
	PYTHONPATH=tests $(PY) -m bench --docs

.PHONY: venv lock artifacts collection clean
venv: .venv/.complete ## .venv with pinned Ansible, the test tools, cllmh-node and cllmh-hub
.venv/.complete: requirements.txt requirements-dev.txt files/node/requirements.lock files/hub/requirements.lock files/node/pyproject.toml files/hub/pyproject.toml
	@scripts/venv.sh
lock: ## Compile the pinned requirements anew
	@scripts/lock.sh
artifacts: venv ## Stage what does not come from Debian: wheels, Loki, Promtail, the built dashboard
	.venv/bin/ansible-playbook playbooks/artifacts.yml
collection: venv ## Build the collection archive cllmh-cctv-*.tar.gz in build/
	.venv/bin/ansible-galaxy collection build --force --output-path build .
clean: ## Remove build results (not the lab: make demo-down)
	[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name lab -exec rm -rf {} +
	rm -rf .mypy_cache .ruff_cache .pytest_cache
