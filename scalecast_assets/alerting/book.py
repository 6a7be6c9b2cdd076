"""The book of alerts in Postgres: which are open, and which message reached which channel.

The tables are made in ``migrations/``. What is wrong is found elsewhere (``cause.Finder``); here it
is compared with what is open, so that a cause is one alert however often it is found.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, LiteralString

from psycopg.rows import dict_row

from scalecast_assets.alerting.cause import NEWS, Cause, Kind, Look
from scalecast_assets.ingest.schema import Connection

Event = Literal["raised", "cleared"]

MAX_ATTEMPTS: Final = 40
"""The second at the next look, then at growing distances up to an hour: for a day and a half."""


@dataclass(frozen=True)
class Alert:
    """One alert as the book has it."""

    alert_id: int
    cause: Cause
    raised_at: datetime
    cleared_at: datetime | None


@dataclass(frozen=True)
class Delivery:
    """One message that a channel has not taken yet; ``attempts`` were made before."""

    alert: Alert
    event: Event
    attempts: int


_COLUMNS: Final[LiteralString] = (
    "alert_id, kind, subject, headline, what, to_do, files, run_id, since, raised_at, cleared_at"
)


@contextmanager
def alone(conn: Connection, name: str) -> Iterator[bool]:
    """Hold the named lock for the block; False, at once, if somebody else holds it.

    A process that is killed lets it go with its connection.
    """
    key = f"scalecast.alerts.{name}"
    row = conn.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (key,)).fetchone()
    held = bool(row and row[0])
    try:
        yield held
    finally:
        if held and not conn.closed:
            conn.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (key,))


def open_alerts(conn: Connection) -> list[Alert]:
    """The alerts whose cause is there, the oldest first."""
    query: LiteralString = (
        f"select {_COLUMNS} from ml.alerts where cleared_at is null order by alert_id"
    )
    with conn.cursor(row_factory=dict_row) as cursor:
        return [_alert(row) for row in cursor.execute(query)]


def read_look(conn: Connection, channels: Sequence[str]) -> Look:
    """What a finder of causes is told; the time is the database's, as the ledger's is."""
    ((now,),) = conn.execute("select clock_timestamp() at time zone 'utc'").fetchall()
    now = now.replace(tzinfo=UTC)
    causes = {alert.cause.key: alert.cause for alert in open_alerts(conn)}
    waiting = conn.execute(
        "select distinct cause from ml.alert_deliveries join ml.alerts using (alert_id)"
        " where cleared_at is null and delivered_at is null and attempts < %s"
        " and channel = any(%s)",
        (MAX_ATTEMPTS, list(channels)),
    ).fetchall()
    settled = conn.execute(
        "select cause, max(cleared_at) from ml.alerts where cleared_at > %s group by cause",
        (now - NEWS,),
    ).fetchall()
    return Look(now, causes, frozenset(causes) - {key for (key,) in waiting}, dict(settled))


def write_causes(
    conn: Connection, kinds: Sequence[Kind], causes: Iterable[Cause], now: datetime
) -> tuple[int, int]:
    """Make the open alerts of these kinds those with these causes; counts raised and cleared."""
    present = {cause.key: cause for cause in causes}
    if wrong := {cause.kind for cause in present.values()} - set(kinds):
        raise ValueError(f"expected causes of {', '.join(kinds)}, found {', '.join(sorted(wrong))}")
    with conn.transaction():
        cleared = conn.execute(
            "update ml.alerts set cleared_at = %s"
            " where cleared_at is null and kind = any(%s) and cause <> all(%s)",
            (now, list(kinds), list(present)),
        ).rowcount
        raised = sum(_raise(conn, cause, now) for cause in present.values())
    return raised, cleared


def _raise(conn: Connection, cause: Cause, now: datetime) -> int:
    return conn.execute(
        "insert into ml.alerts (cause, kind, subject, headline, what, to_do, files, run_id, since,"
        " raised_at) values (%(cause)s, %(kind)s, %(subject)s, %(headline)s, %(what)s, %(to_do)s,"
        " %(files)s, %(run_id)s, %(since)s, %(now)s)"
        " on conflict (cause) where cleared_at is null do nothing",
        {**vars(cause), "files": list(cause.files), "cause": cause.key, "now": now},
    ).rowcount


def address(conn: Connection, channels: Sequence[str], now: datetime, *, clearings: bool) -> None:
    """Note which messages which channels have to get: every alert, and if wanted its end.

    Of an alert that ended before it was delivered one message says both.
    """
    conn.execute(
        "insert into ml.alert_deliveries (alert_id, channel, event)"
        " select alert_id, channel, 'raised' from ml.alerts, unnest(%s::text[]) channel"
        " where cleared_at is null and raised_at > %s on conflict do nothing",
        (list(channels), now - NEWS),
    )
    if clearings:
        conn.execute(
            "insert into ml.alert_deliveries (alert_id, channel, event)"
            " select alert_id, channel, 'cleared' from ml.alert_deliveries d"
            " join ml.alerts a using (alert_id) where d.event = 'raised'"
            " and d.channel = any(%s) and d.delivered_at < a.cleared_at and a.cleared_at > %s"
            " on conflict do nothing",
            (list(channels), now - NEWS),
        )


def waiting(conn: Connection, channel: str, limit: int) -> list[Delivery]:
    """The messages that the channel is due to get now, the oldest first."""
    query: LiteralString = (
        f"select {_COLUMNS}, event, attempts from ml.alert_deliveries join ml.alerts"
        " using (alert_id) where channel = %s and delivered_at is null and attempts < %s"
        " and (attempts < 2 or tried_at < clock_timestamp()"
        " - least(interval '1 hour', interval '30 seconds' * 2 ^ (attempts - 1)))"
        " order by alert_id, event desc limit %s"
    )
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query, (channel, MAX_ATTEMPTS, limit))
        return [Delivery(_alert(row), row["event"], row["attempts"]) for row in rows]


def note_attempt(conn: Connection, delivery: Delivery, channel: str) -> None:
    """Note, before a message is sent, that it is being sent."""
    conn.execute(
        "update ml.alert_deliveries set attempts = attempts + 1, tried_at = clock_timestamp(),"
        " error = 'the sender ended before it knew'"
        " where (alert_id, channel, event) = (%s, %s, %s)",
        (delivery.alert.alert_id, channel, delivery.event),
    )


def note_outcome(conn: Connection, delivery: Delivery, channel: str, error: str | None) -> None:
    """Note what became of the attempt; without an error the message is delivered for good."""
    conn.execute(
        "update ml.alert_deliveries set error = %s,"
        " delivered_at = case when %s then clock_timestamp() end"
        " where (alert_id, channel, event) = (%s, %s, %s)",
        (error, error is None, delivery.alert.alert_id, channel, delivery.event),
    )


def _alert(row: dict[str, Any]) -> Alert:
    names = Cause.__dataclass_fields__
    values = {name: row[name] for name in names} | {"files": tuple(row["files"])}
    return Alert(row["alert_id"], Cause(**values), row["raised_at"], row["cleared_at"])
