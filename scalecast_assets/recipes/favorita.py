"""Corporación Favorita: ``train.csv`` of either competition.

*Grocery Sales Forecasting* has items (``item_nbr``, ``unit_sales``), *Store Sales* has families
(``family``, ``sales``, and how many items were promoted). There are no prices: the price is 1.
Returns, sold less than 0, count as 0; a promotion that is not told counts as none. Days without a
sale have no row, and count as zeros where the store was open.
"""

from collections.abc import Iterator
from datetime import date

from scalecast_assets.recipes.files import Download, Record, Row, at_least

COLUMNS = ("date", "store_nbr", "onpromotion")


def read(download: Download, since: date | None) -> Iterator[Row]:
    """Yield the rows in the order of the file."""
    with download.table("train.csv", columns=COLUMNS) as lines:
        for line in lines:
            if at_least(line["date"], since):
                yield _row(line)


def _row(line: Record) -> Row:
    quantity = max(0.0, float(line.get("unit_sales") or line["sales"]))
    promoted = line["onpromotion"] not in ("", "0", "False", "false")
    product = line.get("item_nbr") or line["family"]
    promotion = "true" if promoted else "false"
    return Row(line["date"], line["store_nbr"], product, quantity, 1.0, promotion)
