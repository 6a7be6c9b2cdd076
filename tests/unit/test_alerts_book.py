"""The book of alerts on a real Postgres: one alert a cause, one message a channel."""

import datetime as dt
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from scalecast_assets.alerting import book
from scalecast_assets.alerting.cause import KINDS, NEWS, Cause, Kind
from scalecast_assets.ingest.schema import Connection, ensure_schema

NOW = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def cause(subject: str = "raw_demand", kind: Kind = "run_failed", **given: object) -> Cause:
    return Cause(
        kind=kind,
        subject=subject,
        headline=f"Run failed: {subject}",
        what="It broke",
        to_do="Mend it",
        since=NOW,
        **given,  # type: ignore[arg-type]
    )


@pytest.fixture
def conn(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        ensure_schema(connection)
        yield connection


def find(conn: Connection, *causes: Cause, now: dt.datetime = NOW) -> tuple[int, int]:
    return book.write_causes(conn, KINDS, causes, now)


def send(conn: Connection, channel: str, now: dt.datetime | None = None) -> list[str]:
    """What the channel is due to get, all of it delivered."""
    sent = []
    for delivery in book.waiting(conn, channel, 100):
        book.note_attempt(conn, delivery, channel)
        book.note_outcome(conn, delivery, channel, None)
        if now:
            conn.execute(
                "update ml.alert_deliveries set delivered_at = %s"
                " where alert_id = %s and channel = %s",
                (now, delivery.alert.alert_id, channel),
            )
        sent.append(f"{delivery.alert.cause.subject} {delivery.event}")
    return sent


def test_a_cause_is_one_alert_however_often_it_is_found(conn: Connection) -> None:
    assert find(conn, cause()) == (1, 0)
    assert find(conn, cause(), now=NOW + HOUR) == (0, 0)
    assert find(conn, cause(), cause(), now=NOW + 2 * HOUR) == (0, 0)
    (alert,) = book.open_alerts(conn)
    assert (alert.cause, alert.raised_at) == (cause(), NOW)


def test_a_cause_that_is_gone_is_cleared_and_one_that_comes_back_is_a_new_alert(
    conn: Connection,
) -> None:
    find(conn, cause())
    first = book.open_alerts(conn)[0].alert_id
    assert find(conn, now=NOW + HOUR) == (0, 1)
    assert book.open_alerts(conn) == []
    assert find(conn, cause(), now=NOW + 2 * HOUR) == (1, 0)
    assert book.open_alerts(conn)[0].alert_id > first


def test_causes_are_told_apart_by_kind_and_subject(conn: Connection) -> None:
    kinds: tuple[Kind, ...] = ("run_failed", "sensor_failing")
    found = [cause(subject, kind) for subject in ("a", "b") for kind in kinds]
    assert find(conn, *found) == (4, 0)


def test_what_was_not_looked_at_stays_as_it_is(conn: Connection) -> None:
    find(conn, cause(), cause("x", "sensor_failing"))
    assert book.write_causes(conn, ["sensor_failing"], [], NOW) == (0, 1)
    assert [alert.cause.kind for alert in book.open_alerts(conn)] == ["run_failed"]


def test_a_finder_cannot_report_what_is_not_its_own(conn: Connection) -> None:
    with pytest.raises(ValueError, match="expected causes of feed_stale, found run_failed"):
        book.write_causes(conn, ["feed_stale"], [cause()], NOW)


def test_texts_that_postgres_cannot_hold_are_written_all_the_same(conn: Connection) -> None:
    find(conn, cause("a\x00b \ud800", files=("raw/ü (1).csv",)))
    (alert,) = book.open_alerts(conn)
    assert alert.cause.subject == "a\ufffdb ?"
    assert alert.cause.files == ("raw/ü (1).csv",)


def test_the_tables_may_be_made_by_many_at_once(database_url: str) -> None:
    def make(_: int) -> bool:
        with psycopg.connect(database_url, autocommit=True) as connection:
            ensure_schema(connection)
            return book.open_alerts(connection) == []

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(make, range(8)))


def test_each_channel_gets_each_alert_once(conn: Connection) -> None:
    find(conn, cause("a"), cause("b"))
    for _ in range(3):
        book.address(conn, ["slack", "smtp"], NOW, clearings=False)
    assert send(conn, "slack") == ["a raised", "b raised"]
    assert send(conn, "slack") == []
    assert send(conn, "smtp") == ["a raised", "b raised"]
    assert send(conn, "webhook") == []


def test_a_channel_that_comes_later_hears_of_what_is_open_and_not_of_what_is_old(
    conn: Connection,
) -> None:
    find(conn, cause("old"), now=NOW - NEWS - HOUR)
    find(conn, cause("old"), cause("over"), now=NOW - HOUR)
    find(conn, cause("old"), cause("open"), now=NOW)
    book.address(conn, ["slack"], NOW, clearings=False)
    assert send(conn, "slack") == ["open raised"]


def test_an_attempt_that_failed_is_made_again_at_once_and_then_at_growing_distances(
    conn: Connection,
) -> None:
    find(conn, cause())
    book.address(conn, ["slack"], NOW, clearings=False)
    waits = {0: 0, 1: 0, 2: 60, 3: 120, 4: 240, 7: 1920, 8: 3600, 39: 3600}
    for attempts, seconds in waits.items():
        for ago, due in ((seconds - 5, seconds == 0), (seconds + 5, True)):
            conn.execute(
                "update ml.alert_deliveries set attempts = %s,"
                " tried_at = clock_timestamp() - interval '1 second' * %s",
                (attempts, ago),
            )
            assert bool(book.waiting(conn, "slack", 9)) is due, (attempts, ago)


def test_a_message_is_given_up_after_so_many_attempts(conn: Connection) -> None:
    find(conn, cause())
    book.address(conn, ["slack"], NOW, clearings=False)
    assert book.read_look(conn, ["slack"]).told == frozenset()
    conn.execute(
        "update ml.alert_deliveries set attempts = %s, tried_at = 'yesterday'",
        (book.MAX_ATTEMPTS,),
    )
    assert book.waiting(conn, "slack", 9) == []
    assert book.read_look(conn, ["slack"]).told == {cause().key}


def test_an_alert_is_told_when_no_configured_channel_waits_for_it(conn: Connection) -> None:
    find(conn, cause())
    book.address(conn, ["slack", "removed since"], NOW, clearings=False)
    assert book.read_look(conn, ["slack"]).told == frozenset()
    send(conn, "slack")
    look = book.read_look(conn, ["slack"])
    assert look.told == {cause().key}
    assert look.open == {cause().key: cause()}
    assert look.now.utcoffset() == dt.timedelta()


def test_the_end_is_announced_if_wanted_to_those_who_heard_of_the_beginning(
    conn: Connection,
) -> None:
    find(conn, cause("a"))
    book.address(conn, ["slack", "smtp"], NOW, clearings=True)
    send(conn, "slack", NOW)
    find(conn, now=NOW + HOUR)
    book.address(conn, ["slack", "smtp"], NOW + HOUR, clearings=False)
    assert send(conn, "slack", NOW + HOUR) == []
    book.address(conn, ["slack", "smtp"], NOW + HOUR, clearings=True)
    assert send(conn, "slack", NOW + HOUR) == ["a cleared"]
    (late,) = book.waiting(conn, "smtp", 9)
    assert (late.event, late.alert.cleared_at) == ("raised", NOW + HOUR)
    assert send(conn, "smtp", NOW + 2 * HOUR) == ["a raised"]
    book.address(conn, ["slack", "smtp"], NOW + 2 * HOUR, clearings=True)
    assert send(conn, "slack") == send(conn, "smtp") == []


def test_a_lock_is_held_by_one_and_let_go_by_the_dead(database_url: str, conn: Connection) -> None:
    other = psycopg.connect(database_url, autocommit=True)
    with book.alone(other, "look") as first, book.alone(conn, "look") as second:
        assert (first, second) == (True, False)
        pid = other.info.backend_pid
        other.close()
        _until_gone(conn, pid)
    with book.alone(conn, "look") as again:
        assert again


def _until_gone(conn: Connection, pid: int) -> None:
    """A server takes a moment to notice that a client has hung up."""
    deadline = time.monotonic() + 10
    while conn.execute("select 1 from pg_stat_activity where pid = %s", (pid,)).fetchone():
        assert time.monotonic() < deadline, f"backend {pid} is still there"
        time.sleep(0.01)
