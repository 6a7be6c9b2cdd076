"""Training sets that are too small or have nothing to learn in them."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from scalecast_assets import keys
from scalecast_assets.forecasting import candidates
from scalecast_assets.forecasting.budget import DEFAULT_BUDGETS, UNBOUNDED, Budget
from scalecast_assets.forecasting.candidates import FittedModel
from scalecast_assets.forecasting.training_rows import TrainingError, TrainingRows

LEARNED = (keys.LINEAR_REGRESSION, keys.RANDOM_FOREST, keys.XGBOOST, keys.PYTORCH_NN)


def make_rows(n_rows: int = 40, n_days: int = 20, seed: int = 0) -> TrainingRows:
    random = np.random.default_rng(seed)
    return TrainingRows(
        features=random.gamma(2, 5, (n_rows, 16)).astype(np.float32),
        target=random.poisson(6, n_rows).astype(np.float64),
        day=(np.arange(n_rows) % n_days).astype(np.int32),
        series=np.zeros(n_rows, dtype=np.int32),
    )


def fit(name: str, rows: TrainingRows) -> FittedModel:
    budget = Budget(UNBOUNDED, UNBOUNDED)
    return candidates.candidate(name).fit(rows, budget=budget, seed=0, log=lambda _: None)


@pytest.mark.parametrize("name", LEARNED)
def test_too_few_rows_say_how_many_are_needed(name: str) -> None:
    with pytest.raises(TrainingError, match=f"{name} needs at least 30 rows .* found 29"):
        fit(name, make_rows(29))


@pytest.mark.parametrize("name", candidates.ALL + candidates.REFERENCES)
def test_no_row_at_all_is_refused_even_by_a_baseline(name: str) -> None:
    with pytest.raises(TrainingError, match=f"{name} needs at least"):
        fit(name, make_rows(0))


@pytest.mark.parametrize("name", [keys.RANDOM_FOREST, keys.XGBOOST, keys.PYTORCH_NN])
def test_rows_of_a_single_day_cannot_be_tuned_on(name: str) -> None:
    with pytest.raises(TrainingError, match="distinct dates, found 1; load a longer history"):
        fit(name, make_rows(n_days=1))


@pytest.mark.parametrize("name", LEARNED)
def test_a_single_short_series_is_fitted(name: str) -> None:
    rows = make_rows()
    model = fit(name, rows)
    assert candidates.max_native_difference(model, rows.features) <= 1e-4


@pytest.mark.parametrize("name", LEARNED)
def test_a_target_of_zeros_is_forecast_as_zero(name: str) -> None:
    rows = make_rows(200)
    model = fit(name, replace(rows, target=np.zeros(200)))
    demand = candidates.onnx_predictor(model.onnx)(rows.features)
    np.testing.assert_allclose(demand, 0.0, atol=0.05)


@pytest.mark.parametrize("name", LEARNED)
def test_features_that_never_change_lead_to_the_mean(name: str) -> None:
    rows = make_rows(200)
    model = fit(name, replace(rows, features=np.full((200, 16), 0.1, dtype=np.float32)))
    demand = candidates.onnx_predictor(model.onnx)(np.full((2, 16), 0.1, dtype=np.float32))
    np.testing.assert_allclose(demand, rows.target.mean(), rtol=0.15)
    assert candidates.max_native_difference(model, rows.features) <= 1e-4


def test_sales_on_the_last_dates_only_still_give_a_model() -> None:
    rows = make_rows(200)
    model = fit(keys.XGBOOST, replace(rows, target=np.where(rows.day >= 18, rows.target, 0.0)))
    assert np.isfinite(candidates.onnx_predictor(model.onnx)(rows.features)).all()


def test_one_enormous_order_leaves_onnx_and_native_equal() -> None:
    rows = make_rows(400)
    target, features = rows.target.copy(), rows.features.copy()
    target[7], features[8, 6:12] = 80_995.0, 80_995.0
    rows = replace(rows, target=target, features=features)
    for name in LEARNED:
        assert candidates.max_native_difference(fit(name, rows), rows.features) <= 1e-4, name


def test_negative_quantities_are_refused_by_the_tweedie_objective() -> None:
    rows = make_rows()
    with pytest.raises(TrainingError, match=r"xgboost: expected quantities of 0 or more"):
        fit(keys.XGBOOST, replace(rows, target=rows.target - 50))


@pytest.mark.parametrize("name", LEARNED)
def test_by_default_every_learned_candidate_has_a_row_budget(name: str) -> None:
    budget = DEFAULT_BUDGETS[name]
    assert max(budget.fit_rows, budget.tune_rows) <= 5_000_000


def test_importing_the_candidates_imports_no_training_library() -> None:
    code = (
        "import sys, scalecast_assets.forecasting.candidates;"
        "heavy = {'sklearn', 'xgboost', 'torch', 'onnxruntime', 'pandas', 'dagster'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
