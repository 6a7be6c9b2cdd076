"""Which files a run takes: the named ones, or all that wait in the bucket.

Known bytes are skipped with a message, whatever their key. A file that cannot be read does not hold
up the others, and is read again by every intake. What earlier runs left behind is taken over from
``left_over.py``. One intake at a time, by an advisory lock.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from scalecast_assets.contract.objects import ObjectInfo, ObjectStore, ObjectUnreadable
from scalecast_assets.ingest.attempts import begin_attempt, end_attempt, note_error
from scalecast_assets.ingest.landing import (
    Landing,
    LandingError,
    SpooledFile,
    archive,
    spool,
)
from scalecast_assets.ingest.ledger import (
    LedgerFile,
    find_content,
    is_raw,
    next_seq_at,
    next_seq_now,
    raw_objects,
    remember_object,
    waiting_objects,
)
from scalecast_assets.ingest.left_over import forget_decided, rows_at_hand
from scalecast_assets.ingest.pace import Pace
from scalecast_assets.ingest.replacements import give_up_unfinished, seal
from scalecast_assets.ingest.schema import LANDING_LOCK, Connection, ensure_schema, locked

Outcome = Literal["landed", "known", "taken over", "unreadable"]

UNREADABLE: Final = "not read"
"""The state of a file that the ledger does not have, because it could not be read."""

READABLE: Final = "every_waiting_file_can_be_read"
"""The check that says so; it blocks nothing."""

_SPOOL: Final = "intake-"

_CLOCKS_DIFFER: Final = timedelta(minutes=1)
"""By so much the clocks of the bucket and of this machine may differ without a word."""


@dataclass(frozen=True)
class Intake:
    """What a run is asked to take.

    ``keys`` are taken in their order, as the newest data there is. Without keys everything that
    waits in ``raw/`` is taken in the order of (last modified, key). ``again`` and ``replace`` take
    known bytes anew (without keys: everything in ``raw/``, in that order, as the newest data), and
    ``replace`` marks the files as the whole content that the warehouse shall have.

    ``only`` narrows down what waits: to these keys, or if there are none to what earlier runs
    landed. What then cannot be read is the business of whoever chose the keys and fails no run.
    """

    run_id: str
    keys: Sequence[str] = ()
    again: bool = False
    replace: bool = False
    renames: Mapping[str, str] = field(default_factory=dict)
    spool_dir: Path | None = None
    only: Sequence[str] | None = None


@dataclass(frozen=True)
class FileOutcome:
    """What became of one file in the intake; ``state`` is the ledger's, or ``UNREADABLE``."""

    outcome: Outcome
    key: str
    sha256: str
    file_seq: int
    state: str
    bytes: int
    rows: int
    rejected: int
    message: str
    warnings: tuple[str, ...] = ()


def take_in(
    conn: Connection, store: ObjectStore, intake: Intake, log: Callable[[str], None]
) -> list[FileOutcome]:
    """Land the files of the run; returns every file touched, in the order in which they count.

    Raises ``LandingError``, after all else was landed, for a file that cannot be read, if it was
    asked for by name or for a replacement, or if there is no other file to go on with.
    """
    ensure_schema(conn)
    with locked(conn, LANDING_LOCK), _folder_below(intake.spool_dir) as folder:
        work = replace(intake, spool_dir=folder)
        with conn.transaction():
            forget_decided(conn)
            give_up_unfinished(conn, intake.run_id)
        objects = _chosen(conn, store, intake)
        outcomes: list[FileOutcome] = []
        seen: dict[str, str] = {}
        for info in objects:
            with _named(info.key):
                outcome = _take(conn, store, work, info, seen, log)
            if outcome.outcome != "unreadable":
                seen.setdefault(outcome.sha256, outcome.key)
            log(outcome.message)
            for warning in outcome.warnings:
                log(f"{outcome.key}: {warning}")
            outcomes.append(outcome)
        outcomes += _take_over(conn, store, work, set(seen), log)
        _refuse_to_ignore(intake, outcomes)
        if intake.replace:
            seal(conn, intake.run_id)
    return sorted(outcomes, key=lambda outcome: outcome.file_seq)


@contextlib.contextmanager
def _named(key: str) -> Iterator[None]:
    """Whatever goes wrong while a file is read says which one; those who come after it wait."""
    try:
        yield
    except LandingError:
        raise
    except Exception as error:
        raise LandingError(
            f"{key}: could not be landed ({type(error).__name__}: {error}); nothing of it is"
            " loaded, and what waits behind it is left for the next run"
        ) from error


@contextlib.contextmanager
def _folder_below(spool_dir: Path | None) -> Iterator[Path]:
    """A folder for this intake's files, which may be large; those of killed intakes go first."""
    if spool_dir:
        for left in spool_dir.glob(f"{_SPOOL}*"):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=spool_dir, prefix=_SPOOL) as folder:
        yield Path(folder)


def _refuse_to_ignore(intake: Intake, outcomes: Sequence[FileOutcome]) -> None:
    """Fail for what could not be read, where going on would hide it or do half of what was asked.

    Otherwise the run goes on with the other files. The next one finds this file alone, and fails.
    """
    if intake.only is not None:
        return
    unreadable = [o.message for o in outcomes if o.outcome == "unreadable"]
    goes_on = any(o.state in ("landed", "validated") for o in outcomes)
    if unreadable and (intake.keys or intake.replace or not goes_on):
        raise LandingError("; ".join(unreadable))


def _chosen(conn: Connection, store: ObjectStore, intake: Intake) -> list[ObjectInfo]:
    if intake.keys:
        return [_named_object(store, key) for key in intake.keys]
    if intake.only is not None:
        chosen = set(intake.only)
        return [i for i in waiting_objects(conn, store) if i.key in chosen] if chosen else []
    everything = intake.again or intake.replace
    objects = raw_objects(store) if everything else waiting_objects(conn, store)
    if intake.replace and not objects:
        raise LandingError(
            "replace: expected at least one file to replace the warehouse by, found none in raw/;"
            " name files or put some there"
        )
    return objects


def _named_object(store: ObjectStore, key: str) -> ObjectInfo:
    if not is_raw(key):
        raise LandingError(f"{key}: expected a key that ends in .csv or .csv.gz")
    for info in store.list(key):
        if info.key == key:
            return info
    raise LandingError(f"{key}: expected an object in the store, found none; put the file there")


def _take(
    conn: Connection,
    store: ObjectStore,
    intake: Intake,
    info: ObjectInfo,
    seen: Mapping[str, str],
    log: Callable[[str], None],
) -> FileOutcome:
    assert intake.spool_dir is not None
    begin_attempt(conn, info, intake.run_id)
    try:
        file = spool(store, info.key, intake.spool_dir)
    except ObjectUnreadable as error:
        note_error(conn, info, str(error))
        return _unreadable(info, error)
    try:
        known = find_content(conn, file.sha256)
        anew = (intake.again or intake.replace) and file.sha256 not in seen
        if known and not anew and not _is_read_otherwise(known, info.key):
            _remember(conn, info, file.sha256)
            return _known(info.key, known, seen)
        archive(store, file)
        asked_for = bool(intake.keys) or intake.again or intake.replace
        seq = next_seq_now(conn) if asked_for else next_seq_at(conn, info.last_modified)
        outcome = _land(conn, intake, file, info, seq, known, log)
        if info.last_modified > datetime.now(UTC) + _CLOCKS_DIFFER:
            outcome = replace(outcome, warnings=(*outcome.warnings, _from_the_future(info)))
        return outcome
    finally:
        file.path.unlink()


def _remember(conn: Connection, info: ObjectInfo, sha256: str) -> None:
    with conn.transaction():
        remember_object(conn, info, sha256)
        end_attempt(conn, info.key)


def _from_the_future(info: ObjectInfo) -> str:
    return (
        f"last modified {info.last_modified:%Y-%m-%d %H:%M:%S %Z}, which is yet to come: it counts"
        " as modified now; check the clock of whoever delivers it"
    )


def _unreadable(info: ObjectInfo, error: ObjectUnreadable) -> FileOutcome:
    message = f"{info.key}: not loaded: {error}; it is tried again by every run"
    return FileOutcome("unreadable", info.key, "", 0, UNREADABLE, info.size, 0, 0, message)


def _is_read_otherwise(known: LedgerFile, key: str) -> bool:
    """Whether refused bytes may be good under this name: one says gzip, the other does not."""
    packed = [name.lower().endswith(".gz") for name in (known.key, key)]
    return known.state == "refused" and packed[0] != packed[1]


def _land(
    conn: Connection,
    intake: Intake,
    file: SpooledFile,
    info: ObjectInfo,
    seq: int,
    known: LedgerFile | None,
    log: Callable[[str], None],
) -> FileOutcome:
    pace = Pace(info.key, log)
    landing = Landing(conn, intake.run_id, intake.replace, intake.renames, pace.so_far)
    with conn.transaction():
        landed = landing.land(file, info.key, seq, known)
        _remember(conn, info, file.sha256)
    message = f"{info.key}: landed {landed.rows:,} rows, {landed.rejected:,} faults"
    return FileOutcome(
        "landed",
        info.key,
        file.sha256,
        seq,
        "landed",
        file.bytes,
        landed.rows,
        landed.rejected,
        message,
        tuple(landed.warnings),
    )


def _known(key: str, known: LedgerFile, seen: Mapping[str, str]) -> FileOutcome:
    if known.sha256 in seen:
        message = f"{key}: skipped, the same bytes as {seen[known.sha256]} in this run"
    elif known.state in ("landed", "validated"):
        message = f"{key}: these bytes are {known.state} already and wait to be published"
    else:
        reason = f" ({known.reason})" if known.reason else ""
        message = (
            f"{key}: skipped, these bytes were {known.state} before{reason};"
            " run with --again to load them anew"
        )
    return _outcome("known", known, message, key)


def _outcome(kind: Outcome, file: LedgerFile, message: str, key: str | None = None) -> FileOutcome:
    return FileOutcome(
        kind,
        key or file.key,
        file.sha256,
        file.file_seq,
        file.state,
        file.bytes,
        file.rows,
        file.rejected,
        message,
    )


def _take_over(
    conn: Connection,
    store: ObjectStore,
    intake: Intake,
    seen: set[str],
    log: Callable[[str], None],
) -> list[FileOutcome]:
    """What earlier runs landed and never brought to an end, but for what this run has taken."""
    assert intake.spool_dir is not None
    outcomes = []
    for file, whole in rows_at_hand(conn, store, intake.renames, intake.spool_dir):
        if file.sha256 in seen and whole:
            continue
        how = "as they were landed" if whole else "landed again from the archive"
        message = f"{file.key}: taken over from run {file.run_id}, {file.rows:,} rows {how}"
        log(message)
        if file.sha256 not in seen:
            outcomes.append(_outcome("taken over", file, message))
    return outcomes
