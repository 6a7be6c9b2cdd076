"""Causes that the ledger of files knows: a refused file, and a feed from which nothing comes.

What a refusal is made of is in ``ingest/verdict.py``. Here is told which refusals still stand.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final, LiteralString

from psycopg.rows import dict_row

from scalecast_assets.alerting.bounded import within
from scalecast_assets.alerting.cause import Cause, Look, in_words
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.ingest.attempts import read_attempts
from scalecast_assets.ingest.ledger import LedgerFile
from scalecast_assets.ingest.rules import RULES
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.ingest.verdict import REPORT_NAME, UNJUDGED, page_key
from scalecast_assets.ingest.wording import counted

LOOK_UPS: Final = 50
"""Refused files that one look asks the bucket for; of more, the first by name."""

STORE_SECONDS: Final = 5.0

TOLERATED_ATTEMPTS: Final = 2
"""Without an error: a run was killed over the file, and another one is at it."""

# A file's name is its key without the checksum that `scalecast run --csv` adds to a name in use. A
# refusal stands until a later file of that name was decided, or its key holds bytes that were
# published under another name. What was to replace everything is refused as one, until a later
# replacement was published.
_STANDING: Final[LiteralString] = r"""
with refused as (
    select * from warehouse.file_ledger
    where
        state = 'refused'
        and (decided_at >= %(news_since)s or left(sha256, 12) = any(%(open)s))
),

named as (
    select
        *,
        regexp_replace(key, '-' || left(sha256, 8) || '(\.csv(\.gz)?)$', '\1', 'i') as name
    from warehouse.file_ledger
    where file_seq >= (select min(file_seq) from refused)
),

held as (
    select distinct on (key) key, sha256 from warehouse.file_objects
    where key in (select key from refused)
    order by key, seen_at desc
),

replaced as (
    select coalesce(max(file_seq), 0) as file_seq from warehouse.file_ledger
    where replace_run is not null and state = 'published'
)

select r.*
from named r
inner join refused using (file_seq)
cross join replaced
where
    not (r.replace_run is not null and r.file_seq < replaced.file_seq)
    and not exists (
        select from named l
        where
            l.name = r.name and l.file_seq > r.file_seq
            and l.state in ('published', 'refused', 'withdrawn')
    )
    and not exists (
        select from held inner join warehouse.file_ledger using (sha256)
        where held.key = r.key and held.sha256 <> r.sha256 and state in ('published', 'withdrawn')
    )
order by coalesce(r.replace_run, r.sha256), r.reason like 'not loaded:%%', r.file_seq
"""


def refused_files(conn: Connection, store: ObjectStore) -> Callable[[Look], Iterator[Cause]]:
    """Find each refusal that stands; one whose file was taken out of ``raw/`` is over once told."""

    def find(look: Look) -> Iterator[Cause]:
        opened = [cause.subject[-12:] for cause in look.of_kind("file_refused").values()]
        with conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                _STANDING, {"news_since": look.news_since, "open": opened}
            ).fetchall()
        groups = groupby(rows, key=lambda row: row["replace_run"] or row["sha256"])
        standing = [_refusal(list(files), store) for _, files in groups]
        told = sorted((c for c in standing if c.key in look.told), key=lambda cause: cause.key)
        gone = _taken_out(store, told[:LOOK_UPS])
        yield from (c for c in standing if c.key not in gone and _is_news(c, look))

    return find


def _is_news(cause: Cause, look: Look) -> bool:
    if cause.key in look.open:
        return True
    settled = look.settled.get(cause.key)
    return cause.since >= look.news_since and (settled is None or settled < cause.since)


def _taken_out(store: ObjectStore, causes: Sequence[Cause]) -> set[str]:
    """The keys of the causes whose files are in the bucket no more; none, if it does not answer."""

    def look_up() -> set[str]:
        return {c.key for c in causes if not any(map(store.exists, c.files))}

    try:
        return within(STORE_SECONDS, look_up) if causes else set()
    except Exception:  # the alerts stay open; that the store is away is noticed by the next run
        return set()


def _refusal(rows: Sequence[dict[str, Any]], store: ObjectStore) -> Cause:
    """One refused file, or the files that were to replace everything and are refused together."""
    first = LedgerFile(**{name: rows[0][name] for name in LedgerFile.__dataclass_fields__})
    guilty = [r for r in rows if not (r["reason"] or "").startswith("not loaded:")] or list(rows)
    loaded = f"Nothing of its {first.rows:,} rows is loaded."
    if len(rows) > 1:
        loaded = f"Nothing of the {len(rows)} files that were to replace everything is loaded."
    reasons = " / ".join(f"{row['key']}: {row['reason']}" for row in guilty[:5])
    judged = UNJUDGED not in reasons and any(rule.name in reasons for rule in RULES)
    return Cause(
        kind="file_refused",
        subject=f"{first.key}@{first.sha256[:12]}",
        headline=f"File refused: {first.key}",
        what=f"{loaded} {reasons}",
        to_do=(
            f"Correct the lines that {store.url_of(page_key(first))} explains (all of them: "
            f"{REPORT_NAME} beside it) and drop the file again under its name, or take it out of "
            "raw/. Other files are not held up."
            if judged
            else "Do as the reason says, or take the file out of raw/. Others are not held up."
        ),
        since=min(row["decided_at"] for row in rows),
        files=tuple(row["key"] for row in guilty),
        run_id=first.run_id,
    )


def stuck_files(conn: Connection) -> Callable[[Look], Iterator[Cause]]:
    """Find each file that cannot be read, or over which runs have died again and again.

    It is tried again by itself, at growing distances, and holds up no other.
    """

    def find(look: Look) -> Iterator[Cause]:
        for attempt in read_attempts(conn):
            if attempt.error is None and attempt.attempts <= TOLERATED_ATTEMPTS:
                continue
            why = attempt.error or "each run that began to read it ended without a word (killed?)"
            yield Cause(
                kind="file_not_loaded",
                subject=f"{attempt.key}@{attempt.version[:24]}",
                headline=f"File not loaded: {attempt.key}",
                what=f"It was begun {counted(attempt.attempts, 'time')}, the last time by run "
                f"{attempt.run_id[:8]}: {why}",
                to_do="Correct what the reason names, or take the file out of raw/. It is tried "
                "again by itself, ever more seldom; a new version of it at once. Other files are "
                "not held up.",
                since=attempt.first_at,
                files=(attempt.key,),
                run_id=attempt.run_id,
            )

    return find


def stale_feed(conn: Connection, hours: float) -> Callable[[Look], Iterator[Cause]]:
    """Find out whether nothing was published for so many hours; 0 looks at nothing.

    A feed from which nothing has ever come has not begun.
    """

    def find(look: Look) -> Iterator[Cause]:
        last = conn.execute(
            "select key, published_at from warehouse.file_ledger where published_at is not null"
            " order by published_at desc, file_seq desc limit 1"
        ).fetchone()
        if not hours or last is None:
            return
        key, published_at = last
        since: datetime = published_at + timedelta(hours=hours)
        if since <= look.now:
            yield Cause(
                kind="feed_stale",
                subject="raw_files",
                headline=f"No new sales file for {hours:g} hours",
                what=f"The last file that was published is {key}, on "
                f"{in_words(published_at)}. Forecasts rest on what was sold until then.",
                to_do="Ask who delivers the files to raw/. If files are there, see whether the "
                "sensor new_raw_files runs in the Dagster UI, and whether files are refused.",
                since=since,
                files=(key,),
            )

    return find
