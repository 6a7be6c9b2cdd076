"""The report of a model: plots, the leaderboard, and a page that a store manager can read.

``ModelReport`` holds what is told, ``plot_*`` draw it (SVG or PNG bytes), ``render_html`` makes one
self-contained file. The page's HTML is in ``report_page.html``; the figures' formulas in
``metrics.py``. matplotlib and jinja2 are imported only when something is drawn.
"""

import base64
import datetime as dt
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalecast_assets.contract.intervals import DEFAULT_LEVEL
from scalecast_assets.forecasting.calibration import CalibratedIntervals
from scalecast_assets.forecasting.conformal import CoverageRow
from scalecast_assets.forecasting.coverage_report import HEAD, coverage_table, overall
from scalecast_assets.forecasting.evaluation import Holdout, Scores
from scalecast_assets.forecasting.leaderboard import Decision, LeaderboardRow, cells, ranked
from scalecast_assets.forecasting.training_rows import Float64, Int32
from scalecast_assets.forecasting.training_set import TrainingSet
from scalecast_assets.keys import BASELINES, CANDIDATES, CHAMPION, NAIVE_BASELINE, REFERENCES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["svg", "png"]

SHOWN_DAYS = 56
"""Days of history before the origin in a plot of actual against forecast."""

TITLES: Mapping[str, str] = {
    "naive_baseline": "Yesterday again (naive)",
    "mean_baseline": "Last week's mean",
    "linear_regression": "Linear regression",
    "random_forest": "Random forest",
    "xgboost": "Gradient boosting (XGBoost)",
    "pytorch_nn": "Neural network (PyTorch)",
    "training_median": "One constant (median)",
    "seasonal_naive": "Same weekday last week",
    CHAMPION: "Champion, refitted",
}

_INK, _GREY, _PALE = "#1f2933", "#9aa5b1", "#cbd2d9"
_FORECAST, _BASELINE = "#d1495b", "#2a7f9e"
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "scalecast",
}


@dataclass(frozen=True, eq=False)
class Curve:
    """Actual beside forecast of one thing, day by day; days count from 1970-01-01.

    ``forecast`` and ``baseline`` stand on ``forecast_day``, the scored days after the origin; so do
    ``lower`` and ``upper``, its interval, where there is one (sums of series have none).
    """

    title: str
    day: Int32
    actual: Float64
    forecast_day: Int32
    forecast: Float64
    baseline: Float64
    baseline_name: str
    lower: Float64 | None = None
    upper: Float64 | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the curve as plain lists, for the verdict."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Curve":
        """Return the curve written by ``to_json``."""
        days = {name: np.array(values[name], np.int32) for name in ("day", "forecast_day")}
        names = ("actual", "forecast", "baseline", "lower", "upper")
        given = {name: values[name] for name in names if values.get(name) is not None}
        units = {name: np.array(column, np.float64) for name, column in given.items()}
        return cls(**{**values, **days, **units})


@dataclass(frozen=True)
class SourceFile:
    """A raw file that the training set was made from."""

    key: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class ModelReport:
    """What the page tells about one version. Days are ISO dates, ``importances`` shares of 1."""

    version: str
    name: str
    decision: Decision
    rows: Sequence[LeaderboardRow]
    curves: Sequence[Curve]
    importances: Mapping[str, float] | None
    horizon_days: int
    first_day: dt.date
    last_day: dt.date
    scored_fit_cutoff: dt.date
    fit_cutoff: dt.date
    series: int
    stores: int
    training_rows: int
    scored_rows: int
    unscored: Mapping[str, int]
    training_set_sha256: str
    files: Sequence[SourceFile]
    made_at: str
    notes: Sequence[str] = field(default=())
    coverage: Sequence[CoverageRow] = ()
    why_no_intervals: str | None = None


def curves(
    training_set: TrainingSet,
    holdout: Holdout,
    scores: Scores,
    baseline: Scores,
    baseline_name: str = NAIVE_BASELINE,
    n_series: int = 3,
    intervals: CalibratedIntervals | None = None,
) -> list[Curve]:
    """Return the total of the scored series, then the ``n_series`` that sell most.

    Days on which nothing was scored have no forecast in the total. ``intervals`` are those of the
    model whose ``scores`` they are.
    """
    sold = np.bincount(holdout.series, weights=holdout.actual, minlength=training_set.n_series)
    sold[np.setdiff1d(np.arange(training_set.n_series), holdout.chosen)] = -1
    best = np.argsort(-sold, kind="stable")[: min(n_series, len(holdout.chosen))]
    groups = [(f"All {len(holdout.chosen):,} items and stores together", holdout.chosen)]
    for at in best.tolist():
        store = training_set.store_ids[training_set.series_store[at]]
        product = training_set.product_ids[training_set.series_product[at]]
        groups.append((f"{product} in {store}", np.array([at])))
    found: list[Curve] = []
    for title, series in groups:
        past = np.isin(training_set.series, series) & (training_set.day <= holdout.origin_day)
        past &= training_set.day > holdout.origin_day - SHOWN_DAYS
        mine = np.isin(scores.series, series)
        before, before_sum = _daily(training_set.day[past], training_set.quantity[past])
        days, actual = _daily(scores.day[mine], scores.actual[mine])
        band = intervals.band(int(series[0]), days) if intervals and len(found) else None
        found.append(
            Curve(
                title=title,
                day=np.concatenate([before, days]),
                actual=np.concatenate([before_sum, actual]),
                forecast_day=days,
                forecast=_daily(scores.day[mine], scores.forecast[mine])[1],
                baseline=_daily(scores.day[mine], baseline.forecast[mine])[1],
                baseline_name=baseline_name,
                lower=band[0] if band else None,
                upper=band[1] if band else None,
            )
        )
    return found


def plot_curves(shown: Sequence[Curve], fmt: Format = "svg") -> bytes:
    """Draw the first curve large, the others in a row below it."""

    def draw(figure: "Figure") -> None:
        grid = figure.add_gridspec(len(heights), max(len(shown) - 1, 1), height_ratios=heights)
        for place, curve in enumerate(shown):
            cell = grid[0, :] if place == 0 else grid[1, place - 1]
            _draw_curve(figure.add_subplot(cell), curve, large=place == 0)

    heights = [3.2, 2.1][: 1 + (len(shown) > 1)]
    return _drawn((9.6, sum(heights)), fmt, draw)


def plot_importances(importances: Mapping[str, float], fmt: Format = "svg", top: int = 5) -> bytes:
    """Draw the ``top`` features by share of importance."""
    best = sorted(importances.items(), key=lambda item: -item[1])[:top]
    bars = [(name, share, f"{share:.0%}", _BASELINE) for name, share in best]
    return _plot_bars(bars, fmt)


def plot_leaderboard(rows: Sequence[LeaderboardRow], served: str, fmt: Format = "svg") -> bytes:
    """Draw the mean absolute error of every row, best first; what is served stands out."""
    bars = []
    for row in ranked(rows):
        plain = _GREY if row.name in (*BASELINES, *REFERENCES) else _PALE
        color = _FORECAST if row.name == served else plain
        bars.append((TITLES.get(row.name, row.name), row.mae, f"{row.mae:.2f}", color))
    return _plot_bars(bars, fmt)


def markdown_image(png: bytes, title: str) -> str:
    """Return an image that Dagster's markdown metadata shows in place."""
    return f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})"


def render_html(report: ModelReport) -> str:
    """Return the whole page, nothing of it loaded from elsewhere."""
    from jinja2 import Environment, StrictUndefined

    template = resources.files(__package__).joinpath("report_page.html").read_text("utf-8")
    served = _served_row(report)
    baselines = [row for row in report.rows if row.name in (*BASELINES, *REFERENCES)]
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(template)
    return page.render(
        report=report,
        title=TITLES.get(report.name, report.name),
        served=served,
        titles=TITLES,
        baselines=sorted(baselines, key=lambda row: row.mae),
        table=[(row.name, cells(row)[1:]) for row in ranked(report.rows)],
        candidates=CANDIDATES,
        curves=plot_curves(report.curves).decode() if report.curves else "",
        importances=plot_importances(report.importances).decode() if report.importances else "",
        bars=plot_leaderboard(report.rows, served.name).decode(),
        unscored={reason: n for reason, n in report.unscored.items() if n},
        level=DEFAULT_LEVEL,
        covered=overall(report.coverage).get(DEFAULT_LEVEL),
        coverage_head=HEAD,
        coverage=coverage_table(report.coverage),
    )


def _served_row(report: ModelReport) -> LeaderboardRow:
    wanted = CHAMPION if report.decision.outcome == "kept" else report.name
    found = [row for row in report.rows if row.name == wanted]
    if len(found) != 1:
        raise ValueError(
            f"report of {report.version}: expected one leaderboard row {wanted!r}, "
            f"found {len(found)} among {', '.join(row.name for row in report.rows) or 'none'}"
        )
    return found[0]


def _daily(day: Int32, quantity: Float64) -> tuple[Int32, Float64]:
    days, at = np.unique(day, return_inverse=True)
    sums = np.bincount(at, weights=quantity, minlength=len(days))
    return days, sums.astype(np.float64)


def _drawn(size: tuple[float, float], fmt: Format, draw: Callable[["Figure"], None]) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    out = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        metadata = {"Date": None} if fmt == "svg" else None
        figure.savefig(out, format=fmt, dpi=110, metadata=metadata)
    image = out.getvalue()
    return image[image.index(b"<svg") :] if fmt == "svg" else image


def _plot_bars(bars: Sequence[tuple[str, float, str, str]], fmt: Format) -> bytes:
    """Draw horizontal bars (label, length, text, color), the first on top."""

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        names, lengths, texts, colors = zip(*reversed(bars), strict=True)
        drawn = axes.barh(names, lengths, color=colors, height=0.72)
        axes.bar_label(drawn, labels=texts, padding=5, color=_INK)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.xaxis.set_visible(False)
        axes.tick_params(length=0)
        axes.margins(x=0.1, y=0.02)

    return _drawn((9.6, 0.34 * len(bars) + 0.2), fmt, draw)


def _draw_curve(axes: "Axes", curve: Curve, *, large: bool) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    day, ahead = (np.asarray(d, dtype="datetime64[D]") for d in (curve.day, curve.forecast_day))
    axes.axvspan(ahead[0], ahead[-1], color="#eef2f6", linewidth=0)
    if curve.lower is not None and curve.upper is not None:
        band = f"{DEFAULT_LEVEL} % interval"
        axes.fill_between(
            ahead, curve.lower, curve.upper, color=_FORECAST, alpha=0.18, linewidth=0, label=band
        )
    axes.plot(day, curve.actual, color=_INK, linewidth=1.2, label="sold")
    axes.plot(ahead, curve.forecast, color=_FORECAST, linewidth=1.8, label="forecast")
    name = TITLES.get(curve.baseline_name, curve.baseline_name)
    axes.plot(ahead, curve.baseline, color=_BASELINE, linewidth=1.1, linestyle="--", label=name)
    axes.set_title(curve.title, pad=8, parse_math=False)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    locator: Any = AutoDateLocator(minticks=3, maxticks=8 if large else 4)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=large))  # type: ignore[no-untyped-call]
    if large:
        axes.set_ylabel("units per day")
        axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 0.99))
