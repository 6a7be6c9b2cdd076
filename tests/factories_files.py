"""Makers of raw files, good and bad, and a naive reader to hold the real one against."""

import gzip
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import psycopg

from scalecast_assets.contract.directory_store import DirectoryStore
from scalecast_assets.ingest.intake import FileOutcome, Intake, take_in
from scalecast_assets.ingest.ledger import files_in_state
from scalecast_assets.ingest.lines import RejectedLine
from scalecast_assets.ingest.publish import Publication, publish
from scalecast_assets.ingest.reader import RawFile
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.ingest.verdict import decide

HEADER = "date,store_id,product_id,quantity_sold,price,promotion"
GOOD = "2024-01-01,S1,P1,5,9.99,true"


def csv_of(*lines: str, header: str = HEADER) -> bytes:
    return "".join(f"{line}\n" for line in (header, *lines)).encode()


def line(day: int, store: str = "S1", product: str = "P1", quantity: float = 1) -> str:
    return f"2024-01-{day:02},{store},{product},{quantity},9.5,0"


@dataclass
class Read:
    """A whole file, read: rows as tuples, faults, warnings."""

    rows: list[tuple[object, ...]]
    faults: list[RejectedLine]
    warnings: list[str]


def read(folder: Path, data: bytes, name: str = "sales.csv", **options: object) -> Read:
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.lower().endswith(".gz") else data)
    return read_path(path, **options)


def read_path(path: Path, **options: object) -> Read:
    file = RawFile(path, path.name, **options)  # type: ignore[arg-type]
    rows: list[tuple[object, ...]] = []
    faults: list[RejectedLine] = []
    for block in file.blocks():
        rows += [tuple(row.values()) for row in block.rows.to_pylist()]
        faults += block.rejected
    return Read(rows, faults, file.warnings)


class Pipeline:
    """Landing and publishing with everything let through; the breaker has tests of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.conn: Connection = psycopg.connect(url, autocommit=True)
        self.store = DirectoryStore(folder / "store")
        self.messages: list[str] = []
        self._runs = 0

    def put(self, key: str, *lines: str, modified: float | None = None) -> str:
        """Write a raw file, last modified now or at these seconds since 1970."""
        self.store.put(key, csv_of(*lines))
        if modified is not None:
            os.utime(self.store.root / key, (modified, modified))
        return key

    def land(self, *keys: str, again: bool = False, replace: bool = False) -> list[FileOutcome]:
        self._runs += 1
        intake = Intake(f"run-{self._runs}", keys, again, replace)
        return take_in(self.conn, self.store, intake, self.messages.append)

    def die_landing(self, *keys: str, again: bool = False, replace: bool = False) -> None:
        """As ``land``; what it raises is what killed the run, and this connection with it."""
        try:
            self.land(*keys, again=again, replace=replace)
        finally:
            self.conn.close()
            self.conn = psycopg.connect(self.url, autocommit=True)

    def unvouched(self) -> set[int]:
        """Places in the order that rows of the warehouse have and no published file."""
        rows = self.conn.execute(
            "select distinct file_seq from warehouse.demand_data where file_seq not in"
            " (select file_seq from warehouse.file_ledger where state = 'published')"
        ).fetchall()
        return {file_seq for (file_seq,) in rows}

    def judge(self, bad: str | None = None) -> None:
        """What the breaker does; it refuses files whose key contains ``bad``."""
        files = files_in_state(self.conn, "landed", "validated")
        decide(self.conn, files, {f.file_seq: "bad" for f in files if bad and bad in f.key})

    def run(self, *keys: str, again: bool = False, replace: bool = False) -> Publication:
        self.land(*keys, again=again, replace=replace)
        self.judge()
        return publish(self.conn)

    def rows(self) -> list[tuple[object, ...]]:
        return self.conn.execute(
            "select date::text, store_id, product_id, quantity_sold from warehouse.demand_data"
            " order by store_id, product_id, date"
        ).fetchall()

    def ranges(self) -> dict[str, str]:
        return dict(
            self.conn.execute(
                "select store_id, min(from_date)::text from warehouse.changed_ranges group by 1"
            ).fetchall()
        )

    def clear_ranges(self) -> None:
        self.conn.execute("delete from warehouse.changed_ranges")

    def codes(self) -> dict[tuple[str, str], int]:
        rows = self.conn.execute("select kind, id, code from warehouse.id_codes").fetchall()
        return {(kind, name): code for kind, name, code in rows}

    def states(self) -> dict[str, str]:
        """By key; of several contents, and attempts to load one, the last in the order."""
        rows = self.conn.execute("select key, state from warehouse.file_ledger order by file_seq")
        return dict(rows.fetchall())

    def reasons(self) -> dict[str, str | None]:
        rows = self.conn.execute("select key, reason from warehouse.file_ledger order by file_seq")
        return dict(rows.fetchall())

    def checksum(self) -> str:
        """Of everything readers of the warehouse see."""
        rows = self.conn.execute(
            "select * from warehouse.demand_data order by store_id, product_id, date"
        ).fetchall()
        return hashlib.sha256(repr(rows).encode()).hexdigest()
