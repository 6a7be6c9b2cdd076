"""Rows to a raw sales file, plain or packed; it appears under its name only when it is whole."""

import csv
import gzip
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from scalecast_assets.contract.columns import RAW_COLUMNS
from scalecast_assets.recipes.files import RecipeError, Row

EVERY = 200_000


def write(rows: Iterable[Row], target: Path, counted: Callable[[int], None]) -> int:
    """Write the rows; return how many. ``counted`` is told now and then.

    Raises:
        RecipeError: there was none.
    """
    written = 0

    def passing() -> Iterator[Row]:
        nonlocal written
        for written, row in enumerate(rows, start=1):
            if written % EVERY == 0:
                counted(written)
            yield row

    fresh = target.with_name(f"{target.name}.part")
    try:
        with _opened(fresh, packed=target.name.lower().endswith(".gz")) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(RAW_COLUMNS)
            writer.writerows(passing())
        if not written:
            raise RecipeError("no rows: is --since later than the data?")
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    return written


@contextmanager
def _opened(path: Path, *, packed: bool) -> Iterator[TextIO]:
    if not packed:
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    # The quickest level; and no time in it: the same rows are the same bytes.
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as pack,
        io.TextIOWrapper(io.BufferedWriter(pack, 1 << 20), encoding="utf-8", newline="") as file,  # type: ignore[arg-type]
    ):
        yield file
