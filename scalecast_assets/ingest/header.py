"""The first line of a raw file: its delimiter, and where the six columns are in it."""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scalecast_assets.contract.columns import RAW_COLUMNS
from scalecast_assets.ingest.lines import (
    COLUMNS_ARE_COMPLETE,
    LINES_ARE_WELL_FORMED,
    RejectedLine,
    rejected,
    strict_reader,
)

DELIMITERS: Final = (",", ";", "\t")


@dataclass(frozen=True)
class Layout:
    """How the lines of one file are cut: the delimiter, the number of fields, the places."""

    delimiter: str
    width: int
    position: dict[str, int]
    extra: tuple[str, ...]


def _names(line: str, delimiter: str, renames: Mapping[str, str]) -> list[str]:
    row = next(strict_reader([line], delimiter), [])
    stripped = [name.strip() for name in row]
    return [renames.get(name, name) for name in stripped]


def _hint(name: str, names: list[str]) -> str:
    """Of a column that is missing: the one that may be meant, spelled with other letters."""
    meant = next((other for other in names if other.lower() == name), None)
    return f" ({meant!r} is there; write it in small letters)" if meant else ""


def read_header(
    line: str, renames: Mapping[str, str], line_no: int = 1
) -> Layout | list[RejectedLine]:
    """Understand the header line, or say everything that is wrong with it.

    The delimiter is the one of ``, ; tab`` that shows the most of the six columns: a quoted header
    can be read with its own delimiter only. Names are compared without surrounding spaces, after
    ``renames`` (a user's own header to ours).
    """
    if not line.strip():
        reason = "the first line is empty; it has to name the six columns"
        return [rejected(line_no, "", line, COLUMNS_ARE_COMPLETE, reason)]
    readings: dict[str, list[str]] = {}
    errors: dict[str, csv.Error] = {}
    for mark in DELIMITERS:
        try:
            readings[mark] = _names(line, mark, renames)
        except csv.Error as error:
            errors[mark] = error
    if not readings:
        reason = f"the header line is not CSV: {errors[max(errors, key=line.count)]}"
        return [rejected(line_no, "", line, LINES_ARE_WELL_FORMED, reason)]
    delimiter = max(readings, key=lambda mark: len(set(readings[mark]) & set(RAW_COLUMNS)))
    names = readings[delimiter]
    faults = [
        rejected(
            line_no, name, line, COLUMNS_ARE_COMPLETE, f"the column {name!r} is there {n} times"
        )
        for name, n in Counter(names).items()
        if n > 1 and name
    ]
    faults += [
        rejected(line_no, name, line, COLUMNS_ARE_COMPLETE, f"the column {name!r} is missing{hint}")
        for name in RAW_COLUMNS
        if name not in names
        for hint in [_hint(name, names)]
    ]
    if faults:
        return faults
    position = {name: names.index(name) for name in RAW_COLUMNS}
    extra = tuple(name for name in names if name not in position)
    return Layout(delimiter, len(names), position, extra)
