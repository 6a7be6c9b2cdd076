"""Opening what was downloaded: a folder, the archive as it came, or the one file in it."""

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import BinaryIO, NamedTuple

Record = dict[str, str]


class RecipeError(ValueError):
    """The files are not those of the data set; the message says what was expected."""


class Row(NamedTuple):
    """A line of a raw file, in the order of ``RAW_COLUMNS``."""

    date: str
    store_id: str
    product_id: str
    quantity_sold: float
    price: float
    promotion: str


class Download:
    """Where the files of a data set are."""

    def __init__(self, path: Path) -> None:
        """Look into a folder, or a .zip; a single file is itself."""
        self.path = path

    @contextmanager
    def open(self, *names: str) -> Iterator[BinaryIO]:
        """Stream the first of ``names`` that is there, in a subfolder too; raises RecipeError."""
        if self.path.is_file() and not zipfile.is_zipfile(self.path):
            with self.path.open("rb") as file:
                yield file
        elif self.path.is_file() and self.path.suffix.lower() == ".zip":
            with zipfile.ZipFile(self.path) as archive:
                found = self._first(archive.namelist(), names)
                with archive.open(found) as member:
                    yield member  # type: ignore[misc]
        elif self.path.is_file():  # .xlsx, a zip itself
            with self.path.open("rb") as file:
                yield file
        else:
            present = [str(path.relative_to(self.path)) for path in sorted(self.path.rglob("*"))]
            with (self.path / self._first(present, names)).open("rb") as file:
                yield file

    def _first(self, present: Sequence[str], names: Sequence[str]) -> str:
        for wanted in names:
            for name in present:
                if name.rpartition("/")[2].lower() == wanted.lower():
                    return name
        packed = [name for name in present if name.lower().endswith((".7z", ".zip"))]
        unpack = f"; unpack {packed[0]} there first" if packed else ""
        raise RecipeError(f"{self.path}: expected {' or '.join(names)} in it{unpack}")

    @contextmanager
    def table(
        self, *names: str, columns: Sequence[str], encoding: str = "utf-8-sig"
    ) -> Iterator[Iterator[Record]]:
        """Stream a CSV as records; raises RecipeError unless it has the columns."""
        with self.open(*names) as binary:
            text = io.TextIOWrapper(binary, encoding=encoding, newline="")
            reader = csv.DictReader(text)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise RecipeError(
                    f"{self.path}: {names[0]} has no column {missing[0]}; expected the file as "
                    f"published, with {', '.join(columns)}"
                )
            yield reader


def at_least(day: str, since: date | None) -> bool:
    """Say whether an ISO day is wanted."""
    return since is None or day >= since.isoformat()
