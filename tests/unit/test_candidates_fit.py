"""Every candidate learns, says the same in ONNX as natively, and does so again."""

import functools
import pickle

import numpy as np
import onnx
import onnxruntime
import pytest

from scalecast_assets import keys
from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.forecasting import candidates
from scalecast_assets.forecasting.budget import UNBOUNDED, Budget
from scalecast_assets.forecasting.candidates import FittedModel
from scalecast_assets.forecasting.candidates.forest import max_leaf_nodes, rounded_down
from scalecast_assets.forecasting.candidates.graphs import BYTES_PER_LEAF
from scalecast_assets.forecasting.training_rows import Float32, TrainingError, TrainingRows

EVERYTHING = Budget(UNBOUNDED, UNBOUNDED)
LEARNED = tuple(name for name in candidates.ALL if name not in keys.BASELINES)
EVERY = candidates.ALL + candidates.REFERENCES


def make_rows(n_series: int = 8, n_days: int = 120, seed: int = 0) -> TrainingRows:
    """Return Poisson demand with a level per series, a week and a promotion in it."""
    random = np.random.default_rng(seed)
    day = np.tile(np.arange(n_days, dtype=np.int32) + 19_000, n_series)
    series = np.repeat(np.arange(n_series, dtype=np.int32), n_days)
    level = random.gamma(2.0, 8.0, n_series)[series]
    features = np.zeros((len(day), 16), dtype=np.float32)
    columns = dict(zip(FEATURES, features.T, strict=True))
    columns["day_of_week"][:] = day % 7
    columns["month"][:] = day // 30 % 12 + 1
    columns["week_of_year"][:] = day // 7 % 52 + 1
    columns["is_weekend"][:] = day % 7 >= 5
    columns["promotion"][:] = random.random(len(day)) < 0.2
    columns["price"][:] = random.uniform(1, 30, n_series)[series]
    columns["store_id_encoded"][:] = series % 2 + 1
    columns["product_id_encoded"][:] = series // 2 + 1
    mean = level * (1 + 0.5 * columns["is_weekend"] + 1.0 * columns["promotion"])
    for name in ("lag_1", "lag_7", "lag_14", "rolling_mean_7", "rolling_mean_14"):
        columns[name][:] = random.poisson(level)
    columns["rolling_std_7"][:] = np.sqrt(level)
    return TrainingRows(features, random.poisson(mean).astype(np.float64), day, series)


def fit(name: str, rows: TrainingRows, seed: int = 3, budget: Budget = EVERYTHING) -> FittedModel:
    return candidates.candidate(name).fit(rows, budget=budget, seed=seed, log=lambda _: None)


def refit(model: FittedModel, rows: TrainingRows, seed: int = 3) -> FittedModel:
    recipe = candidates.candidate(model.name)
    return recipe.refit(rows, model.params, budget=EVERYTHING, seed=seed, log=lambda _: None)


def forecast(model: FittedModel, features: Float32) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return candidates.onnx_predictor(model.onnx)(features)


@functools.cache
def fitted(name: str) -> FittedModel:
    return fit(name, make_rows())


@pytest.mark.parametrize("name", EVERY)
def test_the_graph_has_the_one_interface(name: str) -> None:
    session = onnxruntime.InferenceSession(fitted(name).onnx)
    (features,), (demand,) = session.get_inputs(), session.get_outputs()
    assert (features.name, features.type, features.shape[1]) == ("features", "tensor(float)", 16)
    assert (demand.name, demand.type, len(demand.shape)) == ("demand", "tensor(float)", 1)
    for n_rows in (1, 5):
        (answer,) = session.run(None, {"features": make_rows().features[:n_rows]})
        assert answer.shape == (n_rows,)


@pytest.mark.parametrize("name", EVERY)
def test_onnx_equals_the_native_model_also_far_outside_the_training_rows(name: str) -> None:
    model = fitted(name)
    seen = make_rows().features
    extreme = seen * np.random.default_rng(1).choice([-1, 0, 1, 3000], seen.shape)
    for features in (seen, extreme.astype(np.float32)):
        assert candidates.max_native_difference(model, features) <= 1e-4


@pytest.mark.parametrize("name", EVERY)
def test_no_forecast_is_negative_or_infinite(name: str) -> None:
    features = make_rows().features
    features = features * np.random.default_rng(2).choice([-1000, -1, 0], features.shape)
    model = fitted(name)
    for demand in (forecast(model, features.astype(np.float32)), model.predict_native(features)):
        assert np.isfinite(demand).all()
        assert (demand >= 0).all()


def test_the_clip_at_zero_sits_inside_the_graph() -> None:
    below_zero = np.full((3, 16), -5.0, dtype=np.float32)
    assert forecast(fitted(keys.NAIVE_BASELINE), below_zero).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", LEARNED)
def test_a_learned_candidate_beats_the_constant_by_far_on_later_days(name: str) -> None:
    rows = make_rows()
    later = rows.take(rows.day >= 19_100)
    model = refit(fitted(name), rows.before(19_100))
    error = np.abs(forecast(model, later.features) - later.target).mean()
    constant = np.abs(np.median(rows.before(19_100).target) - later.target).mean()
    assert error < 0.7 * constant


@pytest.mark.parametrize("name", EVERY)
def test_the_same_seed_gives_the_same_graph(name: str) -> None:
    model, again = fitted(name), fit(name, make_rows())
    assert model.params == again.params
    features = make_rows().features
    np.testing.assert_array_equal(forecast(model, features), forecast(again, features))


@pytest.mark.parametrize("name", EVERY)
def test_a_refit_on_the_same_rows_is_the_same_graph_byte_for_byte(name: str) -> None:
    again = refit(fitted(name), make_rows())
    assert again.params == fitted(name).params
    assert again.onnx == fitted(name).onnx


@pytest.mark.parametrize("name", [keys.RANDOM_FOREST, keys.XGBOOST, keys.PYTORCH_NN])
def test_a_refit_without_its_parameters_is_refused(name: str) -> None:
    with pytest.raises(TrainingError, match=f"{name}: a refit needs the parameters .*found: none"):
        candidates.candidate(name).refit(
            make_rows(), {}, budget=EVERYTHING, seed=0, log=lambda _: None
        )


@pytest.mark.parametrize("name", LEARNED)
def test_a_budget_that_bites_is_in_the_notes_and_in_the_count(name: str) -> None:
    lines: list[str] = []
    model = candidates.candidate(name).fit(
        make_rows(), budget=Budget(fit_rows=400, tune_rows=300), seed=0, log=lines.append
    )
    assert (model.rows_used, model.rows_available) == (400, 960)
    assert "fitted on 400 of 960 rows (budget 400)" in model.notes
    assert set(model.notes) <= set(lines)
    tunes = name in (keys.RANDOM_FOREST, keys.XGBOOST)
    assert ("tuned on 300 of 960 rows (budget 300)" in model.notes) is tunes


@pytest.mark.parametrize("name", candidates.ALL)
def test_importances_are_shares_of_one_by_feature_name(name: str) -> None:
    importances = fitted(name).importances
    assert importances is not None
    assert tuple(importances) == FEATURES
    assert sum(importances.values()) == pytest.approx(1.0)
    assert min(importances.values()) >= 0
    if name in LEARNED:
        assert importances["promotion"] > importances["month"]


@pytest.mark.parametrize("name", candidates.ALL)
def test_the_native_model_can_be_pickled_for_notebooks(name: str) -> None:
    assert pickle.loads(pickle.dumps(fitted(name).native)) is not None


def test_the_linear_regression_is_plain_least_squares() -> None:
    rows = make_rows()
    design = np.column_stack([np.ones(len(rows)), rows.features.astype(np.float64)])
    coefficients = np.linalg.lstsq(design, rows.target, rcond=None)[0]
    expected = np.maximum(design @ coefficients, 0)
    model = fitted(keys.LINEAR_REGRESSION)
    np.testing.assert_allclose(model.predict_native(rows.features), expected, rtol=1e-9, atol=1e-9)


def test_a_forest_at_its_bound_of_leaves_stays_under_100_mb() -> None:
    leaves_per_tree = max_leaf_nodes(n_estimators=100)
    assert 100 * leaves_per_tree * BYTES_PER_LEAF <= 100_000_000
    model = refit(fitted(keys.RANDOM_FOREST), make_rows())
    trees = onnx.load_from_string(model.onnx).graph.node[0]
    modes = next(a for a in trees.attribute if a.name == "nodes_modes").strings
    assert len(model.onnx) / list(modes).count(b"LEAF") <= BYTES_PER_LEAF
    assert model.params["max_leaf_nodes"] == leaves_per_tree


def test_a_rounded_threshold_parts_every_float32_as_the_exact_one_does() -> None:
    random = np.random.default_rng(0)
    low = random.lognormal(3, 3, 5000).astype(np.float32)
    high = np.nextafter(low, np.float32(np.inf))
    thresholds = (low.astype(np.float64) + high) / 2
    rounded = rounded_down(thresholds)
    for value in (low, high):
        np.testing.assert_array_equal(value <= thresholds, value <= rounded)
    np.testing.assert_array_equal(rounded, low)


def test_an_unknown_candidate_is_named_with_those_there_are() -> None:
    with pytest.raises(KeyError, match=r"'prophet'; there are naive_baseline, .*seasonal_naive"):
        candidates.candidate("prophet")
