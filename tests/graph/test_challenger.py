"""A challenger in the whole graph: promised beside the champion and scored on the same days."""

import datetime as dt
import gzip
import io
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg.rows import dict_row

from scalecast_assets import keys
from scalecast_assets.commands.challenging import (
    challenger_lines,
    read_live_comparison,
    served_facts,
)
from scalecast_assets.commands.reporting import read_models
from scalecast_assets.contract.layout import MODEL
from scalecast_assets.promotion.challenging import challenge, end_challenge
from serving.forecaster import Question
from serving.reload import Reloader
from tests.graph.small_retailer import LEARNABLE_DAYS, PRODUCTS, STORES, day_of, sales, write_sales
from tests.graph.world import World, failures, materialized

# dbt and Great Expectations warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")

REFRESHED = (
    keys.RAW_DEMAND, keys.DEMAND_DATA, keys.STG_DEMAND, keys.DEMAND_CALENDAR, keys.DEMAND_FEATURES,
    keys.SERVING_STATE, keys.FORECASTS, keys.LIVE_ACCURACY,
)  # fmt: skip
HORIZON = 14
N_ROWS = len(STORES) * len(PRODUCTS) * HORIZON
ORIGIN = day_of(LEARNABLE_DAYS - 1)
WEEK = range(LEARNABLE_DAYS, LEARNABLE_DAYS + 7)
SHARE = 0.4
Row = dict[str, Any]


def rows_of(world: World, query: str) -> list[Row]:
    with psycopg.connect(world.database_url, row_factory=dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


def run(world: World, *assets: str) -> dict[str, dict[str, Any]]:
    result = world.run(*assets)
    assert result.success, failures(result)
    return materialized(result)


def key_of(row: Row) -> tuple[str, str, dt.date]:
    return row["store_id"], row["product_id"], row["date"]


def test_both_versions_are_promised_scored_and_compared(world: World, tmp_path: Path) -> None:
    champion, challenger = world.serve_weak_champion(), "1.0.0"
    challenge(world.store, challenger, mode="split", share=SHARE)

    made = run(world, keys.FORECASTS)[keys.FORECASTS]

    assert (made["version"], made["dagster/row_count"]) == (champion, N_ROWS)
    assert (made["challenger"], made["challenger_rows"]) == (challenger, N_ROWS)
    _the_bucket_holds_what_is_served(world)
    _served_rows_are_the_sidecars_answers(world)

    raw = write_sales(tmp_path / "week.csv", WEEK)
    world.store.upload(raw, "raw/week.csv")
    made = run(world, *REFRESHED)

    sold = {(s, p, dt.date.fromisoformat(day)): q for day, s, p, q, *_ in sales(WEEK)}
    promised = rows_of(world, f"select * from ml.forecasts where origin = '{ORIGIN}'")
    wapes = _naive_wapes(
        [row for row in promised if row["model_version"] in (champion, challenger)], sold
    )
    assert wapes.keys() == {champion, challenger}
    told = made[keys.LIVE_ACCURACY]
    assert told["challenger"] == challenger
    assert told["champion_wape"] == pytest.approx(wapes[champion])
    assert told["challenger_wape"] == pytest.approx(wapes[challenger])
    assert told["rows_of_both"] == len(sold)
    _status_compares_both(world, champion, challenger, wapes)
    newest = rows_of(world, f"select * from ml.forecasts where origin = '{day_of(WEEK.stop - 1)}'")
    assert {row["model_version"] for row in newest} == {champion, challenger}
    assert len(newest) == 2 * N_ROWS

    end_challenge(world.store)
    run(world, keys.FORECASTS)
    left = rows_of(
        world,
        "select model_version, count(*) from ml.forecasts where served"
        f" and origin = '{day_of(WEEK.stop - 1)}' group by 1",
    )
    assert left == [{"model_version": champion, "count": N_ROWS}]


def _the_bucket_holds_what_is_served(world: World) -> None:
    """One row per series and day, as before there was a challenger."""
    rows = rows_of(world, f"select * from ml.forecasts where origin = '{ORIGIN}' and served")
    parquet = world.store.get(f"forecasts/{ORIGIN}/forecasts.parquet").body
    table = pq.read_table(io.BytesIO(parquet)).to_pylist()
    assert "served" not in table[0]
    found = {key_of(row): (row["model_version"], row["forecast"], row["lower"]) for row in table}
    assert len(found) == len(table) == N_ROWS
    assert found == {
        key_of(row): (row["model_version"], row["forecast"], row["lower"]) for row in rows
    }
    text = gzip.decompress(world.store.get(f"forecasts/{ORIGIN}/forecasts.csv.gz").body)
    assert text.count(b"\n") == N_ROWS + 1


def _served_rows_are_the_sidecars_answers(world: World) -> None:
    reloader = Reloader(world.store, 10.0)
    reloader.refresh()
    traffic = reloader.traffic
    assert traffic is not None
    versions = set()
    for row in rows_of(world, f"select * from ml.forecasts where origin = '{ORIGIN}'"):
        teller = traffic.of(row["store_id"], row["product_id"])
        assert row["served"] == (teller.model.version == row["model_version"])
        if row["served"]:
            versions.add(row["model_version"])
            question = Question(
                row["date"], row["store_id"], row["product_id"], row["price"], row["promotion"]
            )
            assert row["forecast"] == pytest.approx(teller.answer(question).prediction, rel=1e-6)
    assert len(versions) == 2


def _naive_wapes(rows: list[Row], sold: dict[tuple[str, str, dt.date], int]) -> dict[str, float]:
    wapes = {}
    for version in {row["model_version"] for row in rows}:
        own = {key_of(row): row["forecast"] for row in rows if row["model_version"] == version}
        error = sum(abs(own[key] - quantity) for key, quantity in sold.items())
        wapes[version] = error / sum(sold.values())
    return wapes


def _status_compares_both(
    world: World, champion: str, challenger: str, wapes: dict[str, float]
) -> None:
    facts = served_facts(world.store)
    with psycopg.connect(world.database_url) as connection:
        live = read_live_comparison(connection, facts)
    assert live is not None
    assert live["challenger_wape"] == pytest.approx(wapes[challenger])
    said = "\n".join(challenger_lines(facts["challenger"], live))
    assert f"{challenger} answers for 40 % of the series" in said
    assert f"{champion} {wapes[champion]:.1%}" in said
    marks = {one["version"]: one for one in read_models(world.settings)["versions"]}
    assert marks[challenger]["challenges"]
    assert marks[champion]["served"]


def test_a_spoilt_challenger_does_not_hold_up_the_champions_forecasts(world: World) -> None:
    champion = world.serve_weak_champion()
    challenge(world.store, "1.0.0", mode="shadow", share=1.0)
    world.store.put(f"models/1.0.0/{MODEL}", b"spoilt")
    made = run(world, keys.FORECASTS)[keys.FORECASTS]
    assert (made["version"], made["dagster/row_count"]) == (champion, N_ROWS)
    assert "challenger" not in made
    versions = rows_of(world, "select distinct model_version from ml.forecasts where served")
    assert versions == [{"model_version": champion}]
