"""Rossmann Store Sales: ``train.csv``. One row a store and day, of the whole store.

There are no products and no prices: the product is ``ALL``, the price 1, and the quantity is the
store's turnover of the day. Closed days have no row.
"""

from collections.abc import Iterator
from datetime import date

from scalecast_assets.recipes.files import Download, Row, at_least

COLUMNS = ("Store", "Date", "Sales", "Open", "Promo")


def read(download: Download, since: date | None) -> Iterator[Row]:
    """Yield a row for each day on which a store was open."""
    with download.table("train.csv", columns=COLUMNS) as lines:
        for line in lines:
            if line["Open"] == "1" and at_least(line["Date"], since):
                promotion = "true" if line["Promo"] == "1" else "false"
                yield Row(line["Date"], line["Store"], "ALL", int(line["Sales"]), 1.0, promotion)
