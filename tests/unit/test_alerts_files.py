"""Which refusals stand, and when a feed is stale: the ledger's rows, and what is told of them."""

import datetime as dt
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from scalecast_assets.alerting import book
from scalecast_assets.alerting.cause import Cause
from scalecast_assets.alerting.files import LOOK_UPS, refused_files, stale_feed
from scalecast_assets.contract.objects import ObjectStore, StoreUnavailable
from scalecast_assets.ingest.ledger import remember_object
from scalecast_assets.ingest.schema import Connection, ensure_schema

REASON = "price_is_positive: 1 line, first line 4, price '0': not above zero"


@dataclass
class Ledger:
    """A ledger that a test fills, and looks at it, each told to one channel."""

    conn: Connection
    store: ObjectStore
    rows: int = 0

    def add(self, key: str, state: str = "refused", ago: str = "1 minute", **given: Any) -> str:
        """One file, the next in the order; returns its sha256."""
        self.rows += 1
        sha256 = hashlib.sha256(str(self.rows).encode()).hexdigest()
        if state != "published":
            given.setdefault("reason", REASON)
        self.conn.execute(
            "insert into warehouse.file_ledger (sha256, file_seq, key, bytes, rows, rejected,"
            " state, reason, run_id, replace_run, decided_at, published_at) values"
            " (%(sha256)s, %(seq)s, %(key)s, 9, 3, 0, %(state)s, %(reason)s, 'run',"
            " %(replace_run)s, now() - %(ago)s::interval,"
            " case when %(state)s = 'published' then now() - %(ago)s::interval end)",
            {"sha256": sha256, "seq": self.rows, "key": key, "state": state, "ago": ago}
            | {"reason": None, "replace_run": None}
            | given,
        )
        return sha256

    def look(self, *, told: bool = True) -> list[str]:
        """The files whose refusal stands, after a look that was told, or was not."""
        look = book.read_look(self.conn, ["slack"])
        book.write_causes(
            self.conn,
            ["file_refused"],
            list(refused_files(self.conn, self.store)(look)),
            look.now,
        )
        book.address(self.conn, ["slack"], look.now, clearings=False)
        for delivery in book.waiting(self.conn, "slack", 1000) if told else ():
            book.note_outcome(self.conn, delivery, "slack", None)
        return [alert.cause.files[0] for alert in book.open_alerts(self.conn)]

    def alerts_ever(self) -> int:
        row = self.conn.execute("select count(*) from ml.alerts").fetchone()
        return int(row[0]) if row else 0

    def stale(self, hours: float) -> list[Cause]:
        return list(stale_feed(self.conn, hours)(book.read_look(self.conn, [])))


@pytest.fixture
def ledger(database_url: str, store: ObjectStore) -> Iterator[Ledger]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        ensure_schema(conn)
        yield Ledger(conn, store)


@pytest.fixture
def in_bucket(ledger: Ledger) -> str:
    ledger.store.put("raw/x.csv", b"bad")
    ledger.add("raw/x.csv")
    assert ledger.look() == ["raw/x.csv"]
    return "raw/x.csv"


def test_a_refusal_names_file_rule_line_report_and_what_to_do(ledger: Ledger) -> None:
    sha256 = ledger.add("raw/ä b.csv")
    (cause,) = refused_files(ledger.conn, ledger.store)(book.read_look(ledger.conn, []))
    assert cause.key == f"file_refused/raw/ä b.csv@{sha256[:12]}"
    assert cause.what == f"Nothing of its 3 rows is loaded. raw/ä b.csv: {REASON}"
    page = ledger.store.url_of(f"quarantine/ä b.csv-{sha256[:8]}/report.html")
    assert page in cause.to_do
    assert "report.csv beside it" in cause.to_do
    assert "take it out of raw/" in cause.to_do


def test_a_later_good_file_of_the_name_ends_a_refusal_and_an_earlier_one_does_not(
    ledger: Ledger,
) -> None:
    ledger.add("raw/x.csv", "published")
    ledger.add("raw/x.csv")
    ledger.add("raw/y.csv", "published")
    ledger.store.put("raw/x.csv", b"bad")
    assert ledger.look() == ledger.look() == ["raw/x.csv"]
    ledger.add("raw/x.csv", "published")
    assert ledger.look() == []


def test_a_correction_that_is_bad_too_is_an_alert_in_the_place_of_the_first(
    ledger: Ledger, in_bucket: str
) -> None:
    ledger.add(in_bucket, ago="0 s")
    assert ledger.look() == [in_bucket]
    assert ledger.alerts_ever() == 2


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".CSV"])
def test_the_checksum_that_the_command_line_adds_is_no_part_of_a_name(
    ledger: Ledger, suffix: str
) -> None:
    first = hashlib.sha256(b"1").hexdigest()
    assert ledger.add(f"raw/x-{first[:8]}{suffix}") == first
    ledger.store.put(f"raw/x-{first[:8]}{suffix}", b"bad")
    assert len(ledger.look()) == 1
    third = hashlib.sha256(b"3").hexdigest()
    ledger.add(f"raw/x-{third[:8]}{suffix}", "published")  # the checksum of another file
    assert len(ledger.look()) == 1
    ledger.add(f"raw/x-{third[:8]}{suffix}", "published")
    assert ledger.look() == []


def test_a_correction_whose_bytes_were_loaded_under_another_name_ends_a_refusal(
    ledger: Ledger, in_bucket: str
) -> None:
    def show(sha256: str) -> None:
        info = next(iter(ledger.store.list(in_bucket)))
        remember_object(ledger.conn, replace(info, etag=sha256), sha256)

    good = ledger.add("raw/another name.csv", "published")
    waiting = ledger.add("raw/a third.csv", "landed")
    refused = hashlib.sha256(b"1").hexdigest()
    for held in (refused, waiting):
        show(held)
        assert ledger.look() == [in_bucket]
    show(good)
    assert ledger.look() == []


def test_a_file_that_waits_for_its_verdict_ends_no_refusal(ledger: Ledger, in_bucket: str) -> None:
    ledger.add(in_bucket, "landed")
    assert ledger.look() == [in_bucket]


def test_a_file_that_is_taken_out_is_settled_but_never_before_it_was_told(ledger: Ledger) -> None:
    ledger.add("raw/x.csv")
    assert ledger.look(told=False) == ["raw/x.csv"]
    assert ledger.look(told=False) == ["raw/x.csv"]
    assert ledger.look(told=True) == ["raw/x.csv"]
    assert ledger.look() == []
    assert ledger.look() == []
    assert ledger.alerts_ever() == 1


def test_bytes_that_are_judged_again_and_refused_again_are_told_again(
    ledger: Ledger, in_bucket: str
) -> None:
    ledger.store.delete(in_bucket)
    assert ledger.look() == []
    ledger.conn.execute("update warehouse.file_ledger set decided_at = clock_timestamp()")
    assert ledger.look() == [in_bucket]
    assert ledger.alerts_ever() == 2


def test_a_bucket_that_does_not_answer_settles_nothing(
    ledger: Ledger, in_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.store.delete(in_bucket)

    def away(self: ObjectStore, key: str) -> bool:
        raise StoreUnavailable("the bucket is away")

    with monkeypatch.context() as broken:
        broken.setattr(type(ledger.store), "exists", away)
        assert ledger.look() == [in_bucket]
    assert ledger.look() == []


def test_what_was_refused_long_ago_is_not_told_and_what_is_open_does_not_age(
    ledger: Ledger, in_bucket: str
) -> None:
    ledger.add("raw/old.csv", ago="8 days")
    ledger.conn.execute("update warehouse.file_ledger set decided_at = now() - interval '8 days'")
    assert ledger.look() == [in_bucket]


def test_a_replacement_is_one_alert_until_another_is_published(ledger: Ledger) -> None:
    not_loaded = "not loaded: raw/b.csv, of the same replacement, is refused"
    ledger.add("raw/a.csv", replace_run="r1", reason=not_loaded)
    ledger.add("raw/b.csv", replace_run="r1")
    ledger.add("raw/c.csv", replace_run="r1", reason=not_loaded)
    for key in ("a", "b", "c"):
        ledger.store.put(f"raw/{key}.csv", b"bad")
    assert ledger.look() == ["raw/b.csv"]
    (alert,) = book.open_alerts(ledger.conn)
    assert "Nothing of the 3 files that were to replace everything is loaded" in alert.cause.what
    ledger.add("raw/z.csv", "published")
    assert ledger.look() == ["raw/b.csv"]
    ledger.add("raw/d.csv", "published", replace_run="r2")
    assert ledger.look() == []


def test_a_replacement_that_was_never_finished_says_what_to_do(ledger: Ledger) -> None:
    reason = "the run that was to replace everything ended early; run it again"
    ledger.add("raw/a.csv", replace_run="r1", reason=reason)
    ledger.add("raw/b.csv", replace_run="r1", reason=reason)
    ledger.look()
    (alert,) = book.open_alerts(ledger.conn)
    assert reason in alert.cause.what
    assert alert.cause.to_do.startswith("Do as the reason says")


def test_of_many_refused_files_each_look_asks_the_bucket_for_some(ledger: Ledger) -> None:
    for number in range(LOOK_UPS + 3):
        ledger.add(f"raw/{number:03}.csv")
    assert len(ledger.look()) == LOOK_UPS + 3
    assert len(ledger.look()) == 3
    assert ledger.look() == []


def test_a_feed_is_stale_so_many_hours_after_its_last_good_file(ledger: Ledger) -> None:
    assert ledger.stale(1) == []
    ledger.add("raw/refused.csv", ago="1 minute")
    assert ledger.stale(1) == []
    ledger.add("raw/old.csv", "published", ago="50 hours")
    ledger.add("raw/last.csv", "published", ago="37 hours")
    assert ledger.stale(38) == []
    (cause,) = ledger.stale(36)
    assert cause.files == ("raw/last.csv",)
    assert "raw/last.csv" in cause.what
    age = dt.datetime.now(dt.UTC) - cause.since
    assert dt.timedelta(minutes=59) < age < dt.timedelta(minutes=61)


def test_a_feed_that_nobody_expects_anything_of_is_never_stale(ledger: Ledger) -> None:
    ledger.add("raw/last.csv", "published", ago="1 year")
    assert ledger.stale(0) == []
