"""The features of SQL and those of numpy are the same, on random histories, in both calendars.

dbt computes ``demand_features`` of many stores at once in a real Postgres; the panel is built from
its rows, as ``serving_state`` builds it, and asked for the same days. What each of the two computes
is tested where it lives; here only that they agree, to |a - b| <= 1e-6 * max(1, |b|).
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import LiteralString

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from scalecast_assets.contract.columns import FEATURES, Calendar
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.features import features, features_one
from scalecast_assets.contract.panel import KEPT_DAYS, Panel
from scalecast_assets.contract.panel_rows import PanelRows, build_panel
from scalecast_assets.contract.state import panel_from_bytes, panel_to_bytes
from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from tests.dbt.warehouse_histories import Dbt
from tests.unit.naive_features import History, Sale, final_rows, random_history

N_HISTORIES = 30
CALENDARS: tuple[Calendar, ...] = ("store", "observed")
TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Computed:
    """``demand_features`` as dbt made it, in canonical order, and the history it was made of."""

    history: History
    calendar: Calendar
    encoders: Encoders
    keys: list[tuple[str, str]]
    series: NDArray[np.int64]
    day: NDArray[np.int64]
    quantity: NDArray[np.float64]
    is_imputed: NDArray[np.bool_]
    has_history: NDArray[np.bool_]
    matrix: NDArray[np.float64]

    def column(self, feature: str) -> NDArray[np.float64]:
        return self.matrix[:, FEATURES.index(feature)]

    def panel(self, kept_days: int) -> Panel:
        stores, products = sorted(self.encoders.stores), sorted(self.encoders.products)
        return build_panel(
            PanelRows(
                self.series,
                self.day,
                self.quantity,
                self.column("price"),
                self.column("promotion") > 0,
            ),
            stores=stores,
            products=products,
            series_store=np.array([stores.index(store) for store, _ in self.keys]),
            series_product=np.array([products.index(product) for _, product in self.keys]),
            calendar=self.calendar,
            kept_days=kept_days,
        )


def many_histories() -> History:
    """Thirty random histories side by side: 90 stores with closures of their own."""
    chance = random.Random(2)
    everything = History()
    for seed in range(N_HISTORIES):
        for (store, product), rows in random_history(seed).sales.items():
            scale = chance.choice([1.0, 1.0, 1e-3, 1e6])
            everything.sales[f"{store}/{seed}", product] = {
                day: Sale(sale.quantity * scale, sale.price, sale.promotion)
                for day, sale in rows.items()
            }
    return everything


def publish(connection: psycopg.Connection, history: History) -> Encoders:
    """Write what the ingestion would have published, with codes in no order."""
    chance = random.Random(1)
    codes: dict[str, dict[str, int]] = {}
    for kind, ids in (
        ("store", {store for store, _ in history.sales}),
        ("product", {product for _, product in history.sales}),
    ):
        shuffled = chance.sample(sorted(ids), len(ids))
        codes[kind] = {id_: code for code, id_ in enumerate(shuffled, start=1)}
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into warehouse.id_codes (kind, id, code) values (%s, %s, %s)",
            [(kind, id_, code) for kind, of in codes.items() for id_, code in of.items()],
        )
        with cursor.copy(
            "copy warehouse.demand_data (date, store_id, product_id, quantity_sold, price, "
            "promotion, file_seq) from stdin"
        ) as copy:
            for (store, product), rows in history.sales.items():
                for day, sale in rows.items():
                    date = np.datetime64(day, "D")
                    cells = (sale.quantity, sale.price, sale.promotion)
                    copy.write_row((str(date), store, product, *cells, 1))
    connection.commit()
    return Encoders(codes["store"], codes["product"])


def read_back(
    connection: psycopg.Connection, history: History, calendar: Calendar, encoders: Encoders
) -> Computed:
    query: LiteralString = (
        "select store_id, product_id, date - date '1970-01-01', quantity_sold, is_imputed, "
        "has_history, " + ", ".join(FEATURES) + " from features.demand_features "
        'where is_final order by store_id collate "C", product_id collate "C", date'
    )
    rows = connection.execute(query).fetchall()
    keys = sorted({(row[0], row[1]) for row in rows})
    number = {key: i for i, key in enumerate(keys)}
    return Computed(
        history=history,
        calendar=calendar,
        encoders=encoders,
        keys=keys,
        series=np.array([number[row[0], row[1]] for row in rows], np.int64),
        day=np.array([row[2] for row in rows], np.int64),
        quantity=np.array([row[3] for row in rows], np.float64),
        is_imputed=np.array([row[4] for row in rows], np.bool_),
        has_history=np.array([row[5] for row in rows], np.bool_),
        matrix=np.array([row[6:] for row in rows], np.float64),
    )


@pytest.fixture(scope="module", params=CALENDARS)
def computed(
    request: pytest.FixtureRequest,
    postgres_server: PostgresServer,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Computed]:
    calendar: Calendar = request.param
    name = f"parity_{calendar}"
    create_database(postgres_server, name, template=template_database)
    url = postgres_server.url(name)
    history = many_histories()
    with psycopg.connect(url) as connection:
        encoders = publish(connection, history)
        folder = tmp_path_factory.mktemp("dbt")
        Dbt(url, folder, {"SCALECAST_CALENDAR": calendar})("run")
        yield read_back(connection, history, calendar, encoders)


def ask_numpy(
    panel: Panel, computed: Computed, rows: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    codes = computed.encoders.codes(panel)
    series = computed.series[rows]
    return features(
        panel,
        series,
        computed.day[rows],
        computed.column("price")[rows],
        computed.column("promotion")[rows] > 0,
        codes.store[series],
        codes.product[series],
    )


def assert_agrees(found: NDArray[np.float64], computed: Computed, rows: NDArray[np.intp]) -> None:
    expected = computed.matrix[rows]
    off = np.abs(found - expected) > TOLERANCE * np.maximum(1, np.abs(expected))
    off |= np.isnan(found) | np.isnan(expected)
    worst = []
    for row, column in np.argwhere(off)[:5]:
        key, day = computed.keys[computed.series[rows[row]]], np.datetime64(0, "D")
        day += computed.day[rows[row]]
        worst.append((key, str(day), FEATURES[column], found[row, column], expected[row, column]))
    assert not off.any(), f"{off.sum()} cells differ (numpy, SQL), such as {worst}"


def test_every_row_of_sql_has_the_features_of_numpy(computed: Computed) -> None:
    rows = np.arange(len(computed.series))
    found, has_history = ask_numpy(computed.panel(kept_days=400), computed, rows)
    np.testing.assert_array_equal(has_history, computed.has_history)
    known = np.flatnonzero(has_history)
    assert len(known) > 5_000
    assert_agrees(found[known], computed, known)


def test_the_last_eight_weeks_agree_from_a_state_that_was_written_and_read(
    computed: Computed,
) -> None:
    panel = panel_from_bytes(panel_to_bytes(computed.panel(KEPT_DAYS)))
    until = panel.until[panel.series_store[computed.series]]
    rows = np.flatnonzero(computed.has_history & (computed.day > until - 56))
    assert len(rows) > 2_000
    found, has_history = ask_numpy(panel, computed, rows)
    assert has_history.all()
    assert_agrees(found, computed, rows)


def test_a_single_request_agrees(computed: Computed) -> None:
    panel = computed.panel(kept_days=400)
    known = np.flatnonzero(computed.has_history)
    rows = np.array(random.Random(3).sample(known.tolist(), 1_000))
    found = []
    for row in rows.tolist():
        series = int(computed.series[row])
        store, product = computed.keys[series]
        one, has_history = features_one(
            panel,
            series,
            int(computed.day[row]),
            float(computed.column("price")[row]),
            bool(computed.column("promotion")[row]),
            computed.encoders.store_code(store),
            computed.encoders.product_code(product),
        )
        assert has_history
        found.append(one)
    assert_agrees(np.array(found), computed, rows)


def test_sql_has_the_rows_that_the_calendar_says(computed: Computed) -> None:
    expected = [
        (key, day, sale.quantity, sale.price, sale.promotion, is_imputed)
        for key, day, sale, is_imputed in final_rows(computed.history, computed.calendar)
    ]
    found = [
        (computed.keys[series], *values)
        for series, *values in zip(
            computed.series.tolist(),
            computed.day.tolist(),
            computed.quantity.tolist(),
            computed.column("price").tolist(),
            (computed.column("promotion") > 0).tolist(),
            computed.is_imputed.tolist(),
            strict=True,
        )
    ]
    assert found == expected


def test_the_histories_hold_the_hard_cases() -> None:
    history = many_histories()
    closures = gaps = short = 0
    for store in {store for store, _ in history.sales}:
        opened = np.array(history.open_days(store))
        closures += int((np.diff(opened) > 20).sum())
    for rows in history.sales.values():
        gaps += int((np.diff(sorted(rows)) > 57).sum())
        short += max(rows) - min(rows) < 14
    assert min(closures, gaps, short) >= 5
