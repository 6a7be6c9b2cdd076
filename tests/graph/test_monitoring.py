"""Watching the world change, in the whole graph: what is promised, what came, who asks for more.

One retailer goes on as before for two loads; copies of it then meet a changed world. Runs are
expensive, so each load runs once and tests only look.
"""

import csv
import datetime as dt
import gzip
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg.rows import dict_row

from scalecast_assets import keys
from scalecast_assets.checks.world import AS_PROMISED, RESEMBLES
from scalecast_assets.contract.layout import MODEL_POINTER, STATE_POINTER
from scalecast_assets.ingest.schema import ensure_schema
from scalecast_assets.monitoring.retraining import RetrainRequest, waiting_requests
from scalecast_assets.resources.embedded_postgres import PostgresServer
from serving.forecaster import Forecaster, Question
from serving.model import load_model
from serving.state import load_state
from tests.graph import small_retailer
from tests.graph.small_retailer import (
    LEARNABLE_DAYS,
    PRODUCTS,
    STORES,
    RawRow,
    day_of,
    sales,
)
from tests.graph.world import World, copy_of, failures, materialized

# dbt and Great Expectations warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")

REFRESHED = (
    keys.RAW_DEMAND, keys.DEMAND_DATA, keys.STG_DEMAND, keys.DEMAND_CALENDAR, keys.DEMAND_FEATURES,
    keys.SERVING_STATE, keys.FORECASTS, keys.LIVE_ACCURACY,
)  # fmt: skip
HORIZON = 14
FIRST_LOAD = range(LEARNABLE_DAYS, LEARNABLE_DAYS + 7)
SECOND_LOAD = range(FIRST_LOAD.stop, FIRST_LOAD.stop + 7)
SINCE = dt.date.fromisoformat(day_of(FIRST_LOAD.start))
Key = tuple[str, str, dt.date]


def as_before(days: range) -> list[RawRow]:
    """Sales that go on following the weekday and the promotion, as the learnt ones did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_retailer, "LEARNABLE_DAYS", days.stop)
        return list(sales(days))


def dearer(row: RawRow) -> RawRow:
    return (*row[:4], str(1.6 * float(row[4])), row[5])


def all_on_promotion(row: RawRow) -> RawRow:
    return (*row[:5], "true")


def hardly_wanted(row: RawRow) -> RawRow:
    return (*row[:3], max(row[3] // 8, 1), *row[4:])


@dataclass(frozen=True)
class Load:
    """What one load did, and what stood in the database right after it."""

    result: dg.ExecuteInProcessResult
    world: World

    @property
    def made(self) -> dict[str, dict[str, Any]]:
        return materialized(self.result)

    @property
    def checks(self) -> dict[str, dg.AssetCheckEvaluation]:
        return {
            found.check_name: found
            for found in self.result.get_asset_check_evaluations()
            if found.asset_key.to_user_string() == keys.LIVE_ACCURACY
        }


def load(world: World, days: range, change: Callable[[RawRow], RawRow] = lambda row: row) -> Load:
    """Drop a file of these days and let the data job's assets run."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["date", "store_id", "product_id", "quantity_sold", "price", "promotion"])
    writer.writerows(change(row) for row in as_before(days))
    world.store.put(f"raw/{days.start}.csv", text.getvalue().encode())
    result = world.run(*REFRESHED)
    assert result.success, failures(result)
    return Load(result, world)


def rows_of(world: World, query: str) -> list[dict[str, Any]]:
    with psycopg.connect(world.database_url, row_factory=dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


def requests(world: World) -> list[RetrainRequest]:
    with psycopg.connect(world.database_url) as connection:
        ensure_schema(connection)
        return waiting_requests(connection)


def versions_of_rows(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """Every row with the transaction that wrote it."""
    with psycopg.connect(world.database_url) as connection:
        return {
            table: connection.execute(
                f"select xmin::text, t.* from ml.{table} t order by t::text".encode()
            ).fetchall()
            for table in ("forecast_days", "drift", "retrain_requests")
        }


@pytest.fixture(scope="module")
def retailer(
    finished: World, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("retailer")
    with copy_of(finished, postgres_server, folder) as copy:
        yield copy


@pytest.fixture(scope="module")
def first(retailer: World) -> Load:
    """A week that goes on as before."""
    return load(retailer, FIRST_LOAD)


@pytest.fixture(scope="module")
def second(first: Load) -> Load:
    """Another such week."""
    return load(first.world, SECOND_LOAD)


@pytest.fixture
def elsewhere(second: Load, postgres_server: PostgresServer, tmp_path: Path) -> Iterator[World]:
    """A copy of the retailer after two loads, to be altered at will."""
    with copy_of(second.world, postgres_server, tmp_path) as copy:
        yield copy


def test_materialize_all_already_promises_the_coming_days(
    materialized_all: tuple[World, dg.ExecuteInProcessResult],
) -> None:
    world, result = materialized_all
    made = materialized(result)[keys.FORECASTS]
    assert made["dagster/row_count"] == len(STORES) * len(PRODUCTS) * HORIZON
    assert made["version"] == "1.0.0"
    assert made["origin"] == day_of(LEARNABLE_DAYS - 1)
    assert materialized(result)[keys.LIVE_ACCURACY]["rows"] == 0
    assert requests(world) == []


def test_forecasts_are_what_the_sidecar_answers_for_the_same_days(second: Load) -> None:
    store = second.world.store
    sidecar = Forecaster(
        load_model(store, store.get(MODEL_POINTER).body),
        load_state(store, store.get(STATE_POINTER).body),
    )
    origin = day_of(SECOND_LOAD.stop - 1)
    rows = rows_of(second.world, f"select * from ml.forecasts where origin = '{origin}'")
    assert len(rows) == len(STORES) * len(PRODUCTS) * HORIZON
    for row in rows:
        answer = sidecar.answer(
            Question(
                row["date"], row["store_id"], row["product_id"], row["price"], row["promotion"]
            )
        )
        assert row["forecast"] == pytest.approx(answer.prediction, rel=1e-6)
        assert (row["source"], row["store_open"]) == (answer.source, answer.store_open)
        assert row["horizon"] == answer.horizon
    closed = {(row["store_id"], row["date"].weekday()) for row in rows if not row["store_open"]}
    assert closed == {(STORES[1], 6)}


def test_two_loads_later_the_live_errors_equal_a_naive_twin(second: Load) -> None:
    sold: dict[Key, float] = {}
    for on, store, product, quantity, *_ in as_before(range(FIRST_LOAD.start, SECOND_LOAD.stop)):
        sold[store, product, dt.date.fromisoformat(on)] = float(quantity)
    is_open = {(store, day) for store, _, day in sold}
    promised = [
        row
        for row in rows_of(second.world, "select * from ml.forecasts")
        if (row["store_id"], row["date"]) in is_open
    ]
    pairs = [
        (row, sold.get((row["store_id"], row["product_id"], row["date"]), 0.0)) for row in promised
    ]
    for day, store in sorted((day, store) for store, day in is_open):
        of_day = [(r, q) for r, q in pairs if (r["date"], r["store_id"]) == (day, store)]
        total = sum(q for _, q in of_day)
        query = "select * from ml.live_accuracy where date = '{}' and store_id = '{}'"
        (shown,) = rows_of(second.world, query.format(day, store))
        assert shown["scored_rows"] == len(of_day)
        for name, wape, bias in (
            ("forecast", shown["wape"], shown["bias"]),
            ("seasonal_naive", shown["naive_wape"], shown["naive_bias"]),
        ):
            assert wape == pytest.approx(sum(abs(r[name] - q) for r, q in of_day) / total)
            assert bias == pytest.approx(sum(r[name] - q for r, q in of_day) / len(of_day))
    wape = sum(abs(r["forecast"] - q) for r, q in pairs) / sum(q for _, q in pairs)
    told = second.made[keys.LIVE_ACCURACY]
    assert told["rows"] == len(pairs)
    assert told["wape"] == pytest.approx(wape)


def test_a_closed_day_is_promised_but_never_scored(second: Load) -> None:
    days = rows_of(
        second.world,
        f"select * from ml.forecast_days where store_id like 'S_d%' and date >= '{SINCE}'"
        f" and date < '{day_of(SECOND_LOAD.stop)}'",
    )
    sundays = [row for row in days if row["date"].weekday() == 6]
    assert len(sundays) == 3  # one of the second week for two origins
    assert all(row["forecast_rows"] == len(PRODUCTS) for row in sundays)
    assert all(row["scored_rows"] is None and not row["store_open"] for row in sundays)
    assert all(row["scored_rows"] == len(PRODUCTS) for row in days if row not in sundays)


def test_a_day_is_judged_by_every_origin_with_its_horizon(first: Load, second: Load) -> None:
    last = day_of(SECOND_LOAD.stop - 1)
    scored = rows_of(
        second.world,
        f"select origin, horizon from ml.forecast_days where date = '{last}' and scored_rows > 0"
        f" and store_id = '{STORES[0]}' order by origin",
    )
    assert [(str(row["origin"]), row["horizon"]) for row in scored] == [
        (day_of(FIRST_LOAD.start - 1), HORIZON),
        (day_of(SECOND_LOAD.start - 1), HORIZON - 7),
    ]
    assert first.made[keys.LIVE_ACCURACY]["store_days_scored"] == 7 * len(STORES) - 1
    by_horizon = second.made[keys.LIVE_ACCURACY]["by_horizon"]
    assert [record.data["horizon"] for record in by_horizon] == [
        str(horizon) for horizon in range(1, HORIZON + 1)
    ]


def test_the_bucket_holds_the_same_rows_as_parquet_and_csv(second: Load) -> None:
    origin = day_of(SECOND_LOAD.stop - 1)
    expected = rows_of(
        second.world,
        f"select * from ml.forecasts where origin = '{origin}' order by store_id, product_id, date",
    )
    assert all(row.pop("served") for row in expected)
    store = second.world.store
    parquet = store.get(f"forecasts/{origin}/forecasts.parquet").body
    assert pq.read_table(io.BytesIO(parquet)).to_pylist() == expected
    text = gzip.decompress(store.get(f"forecasts/{origin}/forecasts.csv.gz").body).decode()
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [(line["store_id"], line["product_id"], line["date"]) for line in lines] == [
        (row["store_id"], row["product_id"], str(row["date"])) for row in expected
    ]
    assert [float(line["forecast"]) for line in lines] == [row["forecast"] for row in expected]
    earlier = day_of(SECOND_LOAD.start - 1)
    assert store.exists(f"forecasts/{earlier}/forecasts.parquet")


def test_a_world_that_goes_on_as_before_asks_for_nothing(first: Load, second: Load) -> None:
    for one in (first, second):
        assert {name: check.passed for name, check in one.checks.items()} == {
            RESEMBLES: True, AS_PROMISED: True,
        }  # fmt: skip
    drift = rows_of(second.world, "select * from ml.drift")
    assert {str(row["data_until"]) for row in drift} == {
        day_of(days.stop - 1) for days in (FIRST_LOAD, SECOND_LOAD)
    }
    assert {(row["data_since"], row["model_version"]) for row in drift} == {(SINCE, "1.0.0")}
    assert all(row["psi"] < max(row["threshold"], row["chance"]) for row in drift)
    assert {row["threshold"] for row in drift} == {0.2}
    assert "times" in (second.checks[AS_PROMISED].description or "")
    assert requests(second.world) == []


def test_the_same_again_changes_nothing(elsewhere: World) -> None:
    def files() -> dict[str, str]:
        return {found.key: found.etag for found in elsewhere.store.list("forecasts/")}

    promised = rows_of(elsewhere, "select * from ml.forecasts order by 1, 2, 3, 4, 5")
    before, stored = versions_of_rows(elsewhere), files()
    again = elsewhere.run(keys.LIVE_ACCURACY)
    assert again.success, failures(again)
    assert materialized(again)[keys.LIVE_ACCURACY]["store_days_scored"] == 0
    assert versions_of_rows(elsewhere)["forecast_days"] == before["forecast_days"]
    again = elsewhere.run(keys.FORECASTS, keys.LIVE_ACCURACY)
    assert again.success, failures(again)
    assert rows_of(elsewhere, "select * from ml.forecasts order by 1, 2, 3, 4, 5") == promised
    after = versions_of_rows(elsewhere)
    assert [row[1:] for row in after["forecast_days"]] == [
        row[1:] for row in before["forecast_days"]
    ]
    assert [row[1:] for row in after["drift"]] == [row[1:] for row in before["drift"]]
    assert files() == stored


@pytest.mark.parametrize(
    ("change", "feature"), [(dearer, "price"), (all_on_promotion, "promotion")]
)
def test_a_shifted_distribution_asks_for_a_new_model_once(
    elsewhere: World, change: Callable[[RawRow], RawRow], feature: str
) -> None:
    shifted = load(elsewhere, range(SECOND_LOAD.stop, SECOND_LOAD.stop + 12), change)
    check = shifted.checks[RESEMBLES]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert check.metadata["worst_feature"].value == feature
    (asked,) = [one for one in requests(elsewhere) if one.cause == "drift"]
    assert asked.model_version == "1.0.0"
    assert asked.evidence[feature] > 0.2
    assert feature in asked.reason
    assert asked.run_id == shifted.result.run_id
    assert not load(elsewhere, range(136, 138), change).checks[RESEMBLES].passed
    assert [one for one in requests(elsewhere) if one.cause == "drift"] == [asked]


def test_an_error_far_above_the_promised_one_asks_for_a_new_model(elsewhere: World) -> None:
    collapsed = load(elsewhere, range(SECOND_LOAD.stop, SECOND_LOAD.stop + 12), hardly_wanted)
    check = collapsed.checks[AS_PROMISED]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    (asked,) = [one for one in requests(elsewhere) if one.cause == "live_error"]
    evidence = asked.evidence
    assert evidence["live_wape"] > 1.3 * evidence["promised_wape"] > 0
    assert "holdout" in asked.reason
    again = elsewhere.run(keys.LIVE_ACCURACY)
    assert again.success
    assert [one for one in requests(elsewhere) if one.cause == "live_error"] == [asked]


def test_another_model_is_asked_about_anew_and_forecasts_stand_beside_the_old_ones(
    elsewhere: World,
) -> None:
    version = elsewhere.serve_weak_champion()
    result = elsewhere.run(keys.FORECASTS, keys.LIVE_ACCURACY)
    assert result.success, failures(result)
    origin = day_of(SECOND_LOAD.stop - 1)
    beside = rows_of(
        elsewhere,
        f"select model_version, count(*) as n from ml.forecasts where origin = '{origin}'"
        " group by 1 order by 1",
    )
    rows = len(STORES) * len(PRODUCTS) * HORIZON
    assert [tuple(row.values()) for row in beside] == [("1.0.0", rows), (version, rows)]
    table = pq.read_table(
        io.BytesIO(elsewhere.store.get(f"forecasts/{origin}/forecasts.parquet").body)
    )
    assert set(table["model_version"].to_pylist()) == {version}
    assert materialized(result)[keys.LIVE_ACCURACY]["rows"] == 0
    (check,) = (c for c in Load(result, elsewhere).checks.values() if c.check_name == AS_PROMISED)
    assert check.passed
    assert "Cannot tell yet" in (check.description or "")


def test_before_any_model_is_served_both_assets_succeed_and_say_so(elsewhere: World) -> None:
    elsewhere.store.delete(MODEL_POINTER)
    elsewhere.execute("truncate ml.forecasts, ml.forecast_days")
    result = elsewhere.run(keys.FORECASTS, keys.LIVE_ACCURACY)
    assert result.success, failures(result)
    for name, rows in ((keys.FORECASTS, "dagster/row_count"), (keys.LIVE_ACCURACY, "rows")):
        assert materialized(result)[name][rows] == 0
        assert "no model is served yet" in materialized(result)[name]["why"]
    assert all(check.passed for check in Load(result, elsewhere).checks.values())
    assert rows_of(elsewhere, "select * from ml.forecasts") == []


def test_without_the_training_set_that_the_model_learnt_nothing_is_compared(
    elsewhere: World,
) -> None:
    elsewhere.store.delete(f"training_sets/{elsewhere.training_set}/rows.parquet")
    for cached in (elsewhere.home / "cache").glob("training_set-*"):
        cached.unlink()
    result = elsewhere.run(keys.LIVE_ACCURACY)
    assert result.success, failures(result)
    check = Load(result, elsewhere).checks[RESEMBLES]
    assert check.passed
    assert "not kept any more" in (check.description or "")


def test_untested_features_are_not_scored(elsewhere: World) -> None:
    elsewhere.execute(
        "insert into warehouse.changed_ranges (store_id, from_date, file_seq)"
        f" values ('{STORES[0]}', '{SINCE}', 99)"
    )
    result = elsewhere.run(keys.LIVE_ACCURACY)
    assert not result.success
    assert "tests have not passed" in failures(result)[keys.LIVE_ACCURACY]
