"""An incremental build leaves the rows that a full refresh would, bit for bit, after any history.

Files, corrections, late files, closures, lost rows, publishing twice before dbt runs, and days
that become final: all of them at random, in many stores at once, because each dbt call costs
seconds.
"""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.dbt.warehouse_histories import (
    BEGIN,
    Dbt,
    Warehouse,
    calendar,
    features,
    random_change,
    random_store,
)

N_STORES = 40
N_DAYS = 150
MODES_AND_SEEDS = [("store", 1), ("store", 2), ("observed", 3)]
STORES = [f"S{number}" for number in range(N_STORES)]


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


@pytest.fixture
def warehouse(connection: psycopg.Connection[Any]) -> Warehouse:
    return Warehouse(connection)


@pytest.fixture
def dbt(database_url: str, tmp_path: Path) -> Dbt:
    return Dbt(database_url, tmp_path)


def started(warehouse: Warehouse, chance: random.Random) -> None:
    for store in STORES:
        warehouse.change(random_store(chance, store, N_DAYS))


@pytest.mark.parametrize(
    ("mode", "seed"), [("store", 1), ("store", 2), ("store", 4), ("observed", 3)]
)
def test_an_incremental_build_equals_a_full_refresh_row_by_row(
    warehouse: Warehouse, dbt: Dbt, mode: str, seed: int
) -> None:
    chance = random.Random(seed)
    dbt.environment["SCALECAST_CALENDAR"] = mode
    started(warehouse, chance)
    # At noon after the last of these days some stores' latest day is not final yet.
    now = BEGIN + timedelta(days=N_DAYS)
    dbt("build", "--exclude-resource-type", "unit_test", as_of=f"{now} 03:00:00")
    warehouse.caught_up()
    for step in range(5):
        for _ in range(chance.choice([1, 2])):  # a crash between publish and dbt: two ranges
            warehouse.change(*random_change(chance, warehouse, STORES, N_DAYS))
        now += timedelta(days=1)
        as_of = f"{now} 0{chance.choice([1, 9])}:00:00"
        dbt("build", "--exclude-resource-type", "unit_test", as_of=as_of)
        found = features(warehouse.connection), calendar(warehouse.connection)
        dbt("run", "--full-refresh", as_of=as_of)
        expected = features(warehouse.connection), calendar(warehouse.connection)
        assert found[1] == expected[1], f"calendar, step {step}"
        assert found[0] == expected[0], f"features, step {step}"
        warehouse.caught_up()


def test_a_day_becomes_final_by_the_clock_alone(warehouse: Warehouse, dbt: Dbt) -> None:
    one, two = ("S", "A", BEGIN), ("S", "B", BEGIN)
    latest = BEGIN + timedelta(days=1)
    warehouse.change({one: (1, 1, False), two: (2, 1, False), ("S", "A", latest): (3, 1, False)})
    dbt("run", as_of=f"{latest} 12:00:00")
    warehouse.caught_up()
    half = features(warehouse.connection)
    assert set(half) == {one, two, ("S", "A", latest)}
    assert not half["S", "A", latest]["is_final"]
    dbt("run", as_of=f"{latest + timedelta(days=1)} 06:00:00")
    whole = features(warehouse.connection)
    assert whole["S", "A", latest]["is_final"]
    assert whole["S", "B", latest]["is_imputed"]


def test_another_calendar_rebuilds_everything_without_being_asked(
    warehouse: Warehouse, dbt: Dbt
) -> None:
    gap = BEGIN + timedelta(days=1)
    days = {("S", "A", BEGIN + timedelta(days=d)): (1.0, 1.0, False) for d in range(3)}
    warehouse.change({**days, ("S", "B", BEGIN): (1.0, 1.0, False)})
    dbt("run")
    warehouse.caught_up()
    assert ("S", "B", gap) in features(warehouse.connection)
    dbt.environment["SCALECAST_CALENDAR"] = "observed"
    dbt("build", "--exclude-resource-type", "unit_test")
    assert ("S", "B", gap) not in features(warehouse.connection)


def test_a_build_that_fails_leaves_the_rows_as_they_were(warehouse: Warehouse, dbt: Dbt) -> None:
    days = {("S", "A", BEGIN + timedelta(days=d)): (1.0, 1.0, False) for d in range(3)}
    warehouse.change(days)
    dbt("run")
    before = features(warehouse.connection)
    warehouse.connection.execute(
        "create function refuse() returns trigger language plpgsql "
        "as $$begin raise exception 'disk full'; end$$"
    )
    warehouse.connection.execute(
        "create trigger refuse before insert on features.demand_features "
        "for each statement execute function refuse()"
    )
    assert not dbt.attempt("run").success
    assert features(warehouse.connection) == before


def test_the_future_moves_no_feature(warehouse: Warehouse, dbt: Dbt) -> None:
    chance = random.Random(5)
    started(warehouse, chance)
    dbt("run")
    before = features(warehouse.connection)
    cut = BEGIN + timedelta(days=100)
    later = {key for key in warehouse.rows if key[2] > cut}
    warehouse.change({key: (77.0, 7.0, True) for key in later if chance.random() < 0.5})
    gone = {key for key in later if chance.random() < 0.3}
    warehouse.change({}, gone)
    warehouse.change(
        {(store, "P9", cut + timedelta(days=1)): (5.0, 5.0, False) for store in STORES}
    )
    dbt("run", "--full-refresh")
    after = features(warehouse.connection)
    assert {k: v for k, v in before.items() if k[2] <= cut} == {
        k: v for k, v in after.items() if k[2] <= cut
    }
    assert before != after
