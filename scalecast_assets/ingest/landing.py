"""Land raw files: spool, hash, archive, parse, and COPY into the file's own partition.

A file's rows, its rejected lines and its row in the ledger are written in one transaction. What
runs before (``reader.py``) and after it (the verdict in ``checks/``, ``publish.py``) is elsewhere;
which files a run takes is decided in ``intake.py``.
"""

import csv
import hashlib
import io
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from psycopg import sql
from pyarrow import csv as arrow_csv

from scalecast_assets.contract.layout import archive_key
from scalecast_assets.contract.objects import ObjectStore
from scalecast_assets.ingest.ledger import LedgerFile
from scalecast_assets.ingest.lines import (
    LANDED_SCHEMA,
    MAX_LISTED_FAULTS,
    RejectedLine,
    rejected,
)
from scalecast_assets.ingest.pace import nobody_asks
from scalecast_assets.ingest.reader import RawFile
from scalecast_assets.ingest.schema import Connection

_CHUNK_BYTES: Final = 1024 * 1024
_REJECTED_IN_MEMORY: Final = 1024 * 1024
_PLAIN_CSV: Final = arrow_csv.WriteOptions(include_header=False, quoting_style="needed")


class LandingError(RuntimeError):
    """A file could not be landed for a reason that is not in its content."""


@dataclass(frozen=True)
class SpooledFile:
    """A raw file on local disk, with its hash."""

    path: Path
    name: str
    sha256: str
    bytes: int


def spool(store: ObjectStore, key: str, directory: Path) -> SpooledFile:
    """Copy an object to a local file while hashing it; memory is one chunk."""
    digest, size = hashlib.sha256(), 0
    with (
        store.open(key) as source,
        tempfile.NamedTemporaryFile(dir=directory, prefix="raw-", delete=False) as target,
    ):
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            target.write(chunk)
    return SpooledFile(Path(target.name), Path(key).name, digest.hexdigest(), size)


def describe(path: Path) -> SpooledFile:
    """Hash a file that is on local disk already."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return SpooledFile(path, path.name, digest, path.stat().st_size)


def archive(store: ObjectStore, file: SpooledFile) -> str:
    """Keep the bytes for ever under their hash; returns the key."""
    key = archive_key(file.sha256)
    if not store.exists(key):
        store.upload(file.path, key)
    return key


def partition(file_seq: int) -> sql.Composable:
    """The name of the partition that holds a file's rows."""
    return sql.Identifier("landing", f"demand_rows_{int(file_seq)}")


def drop_landed(conn: Connection, file_seq: int) -> None:
    """Forget what was landed of a file (not its row in the ledger)."""
    conn.execute(sql.SQL("drop table if exists {}").format(partition(file_seq)))
    conn.execute("delete from landing.rejected_lines where file_seq = %s", (file_seq,))


def landed_rows(conn: Connection, file_seq: int) -> int | None:
    """Rows in the file's partition, or None if there is no partition."""
    name = f"landing.demand_rows_{int(file_seq)}"
    found = conn.execute("select to_regclass(%s) is not null", (name,)).fetchone()
    if not found or not found[0]:
        return None
    query = sql.SQL("select count(*) from {}").format(partition(file_seq))
    row = conn.execute(query).fetchone()
    return int(row[0]) if row else None


@dataclass(frozen=True)
class Landed:
    """What one file brought."""

    file_seq: int
    rows: int
    rejected: int
    warnings: list[str]


@dataclass(frozen=True)
class Landing:
    """The landing of files of one run; ``replace`` marks them as a replacement of everything."""

    conn: Connection
    run_id: str
    replace: bool = False
    renames: Mapping[str, str] = field(default_factory=dict)
    so_far: Callable[[int, float], None] = nobody_asks
    """Is told, block by block, how many rows were sent and which share of the file was read."""

    def land(self, file: SpooledFile, key: str, file_seq: int, known: LedgerFile | None) -> Landed:
        """Write the file's rows, rejected lines and ledger row in one transaction.

        What the ledger has of the same bytes goes if it was an attempt to load them; if it was
        published or refused it stays, until the new attempt is published.
        """
        with self.conn.transaction():
            if known:
                drop_landed(self.conn, known.file_seq)
            self.conn.execute(
                "delete from warehouse.file_ledger"
                " where sha256 = %s and state in ('landed', 'validated')",
                (file.sha256,),
            )
            landed = self.land_rows(file, file_seq)
            self._write_ledger(file, key, landed)
        return landed

    def land_rows(self, file: SpooledFile, file_seq: int) -> Landed:
        """Write the file's rows and rejected lines alone, in one transaction."""
        raw = RawFile(file.path, file.name, self.renames)
        with (
            self.conn.transaction(),
            tempfile.SpooledTemporaryFile(
                _REJECTED_IN_MEMORY, mode="w+", encoding="utf-8", newline=""
            ) as faults,
        ):
            drop_landed(self.conn, file_seq)
            rows, n_faults = self._copy_rows(raw, file_seq, faults)
            self._copy_faults(faults)
        return Landed(file_seq, rows, n_faults, raw.warnings)

    def _copy_rows(self, raw: RawFile, file_seq: int, faults: IO[str]) -> tuple[int, int]:
        """COPY into a table of this transaction, which then becomes the partition."""
        table = partition(file_seq)
        self.conn.execute(
            sql.SQL(
                "create unlogged table {table} (like landing.demand_rows,"
                " check (file_seq is not null and file_seq = {seq}));"
                " alter table {table} alter column file_seq set default {seq}"
            ).format(table=table, seq=sql.Literal(file_seq))
        )
        faults_of = FaultList(csv.writer(faults), file_seq)
        sent = copy_rows(self.conn, raw, table, faults_of.add, self.so_far)
        self.conn.execute(
            sql.SQL(
                "alter table landing.demand_rows attach partition {table} for values in ({seq});"
                " analyze {table}"
            ).format(table=table, seq=sql.Literal(file_seq))
        )
        faults_of.close()
        return sent, faults_of.count

    def _copy_faults(self, faults: IO[str]) -> None:
        faults.seek(0)
        with self.conn.cursor().copy(
            "copy landing.rejected_lines from stdin"
            " (format csv, force_not_null (column_name, value))"
        ) as copy:
            while chunk := faults.read(_CHUNK_BYTES):
                copy.write(chunk)

    def _write_ledger(self, file: SpooledFile, key: str, landed: Landed) -> None:
        self.conn.execute(
            """
            insert into warehouse.file_ledger
                (sha256, file_seq, key, bytes, rows, rejected, state, run_id, replace_run)
            values (%s, %s, %s, %s, %s, %s, 'landed', %s, %s)
            """,
            (
                file.sha256,
                landed.file_seq,
                key,
                file.bytes,
                landed.rows,
                landed.rejected,
                self.run_id,
                self.run_id if self.replace else None,
            ),
        )


def copy_rows(
    conn: Connection,
    raw: RawFile,
    table: sql.Composable,
    on_faults: Callable[[list[RejectedLine]], None],
    so_far: Callable[[int, float], None] = nobody_asks,
) -> int:
    """COPY the file's rows with FREEZE into a table that this transaction made; returns how many.

    Memory is one block of the file.
    """
    columns = sql.SQL(", ").join(map(sql.Identifier, LANDED_SCHEMA.names))
    statement = sql.SQL("copy {} ({}) from stdin (format csv, freeze)").format(table, columns)
    sent = 0
    with conn.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for block in raw.blocks():
                sent += block.rows.num_rows
                on_faults(block.rejected)
                buffer = io.BytesIO()
                arrow_csv.write_csv(block.rows, buffer, _PLAIN_CSV)
                copy.write(buffer.getbuffer())
                so_far(sent, raw.share)
        if cursor.rowcount != sent:
            raise LandingError(
                f"{raw.name}: sent {sent:,} rows to the landing table, it took"
                f" {cursor.rowcount:,}; nothing was kept, run again"
            )
    return sent


class FaultList:
    """Writes the faults of a file: the first ``MAX_LISTED_FAULTS``, and the first of each rule.

    All are counted. The rule's first is there even beyond the limit, because a rule that a line
    breaks has to be found broken. A last line says how many are not listed.
    """

    def __init__(self, report: Any, file_seq: int) -> None:
        self.count = 0
        self._report = report
        self._file_seq = file_seq
        self._listed = 0
        self._rules: set[str] = set()
        self._last: RejectedLine | None = None

    def add(self, faults: list[RejectedLine]) -> None:
        self.count += len(faults)
        for fault in faults:
            if self._listed < MAX_LISTED_FAULTS or fault.rule not in self._rules:
                self._rules.add(fault.rule)
                self._listed += 1
                self._report.writerow((self._file_seq, *fault))
        if faults:
            self._last = faults[-1]

    def close(self) -> None:
        more = self.count - self._listed
        if more and self._last:
            reason = f"and {more:,} more faults, not listed"
            last = rejected(self._last.line_no, "", "", self._last.rule, reason)
            self._report.writerow((self._file_seq, *last))
