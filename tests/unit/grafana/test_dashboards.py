"""The dashboards' files: current, whole, and queries that Grafana's grammar takes."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "files/grafana"
FOLDER = ROOT / "roles/grafana/files/dashboards"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> dict[str, Any]:
    dashboard: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return dashboard


def everything(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a JSON value."""
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from everything(child)
    elif isinstance(node, list):
        for child in node:
            yield from everything(child)


def test_the_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    shutil.copytree(SOURCES, tmp_path / "files/grafana", ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "roles/grafana/files/dashboards").mkdir(parents=True)
    subprocess.run([sys.executable, str(tmp_path / "files/grafana/generate.py")], check=True, timeout=60)
    made = {path.stem: path.read_text() for path in (tmp_path / "roles/grafana/files/dashboards").glob("*.json")}
    kept = {name: (FOLDER / f"{name}.json").read_text() for name in NAMES}
    assert made == kept, "run: .venv/bin/python files/grafana/generate.py"


@pytest.mark.parametrize("name", NAMES)
def test_the_models_of_grafana_read_a_file_and_write_the_same(name: str) -> None:
    register_default_plugins()
    kept = load(name)
    assert json.loads(JSONEncoder().encode(Dashboard.from_json(kept))) == kept


@pytest.mark.parametrize("name", NAMES)
def test_each_panel_asks_the_provisioned_data_source_and_has_a_place(name: str) -> None:
    template = (ROOT / "roles/grafana/templates/etc/grafana/provisioning/datasources/cllmh.yml.j2").read_text()
    assert "uid: cllmh-loki\n" in template
    dashboard = load(name)
    sources = [node["datasource"] for node in everything(dashboard) if "datasource" in node]
    assert sources
    assert all(source == {"type": "loki", "uid": "cllmh-loki"} for source in sources)
    places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
    assert all(panel["title"] and panel["targets"] for panel in dashboard["panels"])


@pytest.mark.parametrize("name", NAMES)
def test_each_variable_in_a_query_is_one_of_the_dashboard(name: str) -> None:
    dashboard = load(name)
    known = {variable["name"] for variable in dashboard["templating"]["list"]}
    queries = [node["expr"] for node in everything(dashboard) if "expr" in node]
    used = {a or b for query in queries for a, b in re.findall(r"\$(?:\{(\w+)|(\w+))", query)}
    assert used - {"__auto", "__range"} == known
    assert all('site=~"$site"' in query for query in queries), "a query without a site asks for all of them"


def test_events_in_queries_are_in_the_catalogue() -> None:
    catalogue = json.loads((ROOT / "files/log_messages.json").read_text())
    queries = [node["expr"] for name in NAMES for node in everything(load(name)) if "expr" in node]
    texts = [text for query in queries for text in re.findall(r"event=~?\"?\(?([\w|]+)", query)]
    events = {event for text in texts for event in text.split("|") if event} - {"camera_"}
    assert {"camera_lost", "camera_returned", "clip_closed", "disk_failed"} <= events
    assert events <= set(catalogue)


def test_uids_and_titles_are_unique() -> None:
    for key in ("uid", "title"):
        assert len({load(name)[key] for name in NAMES}) == len(NAMES)


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed on this machine")
def test_a_query_that_is_no_logql_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"panels": [{"targets": [{"expr": 'sum by (site) (rate({job="cctv"} |= [5m]))'}]}]}))
    script = str(ROOT / "scripts/grafana.sh")
    right = subprocess.run([script], capture_output=True, text=True, timeout=120, check=False)
    assert right.returncode == 0, right.stderr
    found = subprocess.run([script, str(wrong)], capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 1
    assert "1 LogQL queries, 1 errors" in found.stdout


def test_the_provider_reads_the_folder_that_the_role_fills() -> None:
    tasks = (ROOT / "roles/grafana/tasks/configure.yml").read_text()
    provider = (ROOT / "roles/grafana/templates/etc/grafana/provisioning/dashboards/cllmh.yml.j2").read_text()
    assert yaml.safe_load(provider.replace("{{ ansible_managed }}", ""))["providers"][0]["options"]["path"] in tasks
