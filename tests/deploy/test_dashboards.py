"""Grafana's dashboards, by what Grafana makes of their JSON; there is no Grafana here.

That every query has an answer is asked of real servers in ``test_compose_processes.py``.
"""

import itertools
import re
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from deploy.dashboards.asking import SCRAPE_SECONDS
from deploy.dashboards.reading import GRAFANA, Dashboard, Panel, read_all
from tests.graph.command import ROOT

BOARDS = read_all()
PANELS = [panel for board in BOARDS for panel in board.panels]
SHORTEST_WINDOW = 4 * SCRAPE_SECONDS
"""A rate needs two scrapes; with four one may be late and one be missed."""

every_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
every_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)


def yaml_of(path: str) -> Any:
    return yaml.safe_load((ROOT / "deploy" / path).read_text())


def test_dashboards_are_read_from_the_folder_that_grafana_is_given() -> None:
    assert {board.uid for board in BOARDS} == {"pipeline", "model-quality", "serving"}
    assert [file.stem for file in sorted((GRAFANA / "dashboards").glob("*.json"))] == [
        board.uid for board in BOARDS
    ]
    (provider,) = yaml_of("grafana/dashboards/dashboards.yml")["providers"]
    assert provider["options"]["path"] == "/etc/grafana/provisioning/dashboards"


@every_board
def test_no_panel_lies_on_another_and_each_has_a_number_of_its_own(board: Dashboard) -> None:
    assert len({panel.id for panel in board.panels}) == len(board.panels)
    taken: dict[tuple[int, int], str] = {}
    for panel in board.panels:
        assert panel.x + panel.w <= 24, panel.title
        for cell in itertools.product(
            range(panel.x, panel.x + panel.w), range(panel.y, panel.y + panel.h)
        ):
            assert cell not in taken, f"{panel.title} lies on {taken.get(cell)}"
            taken[cell] = panel.title
    assert board.document["timezone"] == "utc"
    assert board.document["schemaVersion"] == 41  # of Grafana 12.1, which compose starts


@every_panel
def test_a_panel_asks_sources_that_are_provisioned_in_their_language(panel: Panel) -> None:
    provisioned = {
        source["uid"]: source["type"]
        for source in yaml_of("grafana/datasources/datasources.yml")["datasources"]
    }
    assert panel.targets
    assert len({target.ref_id for target in panel.targets}) == len(panel.targets)
    for target in panel.targets:
        language = {"prometheus": "promql", "grafana-postgresql-datasource": "sql"}
        asked = {"promql": target.promql, "sql": target.sql}
        assert asked.pop(language[provisioned[target.uid]])
        assert list(asked.values()) == [None]
    (given,) = [
        one for board in BOARDS for one in board.document["panels"] if one["title"] == panel.title
    ]
    for source in [given["datasource"], *(target["datasource"] for target in given["targets"])]:
        assert source["type"] == provisioned[source["uid"]]


@every_panel
def test_answers_come_in_the_format_that_the_panel_shows(panel: Panel) -> None:
    for target in panel.targets:
        if panel.type == "timeseries":
            assert target.format == "time_series"
            assert not target.instant
            assert target.promql or re.search(r"\bas time\b.* order by ", target.sql or "")
        else:
            assert target.instant or target.sql
            assert target.format == "table" or panel.type == "stat"
        if target.promql and panel.type != "table":
            assert "{{" in target.legend or panel.type == "stat"


@every_panel
def test_a_panel_says_what_it_means_and_when_it_is_bad(panel: Panel) -> None:
    assert panel.description
    if panel.type == "stat":
        # Else Grafana shows 80 and more in red, and draws the past behind the number.
        assert panel.defaults["thresholds"]["steps"][0]["value"] is None
        assert panel.options["graphMode"] == "none"


@every_panel
def test_plots_and_tables_of_the_past_keep_to_the_time_that_is_shown(panel: Panel) -> None:
    for target in panel.targets:
        if target.sql and panel.type != "stat" and "at the latest look" not in panel.title:
            assert "$__timeFilter(" in target.sql
            # Grafana ends the macro at the first closing parenthesis.
            assert not re.search(r"\$__timeFilter\([^)]*\(", target.sql)


def expressions() -> list[str]:
    asked = [target.promql for panel in PANELS for target in panel.targets if target.promql]
    groups = yaml_of("prometheus/rules.yml")["groups"]
    return [*asked, *(rule["expr"] for group in groups for rule in group["rules"])]


@pytest.mark.parametrize("expression", expressions())
def test_counters_are_read_as_rises_over_enough_scrapes(expression: str) -> None:
    seconds = {"m": 60, "h": 3600}
    expression = re.sub(r'"[^"]*"', '""', expression)
    for number, unit in re.findall(r"\[(\d+)([mh])\]", expression):
        assert int(number) * seconds[unit] >= SHORTEST_WINDOW
    for window in re.findall(r"\[([^\]]+)\]", expression):
        assert re.fullmatch(r"\d+[mh]|\$__rate_interval", window)
    for counter in re.findall(r"\w+_(?:total|bucket)\b", expression):
        assert re.search(rf"(?:rate|increase)\({counter}(?:\{{[^}}]*\}})?\[", expression), counter


def test_prometheus_scrapes_as_often_as_grafana_believes() -> None:
    assert yaml_of("prometheus/prometheus.yml")["global"]["scrape_interval"] == (
        f"{SCRAPE_SECONDS}s"
    )
    sources = yaml_of("grafana/datasources/datasources.yml")["datasources"]
    assert all("timeInterval" not in source.get("jsonData", {}) for source in sources)


def test_the_page_on_dashboards_has_a_line_on_each_panel() -> None:
    page = (ROOT / "docs" / "dashboards.md").read_text()
    told = re.findall(r"^\| \*\*(.+?)\*\* \|", page, re.MULTILINE)
    assert told == [
        panel.title
        for uid in ("pipeline", "model-quality", "serving")
        for board in BOARDS
        if board.uid == uid
        for panel in sorted(board.panels, key=lambda panel: (panel.y, panel.x))
    ]
    for uid in ("pipeline", "model-quality", "serving"):
        assert f"pictures/{uid}.png" in page
        picture = ROOT / "docs" / "pictures" / f"{uid}.png"
        assert 10_000 < picture.stat().st_size < 200_000
