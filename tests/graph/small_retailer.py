"""A retailer small enough for whole-graph runs: three stores, four products, noise that is seeded.

For ``LEARNABLE_DAYS`` quantities follow the weekday and the promotion, so that a learned model
wins; afterwards every series sells the same each day, which ``lag_1`` forecasts without an error:
a file of those days makes ``naive_baseline`` the winner for certain.
"""

import csv
import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path

from scalecast_assets.contract.columns import RAW_COLUMNS

FIRST_DAY = dt.date(2023, 1, 2)
LEARNABLE_DAYS = 110
STORES = ("0001", 'Süd, "2"', "S3")
PRODUCTS = ("A", "B", "C", "D")
RawRow = tuple[str, str, str, int, str, str]

SMALL_BUDGETS = "random_forest=400,pytorch_nn=300"
SMALL_TUNING = "random_forest=400"
"""Rows; they bite, so that a run says so."""


def day_of(at: int) -> str:
    return (FIRST_DAY + dt.timedelta(days=at)).isoformat()


def sales(days: range) -> Iterator[RawRow]:
    """Rows of these days, counted from ``FIRST_DAY``."""
    for at in days:
        day = FIRST_DAY + dt.timedelta(days=at)
        noise = random.Random(at)
        for s, store in enumerate(STORES):
            if s == 1 and day.weekday() == 6:
                continue
            for p, product in enumerate(PRODUCTS):
                flat = at >= LEARNABLE_DAYS
                promoted = not flat and (at + p) % 9 == 3
                quantity = 30 + 10 * s + 4 * p
                if not flat:
                    if (product == "C" and at % 5 == s) or (product == "D" and at < 30):
                        continue
                    quantity += 6 * day.weekday() + 15 * promoted + noise.randint(0, 5)
                price = 1.75 if promoted else 2.0 + p
                yield (day.isoformat(), store, product, quantity, str(price), str(promoted).lower())


def write_sales(path: Path, days: range) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(RAW_COLUMNS)
        writer.writerows(sales(days))
    return path


def write_bad_sales(path: Path, day: int) -> Path:
    """Two good lines and, on line 4, a price of zero."""
    lines = [
        ",".join(RAW_COLUMNS),
        f"{day_of(day)},S9,A,5,2.5,false",
        f"{day_of(day)},S9,B,5,2.5,false",
        f"{day_of(day)},S9,C,5,0,false",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
