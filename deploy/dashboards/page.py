"""One page of a dashboard: every panel in its place, drawn or said to have no data."""

import re
from collections.abc import Sequence
from datetime import timedelta
from importlib import resources
from typing import Any, Final

from deploy.dashboards.asking import Field, Frame, Range, Sources, last
from deploy.dashboards.drawing import Series, plot, series_of
from deploy.dashboards.reading import Dashboard, Panel
from deploy.dashboards.values import COLORS, color_of, text_of

CELL: Final = (58, 38)
"""Pixels of one of the 24 columns, and of one row, of the grid."""

HEAD, LEGEND, ROW, PADDING = 28, 22, 27, 20
_WIDEST: Final = 5
"""Legend entries in a line."""


def page(dashboard: Dashboard, sources: Sources, span: timedelta | None = None) -> str:
    """Return the dashboard as one self-contained page, of the time that it shows by itself.

    Raises:
        QueryError: a query fails, or its answer is not what its panel needs.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    shown = last(span or dashboard.since)
    panels = [
        (panel, Markup(content(panel, sources.ask(panel, shown), shown)))
        for panel in dashboard.panels
    ]
    template = resources.files(__package__).joinpath("page.html").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        dashboard=dashboard, panels=panels, shown=shown, cell=CELL
    )


def content(panel: Panel, frames: Sequence[Frame], shown: Range) -> str:
    """Return what is inside a panel, as HTML."""
    if panel.type == "table":
        return _table(panel, frames) if frames else _nothing(panel)
    series = series_of(panel, frames)
    if not series:
        return _nothing(panel)
    if panel.type == "stat":
        return "".join(["<div class=stats>", *(_stat(panel, one) for one in series), "</div>"])
    lines = -(-len(series) // _WIDEST)
    width, height = panel.w * CELL[0] - PADDING, panel.h * CELL[1] - HEAD - PADDING
    drawing = plot(panel, series, shown, (width, height - lines * LEGEND))
    return drawing + _legend(panel, series)


def _nothing(panel: Panel) -> str:
    return f"<div class=nothing>{_escaped(panel.defaults.get('noValue', 'No data'))}</div>"


def _stat(panel: Panel, one: Series) -> str:
    value = one.last
    mode = panel.options.get("textMode", "auto")
    text = one.name if mode == "name" else text_of(value, one.config)
    colored = panel.options.get("colorMode", "value") != "none"
    color = color_of(value, one.config) if colored else COLORS["text"]
    named = mode == "value_and_name"
    name = f"<small>{_escaped(one.name)}</small>" if named else ""
    return f'<div class=stat style="color:{color}">{name}<b>{_escaped(text)}</b></div>'


def _legend(panel: Panel, series: Sequence[Series]) -> str:
    calcs = panel.options.get("legend", {}).get("calcs", [])
    entries = []
    for one in series:
        found = f" {text_of(one.last, one.config)}" if "lastNotNull" in calcs else ""
        if "max" in calcs:
            found += f" (max {text_of(max(v for v in one.values if v is not None), one.config)})"
        name = f"<i style=background:{one.color}></i>{_escaped(one.name)}"
        entries.append(f"<span>{name}<em>{_escaped(found)}</em></span>")
    return f"<div class=legend>{''.join(entries)}</div>"


def _table(panel: Panel, frames: Sequence[Frame]) -> str:
    """The rows that fit; Grafana would scroll to the others."""
    (frame,) = frames
    columns = [one for one in frame if not panel.config(one.name)["custom"].get("hidden")]
    configs = [panel.config(one.name) for one in columns]
    head = "".join(
        f"<th{_side(one)}{_width(config)}>{_escaped(config.get('displayName', one.name))}</th>"
        for one, config in zip(columns, configs, strict=True)
    )
    n, fits = len(frame[0].values), (panel.h * CELL[1] - HEAD - PADDING) // ROW - 1
    rows = "".join(
        f"<tr>{''.join(map(_cell, columns, configs, [at] * len(columns)))}</tr>"
        for at in range(min(n, fits if n <= fits else fits - 1))
    )
    more = f"<div class=more>and {n - fits + 1} rows more</div>" if n > fits else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _width(config: dict[str, Any]) -> str:
    width = config["custom"].get("width")
    return f" style=width:{width}px" if width else ""


def _cell(column: Field, config: dict[str, Any], at: int) -> str:
    value = column.values[at]
    how = config["custom"].get("cellOptions", {}).get("type", "auto")
    colored = how == "color-text" and value is not None
    color = f" style=color:{color_of(value, config)}" if colored else ""
    return f"<td{_side(column)}{color}>{_escaped(text_of(value, config))}</td>"


def _side(column: Field) -> str:
    return " class=number" if column.kind == "number" else ""


def _escaped(text: str) -> str:
    from markupsafe import escape

    return str(escape(re.sub(r"\s+", " ", text)))
