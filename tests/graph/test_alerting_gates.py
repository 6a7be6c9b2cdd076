"""The sensor ``alerts``: open breakers and refused promotions, told as what they are."""

import datetime as dt

import dagster as dg
import psycopg
import pytest

from scalecast_assets import keys
from scalecast_assets.alerting import book
from scalecast_assets.alerting.cause import Cause
from scalecast_assets.alerting.gates import open_breakers, refused_promotion
from scalecast_assets.alerting.runs import RunHistory
from scalecast_assets.checks.gates import MODEL_GATES
from scalecast_assets.definitions import build_definitions
from scalecast_assets.ingest.schema import ensure_schema
from tests.factories_files import GOOD
from tests.graph.alert_shop import MODEL, Behaviour, Shop, build_assets
from tests.graph.altered_models import predicts, refit_gives
from tests.graph.world import World

# Great Expectations and what it imports warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")


def test_an_open_breaker_is_one_alert_and_so_are_the_runs_that_it_keeps_from_starting(
    shop: Shop,
) -> None:
    shop.behaviour.refused[keys.DEMAND_FEATURES] = "3 rows on closed days"
    shop.put("raw/good.csv", GOOD)
    assert not shop.run(keys.RAW_DEMAND, keys.DEMAND_DATA, keys.DEMAND_FEATURES)
    for _ in range(2):
        assert not shop.run(keys.TRAINING_SET)
        shop.tick()
    gate = "demand_features.features_match_the_calendar"
    assert shop.heard() == [f"Breaker open: {gate}"]
    (alert,) = shop.alerts()
    assert alert["what"] == f"{gate} did not pass: 3 rows on closed days"
    assert alert["files"] == ["raw/good.csv"]
    shop.behaviour.refused.clear()
    assert shop.run(keys.DEMAND_FEATURES)
    shop.tick()
    assert shop.open_kinds() == []
    assert len(shop.heard()) == 1


def test_a_refused_promotion_is_one_alert_a_model(shop: Shop) -> None:
    retrain = (keys.DEMAND_FEATURES, keys.TRAINING_SET, keys.MODEL_COMPARISON, keys.PROMOTED_MODEL)
    shop.behaviour.refused[keys.MODEL_COMPARISON] = "largest difference 0.3"
    for _ in range(2):  # the second is a retry: the same training set, the same verdict
        assert not shop.run(*retrain)
        shop.tick()
    assert not shop.run(keys.PROMOTED_MODEL)
    shop.tick()
    gate = "model_comparison.onnx_equals_native_model"
    assert shop.heard() == [f"Promotion refused: {gate}"]
    (alert,) = shop.alerts()
    assert f"{gate} did not pass: largest difference 0.3" in alert["what"]
    assert alert["cause"] == "promotion_refused/aaaaaaaaaaaa"
    assert "stays" in alert["to_do"]

    shop.behaviour.training_set = "b" * 64
    assert not shop.run(*retrain)
    shop.tick()
    assert len(shop.heard()) == 2
    shop.behaviour.refused.clear()
    assert shop.run(*retrain)
    shop.tick()
    assert shop.open_kinds() == []


def test_a_gate_that_breaks_is_a_failed_run_and_no_verdict(shop: Shop) -> None:
    shop.behaviour.broken[MODEL.name] = RuntimeError("no such file")
    retrain = (keys.DEMAND_FEATURES, keys.TRAINING_SET, keys.MODEL_COMPARISON)
    assert not shop.run(*retrain)
    shop.tick()
    assert [alert["kind"] for alert in shop.alerts()] == ["run_failed"]
    assert "RuntimeError: no such file" in shop.alerts()[0]["what"]


def test_a_check_that_no_alert_is_about_is_not_explained_away() -> None:
    history = RunHistory([MODEL])
    with dg.DagsterInstance.ephemeral() as instance:
        behaviour = Behaviour(refused={keys.DEMAND_FEATURES: "no"})
        features, _, _, _, check, _ = build_assets(behaviour)
        dg.materialize([features, check], instance=instance, raise_on_error=False)
        (ending,) = history.endings(instance, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    assert list(ending.failed) == ["demand_features_features_match_the_calendar"]


def causes(world: World, *run_ids: str) -> list[Cause]:
    """What is wrong in a world of the real graph; of failed runs only these."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in world.environment.items():
            patch.setenv(name, value)
        graph = build_definitions(world.settings).resolve_asset_graph()
    tables = {keys.STG_DEMAND, keys.DEMAND_CALENDAR, keys.DEMAND_FEATURES}
    tested = [k for k in graph.asset_check_keys if k.asset_key.to_user_string() in tables]
    history = RunHistory([*MODEL_GATES, *tested], [keys.RAW_DEMAND])
    with psycopg.connect(world.database_url, autocommit=True) as conn:
        ensure_schema(conn)
        look = book.read_look(conn, [])
        found = [
            *open_breakers(world.instance, conn, {"features": tested})(look),
            *refused_promotion(world.instance, MODEL_GATES)(look),
        ]
    # Other tests have failed runs of their own in the same instance.
    endings = {e.run_id: e for e in history.endings(world.instance, look.news_since)}
    assert [endings[run_id].failed for run_id in run_ids] == [{} for _ in run_ids]
    return found


def test_a_dbt_test_that_fails_is_an_open_breaker_and_no_failed_run(world: World) -> None:
    world.execute("delete from warehouse.id_codes where kind = 'product' and id = 'A'")
    built = world.run(keys.STG_DEMAND, keys.DEMAND_CALENDAR, keys.DEMAND_FEATURES)
    stopped = world.run(keys.SERVING_STATE)
    assert not built.success
    assert not stopped.success
    (cause,) = causes(world, built.run_id, stopped.run_id)
    gate = "demand_features.codes_are_those_given_at_publish"
    assert cause.headline == f"Breaker open: {gate}"
    assert cause.what == f"{gate} did not pass: 2 rows"


def test_a_model_gate_that_fails_is_a_refused_promotion_and_no_failed_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve_weak_champion()
    with monkeypatch.context() as broken:
        refit_gives(broken, predicts(-1.0))
        compared = world.run(keys.MODEL_COMPARISON, keys.PROMOTED_MODEL)
    stopped = world.run(keys.PROMOTED_MODEL)
    (cause,) = (
        found
        for found in causes(world, compared.run_id, stopped.run_id)
        if found.kind == "promotion_refused"
    )
    assert cause.subject == world.training_set[:12]
    gate = "model_comparison.predictions_are_finite_and_not_negative"
    assert cause.what.startswith(f"{gate} did not pass: 0 not finite and ")
    assert world.run(keys.MODEL_COMPARISON, keys.PROMOTED_MODEL).success
    assert [found.kind for found in causes(world)].count("promotion_refused") == 0
