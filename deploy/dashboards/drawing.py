"""The plots of panels: values over time, and bars. Legends, numbers and tables are the page's.

matplotlib is imported when something is drawn, as in ``forecasting/report.py``.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from deploy.dashboards.asking import Field, Frame, Range
from deploy.dashboards.reading import CannotDrawError, Panel
from deploy.dashboards.values import COLORS, series_color, text_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GREY: Final = "#8a949e"
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": "#d5dadf",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eceff1",
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "ytick.left": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "scalecast",
}


@dataclass(frozen=True)
class Series:
    """One line or colour of a plot; ``times`` are texts where the bars stand for those."""

    name: str
    color: str
    times: list[Any]
    values: list[float | None]
    config: Mapping[str, Any]

    @property
    def last(self) -> float | None:
        """The last value that is there."""
        return next((value for value in reversed(self.values) if value is not None), None)


def series_of(panel: Panel, frames: Sequence[Frame]) -> list[Series]:
    """Return what a plot or the numbers of a panel show: each field of numbers of each frame."""
    found: list[Series] = []
    for frame in frames:
        along = _along(panel, frame)
        for one in frame:
            config = panel.config(one.name)
            if one.kind != "number" or not any(value is not None for value in one.values):
                continue
            color = series_color(len(found), config)
            name = config.get("displayName", one.name)
            found.append(Series(name, color, along.values, one.values, config))
    return found


def _along(panel: Panel, frame: Frame) -> Field:
    """The field that a plot goes along: time, or the first text."""
    kind = "text" if panel.type == "barchart" else "time"
    named = panel.options.get("xField")
    for one in frame:
        if one.kind == kind and named in (None, one.name):
            return one
    if panel.type == "stat":
        return frame[0]
    raise CannotDrawError(f"{panel.title!r}: no field of {kind} to draw along")


def plot(panel: Panel, series: Sequence[Series], shown: Range, size: tuple[int, int]) -> str:
    """Draw the series, ``size`` in pixels of the page; returns SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.grid(axis="x", visible=False)
        bars = _bars_over_texts if panel.type == "barchart" else _over_time
        bars(axes, series, shown)
        if panel.defaults.get("decimals") == 0:
            axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.yaxis.set_major_formatter(lambda value, at: text_of(float(value), panel.config("")))
        low, high = panel.defaults.get("min"), panel.defaults.get("max")
        axes.set_ylim(bottom=low, top=high)
        _thresholds(axes, panel)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    svg = drawn.getvalue()
    return svg[svg.index("<svg") :]


def _over_time(axes: "Axes", series: Sequence[Series], shown: Range) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    width = _bar_width(series, shown)
    below: dict[datetime, float] = {}
    for at, one in enumerate(series):
        custom = one.config["custom"]
        style = custom.get("drawStyle", "line")
        fill = custom.get("fillOpacity", 0) / 100
        values = [float("nan") if value is None else value for value in one.values]
        if style == "bars":
            _bars(axes, one, at, len(series), width, below)
        elif style == "points":
            size = custom.get("pointSize", 5)
            axes.plot(one.times, values, "o", color=one.color, markersize=size * 0.7)
        else:
            axes.plot(one.times, values, color=one.color, lw=custom.get("lineWidth", 1) * 1.1)
            if fill:
                axes.fill_between(one.times, values, color=one.color, alpha=fill, lw=0)
            _lonely_points(axes, one, always=custom.get("showPoints") == "always")
    locator = AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    short = ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(short)
    axes.set_xlim(shown.since, shown.until)  # type: ignore[arg-type]


def _lonely_points(axes: "Axes", one: Series, *, always: bool) -> None:
    """A point without a neighbour is no line: Grafana marks it."""
    there = np.array([value is not None for value in one.values])
    alone = there & ~np.append(there[1:], False) & ~np.insert(there[:-1], 0, False)
    for at in np.flatnonzero(there if always else alone):
        axes.plot([one.times[at]], [one.values[at] or 0.0], "o", color=one.color, markersize=3)


def _bars(
    axes: "Axes", one: Series, at: int, n: int, width: timedelta, below: dict[datetime, float]
) -> None:
    stacked = one.config["custom"].get("stacking", {}).get("mode") == "normal"
    alpha = max(one.config["custom"].get("fillOpacity", 0) / 100, 0.15)
    there = [pair for pair in zip(one.times, one.values, strict=True) if pair[1] is not None]
    times = [time if stacked else time + width * ((at + 0.5) / n - 0.5) for time, _ in there]
    heights = [value or 0.0 for _, value in there]
    feet = [below.get(time, 0.0) if stacked else 0.0 for time, _ in there]
    for (time, _), height in zip(there, heights, strict=True):
        below[time] = below.get(time, 0.0) + height
    wide = width if stacked else width / n
    axes.bar(times, heights, wide, feet, color=one.color, alpha=alpha, ec=one.color)  # type: ignore[arg-type]


def _bar_width(series: Sequence[Series], shown: Range) -> timedelta:
    """Most of the shortest time between two points."""
    times = sorted({time for one in series for time in one.times})
    between = [after - before for before, after in pairwise(times)]
    return min(between, default=(shown.until - shown.since) / 30) * 0.8


def _bars_over_texts(axes: "Axes", series: Sequence[Series], shown: Range) -> None:
    wide = 0.8 / len(series)
    for at, one in enumerate(series):
        places = np.arange(len(one.times)) + (at + 0.5) * wide - 0.4
        heights = [value or 0.0 for value in one.values]
        axes.bar(places, heights, wide, color=one.color, alpha=0.85)
        axes.set_xticks(range(len(one.times)), one.times)


def _thresholds(axes: "Axes", panel: Panel) -> None:
    if panel.defaults.get("custom", {}).get("thresholdsStyle", {}).get("mode") in (None, "off"):
        return
    low, high = axes.get_ylim()
    for step in panel.defaults["thresholds"]["steps"]:
        if step["value"] is not None:
            axes.axhline(step["value"], color=COLORS[step["color"]], lw=1, ls="--")
            low, high = min(low, step["value"]), max(high, step["value"])
    axes.set_ylim(low, high)
