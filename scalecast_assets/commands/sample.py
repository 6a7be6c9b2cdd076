"""The sample: a small seeded retailer to try ScaleCast on, made here and belonging to nobody.

Five stores, eight products, fifteen months up to 2024-03-14: weekly and yearly rhythm, promotions
that work, prices that matter, closed Sundays in one store, closed holidays in all, a product that
sells now and then, one that is new and one that is given up. Days without a sale have no row.
"""

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from scalecast_assets.contract.columns import RAW_COLUMNS

FIRST_DAY: Final = date(2022, 12, 1)
LAST_DAY: Final = date(2024, 3, 14)
FILE_NAME: Final = "sample_sales.csv"

STORES: Final = {"STORE_001": 1.0, "STORE_002": 0.7, "STORE_003": 1.4, "STORE_004": 0.5}
"""Store and how much it sells beside the first one; STORE_005 is added with its own opening day."""

OPENED_LATER: Final = ("STORE_005", 0.8, date(2023, 5, 2))

PRODUCTS: Final = {
    "PROD_A": (120.0, 29.99, 0.5),
    "PROD_B": (60.0, 12.50, 0.8),
    "PROD_C": (35.0, 49.00, 0.3),
    "PROD_D": (18.0, 7.95, 1.2),
    "PROD_E": (8.0, 89.90, 0.2),
    "PROD_F": (0.4, 240.00, 0.0),
    "PROD_G": (25.0, 19.99, 0.6),
    "PROD_H": (40.0, 3.49, 1.0),
}
"""Product: units per day in the first store, usual price, and how much a promotion adds."""

LAUNCHED: Final = {"PROD_G": date(2023, 9, 4)}
GIVEN_UP: Final = {"PROD_H": date(2023, 10, 31)}

WEEK: Final = (0.9, 0.85, 0.9, 1.0, 1.25, 1.45, 0.8)
HOLIDAYS: Final = ((1, 1), (12, 25), (12, 26))

Row = tuple[str, str, str, int, str, str]


def write_sample(folder: Path, seed: int = 7) -> tuple[Path, int]:
    """Write ``sample_sales.csv`` into ``folder`` (made if missing); the same seed, the same bytes.

    Returns:
        The file's path and its number of data rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    rows = sorted(_rows(np.random.default_rng(seed)))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(RAW_COLUMNS)
        writer.writerows(rows)
    return path, len(rows)


def _rows(random: np.random.Generator) -> Iterator[Row]:
    opening = {store: (size, FIRST_DAY) for store, size in STORES.items()}
    opening[OPENED_LATER[0]] = OPENED_LATER[1:]
    for store, (size, opened) in opening.items():
        for product, (level, price, lift) in PRODUCTS.items():
            start = max(opened, LAUNCHED.get(product, FIRST_DAY))
            end = GIVEN_UP.get(product, LAST_DAY)
            yield from _series(random, store, product, size * level, price, lift, start, end)


def _series(
    random: np.random.Generator,
    store: str,
    product: str,
    level: float,
    usual_price: float,
    lift: float,
    start: date,
    end: date,
) -> Iterator[Row]:
    drift = 1.0
    for offset in range((end - start).days + 1):
        day = start + timedelta(days=offset)
        drift = float(np.clip(drift * np.exp(random.normal(0, 0.02)), 0.6, 1.6))
        promoted = bool(random.random() < 0.08)
        if _is_closed(store, day):
            continue
        price = round(usual_price * (0.85 if promoted else 1.0) * (1 + 0.03 * (day.month % 3)), 2)
        season = 1 + 0.2 * np.sin(2 * np.pi * (day.timetuple().tm_yday - 80) / 365.25)
        rhythm = WEEK[day.weekday()] * season * (1.5 if day.month == 12 else 1.0)
        elasticity = (price / usual_price) ** -1.2
        mean = level * drift * rhythm * elasticity * (1 + lift * promoted)
        sold = int(random.poisson(random.gamma(25.0, mean / 25.0)))
        if sold:
            yield (
                day.isoformat(),
                store,
                product,
                sold,
                f"{price:.2f}",
                "true" if promoted else "false",
            )


def _is_closed(store: str, day: date) -> bool:
    return (day.month, day.day) in HOLIDAYS or (store == "STORE_004" and day.weekday() == 6)
