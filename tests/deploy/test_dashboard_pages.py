"""The pages of dashboards: from queries and answers to what somebody sees."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.dashboards.asking import (
    Field,
    Frame,
    QueryError,
    Range,
    Sources,
    in_promql,
    in_sql,
    over_time,
)
from deploy.dashboards.page import content, page
from deploy.dashboards.reading import CannotDrawError, Dashboard, Panel, read
from deploy.dashboards.values import COLORS, color_of, text_of

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
SHOWN = Range(BEGIN, BEGIN + timedelta(days=10))
STEPS = [{"color": "green", "value": None}, {"color": "orange", "value": 0.1}]


def dashboard(type_: str, sql: str = "select 1", **given: Any) -> Dashboard:
    """One panel; ``given`` are its parts besides, ``defaults`` and ``overrides`` among them."""
    defaults, overrides = given.pop("defaults", {}), given.pop("overrides", [])
    source = {"type": "grafana-postgresql-datasource", "uid": "warehouse"}
    kind = "time_series" if type_ == "timeseries" else "table"
    panel = {
        "id": 1,
        "title": "A <panel>",
        "type": type_,
        "datasource": source,
        "gridPos": {"x": 0, "y": 0, "w": 12, "h": 8},
        "targets": [{"refId": "A", "datasource": source, "rawSql": sql, "format": kind}],
        "fieldConfig": {"defaults": defaults, "overrides": overrides},
        **given,
    }
    time = {"from": "now-30d", "to": "now"}
    board = {"uid": "one", "title": "One", "description": "", "time": time, "panels": [panel]}
    return read(board)


def panel(type_: str, **given: Any) -> Panel:
    return dashboard(type_, **given).panels[0]


def days(*at: int) -> Field:
    return Field("time", "time", [BEGIN + timedelta(days=day) for day in at])


def numbers(name: str, *values: float | None) -> Field:
    return Field(name, "number", list(values))


@pytest.mark.parametrize("type_", ["stat", "timeseries", "barchart", "table"])
def test_a_panel_without_data_says_so_in_its_words_if_it_has_any(type_: str) -> None:
    assert "No data" in content(panel(type_), [], SHOWN)
    told = panel(type_, defaults={"noValue": "Nobody <asked>"})
    assert "Nobody &lt;asked&gt;" in content(told, [], SHOWN)
    if type_ != "table":
        empty = [days(1), Field("x", "text", ["1"]), numbers("a", None)]
        assert "No data" in content(panel(type_), [empty], SHOWN)


def test_a_number_has_the_colour_of_the_threshold_that_it_has_reached() -> None:
    of = panel("stat", defaults={"unit": "percentunit", "thresholds": {"steps": STEPS}})
    for value, text, color in ((0.05, "5%", "green"), (0.1, "10%", "orange")):
        drawn = content(of, [[numbers("share", value)]], SHOWN)
        assert f"<b>{text}</b>" in drawn
        assert f"color:{COLORS[color]}" in drawn
    assert color_of(80, {}) == COLORS["red"]  # where a panel has no thresholds
    assert color_of(79, {}) == COLORS["green"]


def test_a_table_has_its_cells_and_says_how_many_rows_do_not_fit() -> None:
    frame: Frame = [
        Field("state", "text", ["refused", *["published"] * 20]),
        Field("secret", "text", ["x"] * 21),
        Field("taken", "time", [None, *[BEGIN] * 20]),
        numbers("rows", *range(21)),
    ]
    shown = panel(
        "table",
        overrides=[
            _override("secret", {"custom.hidden": True}),
            _override("taken", {"noValue": "waits", "displayName": "taken up"}),
            _override(
                "state",
                {
                    "custom.cellOptions": {"type": "color-text"},
                    "mappings": [
                        {"type": "value", "options": {"refused": {"text": "no!", "color": "red"}}}
                    ],
                },
            ),
        ],
    )
    drawn = content(shown, [frame], SHOWN)
    assert f"color:{COLORS['red']}>no!<" in drawn
    assert "secret" not in drawn
    assert "taken up</th>" in drawn
    assert ">waits</td>" in drawn
    assert ">2026-03-01 00:00:00</td>" in drawn
    rows = drawn.count("<tr>") - 1
    assert 3 < rows < 21
    assert f"and {21 - rows} rows more" in drawn


def _override(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    given = [{"id": key, "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": given}


def test_a_plot_has_lines_in_their_colours_with_a_legend_and_the_threshold() -> None:
    shown = panel(
        "timeseries",
        defaults={
            "unit": "percentunit",
            "custom": {"thresholdsStyle": {"mode": "dashed"}},
            "thresholds": {"steps": [*STEPS, {"color": "red", "value": 0.9}]},
        },
        overrides=[_override("naive", {"color": {"mode": "fixed", "fixedColor": "purple"}})],
        options={"legend": {"calcs": ["lastNotNull", "max"]}},
    )
    frame = [days(1, 2, 3), numbers("model", 0.2, 0.4, 0.3), numbers("naive", 0.5, 0.25, None)]
    drawn = content(shown, [frame], SHOWN)
    assert drawn.count(f"stroke: {COLORS['purple']}") == 1
    assert f"stroke: {COLORS['red']}" in drawn  # far above the lines, and in the picture
    assert "</i>model<em> 30% (max 40%)</em>" in drawn
    assert "</i>naive<em> 25% (max 50%)</em>" in drawn
    assert ">40%</text>" in drawn


def test_stacked_bars_stand_on_each_other_and_begin_at_nought() -> None:
    stacked = {"drawStyle": "bars", "stacking": {"mode": "normal"}}
    shown = panel("timeseries", defaults={"custom": stacked, "decimals": 0})
    drawn = content(shown, [[days(1, 2), numbers("a", 3, None), numbers("b", 4, 1)]], SHOWN)
    assert ">7</text>" in drawn or ">6</text>" in drawn  # an axis up to the sum
    assert ">0</text>" in drawn


def test_bars_stand_over_texts() -> None:
    shown = panel("barchart", options={"xField": "ahead"})
    drawn = content(
        shown, [[Field("ahead", "text", ["1", "2x"]), numbers("wape", 0.1, 0.2)]], SHOWN
    )
    assert ">2x</text>" in drawn
    with pytest.raises(CannotDrawError, match="no field of text"):
        content(shown, [[numbers("wape", 0.1)]], SHOWN)


@pytest.mark.parametrize(
    ("value", "config", "text"),
    [
        (129_600, {"unit": "s"}, "1.5 days"),
        (0.0248, {"unit": "s"}, "24.8 ms"),
        (0, {"unit": "s"}, "0 s"),
        (2, {"unit": "d"}, "2 days"),
        (0.2671, {"unit": "percentunit", "decimals": 1}, "26.7%"),
        (12_345, {"unit": "short"}, "12.3 K"),
        (7.513, {"unit": "reqps"}, "7.51 req/s"),
        (2, {"unit": "suffix: sidecars"}, "2 sidecars"),
        (8.0, {}, "8"),
        (None, {"noValue": "open"}, "open"),
        (BEGIN, {"unit": "time:YYYY-MM-DD"}, "2026-03-01"),
        (1.0, {"mappings": [{"type": "value", "options": {"1": {"text": "ready"}}}]}, "ready"),
    ],
)
def test_values_look_as_their_unit_says(value: Any, config: Mapping[str, Any], text: str) -> None:
    assert text_of(value, config) == text


def test_what_cannot_be_drawn_is_refused_by_name() -> None:
    with pytest.raises(CannotDrawError, match=r"options.sparkle"):
        dashboard("stat", options={"sparkle": True})
    with pytest.raises(CannotDrawError, match="piechart"):
        dashboard("piechart")
    with pytest.raises(CannotDrawError, match="unit 'furlongs'"):
        text_of(1.0, {"unit": "furlongs"})


def test_macros_are_replaced_as_grafana_does() -> None:
    within = "at BETWEEN '2026-03-01T00:00:00Z' AND '2026-03-11T00:00:00Z'"
    assert in_sql("select 1 where $__timeFilter(at) and true", SHOWN) == (
        f"select 1 where {within} and true"
    )
    with pytest.raises(CannotDrawError, match=r"\$__timeGroup"):
        in_sql("select $__timeGroup(at, '1d')", SHOWN)
    assert in_promql("rate(x[$__rate_interval])", step=15) == "rate(x[60s])"
    assert in_promql("rate(x[$__rate_interval])", step=300) == "rate(x[315s])"


def test_rows_become_series_by_their_text_columns() -> None:
    rows = [
        Field("time", "time", [BEGIN, BEGIN, BEGIN + timedelta(days=1)]),
        Field("metric", "text", ["refused", "published", "published"]),
        numbers("files", 1, 2, 3),
    ]
    wide = over_time(rows)
    assert [(one.name, one.values) for one in wide[1:]] == [
        ("refused", [1, None]),
        ("published", [2, 3]),
    ]
    with pytest.raises(QueryError, match="in the order of `time`"):
        over_time([days(2, 1), numbers("files", 1, 2)])
    with pytest.raises(QueryError, match="needs a column `time`"):
        over_time([Field("time", "text", ["2026-03-01"]), numbers("files", 1)])


def test_a_page_is_made_of_what_postgres_answers(database_url: str, tmp_path: Path) -> None:
    sql = (
        "select date '2026-03-01' as day, 0.25::numeric as share, null::float8 as nothing, 'T' as t"
        " where $__timeFilter(now())"
    ).replace("now()", "current_date")
    board = dashboard("table", sql, overrides=[_override("nothing", {"noValue": "–"})])
    with psycopg.connect(database_url, autocommit=True) as connection:
        sources = Sources("http://127.0.0.1:1", connection)
        drawn = page(board, sources)
        (frame,) = sources.ask(board.panels[0], Range(BEGIN, datetime.now(UTC)))
        assert [one.kind for one in frame] == ["time", "number", "number", "text"]
        assert frame[0].values == [datetime.combine(date(2026, 3, 1), datetime.min.time(), UTC)]
        with pytest.raises(QueryError, match=r"A <panel> \(A\): .*nowhere"):
            page(dashboard("stat", "select * from nowhere"), sources)
    assert "A &lt;panel&gt;" in drawn
    assert "grid-area: 1 / 1 / span 8 / span 12" in drawn
    assert '<td class="number">–' in drawn or "<td class=number>–</td>" in drawn
