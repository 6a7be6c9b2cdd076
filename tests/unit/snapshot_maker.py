"""Feature rows as record batches, made from raw rows by the independent script's feature code."""

import csv
import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from scalecast_assets.contract.columns import FEATURES, RAW_COLUMNS
from scalecast_assets.forecasting.training_set import TrainingSet, write_snapshot
from tests import independent_leaderboard as independent

RawRow = tuple[str, str, str, float, float, bool]
"""date, store_id, product_id, quantity_sold, price, promotion."""


def write_csv(rows: Sequence[RawRow], path: Path) -> Path:
    """Write raw rows as a user would deliver them."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(RAW_COLUMNS)
        writer.writerows(rows)
    return path


def feature_table(csv_path: Path) -> pa.Table:
    """Return the rows of ``demand_features`` for a raw file, in canonical order."""
    series, open_days = independent.read(csv_path)
    pairs = [
        (series[row.series], row)
        for rows in independent.feature_rows(series, open_days)
        for row in rows
    ]
    columns: dict[str, object] = {
        "store_id": [one.store for one, _ in pairs],
        "product_id": [one.product for one, _ in pairs],
        "date": pa.array([dt.date.fromordinal(row.day) for _, row in pairs], pa.date32()),
        "quantity_sold": [row.quantity for _, row in pairs],
        "is_imputed": [row.day not in one.quantity for one, row in pairs],
        "history_days": [row.day - one.first for one, row in pairs],
        "has_history": [bool(row.features) for _, row in pairs],
    }
    for place, name in enumerate(FEATURES):
        columns[name] = [row.features[place] if row.features else None for _, row in pairs]
    columns["price"] = [row.price for _, row in pairs]
    columns["promotion"] = [int(row.promotion) for _, row in pairs]
    columns["store_id_encoded"] = [one.codes[0] for one, _ in pairs]
    columns["product_id_encoded"] = [one.codes[1] for one, _ in pairs]
    return pa.table(columns)


def training_set(rows: Sequence[RawRow], folder: Path) -> TrainingSet:
    """Write the rows' snapshot into ``folder`` and read it back."""
    table = feature_table(write_csv(rows, folder / "raw.csv"))
    write_snapshot(table.to_batches(), folder / "snapshot.parquet")
    return TrainingSet.read(folder / "snapshot.parquet")


def shop(
    n_days: int = 70, stores: Sequence[str] = ("S1", "S2"), products: Sequence[str] = ("A", "B")
) -> list[RawRow]:
    """Return a small world: a weekly rhythm, S1 closed on Sundays, B missing now and then."""
    rows: list[RawRow] = []
    for at in range(n_days):
        day = dt.date(2024, 1, 1) + dt.timedelta(days=at)
        for s, store in enumerate(stores):
            for p, product in enumerate(products):
                if (store == "S1" and day.weekday() == 6) or (product == "B" and at % 5 == s):
                    continue
                quantity = float(10 * s + 3 * p + 2 * day.weekday() + at % 3)
                price = 2.0 + p + (0.5 if at % 7 == 3 else 0.0)
                rows.append((day.isoformat(), store, product, quantity, price, at % 7 == 3))
    return rows
