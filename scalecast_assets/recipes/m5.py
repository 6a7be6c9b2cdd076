"""M5 (Walmart): ``sales_train_evaluation.csv``, ``calendar.csv`` and ``sell_prices.csv``.

A product that has no price in a week was not on the shelf, and has no rows; all other days are
there, with a 0 where nothing was sold. M5 tells no promotions: a day counts as one when its price
is at least 5 % below the median of the product's last 13 weeks in that store.

Sales are read one series at a time; of the prices, two numbers a week are held (100 MB in all).
"""

import csv
import io
from array import array
from collections.abc import Iterator
from datetime import date
from statistics import median
from typing import Final

from scalecast_assets.recipes.files import Download, RecipeError, Row, at_least

SALES: Final = ("sales_train_evaluation.csv", "sales_train_validation.csv")
WEEKS: Final = 13
BELOW: Final = 0.95

Prices = dict[tuple[str, str], tuple["array[int]", "array[float]"]]
"""By store and product: Walmart's numbers of weeks, ascending, and the prices then."""


def read(download: Download, since: date | None) -> Iterator[Row]:
    """Yield the rows of all series."""
    days = _days(download)
    prices = _prices(download)
    with download.open(*SALES) as binary:
        reader = csv.reader(io.TextIOWrapper(binary, encoding="utf-8", newline=""))
        header = next(reader, [])
        if "d_1" not in header or not {"item_id", "store_id"} <= set(header):
            raise RecipeError(f"{download.path}: {SALES[0]} has no columns item_id, store_id, d_1")
        item, store, first = header.index("item_id"), header.index("store_id"), header.index("d_1")
        try:
            known = [days[name] for name in header[first:]]
        except KeyError as error:
            raise RecipeError(f"{download.path}: calendar.csv has no day {error}") from None
        for line in reader:
            key = (line[store], line[item])
            yield from _series(key, known, line[first:], _weekly(prices.get(key)), since)


def _series(
    key: tuple[str, str],
    days: list[tuple[str, int]],
    quantities: list[str],
    weekly: dict[int, tuple[float, str]],
    since: date | None,
) -> Iterator[Row]:
    store, product = key
    for (day, week), quantity in zip(days, quantities, strict=True):
        if week in weekly and at_least(day, since):
            price, promotion = weekly[week]
            yield Row(day, store, product, int(quantity), price, promotion)


def _days(download: Download) -> dict[str, tuple[str, int]]:
    with download.table("calendar.csv", columns=("date", "wm_yr_wk", "d")) as lines:
        return {line["d"]: (line["date"], int(line["wm_yr_wk"])) for line in lines}


def _prices(download: Download) -> Prices:
    columns = ("store_id", "item_id", "wm_yr_wk", "sell_price")
    prices: Prices = {}
    with download.table("sell_prices.csv", columns=columns) as lines:
        for line in lines:
            key = (line["store_id"], line["item_id"])
            weeks, values = prices.setdefault(key, (array("i"), array("d")))
            weeks.append(int(line["wm_yr_wk"]))
            values.append(float(line["sell_price"]))
    return prices


def _weekly(known: tuple["array[int]", "array[float]"] | None) -> dict[int, tuple[float, str]]:
    """By week: the price, and whether it counts as a promotion."""
    if known is None:
        return {}
    ordered = sorted(zip(*known, strict=True))
    found = {}
    for at, (week, price) in enumerate(ordered):
        usual = median(value for _, value in ordered[max(0, at - WEEKS + 1) : at + 1])
        found[week] = (price, "true" if price <= BELOW * usual else "false")
    return found
