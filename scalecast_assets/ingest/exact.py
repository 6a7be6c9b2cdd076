"""The exact way to read a block: record by record, every fault named and located.

Slow (a few hundred thousand lines a second), so ``reader.py`` uses it only for pieces in which
``vectorised.py`` found anything odd. What counts as readable is decided here:

* a date is ``yyyy-mm-dd`` and exists; a number is decimal digits with an optional sign, point and
  exponent (``1e3`` is one; ``1_000``, ``1,5``, ``0x10``, ``NaN`` and ``inf`` are none), and finite;
  promotion is true/false, yes/no, t/f, 1/0 in any case;
* no cell is stripped: ``" 5 "`` is not a number, and ``" x "`` is an id with two spaces. An id of
  nothing but white space is missing; ids with NUL bytes or over 500 bytes are refused;
* a line without any character is skipped; quoting is RFC 4180 and strict.
"""

import csv
import datetime as dt
import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from scalecast_assets.contract.columns import MAX_ID_BYTES, RAW_COLUMNS
from scalecast_assets.ingest.header import Layout
from scalecast_assets.ingest.lines import (
    DATE_IS_A_DAY,
    LANDED_SCHEMA,
    LINES_ARE_WELL_FORMED,
    MAX_RECORD_BYTES,
    PRICE_IS_A_NUMBER,
    PRODUCT_ID_IS_PRESENT,
    PROMOTION_IS_TRUE_OR_FALSE,
    QUANTITY_IS_A_NUMBER,
    STORE_ID_IS_PRESENT,
    Block,
    RejectedLine,
    rejected,
    strict_reader,
)

TRUE_WORDS: Final = frozenset({"true", "1", "yes", "t"})
FALSE_WORDS: Final = frozenset({"false", "0", "no", "f"})

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

Cell = dt.date | str | float | bool


class Unreadable(ValueError):
    """A cell that is no value of its column; the message is the reason for the report."""


def read_day(text: str) -> dt.date:
    """``2024-03-15`` as a date."""
    if not text:
        raise Unreadable("the date is missing")
    if not _DAY.fullmatch(text):
        raise Unreadable("not a date written yyyy-mm-dd")
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise Unreadable("this day does not exist") from None


def read_number(text: str) -> float:
    """A finite decimal number."""
    if not text:
        raise Unreadable("the number is missing")
    if not _NUMBER.fullmatch(text):
        raise Unreadable("not a number written with digits, like 12 or 12.5")
    number = float(text)
    if not math.isfinite(number):
        raise Unreadable("the number is too large to be finite")
    return number


def read_promotion(text: str) -> bool:
    """``true``, ``1``, ``yes``, ``t`` or ``false``, ``0``, ``no``, ``f``, in any case."""
    word = text.lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    if not text:
        raise Unreadable("true or false is missing")
    raise Unreadable("not one of true/false, yes/no, t/f, 1/0")


def read_id(text: str) -> str:
    """An id, exactly as written."""
    if not text or text.isspace():
        raise Unreadable("the id is missing")
    if "\0" in text:
        raise Unreadable("the id contains a NUL byte")
    if len(text.encode("utf-8", "replace")) > MAX_ID_BYTES:
        raise Unreadable(f"the id is longer than {MAX_ID_BYTES} bytes")
    return text


_CELLS: Final[tuple[tuple[str, Callable[[str], Cell], str], ...]] = (
    ("date", read_day, DATE_IS_A_DAY),
    ("store_id", read_id, STORE_ID_IS_PRESENT),
    ("product_id", read_id, PRODUCT_ID_IS_PRESENT),
    ("quantity_sold", read_number, QUANTITY_IS_A_NUMBER),
    ("price", read_number, PRICE_IS_A_NUMBER),
    ("promotion", read_promotion, PROMOTION_IS_TRUE_OR_FALSE),
)


class _Lines:
    """The physical lines of a block as ``csv.reader`` eats them, with a count of the eaten."""

    def __init__(self, text: str) -> None:
        self.all = list(io.StringIO(text, newline="\n"))
        self.eaten = 0
        self.exhausted = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.eaten == len(self.all):
            self.exhausted = True
            raise StopIteration
        self.eaten += 1
        return self.all[self.eaten - 1]


@dataclass(frozen=True)
class ExactBlock:
    """What was read, and the physical line (from 0, in this block) of a record left open."""

    block: Block
    open_record: int | None


class _Rows:
    """Collects the cells of good lines and the faults of bad ones."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._line_no: list[int] = []
        self._cells: dict[str, list[Cell | None]] = {name: [] for name in RAW_COLUMNS}
        self.faults: list[RejectedLine] = []

    def refuse(self, line_no: int, line: str, reason: str) -> None:
        self.faults.append(rejected(line_no, "", line, LINES_ARE_WELL_FORMED, reason))

    def add(self, line_no: int, row: list[str]) -> None:
        self._line_no.append(line_no)
        for column, read, rule in _CELLS:
            text = row[self._layout.position[column]]
            value: Cell | None = None
            try:
                value = read(text)
            except Unreadable as fault:
                self.faults.append(rejected(line_no, column, text, rule, str(fault)))
            self._cells[column].append(value)

    def table(self) -> pa.Table:
        return pa.table({"line_no": self._line_no, **self._cells}, schema=LANDED_SCHEMA)


def read_exactly(data: bytes, first_line: int, layout: Layout, *, at_end: bool) -> ExactBlock:
    """Read one block of whole physical lines; ``first_line`` is the first one's number in the file.

    A record still open at the end of the block is left for the next one, unless ``at_end``.
    """
    lines = _Lines(data.decode("utf-8", "surrogateescape"))
    reader = strict_reader(lines, layout.delimiter)
    rows = _Rows(layout)
    while True:
        start = lines.eaten
        line_no = first_line + start
        try:
            row = next(reader)
        except StopIteration:
            return ExactBlock(Block(rows.table(), rows.faults), None)
        except csv.Error as error:
            if lines.exhausted and not at_end:
                return ExactBlock(Block(rows.table(), rows.faults), start)
            line = lines.all[start]
            if lines.exhausted:
                rows.refuse(line_no, line, UNTERMINATED)
            else:
                rows.refuse(line_no, line, f"the line is not CSV: {error}")
            continue
        if row:
            fault = _fault_of_line(lines.all[start : lines.eaten], row, layout)
            if fault:
                rows.refuse(line_no, lines.all[start], fault)
            else:
                rows.add(line_no, row)


UNTERMINATED: Final = (
    "a quote is opened in the record that starts here and never closed; the rest was not read"
)
TOO_LONG: Final = f"the line is longer than {MAX_RECORD_BYTES:,} bytes"


def _fault_of_line(lines: list[str], row: list[str], layout: Layout) -> str | None:
    if sum(map(len, lines)) > MAX_RECORD_BYTES:
        return TOO_LONG
    if len(row) != layout.width:
        return f"expected {layout.width} fields, found {len(row)}"
    try:
        "".join(lines).encode()
    except UnicodeEncodeError as error:
        byte = ord("".join(lines)[error.start]) - 0xDC00
        return f"not UTF-8: byte 0x{byte:02x}"
    return None
