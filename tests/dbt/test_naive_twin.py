"""Every column of ``demand_features`` is what its definition says, in slow and plain Python.

The twin is ``tests/unit/naive_features.py``, which numpy's features are tested against too. Which
rows exist is compared as well, with stores whose latest day is not final at the time.
"""

from datetime import date, datetime, timedelta
from math import isnan, nan
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scalecast_assets.contract.columns import FEATURE_SEMANTICS, FEATURES, Calendar
from tests.dbt.warehouse_histories import DBT_PROJECT, Dbt, Key, Warehouse, features
from tests.unit.naive_features import (
    EPOCH,
    History,
    Series,
    final_rows,
    naive_features,
    random_history,
)

SEEDS = range(100, 110)
Row = dict[str, Any]


def day_of(number: int) -> date:
    return EPOCH + timedelta(days=number)


def stores_of(history: History) -> dict[str, History]:
    """The history of each store alone; a store never sees another."""
    return {
        store: History({key: rows for key, rows in history.sales.items() if key[0] == store})
        for store in {store for store, _ in history.sales}
    }


def many_stores() -> History:
    return History(
        {
            (f"{store}/{seed}", product): rows
            for seed in SEEDS
            for (store, product), rows in random_history(seed, n_stores=2).sales.items()
        }
    )


def expected_row(history: History, key: Series, day: int, calendar: Calendar) -> Row:
    """The columns that are computed, undefined ones as None."""
    values, has_history = naive_features(history, key, day, calendar)
    row: Row = dict(zip(FEATURES, values, strict=False))
    history_days = day - min(history.sales[key])
    # The twin takes what there is; in SQL a window that begins before the first row is undefined.
    week = fortnight = history_days > 0
    if calendar == "store":
        week, fortnight = history_days >= 7, history_days >= 14
        opened = history.open_days(key[0])
        if not any(day - 7 <= at < day for at in opened):
            row["rolling_mean_7"] = row["rolling_mean_14"] if fortnight else nan
    undefined = set() if week else {"rolling_mean_7", "rolling_std_7"}
    undefined |= set() if fortnight else {"rolling_mean_14"}
    row = {
        name: None if name in undefined or isnan(value) else value for name, value in row.items()
    }
    return {**row, "history_days": history_days, "has_history": has_history}


def same(found: Row, expected: Row) -> bool:
    """Equal, floats to the accuracy of another order of summing."""
    return found.keys() == expected.keys() and all(
        found[name] == pytest.approx(value, rel=1e-9, abs=1e-9)
        if isinstance(value, float) and found[name] is not None
        else found[name] == value
        for name, value in expected.items()
    )


def expected_features(
    history: History, calendar: Calendar, as_of: datetime, codes: dict[tuple[str, str], int]
) -> dict[Key, Row]:
    rows: dict[Key, Row] = {}
    for store, own in stores_of(history).items():
        latest = own.open_days(store)[-1]
        settled = datetime.combine(day_of(latest), datetime.min.time()) + timedelta(hours=30)
        open_end = calendar == "store" and as_of < settled
        for key, day, sale, is_imputed in final_rows(own, calendar):
            is_final = not (open_end and day == latest)
            if is_final or not is_imputed:
                rows[(*key, day_of(day))] = {
                    **expected_row(own, key, day, calendar),
                    "store_id": key[0],
                    "product_id": key[1],
                    "date": day_of(day),
                    "quantity_sold": sale.quantity,
                    "is_imputed": is_imputed,
                    "is_final": is_final,
                    "price": sale.price,
                    "promotion": int(sale.promotion),
                    "store_id_encoded": codes["store", key[0]],
                    "product_id_encoded": codes["product", key[1]],
                }
    return rows


@pytest.mark.parametrize("calendar", ["store", "observed"])
def test_every_column_is_what_its_definition_says(
    database_url: str, tmp_path: Path, calendar: Calendar
) -> None:
    history = many_stores()
    latest = sorted(own.open_days(store)[-1] for store, own in stores_of(history).items())
    as_of = datetime.combine(day_of(latest[len(latest) // 2]), datetime.min.time())
    with psycopg.connect(database_url, autocommit=True) as connection:
        Warehouse(connection).change(
            {
                (*key, day_of(day)): (sale.quantity, sale.price, sale.promotion)
                for key, rows in history.sales.items()
                for day, sale in rows.items()
            }
        )
        codes = {
            (kind, id_): code
            for kind, id_, code in connection.execute(
                "select kind, id, code from warehouse.id_codes"
            )
        }
        dbt = Dbt(database_url, tmp_path, {"SCALECAST_CALENDAR": calendar})
        dbt("run", as_of=str(as_of))
        found = features(connection)
    expected = expected_features(history, calendar, as_of, codes)
    assert found.keys() == expected.keys()
    assert len(found) > 2_000
    if calendar == "store":
        assert sum(not row["is_final"] for row in found.values()) > 5
    for key, row in expected.items():
        assert same(found[key], row), f"{key}: {found[key]} is not {row}"


def test_the_semantics_of_the_sql_are_those_of_the_contract() -> None:
    """Raised together, or features computed under two meanings could meet in one table."""
    project = (DBT_PROJECT / "dbt_project.yml").read_text(encoding="utf-8")
    said = [line.strip() for line in project.splitlines() if "feature_semantics:" in line]
    assert said == [f"feature_semantics: {FEATURE_SEMANTICS}"]


def test_the_sixteen_features_are_the_last_columns_in_the_contracts_order(
    database_url: str, tmp_path: Path
) -> None:
    Dbt(database_url, tmp_path)("run")
    with psycopg.connect(database_url) as connection:
        cursor = connection.execute("select * from features.demand_features")
        names = [column.name for column in cursor.description or ()]
    assert tuple(names[-16:]) == FEATURES
    assert names[:8] == [
        "store_id",
        "product_id",
        "date",
        "quantity_sold",
        "is_imputed",
        "history_days",
        "has_history",
        "is_final",
    ]
