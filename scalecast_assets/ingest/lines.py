"""What the parser hands on: blocks of landed lines and the lines it had to reject.

The names of the structural rules and the limits of a line live here too. Value rules (a price is
positive, a key is unique) are in ``rules.py``.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow as pa

COLUMNS_ARE_COMPLETE: Final = "columns_are_complete"
LINES_ARE_WELL_FORMED: Final = "lines_are_well_formed"
FILE_HAS_ROWS: Final = "file_has_rows"
DATE_IS_A_DAY: Final = "date_is_a_day"
STORE_ID_IS_PRESENT: Final = "store_id_is_present"
PRODUCT_ID_IS_PRESENT: Final = "product_id_is_present"
QUANTITY_IS_A_NUMBER: Final = "quantity_is_a_number"
PRICE_IS_A_NUMBER: Final = "price_is_a_number"
PROMOTION_IS_TRUE_OR_FALSE: Final = "promotion_is_true_or_false"

BLOCK_BYTES: Final = 4 * 1024 * 1024
EXACT_BYTES: Final = 256 * 1024
"""Bytes that are read the exact way at once: of faults alone they become some 60 MB of objects."""
MAX_RECORD_BYTES: Final = 1024 * 1024
MAX_VALUE_CHARACTERS: Final = 200
MAX_LISTED_FAULTS: Final = 100_000
"""Faults of a file that are kept. More are counted: 2 kB of gzip can be a million bad lines."""

UNLISTED: Final = "and % more faults, not listed"
"""The reason (as a pattern of SQL's LIKE) of the line that says how many faults are not kept."""

_NO_LIMIT: Final = 2**31 - 1

LANDED_SCHEMA: Final = pa.schema(
    [
        pa.field("line_no", pa.int64()),
        pa.field("date", pa.date32()),
        pa.field("store_id", pa.string()),
        pa.field("product_id", pa.string()),
        pa.field("quantity_sold", pa.float64()),
        pa.field("price", pa.float64()),
        pa.field("promotion", pa.bool_()),
    ]
)
"""One row per data line. A cell that cannot be read is null and has a ``RejectedLine``."""


class RejectedLine(NamedTuple):
    """One fault, at the physical line (from 1) where its record starts."""

    line_no: int
    column: str
    value: str
    rule: str
    reason: str


def rejected(line_no: int, column: str, value: str, rule: str, reason: str) -> RejectedLine:
    """Make a fault that can be stored: its texts short, without NUL and lone surrogates."""
    value = value.rstrip("\r\n")
    return RejectedLine(line_no, _storable(column), _storable(value), rule, _storable(reason))


def _storable(text: str) -> str:
    short = text[:MAX_VALUE_CHARACTERS]
    return short.encode("utf-8", "replace").decode().replace("\0", "\N{SYMBOL FOR NULL}")


def strict_reader(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Read records of RFC 4180, strictly; how long one may be is ``MAX_RECORD_BYTES`` alone.

    The limit that ``csv`` has of its own (131,072 characters a cell) is one for the whole process.
    """
    csv.field_size_limit(_NO_LIMIT)
    return csv.reader(lines, delimiter=delimiter, strict=True)


@dataclass(frozen=True)
class Block:
    """A bounded piece of a file: rows as in ``LANDED_SCHEMA``, and the faults found in it."""

    rows: pa.Table
    rejected: list[RejectedLine]


def empty_rows() -> pa.Table:
    """A table of no lines."""
    return LANDED_SCHEMA.empty_table()
