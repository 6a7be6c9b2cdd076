"""Residuals are of days that neither the fit nor the holdout shares; coverage is of the holdout."""

import datetime as dt
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scalecast_assets import keys
from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.contract.demand_classes import COLD_START
from scalecast_assets.contract.intervals import LEVELS
from scalecast_assets.contract.rolling import Predict
from scalecast_assets.forecasting import calibration
from scalecast_assets.forecasting.budget import DEFAULT_BUDGETS
from scalecast_assets.forecasting.calibration import (
    CalibratedIntervals,
    answers_from,
    calibrate_recipe,
    calibration_residuals,
)
from scalecast_assets.forecasting.candidates import candidate, onnx_predictor
from scalecast_assets.forecasting.splits import calibration_cut
from scalecast_assets.forecasting.training_rows import Float32, TrainingError
from scalecast_assets.forecasting.training_set import TrainingSet
from tests.unit.snapshot_maker import RawRow, shop, training_set

HORIZON = 14
RECIPE = keys.LINEAR_REGRESSION
BUDGET = DEFAULT_BUDGETS[RECIPE]


def noisy_shop(n_days: int = 170) -> list[RawRow]:
    """The shop with noise, a product that begins on day 60 and one that begins near the end."""
    rows = shop(n_days)
    days = sorted({row[0] for row in rows})
    rows += [(day, "S2", "NEW", 6.0, 1.0, False) for day in days[60:]]
    rows += [(day, "S2", "NEWER", 9.0, 1.0, False) for day in days[-20:]]
    noise = random.Random(4)
    return [(*row[:3], row[3] + noise.randint(0, 4), *row[4:]) for row in rows]


def made(folder: Path, change: Callable[[RawRow], RawRow] = lambda row: row) -> TrainingSet:
    folder.mkdir(exist_ok=True)
    return training_set([change(row) for row in noisy_shop()], folder)


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    return made(tmp_path_factory.mktemp("shops"))


def recipe(rows: TrainingSet, origin: int) -> tuple[dict[str, Any], Predict]:
    fitted = candidate(RECIPE).fit(
        rows.rows().up_to(origin), budget=BUDGET, seed=1, log=lambda _: None
    )
    return fitted.params, onnx_predictor(fitted.onnx)


def intervals(rows: TrainingSet) -> CalibratedIntervals:
    origin = rows.origin(HORIZON)
    params, predict = recipe(rows, origin)
    return CalibratedIntervals.of(
        rows, origin, RECIPE, params, predict, budget=BUDGET, seed=1, log=lambda _: None
    )


def naive(features: Float32) -> Any:
    return features[:, FEATURES.index("lag_1")]


def test_answers_are_those_of_production_beside_what_came(shops: TrainingSet) -> None:
    origin = shops.origin(HORIZON)
    found = answers_from(shops, origin, shops.last_day, naive)
    rows = shops.day > origin
    assert len(found) == np.count_nonzero(rows)
    np.testing.assert_array_equal(found.actual, shops.quantity[rows])
    for series in np.unique(found.series).tolist():
        past = shops.quantity[(shops.series == series) & (shops.day <= origin)]
        mine = found.series == series
        if len(past) >= HORIZON:
            assert set(found.forecast[mine]) == {past[-1]}
            store = shops.series_store[series]
            open_days = shops.day[(shops.series_store[shops.series] == store) & ~rows]
            np.testing.assert_array_equal(
                found.horizon[mine], found.day[mine] - int(open_days.max())
            )


def test_what_came_after_the_origin_moves_nothing_but_the_actual(
    shops: TrainingSet, tmp_path: Path
) -> None:
    origin = shops.origin(HORIZON)
    later = made(tmp_path / "later", lambda row: changed_after(row, origin))
    before, after = (answers_from(s, origin, s.last_day, naive) for s in (shops, later))
    for name in ("forecast", "scale", "horizon", "demand_class"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert not np.array_equal(before.actual, after.actual)


def changed_after(row: RawRow, day: int) -> RawRow:
    since = dt.date(1970, 1, 1) + dt.timedelta(days=day)
    if dt.date.fromisoformat(row[0]) <= since:
        return row
    return (row[0], row[1], row[2], row[3] * 9 + 1, row[4] * 3, not row[5])


def test_the_holdout_changes_no_number_of_the_calibration(
    shops: TrainingSet, tmp_path: Path
) -> None:
    origin = shops.origin(HORIZON)
    later = made(tmp_path / "later", lambda row: changed_after(row, origin))
    params, _ = recipe(shops, origin)
    tables = [
        calibrate_recipe(s, origin, RECIPE, params, budget=BUDGET, seed=1, log=lambda _: None)
        for s in (shops, later)
    ]
    assert tables[0].to_bytes() == tables[1].to_bytes()
    earlier = made(tmp_path / "earlier", lambda row: changed_after(row, origin - 1))
    moved = calibrate_recipe(
        earlier, origin, RECIPE, params, budget=BUDGET, seed=1, log=lambda _: None
    )
    assert moved.to_bytes() != tables[0].to_bytes()


def test_the_calibrating_fit_has_not_seen_the_days_it_is_judged_on(
    shops: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = shops.origin(HORIZON)
    cut = calibration_cut(int(shops.day.min()), origin)
    changed = made(tmp_path / "changed", lambda row: changed_after(row, cut.fit_cutoff))
    params, _ = recipe(shops, origin)
    told = []
    rows = shops.rows().features[:50]

    def watch(rows_of: TrainingSet, at: Any, predict: Predict, *, seed: int) -> Any:
        told.append(predict(rows))
        return calibration_residuals(rows_of, at, predict, seed=seed)

    monkeypatch.setattr(calibration, "calibration_residuals", watch)
    for one in (shops, changed):
        calibrate_recipe(one, origin, RECIPE, params, budget=BUDGET, seed=1, log=lambda _: None)
    np.testing.assert_array_equal(told[0], told[1])


def test_no_residual_is_of_the_holdout_and_the_models_are_all_after_the_fit(
    shops: TrainingSet,
) -> None:
    cut = calibration_cut(int(shops.day.min()), shops.origin(HORIZON))
    found = calibration_residuals(shops, cut, naive, seed=1)
    assert found.day.max() == cut.until == shops.last_day - HORIZON
    own = found.demand_class != COLD_START
    assert found.day[own].min() > cut.fit_cutoff
    assert found.horizon.max() == min(cut.until - cut.fit_cutoff, 56)


def test_young_series_of_earlier_days_are_asked_about_by_the_cold_start_rule_alone(
    shops: TrainingSet,
) -> None:
    cut = calibration_cut(int(shops.day.min()), shops.origin(HORIZON))
    found = calibration_residuals(shops, cut, naive, seed=1)
    early = found.day <= cut.fit_cutoff
    assert early.any()
    assert np.all(found.demand_class[early] == COLD_START)
    names = {shops.product_ids[shops.series_product[s]] for s in found.series[early].tolist()}
    assert names == {"NEW"}


def test_many_series_are_sampled(shops: TrainingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = calibration_cut(int(shops.day.min()), shops.origin(HORIZON))
    monkeypatch.setattr(calibration, "MAX_SERIES", 3)
    found = calibration_residuals(shops, cut, naive, seed=1)
    late = found.day > cut.fit_cutoff
    assert 0 < len(np.unique(found.series[late])) <= 3
    again = calibration_residuals(shops, cut, naive, seed=1)
    np.testing.assert_array_equal(found.forecast, again.forecast)


def test_the_coverage_is_that_of_the_contender_on_the_holdout(shops: TrainingSet) -> None:
    found = intervals(shops)
    assert found.table is not None
    assert found.holdout is not None
    origin = shops.origin(HORIZON)
    _, predict = recipe(shops, origin)
    answers = answers_from(shops, origin, shops.last_day, predict)
    np.testing.assert_array_equal(found.holdout.forecast, answers.forecast)
    for level in LEVELS:
        row = next(r for r in found.coverage if (r.group, r.level) == ("all", level))
        lower, upper = found.table.bounds(
            answers.forecast, answers.horizon, answers.demand_class, answers.scale, level
        )
        inside = [
            low <= actual <= high
            for low, actual, high in zip(lower, answers.actual, upper, strict=True)
        ]
        assert row.covered == pytest.approx(sum(inside) / len(inside))
        assert row.rows == len(inside) == int(np.count_nonzero(shops.day > origin))
    assert "cold_start" in {row.group for row in found.coverage}
    kept = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert kept["why_none"] is None
    assert len(kept["rows"]) == len(found.coverage)


def test_the_band_of_a_series_is_its_interval_on_those_days(shops: TrainingSet) -> None:
    found = intervals(shops)
    assert found.table is not None
    assert found.holdout is not None
    mine = found.holdout.take(found.holdout.series == 0)
    band = found.band(0, mine.day[2:5])
    assert band is not None
    expected = found.table.bounds(mine.forecast, mine.horizon, mine.demand_class, mine.scale)
    np.testing.assert_array_equal(band[0], expected[0][2:5])
    np.testing.assert_array_equal(band[1], expected[1][2:5])
    assert found.band(0, np.array([shops.last_day + 1], np.int32)) is None


@pytest.mark.parametrize(
    ("n_days", "name", "said"),
    [
        (50, RECIPE, "need at least 14, found 12; load a longer history"),
        (80, RECIPE, "linear_regression needs at least 30 rows"),
        (170, keys.XGBOOST, "missing: max_depth"),
    ],
)
def test_without_enough_history_there_are_no_intervals_and_it_is_said_why(
    tmp_path: Path, n_days: int, name: str, said: str
) -> None:
    rows = shop(n_days, stores=("S1",), products=("A",)) if n_days == 80 else shop(n_days)
    one = training_set(rows, tmp_path)
    lines: list[str] = []
    found = CalibratedIntervals.of(
        one, one.origin(HORIZON), name, {}, naive, budget=BUDGET, seed=1, log=lines.append
    )
    assert found.table is None
    assert found.coverage == []
    assert found.band(0, one.day[:3]) is None
    assert said in str(found.why_none)
    assert any(said in line for line in lines)


def test_the_days_before_the_holdout_are_cut_in_time() -> None:
    cut = calibration_cut(0, 999)
    assert (cut.fit_cutoff, cut.until) == (999 - 84, 999)
    assert cut.origins[0] == cut.fit_cutoff
    assert max(cut.origins) < cut.until
    assert len({(origin + 1) % 7 for origin in cut.origins}) == 7
    short = calibration_cut(100, 160)
    assert (short.fit_cutoff, short.until) == (140, 160)
    with pytest.raises(TrainingError, match="at least 14, found 13"):
        calibration_cut(0, 40)
