"""The model gates, the comparison and the promotion as assets, on copies of a finished world.

Each copy has a weak champion (the naive baseline) where a promotion is wanted, so that the
comparison has something to promote; what is promoted is then made bad in one way.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import psycopg
import pytest
from onnx import TensorProto, helper, numpy_helper

from scalecast_assets import keys
from scalecast_assets.assets import comparison as comparison_asset
from scalecast_assets.assets import promotion
from scalecast_assets.assets.comparison import CONTENDER
from scalecast_assets.checks import gates
from scalecast_assets.contract.bundle import read_bundle, read_manifest
from scalecast_assets.contract.columns import FEATURES, feature_contract_hash
from scalecast_assets.contract.intervals import LEVELS
from scalecast_assets.contract.pointers import read_serving, read_state_pointer
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.forecasting import artefact, comparison
from scalecast_assets.forecasting.candidates import graphs
from scalecast_assets.forecasting.candidates.base import FittedModel
from scalecast_assets.forecasting.conformal import CoverageRow
from scalecast_assets.promotion import switching
from scalecast_assets.promotion.publishing import publish_bundle
from tests import independent_leaderboard as independent
from tests.graph.small_retailer import LEARNABLE_DAYS, day_of, write_sales
from tests.graph.world import World, failed_checks, failures, materialized

# dbt and Great Expectations warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")

PROMOTING = (keys.MODEL_COMPARISON, keys.PROMOTED_MODEL)


def answering(value: float) -> bytes:
    """A graph that answers ``value``, without the clip at zero that ours have."""
    nodes = [
        helper.make_node("Gather", ["features", "zero"], ["column"], axis=1),
        helper.make_node("Mul", ["column", "nothing"], ["nothings"]),
        helper.make_node("Add", ["nothings", "value"], ["demand"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(0, np.int64), "zero"),
        numpy_helper.from_array(np.array(0, np.float32), "nothing"),
        numpy_helper.from_array(np.array(value, np.float32), "value"),
    ]
    rows = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", len(FEATURES)])
    demand = helper.make_tensor_value_info("demand", TensorProto.FLOAT, ["N"])
    graph = helper.make_graph(nodes, "bad", [rows], [demand], constants)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString())


def refit_gives(patch: pytest.MonkeyPatch, alter: Callable[[FittedModel], FittedModel]) -> None:
    refit = comparison.refit_winner
    patch.setattr(comparison, "refit_winner", lambda *given, **more: alter(refit(*given, **more)))


def serve_again(world: World, **changes: Any) -> str:
    """Serve the served bundle once more, under a manifest that says otherwise; its version."""
    held = world.held
    assert held is not None
    bundle = read_bundle(world.store, held.pointer.version)
    fields = vars(bundle.manifest).items()
    told = {n: v for n, v in fields if n not in ("version", "files", "created_at")}
    told["raw_files"] = [vars(file) for file in bundle.manifest.raw_files]
    files = {"model.onnx": bundle.onnx, "encoders.json": bundle.encoders.to_bytes()}
    version = publish_bundle(world.store, files, told | changes).version
    switching.promote(world.store, version, held)
    return version


def predicts(value: float) -> Callable[[FittedModel], FittedModel]:
    """Graph and native model agree on ``value``."""
    return lambda fitted: dataclasses.replace(
        fitted,
        onnx=answering(value),
        predict_native=lambda rows: np.full(len(rows), value),
    )


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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5])
def test_one_bad_prediction_is_enough(value: float) -> None:
    rows = np.zeros((50, len(FEATURES)), np.float32)
    assert not gates.predictions_are_sane(answering(value), rows).passed
    assert gates.predictions_are_sane(answering(0.5), rows).passed


def test_nan_is_no_equality() -> None:
    rows = np.ones((5, len(FEATURES)), np.float32)
    nans = np.full(5, np.nan)
    assert not gates.onnx_equals_native(answering(float("nan")), rows, nans).passed
    assert not gates.onnx_equals_native(answering(1.0), rows, nans).passed


def test_equality_is_relative_above_one_and_absolute_below() -> None:
    rows = np.ones((5, len(FEATURES)), np.float32)
    graph = answering(1000.0)
    assert gates.onnx_equals_native(graph, rows, np.full(5, 1000.05)).passed
    assert not gates.onnx_equals_native(graph, rows, np.full(5, 1000.2)).passed
    small = answering(0.001)
    assert gates.onnx_equals_native(small, rows, np.full(5, 0.00105)).passed
    assert not gates.onnx_equals_native(small, rows, np.full(5, 0.0015)).passed


def test_no_rows_prove_nothing() -> None:
    none = np.ones((0, len(FEATURES)), np.float32)
    assert not gates.onnx_equals_native(answering(1.0), none, np.ones(0)).passed
    assert not gates.predictions_are_sane(answering(1.0), none).passed


def test_warnings_compare_the_best_learned_model_with_the_baselines() -> None:
    maes = dict(zip(keys.CANDIDATES, (5.0, 4.0, 6.0, 3.0, 7.0, 8.0), strict=True))
    board = [{"name": name, "mae": mae} for name, mae in maes.items()]
    board.append({"name": keys.SEASONAL_NAIVE, "mae": 3.5})
    verdict: dict[str, Any] = {"leaderboard": board, "contender": keys.RANDOM_FOREST}
    names = ("learned_model_beats_baselines", "winner_beats_seasonal_naive")
    assert all(gates.warnings_of(verdict)[name].passed for name in names)
    board[3]["mae"] = 4.0
    assert not any(gates.warnings_of(verdict)[name].passed for name in names)


@pytest.mark.parametrize(
    ("level", "covered", "passes"),
    [(80, 0.76, True), (80, 0.74, False), (80, 0.86, False), (95, 0.99, True), (50, 0.56, False)],
)
def test_a_warning_says_when_a_level_does_not_cover_what_it_says(
    level: int, covered: float, passes: bool
) -> None:
    rows = [
        CoverageRow(
            "all", one, 9_000, covered if one == level else one / 100, 0.1, 0.1, 2.0, 1.0
        ).to_json()
        for one in LEVELS
    ]
    found = gates.coverage_is_near({"coverage": {"why_none": None, "rows": rows}})
    assert found.passed == passes
    assert f"{covered:.1%} in the {level} % interval" in found.description
    assert found.metadata[f"covered_{level}"] == covered


@pytest.mark.parametrize("verdict", [{}, {"coverage": {"why_none": "too short", "rows": []}}])
def test_without_intervals_the_warning_says_that_it_cannot_tell(verdict: dict[str, Any]) -> None:
    found = gates.coverage_is_near(verdict)
    assert found.passed
    assert found.description.startswith("Cannot tell: no intervals, ")


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


def test_a_better_contender_takes_the_place_of_a_weak_champion(world: World) -> None:
    weak = world.serve_weak_champion()
    result = world.run(*PROMOTING)
    assert result.success, failures(result)
    pointer = world.pointer
    assert pointer is not None
    assert (pointer.version, pointer.previous) == ("1.2.0", weak)
    assert materialized(result)[keys.PROMOTED_MODEL]["outcome"] == "promoted"
    with psycopg.connect(world.database_url) as connection:
        row = connection.execute(
            "select outcome, version, previous, leaderboard from ml.promotions "
            "order by decided_at desc limit 1"
        ).fetchone()
    assert row is not None
    assert row[:3] == ("promoted", "1.2.0", weak)
    assert keys.CHAMPION in {entry["name"] for entry in row[3]}


def test_a_champion_that_changed_after_the_comparison_is_compared_with_first(
    world: World,
) -> None:
    world.serve_weak_champion()
    assert world.run(keys.MODEL_COMPARISON).success
    colleagues = switching.rollback(world.store, "1.0.0")
    result = world.run(keys.PROMOTED_MODEL)
    assert result.success, failures(result)
    # The verdict was to promote; but what the colleague serves is the very same model.
    assert materialized(result)[keys.PROMOTED_MODEL]["outcome"] == "unchanged"
    assert world.pointer == colleagues.pointer


def publish_while(
    patch: pytest.MonkeyPatch, meanwhile: Callable[[DirectoryStore], Any], times: int
) -> list[str]:
    """Have a colleague act between publishing and switching; returns the versions published."""
    publish = promotion._publish
    published: list[str] = []

    def interrupted(store: Any, *given: Any) -> Any:
        manifest = publish(store, *given)
        published.append(manifest.version)
        if len(published) <= times:
            meanwhile(store)
        return manifest

    patch.setattr(promotion, "_publish", interrupted)
    return published


def test_a_champion_that_changes_during_the_promotion_is_never_overwritten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = world.serve_weak_champion()
    colleagues: list[str] = []
    published = publish_while(
        monkeypatch, lambda store: colleagues.append(world.serve_weak_champion()), times=1
    )
    result = world.run(*PROMOTING)
    assert result.success, failures(result)
    pointer = world.pointer
    assert pointer is not None
    assert len(published) == 2
    assert (pointer.version, pointer.previous) == (published[1], colleagues[0])
    assert colleagues[0] not in (weak, *published)
    assert f"champion {colleagues[0]}" in materialized(result)[keys.PROMOTED_MODEL]["why"]


def test_a_champion_that_changes_every_time_ends_the_run_without_a_promotion(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve_weak_champion()
    colleagues: list[str] = []
    published = publish_while(
        monkeypatch, lambda store: colleagues.append(world.serve_weak_champion()), times=99
    )
    result = world.run(*PROMOTING)
    assert not result.success
    assert "The champion changed 3 times" in failures(result)[keys.PROMOTED_MODEL]
    assert len(published) == promotion.TRIES
    pointer = world.pointer
    assert pointer is not None
    assert pointer.version == colleagues[-1]


def test_gates_are_held_against_what_a_second_comparison_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The champion changes, the winner is refitted again, and this time the graph is bad."""
    world.serve_weak_champion()
    colleagues: list[str] = []

    def meanwhile(store: DirectoryStore) -> None:
        colleagues.append(world.serve_weak_champion())
        refit_gives(monkeypatch, predicts(-1.0))

    publish_while(monkeypatch, meanwhile, times=1)
    result = world.run(*PROMOTING)
    assert not result.success
    assert_stays(world, result, "predictions_are_finite_and_not_negative", colleagues[-1])
    versions = world.versions

    again = world.run(keys.PROMOTED_MODEL)
    assert_stays(world, again, "predictions_are_finite_and_not_negative", colleagues[-1])
    assert world.versions == versions


def assert_stays(
    world: World, result: dg.ExecuteInProcessResult, because: str, champion: str
) -> None:
    assert not result.success
    assert because in failures(result)[keys.PROMOTED_MODEL]
    held = read_serving(world.store)
    assert held is not None
    assert held.pointer.version == champion


def test_a_verdict_that_no_gate_has_seen_is_judged_before_it_is_carried_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison breaks off once its verdict is written: the gates on record are older."""
    weak = world.serve_weak_champion()
    versions = world.versions
    refit_gives(monkeypatch, predicts(-1.0))
    with monkeypatch.context() as broken:
        broken.delattr(comparison_asset, "_metadata")
        assert not world.run(keys.MODEL_COMPARISON).success
    result = world.run(keys.PROMOTED_MODEL)
    assert_stays(world, result, "predictions_are_finite_and_not_negative", weak)
    assert world.versions == versions


def test_what_was_written_after_the_verdict_is_not_published_for_what_was_judged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next comparison breaks off before its verdict, leaving a sound model of another kind."""
    weak = world.serve_weak_champion()
    assert world.run(keys.MODEL_COMPARISON).success
    versions = world.versions
    with monkeypatch.context() as broken:
        refit_gives(broken, predicts(5.0))
        broken.setattr(comparison_asset, "_curves", None)
        assert not world.run(keys.MODEL_COMPARISON).success
    result = world.run(keys.PROMOTED_MODEL)
    assert_stays(world, result, "materialize model_comparison with its checks", weak)
    assert world.versions == versions


def test_the_verdict_pins_the_bytes_that_are_published(world: World) -> None:
    world.serve_weak_champion()
    assert world.run(*PROMOTING).success
    key = f"candidates/{world.training_set}/comparison.json"
    pinned = json.loads(world.store.get(key).body)["judged_files"]
    held = world.pointer
    assert held is not None
    manifest, _ = read_manifest(world.store, held.version)
    for name in ("model.onnx", "demand_model.pkl"):
        assert manifest.files[name].sha256 == pinned[name]


def test_the_recipe_that_wins_again_on_new_data_is_refreshed(world: World) -> None:
    """The champion is of this recipe and of another training set, whose data ended earlier."""
    older = serve_again(world, training_set="0" * 64, fit_cutoff="2023-04-10")
    result = world.run(*PROMOTING)
    assert result.success, failures(result)
    done = materialized(result)[keys.PROMOTED_MODEL]
    assert done["outcome"] == "promoted"
    assert (done["version"], done["previous"]) == ("1.2.0", older)
    until = materialized(result)[keys.MODEL_COMPARISON]["cutoff"]
    manifest, _ = read_manifest(world.store, "1.2.0")
    assert manifest.fit_cutoff == day_of(LEARNABLE_DAYS - 1) > until
    assert f"on data until {manifest.fit_cutoff}" in done["why"]


def test_a_champion_of_another_feature_contract_gives_way_and_it_is_said_so(world: World) -> None:
    other = serve_again(world, calendar="observed", contract_hash=feature_contract_hash("observed"))
    result = world.run(*PROMOTING)
    assert result.success, failures(result)
    done = materialized(result)[keys.PROMOTED_MODEL]
    assert (done["outcome"], done["previous"]) == ("promoted", other)
    assert f"champion {other} is of another feature contract and gives way" in done["why"]
    assert "there was no champion" not in done["why"]


def test_a_champion_of_a_family_that_is_gone_gives_way(world: World) -> None:
    other = serve_again(world, candidate="prophet")
    result = world.run(*PROMOTING)
    assert result.success, failures(result)
    done = materialized(result)[keys.PROMOTED_MODEL]
    assert (done["outcome"], done["previous"]) == ("promoted", other)
    assert f"champion {other} (prophet) cannot be fitted again and gives way" in done["why"]


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
