"""The model gates as assets' checks, on copies of a finished world.

Each copy has a weak champion (the naive baseline) where a promotion is wanted, so that the
comparison has something to promote; what is promoted is then made bad in one way.
"""

import dataclasses
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from scalecast_assets import keys
from scalecast_assets.assets.comparison import CONTENDER
from scalecast_assets.checks import gates
from scalecast_assets.contract.bundle import read_bundle
from scalecast_assets.contract.pointers import read_state_pointer
from scalecast_assets.forecasting import artefact
from scalecast_assets.forecasting.candidates import graphs
from tests import independent_leaderboard as independent
from tests.graph.altered_models import PROMOTING, answering, predicts, refit_gives
from tests.graph.small_retailer import LEARNABLE_DAYS, write_sales
from tests.graph.world import World, failed_checks, failures, materialized

# dbt and Great Expectations warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")


def test_materialize_all_promotes_with_the_figures_of_an_independent_script(
    materialized_all: tuple[World, dg.ExecuteInProcessResult], tmp_path: Path
) -> None:
    world, result = materialized_all
    assert result.success, failures(result)
    made = materialized(result)
    assert set(made) == {
        keys.RAW_DEMAND, keys.DEMAND_DATA, keys.STG_DEMAND, keys.DEMAND_CALENDAR,
        keys.DEMAND_FEATURES, keys.TRAINING_SET, *keys.CANDIDATES, keys.MODEL_COMPARISON,
        keys.PROMOTED_MODEL, keys.SERVING_STATE, keys.FORECASTS, keys.LIVE_ACCURACY,
    }  # fmt: skip
    assert made[keys.PROMOTED_MODEL]["outcome"] == "promoted"
    board = [record.data for record in made[keys.MODEL_COMPARISON]["leaderboard"]]
    ours = independent.leaderboard(write_sales(tmp_path / "f.csv", range(LEARNABLE_DAYS)), 14)
    assert independent.differences(ours, board) == []
    assert world.pointer is not None
    assert world.pointer.version == "1.0.0"


def test_materializations_show_rows_cutoff_metrics_beside_baselines_and_a_plot(
    materialized_all: tuple[World, dg.ExecuteInProcessResult],
) -> None:
    made = materialized(materialized_all[1])
    compared = made[keys.MODEL_COMPARISON]
    assert compared["holdout_mae"] < compared["seasonal_naive_mae"]
    assert compared["cutoff"] < made[keys.TRAINING_SET]["last_day"]
    assert compared["scored_rows"] > 100
    for plot in ("actual_and_forecast", "top_five_features"):
        assert compared[plot].startswith("![")
    assert made[keys.RANDOM_FOREST]["rows_used"] == 400
    assert made[keys.RANDOM_FOREST]["rows_available"] > 400
    assert made[keys.TRAINING_SET]["rows"] > made[keys.TRAINING_SET]["trainable_rows"]


def test_the_comparison_shows_what_the_intervals_cover_and_the_bundle_carries_them(
    materialized_all: tuple[World, dg.ExecuteInProcessResult],
) -> None:
    world, result = materialized_all
    compared = materialized(result)[keys.MODEL_COMPARISON]
    table = compared["interval_coverage_for_people"]
    assert table.startswith("| answers | rows | in the 50 % interval |")
    assert world.pointer is not None
    bundle = read_bundle(world.store, world.pointer.version)
    assert bundle.intervals is not None
    assert bundle.intervals.fit_cutoff < bundle.intervals.calibrated_until == compared["cutoff"]
    assert bundle.manifest.coverage is not None
    rows = [record.data for record in compared["interval_coverage"]]
    assert bundle.manifest.coverage["rows"] == rows
    assert compared["coverage_of_80_percent"] == rows[1]["covered"] > 0.5
    report = world.store.get(f"models/{world.pointer.version}/report.html").body.decode()
    assert "How sure it is" in report
    assert "80 % interval" in report


def test_every_gate_passes_on_a_sound_model_and_says_with_what_figures(
    materialized_all: tuple[World, dg.ExecuteInProcessResult],
) -> None:
    figures: dict[str, dict[str, Any]] = {
        check.check_name: {name: value.value for name, value in check.metadata.items()}
        for check in materialized_all[1].get_asset_check_evaluations()
        if check.asset_key.to_user_string() == keys.MODEL_COMPARISON and check.passed
    }
    assert set(figures) == {*gates.BLOCKING, *gates.WARNING}
    parity = figures["serving_features_equal_sql_features"]
    trainable = materialized(materialized_all[1])[keys.TRAINING_SET]["trainable_rows"]
    assert parity["required_rows"] == min(1_000, trainable)
    assert parity["rows"] >= parity["required_rows"]
    assert parity["rows_by_stratum"]["imputed"] > 0
    assert parity["largest_difference"] < 1e-9
    assert figures["onnx_equals_native_model"]["rows"] >= 900
    assert 100 < figures["onnx_is_at_most_100_mb"]["onnx_bytes"] < 10_000_000


def assert_refused_by(world: World, gate: str) -> None:
    """Run comparison and promotion; assert that this gate alone stopped it, changing nothing."""
    before, versions = world.pointer, world.versions
    result = world.run(*PROMOTING)
    assert not result.success
    assert failed_checks(result) == {gate}
    assert materialized(result)[keys.MODEL_COMPARISON]["outcome"] == "promoted"
    assert keys.PROMOTED_MODEL not in materialized(result)
    assert (world.pointer, world.versions) == (before, versions)

    alone = world.run(keys.PROMOTED_MODEL)
    assert f"model_comparison.{gate} has not passed" in failures(alone)[keys.PROMOTED_MODEL]
    assert (world.pointer, world.versions) == (before, versions)


def test_a_graph_that_is_not_the_native_model_is_not_promoted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve_weak_champion()
    refit_gives(
        monkeypatch, lambda fitted: dataclasses.replace(fitted, onnx=graphs.column_graph("lag_7"))
    )
    assert_refused_by(world, "onnx_equals_native_model")


def test_predictions_below_zero_are_not_promoted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve_weak_champion()
    refit_gives(monkeypatch, predicts(-1.0))
    assert_refused_by(world, "predictions_are_finite_and_not_negative")


def test_a_graph_that_is_too_large_is_not_promoted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve_weak_champion()
    monkeypatch.setattr(gates, "MAX_ONNX_BYTES", 100)
    assert_refused_by(world, "onnx_is_at_most_100_mb")


def test_features_that_serving_would_compute_otherwise_are_not_promoted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One series' lag in the feature table is not what its history says."""
    world.serve_weak_champion()
    changed = world.execute(
        "update features.demand_features set lag_7 = lag_7 + 0.5 "
        "where product_id = 'B' and has_history"
    )
    assert changed > 100
    before = world.pointer
    result = world.run(keys.TRAINING_SET, *keys.CANDIDATES, *PROMOTING)
    assert failed_checks(result) == {"serving_features_equal_sql_features"}
    assert not result.success
    (check,) = (
        c
        for c in result.get_asset_check_evaluations()
        if c.check_name == "serving_features_equal_sql_features"
    )
    assert check.description is not None
    assert "lag_7" in check.description
    assert world.pointer == before


def test_the_comparison_names_each_candidate_that_does_not_stand_on_the_training_set(
    world: World,
) -> None:
    for name in (keys.XGBOOST, keys.MEAN_BASELINE):
        world.store.delete(f"{artefact.folder_of(world.training_set, name)}/candidate.json")
    reason = failures(world.run(keys.MODEL_COMPARISON))[keys.MODEL_COMPARISON]
    assert "mean_baseline (not fitted on it), xgboost (not fitted on it)" in reason
    assert "linear_regression" not in reason.split("\n")[1]


def test_candidates_fitted_up_to_another_day_are_all_named(world: World) -> None:
    world.more["horizon_days"] = 7
    reason = failures(world.run(keys.MODEL_COMPARISON))[keys.MODEL_COMPARISON]
    for name in keys.CANDIDATES:
        assert f"{name} (fitted up to another day)" in reason


def test_a_candidate_that_was_altered_in_the_store_is_not_compared(world: World) -> None:
    folder = artefact.folder_of(world.training_set, keys.XGBOOST)
    world.store.put(f"{folder}/model.onnx", answering(1.0))
    reason = failures(world.run(keys.MODEL_COMPARISON))[keys.MODEL_COMPARISON]
    assert f"{folder}/model.onnx: expected sha256" in reason


def test_a_training_set_that_was_altered_in_the_store_is_refused(world: World) -> None:
    key = f"training_sets/{world.training_set}/rows.parquet"
    data = world.store.get(key).body
    (world.home / "cache").joinpath(f"training_set-{world.training_set}.parquet").unlink()
    world.store.put(key, data[: len(data) // 2])
    result = world.run(keys.MODEL_COMPARISON)
    assert not result.success


@pytest.mark.parametrize("asset", [keys.TRAINING_SET, keys.SERVING_STATE])
def test_features_of_another_contract_reach_neither_training_nor_serving(
    world: World, asset: str
) -> None:
    """The tables are as they were built; since then somebody chose the other calendar."""
    before = (read_state_pointer(world.store), world.training_set)
    world.more["calendar"] = "observed"
    reason = failures(world.run(asset))[asset]
    assert "found 'feature semantics 1, calendar store'" in reason
    assert "materialize demand_features" in reason
    assert (read_state_pointer(world.store), world.training_set) == before


@pytest.mark.parametrize("asset", [keys.TRAINING_SET, keys.SERVING_STATE])
def test_features_that_nobody_tested_reach_neither_training_nor_serving(
    world: World, asset: str
) -> None:
    """What ``dbt run`` by hand leaves: new rows in the tables, and the ranges still there."""
    before = (read_state_pointer(world.store), world.training_set)
    world.execute(
        "insert into warehouse.changed_ranges (store_id, from_date, file_seq) "
        "select distinct store_id, date '2023-03-01', 1 from warehouse.demand_data"
    )
    reason = failures(world.run(asset))[asset]
    assert "3 changed ranges wait" in reason
    assert "demand_features with their checks" in reason
    assert (read_state_pointer(world.store), world.training_set) == before


def test_what_is_judged_is_the_refit_on_all_rows(world: World) -> None:
    world.serve_weak_champion()
    assert world.run(*PROMOTING).success
    folder = artefact.folder_of(world.training_set, CONTENDER)
    judged = artefact.load(world.store, folder)
    held = world.pointer
    assert held is not None
    assert (
        artefact.load_file(world.store, folder, judged, "model.onnx")
        == world.store.get(f"models/{held.version}/model.onnx").body
    )
    origin = artefact.load(
        world.store, artefact.folder_of(world.training_set, judged.name)
    ).fit_cutoff
    assert judged.fit_cutoff == origin + 14
