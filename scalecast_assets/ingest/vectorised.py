"""The fast way to read a block: Arrow's CSV parser, for blocks in which nothing is odd.

Arrow is more lenient than ``exact.py`` in places (it strips spaces from numbers, joins malformed
quotes, takes NaN). So a block is looked at as bytes first, and its result afterwards; whatever is
not certain to come out the same is left to the exact way. A property test holds the two together.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from scalecast_assets.contract.columns import MAX_ID_BYTES, RAW_COLUMNS
from scalecast_assets.ingest.header import Layout
from scalecast_assets.ingest.lines import LANDED_SCHEMA, MAX_RECORD_BYTES

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.intp]

_BOM: Final = b"\xef\xbb\xbf"
_NEWLINE, _RETURN, _QUOTE, _SPACE, _TAB = b'\n\r" \t'
_TRUE: Final = ["true", "True", "TRUE", "1", "t", "T", "yes", "Yes", "YES"]
_FALSE: Final = ["false", "False", "FALSE", "0", "f", "F", "no", "No", "NO"]
_FIRST_DAY: Final = pa.scalar(-719162, pa.int32())
"""0001-01-01, the first day that Python and Postgres both know, in days since 1970."""


def read_fast(data: bytes, first_line: int, layout: Layout) -> pa.Table | None:
    """Read one block of whole lines, or return None if the exact way has to."""
    newlines = _plain_newlines(data, layout)
    if newlines is None:
        return None
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            read_options=_read_options(data, layout),
            parse_options=csv.ParseOptions(delimiter=layout.delimiter),
            convert_options=_CONVERT,
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != newlines or not _all_cells_are_good(table):
        return None
    line_no = pa.array(np.arange(first_line, first_line + table.num_rows, dtype=np.int64))
    return table.add_column(0, LANDED_SCHEMA.field("line_no"), line_no)


_CONVERT: Final = csv.ConvertOptions(
    column_types={name: LANDED_SCHEMA.field(name).type for name in RAW_COLUMNS},
    include_columns=list(RAW_COLUMNS),
    null_values=[],
    true_values=_TRUE,
    false_values=_FALSE,
)


def _read_options(data: bytes, layout: Layout) -> csv.ReadOptions:
    names = [f"extra {place}" for place in range(layout.width)]
    for name, place in layout.position.items():
        names[place] = name
    return csv.ReadOptions(column_names=names, block_size=len(data) + 1, use_threads=False)


def _plain_newlines(data: bytes, layout: Layout) -> int | None:
    """The number of lines, if each line is one record and no byte needs the exact way."""
    if b"\0" in data or b"+-" in data or (not data.isascii() and not _is_utf8(data)):
        return None
    if data.startswith(_BOM):  # not the file's own: part of a cell, which Arrow would change
        return None
    if data.count(b"\r") != data.count(b"\r\n"):
        return None
    octets = np.frombuffer(data, dtype=np.uint8)
    newlines = np.flatnonzero(octets == _NEWLINE)
    lengths = np.diff(newlines, prepend=-1, append=octets.size - 1)
    if lengths.max(initial=0) > MAX_RECORD_BYTES:
        return None
    delimiter = ord(layout.delimiter)
    if b'"' in data and not _quotes_are_plain(octets, newlines, delimiter):
        return None
    blanks = [mark for mark in (_SPACE, _TAB) if mark != delimiter and mark in data]
    if any(_touches_a_boundary(octets, mark, delimiter) for mark in blanks):
        return None
    unfinished = not data.endswith(b"\n")
    return int(newlines.size) + unfinished


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _neighbours(octets: Bytes, at: Positions) -> tuple[Bytes, Bytes]:
    """The bytes before and after each position; a newline beyond either end."""
    padded = np.concatenate(([np.uint8(_NEWLINE)], octets, [np.uint8(_NEWLINE)]))
    return padded[at], padded[at + 2]


def _quotes_are_plain(octets: Bytes, newlines: Positions, delimiter: int) -> bool:
    """Each quote opens or closes a whole cell, which crosses no line and has no blank at its edge.

    The blank is a tab, where that is the delimiter; others are looked for by the caller.
    """
    at = np.flatnonzero(octets == _QUOTE)
    if at.size % 2:
        return False
    opening, closing = at[::2], at[1::2]
    before, first = _neighbours(octets, opening)
    last, after = _neighbours(octets, closing)
    if delimiter == _TAB and bool((first == _TAB).any() or (last == _TAB).any()):
        return False
    whole = np.isin(before, (delimiter, _NEWLINE)) & np.isin(after, (delimiter, _NEWLINE, _RETURN))
    same_line = np.searchsorted(newlines, opening) == np.searchsorted(newlines, closing)
    return bool(whole.all() and same_line.all())


def _touches_a_boundary(octets: Bytes, mark: int, delimiter: int) -> bool:
    """A blank stands at the edge of a cell, where Arrow would strip it."""
    before, after = _neighbours(octets, np.flatnonzero(octets == mark))
    edges = (delimiter, _NEWLINE, _RETURN, _QUOTE)
    return bool(np.isin(before, edges).any() or np.isin(after, edges).any())


def _all_cells_are_good(table: pa.Table) -> bool:
    """No empty or overlong id, no day before year 1, no number that is not finite."""
    for name in ("store_id", "product_id"):
        sizes = pc.min_max(pc.binary_length(table[name])).as_py()
        if not sizes["min"] or sizes["max"] > MAX_ID_BYTES:
            return False
        if not _none_is_blank(table[name]):
            return False
    for name in ("quantity_sold", "price"):
        if not pc.all(pc.is_finite(table[name])).as_py():
            return False
    return bool(pc.min(table["date"].cast(pa.int32())).as_py() >= _FIRST_DAY.as_py())


def _none_is_blank(ids: pa.ChunkedArray) -> bool:
    """No id consists of white space only (Unicode's included)."""
    return not pc.any(pc.utf8_is_space(ids)).as_py()
