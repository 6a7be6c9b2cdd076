"""A file landed on trial: its rows at hand as if it were taken in, and nothing of it kept.

For ``scalecast validate``. Neither ledger nor archive nor quarantine hear of the file. Its
``file_seq`` is below zero, where no file that counts has one; what a killed process leaves there is
swept away by the next intake.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scalecast_assets.ingest.landing import Landing, describe, drop_landed
from scalecast_assets.ingest.ledger import LedgerFile, find_content, next_seq_now
from scalecast_assets.ingest.pace import nobody_asks
from scalecast_assets.ingest.schema import LANDING_LOCK, Connection, ensure_schema, locked


@dataclass(frozen=True)
class Trial:
    """A file on trial as the ledger would have it, and what the ledger has of the same bytes."""

    file: LedgerFile
    known: LedgerFile | None
    warnings: tuple[str, ...]


@contextmanager
def on_trial(
    conn: Connection,
    path: Path,
    renames: Mapping[str, str],
    so_far: Callable[[int, float], None] = nobody_asks,
) -> Iterator[Trial]:
    """Land a local file for as long as the block lasts; waits while an intake is at work.

    ``so_far`` is told of the landing as ``Landing`` tells it.
    """
    ensure_schema(conn)
    with locked(conn, LANDING_LOCK):
        spooled = describe(path)
        file_seq = -next_seq_now(conn)
        try:
            landing = Landing(conn, "trial", renames=renames, so_far=so_far)
            landed = landing.land_rows(spooled, file_seq)
            file = LedgerFile(
                sha256=spooled.sha256,
                file_seq=file_seq,
                key=spooled.name,
                bytes=spooled.bytes,
                rows=landed.rows,
                rejected=landed.rejected,
                state="landed",
                reason=None,
                run_id="trial",
                replace_run=None,
                replace_size=None,
            )
            yield Trial(file, find_content(conn, spooled.sha256), tuple(landed.warnings))
        finally:
            if not conn.closed:
                drop_landed(conn, file_seq)
