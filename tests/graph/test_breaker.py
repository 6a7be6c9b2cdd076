"""The breaker in the graph as shipped: what a gate that is not green stops, how the line clears.

A gate can fail, raise, never have been evaluated, or have passed for an older materialization
only. What the guard makes of each is in ``test_guard.py``; here is that every consumer asks it,
what a run stops at, and that warehouse and pointers still hold the last good state.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from scalecast_assets import keys
from scalecast_assets.assets import dbt as dbt_asset
from scalecast_assets.assets.ingestion import RawFormat, demand_data, raw_demand, raw_files
from scalecast_assets.checks import gates, judging
from scalecast_assets.checks.expectations import raw_demand_suite
from scalecast_assets.contract.pointers import read_serving, read_state_pointer
from scalecast_assets.ingest.intake import READABLE
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.warehouse import WarehouseResource
from tests.factories_files import GOOD, Pipeline
from tests.graph.small_retailer import LEARNABLE_DAYS, write_bad_sales, write_sales
from tests.graph.world import World, failures, materialized

# dbt and Great Expectations warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")

FEATURES = (keys.STG_DEMAND, keys.DEMAND_CALENDAR, keys.DEMAND_FEATURES)
REFRESH = (keys.RAW_DEMAND, keys.DEMAND_DATA, *FEATURES, keys.SERVING_STATE, keys.LIVE_ACCURACY)
PROMOTING = (keys.MODEL_COMPARISON, keys.PROMOTED_MODEL)

CONSUMERS = {
    keys.DEMAND_FEATURES: (keys.DEMAND_DATA, "warehouse_has_rows"),
    keys.TRAINING_SET: (keys.DEMAND_FEATURES, "features_are_complete_and_in_range"),
    keys.SERVING_STATE: (keys.DEMAND_FEATURES, "features_have_one_row_per_series_day"),
    keys.LIVE_ACCURACY: (keys.DEMAND_CALENDAR, "calendar_is_complete_and_in_range"),
    keys.PROMOTED_MODEL: (keys.MODEL_COMPARISON, "onnx_equals_native_model"),
}
"""One of the gates of each asset that has any, as (asset, check)."""


def served(world: World) -> tuple[Any, ...]:
    """What readers of the pointers and of the warehouse see."""
    store = world.store
    rows = world.execute("select 1 from warehouse.demand_data")
    return read_serving(store), read_state_pointer(store), world.training_set, rows


def refusal(world: World, consumer: str) -> str:
    """Why the asset, materialized alone, does not start; "" if it did."""
    found = failures(world.run(*(FEATURES if consumer in FEATURES else (consumer,))))
    return next(iter(found.values()), "")


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_every_consumer_alone_refuses_to_start_and_names_its_gate(
    world: World, consumer: str
) -> None:
    asset, check = CONSUMERS[consumer]
    gate, before = f"{asset}.{check}", served(world)
    world.instance.report_runless_asset_event(dg.AssetMaterialization(asset))
    assert f"{gate} passed for an older materialization only" in refusal(world, consumer)
    world.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=dg.AssetKey(asset), check_name=check, passed=False)
    )
    assert f"{gate} has not passed" in refusal(world, consumer)
    with dg.DagsterInstance.ephemeral() as forgetful:
        elsewhere = World(world.home, world.database, world.database_url, forgetful)
        assert f"{gate} has not been evaluated" in refusal(elsewhere, consumer)
    assert served(world) == before


def test_a_bad_file_stops_everything_below_and_its_correction_clears_the_line(
    world: World, tmp_path: Path
) -> None:
    before = served(world)
    bad = write_bad_sales(tmp_path / "late.csv", LEARNABLE_DAYS)
    world.store.upload(bad, "raw/late.csv")
    stopped = world.run(*REFRESH)
    assert not stopped.success
    assert set(materialized(stopped)) == {keys.RAW_DEMAND}
    assert world.run(keys.DEMAND_DATA).success
    assert served(world) == before
    days = range(LEARNABLE_DAYS, LEARNABLE_DAYS + 2)
    world.store.upload(write_sales(tmp_path / "corrected.csv", days), "raw/late.csv")
    cleared = world.run(*REFRESH)
    assert cleared.success, failures(cleared)
    assert set(materialized(cleared)) == set(REFRESH)
    assert served(world)[1] != before[1]


def test_a_test_of_dbt_that_raises_stops_what_is_below_until_it_passes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = served(world)
    world.execute(
        "insert into warehouse.changed_ranges (store_id, from_date, file_seq)"
        " select distinct store_id, date '2023-04-01', 1 from warehouse.demand_data"
    )
    done = dbt_asset._what_is_done

    def raises(event: Any) -> Any:
        if isinstance(event, dg.AssetCheckResult):
            raise RuntimeError("the test broke")
        return done(event)

    with monkeypatch.context() as patch:
        patch.setattr(dbt_asset, "_what_is_done", raises)
        broken = world.run(*FEATURES, keys.SERVING_STATE)
    assert "the test broke" in failures(broken)["dbt_features"]
    assert keys.SERVING_STATE not in materialized(broken)
    assert "The breaker is open" in refusal(world, keys.SERVING_STATE)
    assert served(world) == before
    assert world.run(*FEATURES, keys.SERVING_STATE).success


def test_a_model_gate_that_raises_promotes_nothing_until_it_passes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve_weak_champion()
    before = served(world)

    def raises(*_: object, **__: object) -> Any:
        raise RuntimeError("the gate broke")

    with monkeypatch.context() as patch:
        patch.setattr(gates, "judge", raises)
        broken = world.run(*PROMOTING)
    assert "the gate broke" in failures(broken)["model_gates"]
    assert keys.PROMOTED_MODEL not in materialized(broken)
    assert "The breaker is open" in refusal(world, keys.PROMOTED_MODEL)
    assert served(world) == before
    assert world.run(*PROMOTING).success
    assert served(world)[0] != before[0]


@dataclass
class Ingestion:
    """The ingestion alone on a fresh database; its verdict is in the ledger, not in Dagster."""

    pipeline: Pipeline
    resources: dict[str, Any]
    instance: dg.DagsterInstance

    def run(self, selection: dg.AssetSelection | None = None) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            [raw_files, raw_demand, raw_demand_suite, demand_data],
            instance=self.instance,
            resources=self.resources,
            selection=selection,
            raise_on_error=False,
        )


@pytest.fixture
def ingestion(database_url: str, tmp_path: Path) -> Iterator[Ingestion]:
    resources = {
        "warehouse": WarehouseResource(url=database_url),
        "store": ObjectStoreResource(url=(tmp_path / "store").as_uri()),
        "raw_format": RawFormat(),
    }
    with dg.DagsterInstance.ephemeral() as instance:
        ingestion = Ingestion(Pipeline(database_url, tmp_path), resources, instance)
        ingestion.pipeline.put("raw/first.csv", GOOD)
        assert ingestion.run().success
        yield ingestion
        ingestion.pipeline.conn.close()


ALONE = dg.AssetSelection.assets(keys.DEMAND_DATA)
UNJUDGED = dg.AssetSelection.assets(keys.RAW_DEMAND).without_checks() | dg.AssetSelection.checks(
    dg.AssetCheckKey(dg.AssetKey(keys.RAW_DEMAND), READABLE)  # which it makes itself
)


@pytest.mark.parametrize("how", ["the suite raises", "landed without the suite"])
def test_what_the_suite_has_not_judged_is_not_published_until_it_is(
    ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    pipeline = ingestion.pipeline
    before = pipeline.checksum()
    pipeline.put("raw/second.csv", GOOD.replace("S1", "S2"))
    if how == "the suite raises":

        def raises(*_: object) -> Any:
            raise RuntimeError("the suite broke")

        with monkeypatch.context() as patch:
            patch.setattr(judging, "ask", raises)
            broken = ingestion.run()
        assert "the suite broke" in failures(broken)["raw_demand_suite"]
        assert keys.DEMAND_DATA not in materialized(broken)
    else:
        assert ingestion.run(UNJUDGED).success
    assert ingestion.run(ALONE).success
    assert pipeline.states() == {"raw/first.csv": "published", "raw/second.csv": "landed"}
    assert pipeline.checksum() == before
    assert ingestion.run().success
    assert set(pipeline.states().values()) == {"published"}
