"""The holdout is forecast as production would: as an independent script does, without peeking."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.forecasting.evaluation import (
    SHORT_HISTORY,
    UNKNOWN_SERIES,
    Holdout,
    Predict,
    Scores,
    score,
)
from scalecast_assets.forecasting.training_rows import Float32, TrainingError
from scalecast_assets.forecasting.training_set import TrainingSet
from tests import independent_leaderboard as independent
from tests.unit.snapshot_maker import RawRow, shop, training_set, write_csv

HORIZON = 14


def naive(features: Float32) -> npt.NDArray[np.float32]:
    return features[:, FEATURES.index("lag_1")]


def weekly_mean(features: Float32) -> npt.NDArray[np.float32]:
    return features[:, FEATURES.index("rolling_mean_7")]


def least_squares(rows: TrainingSet, origin: int) -> npt.NDArray[np.float64]:
    past = rows.rows().up_to(origin)
    matrix = np.column_stack([past.features.astype(float), np.ones(len(past))])
    return np.asarray(np.linalg.lstsq(matrix, past.target, rcond=None)[0], dtype=np.float64)


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    return training_set(shop(), tmp_path_factory.mktemp("shops"))


@pytest.fixture(scope="module")
def holdout(shops: TrainingSet) -> Holdout:
    return Holdout.of(shops, shops.origin(HORIZON))


def with_odd_series() -> list[RawRow]:
    """Return the shop, with a series that begins 5 days before the end and one 18 days before."""
    rows = shop()
    days = sorted({row[0] for row in rows})
    rows += [(day, "S2", "LATE", 4.0, 1.0, False) for day in days[-5:]]
    rows += [(day, "S2", "YOUNG", 6.0 + i % 2, 1.0, False) for i, day in enumerate(days[-18:])]
    return rows


@pytest.mark.parametrize("rows", [shop(), with_odd_series()], ids=["plain", "odd series"])
def test_the_leaderboard_equals_the_independent_scripts(rows: list[RawRow], tmp_path: Path) -> None:
    shops = training_set(rows, tmp_path)
    origin = shops.origin(HORIZON)
    holdout = Holdout.of(shops, origin)
    weights = least_squares(shops, origin)

    def linear(features: Float32) -> npt.NDArray[np.float64]:
        told = features.astype(float) @ weights[:-1] + weights[-1]
        return np.asarray(np.maximum(told, 0.0), dtype=np.float64)

    models: dict[str, Predict] = {
        "naive_baseline": naive,
        "mean_baseline": weekly_mean,
        "linear_regression": linear,
    }
    board = [score(predict, holdout).leaderboard_row(name) for name, predict in models.items()]
    expected = independent.leaderboard(write_csv(rows, tmp_path / "same.csv"), HORIZON)
    assert independent.differences(expected, [row.to_json() for row in board]) == []


def test_the_comparison_with_the_independent_script_can_fail(tmp_path: Path) -> None:
    expected = independent.leaderboard(write_csv(shop(), tmp_path / "raw.csv"), HORIZON)
    wrong = [{"name": name, **figures} for name, figures in expected.items()]
    wrong[0] = {**wrong[0], "mae": (wrong[0]["mae"] or 0) * 1.0001}  # type: ignore[operator]
    assert len(independent.differences(expected, wrong)) == 1  # type: ignore[arg-type]


def test_what_was_sold_after_the_origin_moves_no_forecast(tmp_path: Path) -> None:
    rows = shop()
    days = sorted({row[0] for row in rows})
    changed = [
        (row[0], row[1], row[2], row[3] * 7 + 1, row[4], row[5]) if row[0] in days[-14:] else row
        for row in rows
    ]
    found = []
    for number, version in enumerate((rows, changed)):
        (tmp_path / str(number)).mkdir()
        shops = training_set(version, tmp_path / str(number))
        found.append(score(weekly_mean, Holdout.of(shops, shops.origin(HORIZON))))
    np.testing.assert_array_equal(found[0].forecast, found[1].forecast)
    assert not np.array_equal(found[0].one_step_forecast, found[1].one_step_forecast)


def test_planned_prices_and_promotions_reach_the_model(
    shops: TrainingSet, holdout: Holdout
) -> None:
    def price(features: Float32) -> npt.NDArray[np.float32]:
        return features[:, 12] + 100 * features[:, 13]

    found = score(price, holdout)
    planned = shops.features[shops.holdout(holdout.origin_day)]
    np.testing.assert_allclose(found.forecast, planned[:, 12] + 100 * planned[:, 13])
    assert set(found.forecast) == {2.0, 3.0, 3.5, 102.5, 103.5}


def test_naive_repeats_the_last_known_day(shops: TrainingSet, holdout: Holdout) -> None:
    found = score(naive, holdout)
    for series in range(shops.n_series):
        past = (shops.series == series) & (shops.day <= holdout.origin_day)
        assert set(found.forecast[found.series == series]) == {shops.quantity[past][-1]}


def test_rows_that_are_not_scored_are_counted_by_reason(tmp_path: Path) -> None:
    shops = training_set(with_odd_series(), tmp_path)
    holdout = Holdout.of(shops, shops.origin(HORIZON))
    assert holdout.unscored == {UNKNOWN_SERIES: 5, SHORT_HISTORY: 10}
    after = int(np.count_nonzero(shops.day > holdout.origin_day))
    assert len(holdout) == after - 15


def test_a_frozen_model_is_scored_only_on_days_after_its_own_cutoff(holdout: Holdout) -> None:
    cutoff = holdout.origin_day + 10
    whole, late = score(naive, holdout), score(naive, holdout, days_after=cutoff)
    assert late.day.min() == cutoff + 1
    assert len(late.day) == holdout.rows_after(cutoff) > 0
    np.testing.assert_array_equal(late.forecast, whole.forecast[whole.day > cutoff])


def test_a_model_fitted_on_everything_has_no_day_left_to_be_scored_on(holdout: Holdout) -> None:
    last = holdout.origin_day + HORIZON
    assert holdout.rows_after(last) == 0
    with pytest.raises(TrainingError, match="no row to score after 2024-03-10"):
        score(naive, holdout, days_after=last)


def test_a_frozen_model_sees_only_the_codes_it_knows(holdout: Holdout) -> None:
    def code(features: Float32) -> npt.NDArray[np.float32]:
        return features[:, 14] * 10 + features[:, 15]

    found = score(code, holdout, encoders=Encoders({"S2": 7}, {"A": 3}))
    assert set(found.forecast) == set(found.one_step_forecast) == {0.0, 3.0, 70.0, 73.0}


def test_a_model_that_answers_nan_is_an_error(holdout: Holdout) -> None:
    def broken(features: Float32) -> npt.NDArray[np.float32]:
        return np.full(len(features), np.nan, np.float32)

    with pytest.raises(ValueError, match="not finite"):
        score(broken, holdout)


def test_negative_answers_count_as_zero(holdout: Holdout) -> None:
    found: Scores = score(lambda features: np.full((len(features), 1), -5.0), holdout)
    assert not found.forecast.any()
    assert not found.one_step_forecast.any()
    assert found.leaderboard_row("x").bias == pytest.approx(-holdout.actual.mean())


def test_a_holdout_without_a_scorable_row_is_refused(shops: TrainingSet) -> None:
    with pytest.raises(TrainingError, match="no row after 2024-03-10 can be scored"):
        Holdout.of(shops, shops.last_day)
