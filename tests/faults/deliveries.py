"""What the small retailer delivers: raw files with the same content and time for every place."""

import csv
import io
import os

from scalecast_assets.contract.columns import RAW_COLUMNS
from scalecast_assets.contract.directory_store import DirectoryStore
from scalecast_assets.contract.objects import ObjectStore
from tests.graph.small_retailer import FIRST_DAY, LEARNABLE_DAYS, RawRow, day_of, sales

_DELIVERED_AT = 1_700_000_000.0
FIRST, SECOND, THIRD, BAD = "raw/first.csv", "raw/second.csv", "raw/third.csv", "raw/bad.csv"


def _corrected(rows: list[RawRow]) -> list[RawRow]:
    return [(day, s, p, quantity + 1, price, promo) for day, s, p, quantity, price, promo in rows]


def _days(first: int, last: int) -> list[RawRow]:
    return list(sales(range(first, last)))


ROWS: dict[str, list[RawRow]] = {
    FIRST: _days(0, LEARNABLE_DAYS),
    # Ten days that are known already, with other quantities, and two new ones.
    SECOND: _corrected(_days(LEARNABLE_DAYS - 10, LEARNABLE_DAYS + 2)),
    # One of those days again, and a store that nobody knew.
    THIRD: [
        *_days(LEARNABLE_DAYS + 1, LEARNABLE_DAYS + 3),
        (day_of(LEARNABLE_DAYS + 2), "0004", "A", 7, "2.5", "false"),
    ],
    BAD: [(day_of(LEARNABLE_DAYS), "0001", "A", 5, "0", "false")],
}
"""By key; later ones correct earlier ones, and the bad one has a price of zero."""

assert FIRST_DAY.year == 2023, "the deliveries' time is after the days that they are about"


def content(key: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(RAW_COLUMNS)
    writer.writerows(ROWS[key])
    return text.getvalue().encode()


def deliver(store: ObjectStore, *keys: str) -> None:
    """Drop the files, each a minute after the one before it."""
    for key in keys:
        store.put(key, content(key))
        if isinstance(store, DirectoryStore):
            at = _DELIVERED_AT + 60 * list(ROWS).index(key)
            os.utime(store.root / key, (at, at))
