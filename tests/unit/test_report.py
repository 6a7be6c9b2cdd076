"""The report tells the truth about what is served, to somebody who reads no code."""

import datetime as dt
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from scalecast_assets.contract.rolling import Predict
from scalecast_assets.forecasting.calibration import CalibratedIntervals, answers_from
from scalecast_assets.forecasting.conformal import CoverageRow, measure_coverage
from scalecast_assets.forecasting.coverage_report import coverage_table, is_near_nominal
from scalecast_assets.forecasting.evaluation import Holdout, score
from scalecast_assets.forecasting.leaderboard import Decision, LeaderboardRow
from scalecast_assets.forecasting.report import (
    SHOWN_DAYS,
    Curve,
    ModelReport,
    SourceFile,
    curves,
    markdown_image,
    plot_curves,
    plot_importances,
    plot_leaderboard,
    render_html,
)
from scalecast_assets.forecasting.training_set import TrainingSet
from tests.interval_tables import plain_table
from tests.unit.snapshot_maker import shop, training_set

PNG = b"\x89PNG"


def row(name: str, mae: float) -> LeaderboardRow:
    return LeaderboardRow(name, mae, 7.5, None, 0.5, 0.45, 0.82, -0.25, mae, 1.5)


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    rows = shop(products=("A <b>&", "B$x_1$ é", "C"))
    return training_set(rows, tmp_path_factory.mktemp("shops"))


@pytest.fixture(scope="module")
def report(shops: TrainingSet) -> ModelReport:
    holdout = Holdout.of(shops, shops.origin(14))
    mean = score(lambda features: features[:, 9], holdout)
    naive = score(lambda features: features[:, 6], holdout)
    return ModelReport(
        version="1.2.0",
        name="xgboost",
        decision=Decision("promoted", "xgboost", "It is <better>.", beats_baselines=True),
        rows=[row("naive_baseline", 6.25), row("xgboost", 4.125), row("seasonal_naive", 5.5)],
        curves=curves(shops, holdout, mean, naive),
        importances={"lag_1": 0.5, "price": 0.2, "month": 0.1, "lag_7": 0.1, "a": 0.07, "z": 0.03},
        horizon_days=14,
        first_day=dt.date(2024, 1, 1),
        last_day=dt.date(2024, 3, 10),
        scored_fit_cutoff=dt.date(2024, 2, 25),
        fit_cutoff=dt.date(2024, 3, 10),
        series=6,
        stores=2,
        training_rows=300,
        scored_rows=84,
        unscored={"too young": 3, "never": 0},
        training_set_sha256="ab" * 32,
        files=[SourceFile("raw/<sales>.csv", "cd" * 32, 4321)],
        made_at="2024-03-11 02:00 UTC",
        notes=["fitted on 400,000 of 3,000,000 rows"],
    )


def test_curves_are_sums_of_the_rows_they_stand_for(
    shops: TrainingSet, report: ModelReport
) -> None:
    holdout = Holdout.of(shops, shops.origin(14))
    total = report.curves[0]
    for day in (holdout.origin_day - 3, holdout.origin_day):
        expected = shops.quantity[shops.day == day].sum()
        assert total.actual[total.day == day] == pytest.approx(expected)
    assert total.day.min() == holdout.origin_day - SHOWN_DAYS + 1
    assert total.actual[-len(total.forecast_day) :].sum() == pytest.approx(holdout.actual.sum())


def test_the_series_shown_are_those_that_sell_most(shops: TrainingSet, report: ModelReport) -> None:
    holdout = Holdout.of(shops, shops.origin(14))
    sold = np.bincount(holdout.series, weights=holdout.actual)
    best = shops.product_ids[shops.series_product[sold.argmax()]]
    assert report.curves[1].title.startswith(f"{best} in ")
    assert len(report.curves) == 4


def test_the_page_loads_nothing_from_elsewhere(report: ModelReport) -> None:
    page = render_html(report)
    addresses = set(re.findall(r"(?:https?:)?//[a-z0-9.]+", page))
    assert addresses <= {"http://www.w3.org", "https://matplotlib.org", "http://purl.org",
                         "http://creativecommons.org"}  # fmt: skip
    assert not re.search(r"<(script|link|iframe|img)\b|@import|url\((?!#)", page)


def test_the_page_says_what_is_served_and_how_good_it_is(report: ModelReport) -> None:
    page = render_html(report)
    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    assert "Gradient boosting (XGBoost)" in text
    assert "4.12 units off per item" in text
    assert "-0.25 units per item, store and day: too few" in text
    assert "wrong by 45 units" in text
    assert "84 sales figures were compared. 3 could not be (too young)" in text
    assert "never" not in text
    assert "fitted on 400,000 of 3,000,000 rows" in text
    for evidence in ("ab" * 32, "cd" * 32, "4,321", "2024-02-25", "1.2.0"):
        assert evidence in text


def test_ids_and_reasons_cannot_break_the_page(report: ModelReport) -> None:
    page = render_html(report)
    assert "It is &lt;better&gt;." in page
    assert "raw/&lt;sales&gt;.csv" in page
    assert "A &lt;b&gt;&amp;" in page
    assert "A <b>" not in page


def test_a_served_baseline_is_said_plainly(report: ModelReport) -> None:
    decision = Decision("promoted", "naive_baseline", "why", beats_baselines=False)
    page = render_html(replace(report, name="naive_baseline", decision=decision))
    assert "No learned model beats the baselines" in page
    assert "No learned model beats the baselines" not in render_html(report)


def test_a_model_without_a_row_on_the_leaderboard_is_an_error(report: ModelReport) -> None:
    with pytest.raises(ValueError, match="expected one leaderboard row 'random_forest'"):
        render_html(replace(report, name="random_forest"))


def test_plots_come_as_svg_and_as_png(report: ModelReport) -> None:
    assert report.importances is not None
    for fmt in ("svg", "png"):
        for image in (
            plot_curves(report.curves, fmt),
            plot_curves(report.curves[:1], fmt),
            plot_importances(report.importances, fmt),
            plot_leaderboard(report.rows, "xgboost", fmt),
        ):
            if fmt == "svg":
                assert ET.fromstring(image).tag.endswith("svg")
            else:
                assert image.startswith(PNG)


def test_the_five_most_important_features_are_drawn(report: ModelReport) -> None:
    assert report.importances is not None
    drawn = plot_importances(report.importances).decode()
    assert [name for name in report.importances if f">{name}<" in drawn] == [
        "lag_1", "price", "month", "lag_7", "a",
    ]  # fmt: skip


def test_the_same_report_is_the_same_page(report: ModelReport) -> None:
    assert render_html(report) == render_html(report)


def test_an_image_for_markdown_is_inline() -> None:
    assert markdown_image(b"abc", "a plot") == "![a plot](data:image/png;base64,YWJj)"


def test_a_curve_survives_the_json_of_a_verdict(report: ModelReport) -> None:
    before = report.curves[0]
    after = Curve.from_json(json.loads(json.dumps(before.to_json())))
    for name, value in vars(before).items():
        np.testing.assert_array_equal(getattr(after, name), value)
        assert type(getattr(after, name)) is type(value)
    assert [str(a.dtype) for a in (after.day, after.forecast)] == ["int32", "float64"]


def with_bands(shops: TrainingSet) -> CalibratedIntervals:
    holdout_days = shops.last_day - 14
    mean: Predict = lambda features: features[:, 9]  # noqa: E731
    answers = answers_from(shops, holdout_days, shops.last_day, mean)
    table = plain_table()
    return CalibratedIntervals(table, measure_coverage(table, answers), answers)


def test_the_interval_is_drawn_around_single_series_and_not_around_sums(
    shops: TrainingSet, report: ModelReport
) -> None:
    holdout = Holdout.of(shops, shops.origin(14))
    mean = score(lambda features: features[:, 9], holdout)
    shown = curves(shops, holdout, mean, mean, intervals=with_bands(shops))
    assert shown[0].lower is None
    for curve in shown[1:]:
        assert curve.lower is not None
        assert curve.upper is not None
        assert np.all(curve.lower <= curve.forecast)
        assert np.all(curve.forecast <= curve.upper)
        assert np.any(curve.lower < curve.upper)
        again = Curve.from_json(json.loads(json.dumps(curve.to_json())))
        np.testing.assert_array_equal(again.upper, curve.upper)
    assert b"80 % interval" not in plot_curves(shown[:1])
    assert b"80 % interval" in plot_curves(shown[1:2])
    old = {name: value for name, value in shown[0].to_json().items() if name != "lower"}
    assert Curve.from_json(old).lower is None


def test_the_page_says_what_the_intervals_covered_or_why_there_are_none(
    shops: TrainingSet, report: ModelReport
) -> None:
    rows = with_bands(shops).coverage
    page = render_html(replace(report, coverage=rows))
    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    covered = next(row for row in rows if (row.group, row.level) == ("all", 80))
    assert f"{covered.covered:.1%}".replace("%", " %") + " lay inside the 80 % interval" in text
    for line in coverage_table(rows):
        assert " ".join(line) in text
    assert [line[0] for line in coverage_table(rows)][:2] == ["all", "smooth"]
    none = render_html(replace(report, why_no_intervals="the history is too short"))
    assert "Forecasts come without intervals: the history is too short." in none


def test_coverage_is_near_nominal_within_five_points_or_chance() -> None:
    def near(covered: float, rows: int, level: int = 80) -> bool:
        return is_near_nominal(CoverageRow("all", level, rows, covered, 0.1, 0.1, 1.0, None))

    assert near(0.751, 10_000)
    assert near(0.849, 10_000)
    assert not near(0.749, 10_000)
    assert not near(0.851, 10_000)
    assert near(0.71, 144)
    assert not near(0.69, 144)
    assert near(0.90, 10_000, level=95)
