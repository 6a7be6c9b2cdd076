"""The panel that is read from Postgres: the recent rows alone give what the whole table gives."""

import dataclasses
import datetime as dt
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from scalecast_assets.contract.columns import Calendar
from scalecast_assets.contract.panel import KEPT_DAYS, Panel
from scalecast_assets.contract.panel_rows import PanelRows, build_panel
from scalecast_assets.contract.state import panel_to_bytes
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.resources import feature_rows
from scalecast_assets.resources.feature_rows import NoFeatureRows, read_panel
from tests.unit.naive_features import EPOCH, History, final_rows, panel_of, random_history

CALENDARS: tuple[Calendar, ...] = ("store", "observed")
TABLES = """
create schema features;
create table features.demand_calendar (store_id text collate "C", date date, is_final boolean);
create table features.demand_features (
    store_id text collate "C", product_id text collate "C", date date, quantity_sold float8,
    price float8, promotion int, history_days int, is_final boolean
)
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(TABLES)
        yield connection


def old_and_new(seed: int) -> History:
    """Histories of 400 days, and series whose last row is older than any panel reaches."""
    history = random_history(seed, n_stores=4, n_days=400)
    for key in history.series[::5]:
        rows = history.sales[key]
        history.sales[key] = {day: rows[day] for day in sorted(rows)[: max(1, len(rows) // 4)]}
    return history


def write(connection: Connection, history: History, calendar: Calendar) -> None:
    """Make the tables as dbt would; each store's latest day is followed by one not final yet."""
    for table in ("demand_calendar", "demand_features"):
        connection.execute(f"delete from features.{table}".encode())
    with connection.cursor() as cursor:
        for store in {store for store, _ in history.sales}:
            opened = history.open_days(store)
            days = [(store, date(day), True) for day in opened]
            days.append((store, date(opened[-1] + 1), False))
            cursor.executemany("insert into features.demand_calendar values (%s, %s, %s)", days)
        with cursor.copy("copy features.demand_features from stdin") as copy:
            for (store, product), day, sale, _ in final_rows(history, calendar):
                first = min(history.sales[store, product])
                cells = (sale.quantity, sale.price, int(sale.promotion), day - first)
                copy.write_row((store, product, date(day), *cells, True))
            for store, product in history.series:
                opened = history.open_days(store)
                copy.write_row((store, product, date(opened[-1] + 1), 1e6, 1e6, 1, 500, False))


def date(day: int) -> dt.date:
    return EPOCH + dt.timedelta(days=day)


def assert_same(found: Panel, expected: Panel) -> None:
    """Ids may be numbered in another order; everything else is equal."""
    assert set(found.products) == set(expected.products)
    ids = [expected.products[at] for at in expected.series_product]
    numbers = np.array([found.products.index(product) for product in ids], np.int32)
    expected = dataclasses.replace(expected, products=found.products, series_product=numbers)
    for name in (field.name for field in dataclasses.fields(expected)):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert panel_to_bytes(found) == panel_to_bytes(expected)


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("seed", range(8))
def test_the_recent_rows_give_the_panel_of_the_whole_table(
    connection: Connection, database_url: str, calendar: Calendar, seed: int
) -> None:
    history = old_and_new(seed)
    write(connection, history, calendar)
    whole = panel_of(history, calendar, kept_days=KEPT_DAYS)
    assert_same(read_panel(database_url, calendar), whole)


@pytest.mark.parametrize("calendar", CALENDARS)
def test_the_histories_reach_further_back_than_what_is_read(calendar: Calendar) -> None:
    """Else the test above would show nothing."""
    rows = final_rows(old_and_new(0), calendar)
    by_series = [sum(key == other for other, *_ in rows) for key in {key for key, *_ in rows}]
    assert max(by_series) > 3 * KEPT_DAYS
    last = max(day for _, day, _, _ in rows)
    ends = {key: max(day for other, day, *_ in rows if other == key) for key, *_ in rows}
    assert min(ends.values()) < last - 2 * KEPT_DAYS


def test_an_observed_panel_reads_no_more_rows_of_a_series_than_it_keeps(
    connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = old_and_new(1)
    write(connection, history, "observed")
    most: list[int] = []

    def build(rows: PanelRows, **more: Any) -> Panel:
        most.append(int(np.bincount(rows.series).max()))
        return build_panel(rows, **more)

    monkeypatch.setattr(feature_rows, "build_panel", build)
    read_panel(database_url, "observed")
    assert most == [KEPT_DAYS]


@pytest.mark.parametrize("calendar", CALENDARS)
def test_a_build_that_is_committed_while_the_panel_is_read_is_not_half_in_it(
    connection: Connection,
    database_url: str,
    calendar: Calendar,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    history, rebuilt = old_and_new(2), old_and_new(3)
    write(connection, history, calendar)
    read = feature_rows._table

    def build_after(cursor: Any, query: str) -> pa.Table:
        table = read(cursor, query)
        if query == feature_rows._SERIES:
            write(connection, rebuilt, calendar)
        return table

    monkeypatch.setattr(feature_rows, "_table", build_after)
    found = read_panel(database_url, calendar)
    assert_same(found, panel_of(history, calendar, kept_days=KEPT_DAYS))


@pytest.mark.parametrize("calendar", CALENDARS)
def test_an_empty_table_is_no_panel(
    connection: Connection, database_url: str, calendar: Calendar
) -> None:
    assert connection.execute("select count(*) from features.demand_features").fetchone() == (0,)
    with pytest.raises(NoFeatureRows, match="load a file and build it"):
        read_panel(database_url, calendar)
