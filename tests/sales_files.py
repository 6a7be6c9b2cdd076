"""Strategies for valid raw files, the ways in which the same sales can be written, and one fault.

What is bad about a cell comes from the corpus in ``bad_files.py``.
"""

import csv
import datetime as dt
import gzip
import io
from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

from tests.bad_files import BAD_CELLS
from tests.factories_files import HEADER

COLUMNS: Final = tuple(HEADER.split(","))
TRUE_WORDS: Final = ("true", "TRUE", "Yes", "t", "1")
FALSE_WORDS: Final = ("false", "FALSE", "No", "f", "0")

Sale = tuple[str, ...]
"""One line's six cells as text, in the order of ``COLUMNS``."""

_IDS = st.one_of(
    st.sampled_from(
        ["S1", "0012", " x ", "O'Brien", "日本", "a,b", "a;b", "a\tb", 'say "x"', "nan"]
    ),
    st.sampled_from(["=1+1", "\u202eevil", "NULL", "\\.", "two\nlines", "x" * 500, "é" * 250]),
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8),
)

SALES: Final = st.lists(
    st.tuples(
        st.dates(dt.date(1970, 1, 1), dt.date(2026, 1, 1)).map(str),
        _IDS,
        _IDS,
        st.one_of(st.integers(0, 10**9).map(str), st.floats(0, 1e9).map(repr)),
        st.floats(1e-6, 1e9).map(repr),
        st.sampled_from(TRUE_WORDS + FALSE_WORDS),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda sale: sale[:3],
)


@dataclass(frozen=True)
class Writing:
    """One way to write a file: none of it changes what the file says."""

    delimiter: str = ","
    quote_all: bool = False
    line_end: str = "\n"
    mark: bool = False
    zipped: bool = False
    ends: bool = True
    order: tuple[str, ...] = COLUMNS
    extra: bool = False
    blank_lines: int = 0

    @property
    def name(self) -> str:
        return "sales.csv.gz" if self.zipped else "sales.csv"

    def write(self, sales: list[Sale]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(
            text,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_ALL if self.quote_all else csv.QUOTE_MINIMAL,
            lineterminator=self.line_end,
        )
        places = [COLUMNS.index(name) for name in self.order]
        for row in (COLUMNS, *sales):
            writer.writerow([row[place] for place in places] + ["a note"] * self.extra)
        body = text.getvalue() + self.line_end * self.blank_lines
        body = body if self.ends or self.blank_lines else body.removesuffix(self.line_end)
        data = (b"\xef\xbb\xbf" if self.mark else b"") + body.encode()
        return gzip.compress(data, mtime=0) if self.zipped else data


WRITINGS: Final = st.builds(
    Writing,
    delimiter=st.sampled_from(",;\t"),
    quote_all=st.booleans(),
    line_end=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
    zipped=st.booleans(),
    ends=st.booleans(),
    order=st.permutations(COLUMNS).map(tuple),
    extra=st.booleans(),
    blank_lines=st.integers(0, 3),
)


@dataclass(frozen=True)
class Fault:
    """A cell that cannot be: which column, its text, and the rule that it breaks."""

    column: str
    text: str
    rule: str


FAULTS: Final = st.sampled_from(
    [Fault(column, text.strip('"'), rule) for _, column, text, rule, _ in BAD_CELLS]
)


@dataclass(frozen=True)
class Corrupted:
    """Sales of which one cell was spoilt, and the physical line on which its record starts."""

    sales: list[Sale]
    fault: Fault
    line: int


@st.composite
def corrupted(draw: st.DrawFn) -> Corrupted:
    """Valid sales with one random cell spoilt."""
    sales = draw(SALES)
    at, fault = draw(st.integers(0, len(sales) - 1)), draw(FAULTS)
    cells = dict(zip(COLUMNS, sales[at], strict=True)) | {fault.column: fault.text}
    spoilt = [*sales[:at], tuple(cells.values()), *sales[at + 1 :]]
    above = sum(cell.count("\n") for sale in sales[:at] for cell in sale)
    return Corrupted(spoilt, fault, at + 2 + above)
