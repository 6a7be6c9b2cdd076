"""The sensor ``alerts`` on a real Dagster instance: refused files and failed runs, told once."""

import dagster as dg
import pytest

from scalecast_assets import keys
from scalecast_assets.contract.layout import MODEL_POINTER, STATE_POINTER
from scalecast_assets.contract.pointers import ServingPointer, StatePointer
from tests.factories_files import GOOD
from tests.graph.alert_shop import BAD, Shop

# Great Expectations and what it imports warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")


def test_while_nothing_is_wrong_nothing_is_told(shop: Shop) -> None:
    assert shop.tick().startswith("0 open; ")
    shop.put("raw/good.csv", GOOD)
    assert shop.run()
    assert shop.tick() == "0 open; 0 raised, 0 cleared, 0 messages delivered"
    assert shop.heard() == []


def test_a_refused_file_is_one_alert_though_a_check_and_a_run_failed(shop: Shop) -> None:
    pointer = ServingPointer("1.2.0", "a" * 64, "1.1.0")
    shop.store.put(MODEL_POINTER, pointer.to_bytes())
    shop.store.put(STATE_POINTER, StatePointer("b" * 64, 9, "2026-11-23", "c", 1).to_bytes())
    shop.put("raw/sales März.csv", GOOD, BAD.replace("S1", "S2"))
    assert not shop.run()
    for _ in range(3):
        shop.tick()
    assert shop.heard() == ["File refused: raw/sales März.csv"]
    (alert,) = shop.alerts()
    assert alert["files"] == ["raw/sales März.csv"]
    assert "price_is_positive: 1 line, first line 3, price '0': not above zero" in alert["what"]
    assert "Nothing of its 2 rows is loaded" in alert["what"]
    assert "/quarantine/" in alert["to_do"]
    assert "report.csv" in alert["to_do"]
    assert alert["still_served"]["model_version"] == "1.2.0"
    text = shop.smtp.received[0].get_content()
    for part in ("Since: 20", "model 1.2.0 (before it 1.1.0), sales history until 2026-11-23"):
        assert part in text


def test_each_refused_file_is_an_alert_of_its_own(shop: Shop) -> None:
    for name in ("a", "b", "c"):
        shop.put(f"raw/{name}.csv", BAD.replace("S1", name))
    shop.put("raw/good.csv", GOOD)
    assert not shop.run()
    shop.tick()
    assert sorted(shop.heard()) == [f"File refused: raw/{name}.csv" for name in "abc"]
    assert shop.run()
    shop.tick()
    assert len(shop.heard()) == 3


def test_a_corrected_file_clears_its_alert(shop: Shop) -> None:
    shop.put("raw/x.csv", BAD)
    shop.run()
    shop.tick()
    assert shop.open_kinds() == ["file_refused"]
    shop.put("raw/x.csv", GOOD)
    assert shop.run()
    assert shop.tick() == "0 open; 0 raised, 1 cleared, 0 messages delivered"


def test_a_replacement_of_everything_is_refused_as_one(shop: Shop) -> None:
    shop.put("raw/a.csv", GOOD)
    shop.put("raw/b.csv", BAD.replace("S1", "S2"))
    shop.put("raw/c.csv", GOOD.replace("S1", "S3"))
    job = shop.definitions.resolve_implicit_global_asset_job_def()
    config = {"ops": {keys.RAW_DEMAND: {"config": {"replace": True}}}}
    names = [dg.AssetKey(keys.RAW_DEMAND), dg.AssetKey(keys.DEMAND_DATA)]
    assert not job.execute_in_process(
        config, instance=shop.instance, asset_selection=names, raise_on_error=False
    ).success
    shop.tick()
    assert shop.heard() == ["File refused: raw/b.csv"]
    assert "Nothing of its 1 rows is loaded" in shop.alerts()[0]["what"]


def test_a_run_that_failed_is_told_once_however_often_it_is_retried(shop: Shop) -> None:
    shop.behaviour.broken[keys.DEMAND_FEATURES] = OSError("postgresql://u:S3CR3T@db is away")
    for retry in range(3):
        shop.run(keys.DEMAND_FEATURES, **{"dagster/retry_number": str(retry)})
        shop.tick()
    shop.define()
    shop.tick()
    assert shop.heard() == ["Run failed: demand_features"]
    (alert,) = shop.alerts()
    assert "OSError: postgresql://…@db is away" in alert["what"]
    assert alert["run_id"][:8] in alert["what"]
    del shop.behaviour.broken[keys.DEMAND_FEATURES]
    assert shop.run(keys.DEMAND_FEATURES)
    assert shop.tick() == "0 open; 0 raised, 1 cleared, 0 messages delivered"


def test_a_run_that_works_without_the_step_that_failed_clears_nothing(shop: Shop) -> None:
    shop.behaviour.broken[keys.DEMAND_FEATURES] = ValueError("no")
    shop.run(keys.DEMAND_FEATURES)
    shop.put("raw/good.csv", GOOD)
    assert shop.run()
    shop.tick()
    assert shop.open_kinds() == ["run_failed"]


def test_a_run_that_was_ended_from_outside_is_told_and_cleared_by_the_next_of_its_job(
    shop: Shop,
) -> None:
    job = shop.definitions.resolve_implicit_global_asset_job_def()
    run = shop.instance.create_run_for_job(job, tags={"scalecast/file": "raw/x.csv"})
    shop.instance.report_run_failed(run, "The run's process was killed.")
    shop.tick()
    assert shop.heard() == ["Run failed: job __ASSET_JOB"]
    assert "The run's process was killed." in shop.alerts()[0]["what"]
    shop.put("raw/good.csv", GOOD)
    assert shop.run()
    shop.tick()
    assert shop.open_kinds() == []


def test_a_run_that_names_the_files_it_had_landed(shop: Shop) -> None:
    shop.put("raw/good.csv", GOOD)
    shop.behaviour.broken[keys.DEMAND_FEATURES] = ValueError("no")
    assert not shop.run(keys.RAW_DEMAND, keys.DEMAND_DATA, keys.DEMAND_FEATURES)
    shop.tick()
    assert shop.alerts()[0]["files"] == ["raw/good.csv"]


def test_a_failure_beside_a_refused_file_is_an_alert_of_its_own(shop: Shop) -> None:
    shop.put("raw/x.csv", BAD)
    shop.behaviour.broken[keys.MODEL_COMPARISON] = ValueError("no")
    shop.run(keys.RAW_DEMAND, keys.DEMAND_DATA, keys.MODEL_COMPARISON)
    shop.tick()
    assert sorted(shop.heard()) == ["File refused: raw/x.csv", "Run failed: model_comparison"]


def test_an_open_alert_outlives_the_runs_that_a_look_reads(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.behaviour.broken[keys.DEMAND_FEATURES] = ValueError("no")
    shop.run(keys.DEMAND_FEATURES)
    shop.tick()
    monkeypatch.setattr("scalecast_assets.alerting.runs.MAX_RUNS", 2)
    for _ in range(3):
        assert shop.run(keys.MODEL_COMPARISON)
    shop.define()
    shop.tick()
    assert shop.open_kinds() == ["run_failed"]
    shop.behaviour.broken.clear()
    assert shop.run(keys.DEMAND_FEATURES)
    shop.tick()
    assert shop.open_kinds() == []


def test_a_run_in_progress_neither_raises_nor_clears(shop: Shop) -> None:
    shop.behaviour.refused[keys.DEMAND_FEATURES] = "no"
    shop.run(keys.DEMAND_FEATURES)
    shop.tick()
    job = shop.definitions.resolve_implicit_global_asset_job_def()
    shop.instance.create_run_for_job(job)
    shop.tick()
    assert shop.open_kinds() == ["breaker_open"]
