"""Withdrawing a published file: what comes back, what vanishes, and what the ledger says of it."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest

from scalecast_assets.ingest.landing import LandingError
from scalecast_assets.ingest.publish import publish
from scalecast_assets.ingest.withdrawal import Withdrawal, WithdrawalError, withdraw
from tests.factories_files import Pipeline, csv_of, line

HOUR_OF_OLD = 1_700_000_000.0


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


def take_back(pipeline: Pipeline, *lines: str) -> Withdrawal:
    content = sha256(csv_of(*lines)).hexdigest()
    return withdraw(pipeline.conn, pipeline.store, content, say=pipeline.messages.append)


def test_rows_it_had_overwritten_come_back_and_rows_only_it_had_vanish(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1, quantity=1), line(2, quantity=1))
    pipeline.run()
    bad = line(2, quantity=9), line(3, quantity=9), line(1, "S2", quantity=9)
    pipeline.put("raw/b.csv", *bad)
    pipeline.run()
    codes = pipeline.codes()
    pipeline.clear_ranges()
    done = take_back(pipeline, *bad)
    assert pipeline.rows() == [("2024-01-01", "S1", "P1", 1), ("2024-01-02", "S1", "P1", 1)]
    assert pipeline.ranges() == {"S1": "2024-01-02", "S2": "2024-01-01"}
    assert pipeline.codes() == codes
    assert pipeline.states() == {"raw/a.csv": "published", "raw/b.csv": "withdrawn"}
    assert (done.removed, done.restored, done.vanished, done.files_read) == (3, 1, 2, 1)
    assert (done.changed_stores, done.warehouse_rows, done.returned) == (2, 2, 0)
    assert pipeline.unvouched() == set()


def test_a_file_in_the_middle_leaves_what_later_files_have_said(pipeline: Pipeline) -> None:
    middle = line(1, quantity=2), line(2, quantity=2), line(3, quantity=2)
    pipeline.put("raw/a.csv", line(1, quantity=1), line(2, quantity=1))
    pipeline.put("raw/b.csv", *middle)
    pipeline.put("raw/c.csv", line(2, quantity=3))
    pipeline.run("raw/a.csv", "raw/b.csv", "raw/c.csv")
    take_back(pipeline, *middle)
    assert [(row[0], row[3]) for row in pipeline.rows()] == [("2024-01-01", 1), ("2024-01-02", 3)]


def test_equal_rows_that_come_back_are_no_change_for_the_features(pipeline: Pipeline) -> None:
    same = line(1), line(2)
    pipeline.put("raw/a.csv", line(2), line(1))
    pipeline.put("raw/b.csv", *same)
    pipeline.run("raw/a.csv", "raw/b.csv")
    pipeline.clear_ranges()
    assert take_back(pipeline, *same).restored == 2
    assert pipeline.ranges() == {}
    assert pipeline.unvouched() == set()


def test_only_so_many_files_are_read_again_as_there_are_holes(pipeline: Pipeline) -> None:
    for n, quantity in enumerate((1, 2, 3)):
        pipeline.put(f"raw/{n}.csv", line(1, quantity=quantity))
    pipeline.put("raw/none.csv", line(9, "S9"))
    pipeline.run("raw/0.csv", "raw/1.csv", "raw/none.csv", "raw/2.csv")
    assert take_back(pipeline, line(1, quantity=3)).files_read == 2
    assert take_back(pipeline, line(9, "S9")).files_read == 2, "nothing lies below in either"
    assert [row[3] for row in pipeline.rows()] == [2]


def test_again_it_changes_nothing_and_says_so(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.put("raw/b.csv", line(2))
    pipeline.run()
    take_back(pipeline, line(1))
    ledger = pipeline.conn.execute("select * from warehouse.file_ledger").fetchall()
    pipeline.clear_ranges()
    again = take_back(pipeline, line(1))
    assert (again.done, again.removed, pipeline.ranges()) == (False, 0, {})
    assert pipeline.conn.execute("select * from warehouse.file_ledger").fetchall() == ledger


def test_the_object_in_the_bucket_is_not_published_by_itself_but_by_again(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/a.csv", line(1, quantity=1))
    pipeline.put("raw/b.csv", line(1, quantity=2))
    pipeline.run("raw/a.csv", "raw/b.csv")
    take_back(pipeline, line(1, quantity=2))
    assert pipeline.land() == []
    pipeline.put("raw/copy.csv", line(1, quantity=2))
    assert [o.outcome for o in pipeline.land()] == ["known"]
    assert "withdrawn before (withdrawn by hand); run with --again" in pipeline.messages[-1]
    assert publish(pipeline.conn).files == ()
    assert [row[3] for row in pipeline.rows()] == [1]
    pipeline.run("raw/b.csv", again=True)
    assert [row[3] for row in pipeline.rows()] == [2]
    assert pipeline.states() == {"raw/a.csv": "published", "raw/b.csv": "published"}


def test_bytes_that_were_loaded_twice_are_withdrawn_once_and_for_all(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1, quantity=1))
    pipeline.put("raw/b.csv", line(1, quantity=2))
    pipeline.run("raw/a.csv", "raw/b.csv")
    pipeline.run("raw/a.csv", again=True)
    take_back(pipeline, line(1, quantity=1))
    assert [row[3] for row in pipeline.rows()] == [2]
    take_back(pipeline, line(1, quantity=2))
    assert pipeline.rows() == []


def test_an_attempt_to_load_it_anew_that_waits_is_given_up_too(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.run()
    pipeline.land("raw/a.csv", again=True)
    take_back(pipeline, line(1))
    pipeline.run()
    assert pipeline.rows() == []
    assert pipeline.states() == {"raw/a.csv": "withdrawn"}


def test_a_refused_attempt_stays_refused_beside_the_withdrawn_one(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.run()
    pipeline.land("raw/a.csv", again=True)
    pipeline.judge(bad="a.csv")
    take_back(pipeline, line(1))
    states = "select state from warehouse.file_ledger order by file_seq"
    assert pipeline.conn.execute(states).fetchall() == [("withdrawn",), ("refused",)]
    assert pipeline.rows() == []


def test_a_withdrawn_file_of_a_given_up_replacement_stays_withdrawn(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.run()
    take_back(pipeline, line(1))
    pipeline.put("raw/bad.csv", line(2))
    pipeline.land("raw/a.csv", "raw/bad.csv", replace=True)
    pipeline.judge(bad="bad")
    pipeline.run()
    assert pipeline.rows() == []
    assert pipeline.states()["raw/a.csv"] == "withdrawn"


def test_of_a_replacement_the_other_files_stay_the_whole(pipeline: Pipeline) -> None:
    pipeline.put("raw/old.csv", line(1, quantity=1), line(5, quantity=1))
    pipeline.run()
    wrong = line(1, quantity=3), line(3, quantity=3)
    pipeline.put("raw/b.csv", line(1, quantity=2))
    pipeline.put("raw/c.csv", *wrong)
    pipeline.run("raw/b.csv", "raw/c.csv", replace=True)
    done = take_back(pipeline, *wrong)
    assert [(row[0], row[3]) for row in pipeline.rows()] == [("2024-01-01", 2)]
    assert not done.replacement_ended
    assert "superseded" in str(pipeline.reasons()["raw/old.csv"])


def test_with_its_last_file_a_replacement_ends_and_what_it_replaced_comes_back(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/a.csv", line(1, quantity=1), line(2, quantity=1), modified=HOUR_OF_OLD)
    pipeline.put("raw/b.csv", line(2, quantity=2), modified=HOUR_OF_OLD + 1)
    pipeline.run()
    all_new = line(1, quantity=5), line(9, quantity=5)
    pipeline.put("raw/all.csv", *all_new)
    pipeline.run("raw/all.csv", replace=True)
    pipeline.put("raw/late.csv", line(4, "S9"), modified=HOUR_OF_OLD + 2)
    pipeline.put("raw/next.csv", line(1, quantity=7))
    pipeline.run()
    assert ("store", "S9") not in pipeline.codes()
    pipeline.clear_ranges()
    done = take_back(pipeline, *all_new)
    rows = [row[:2] + row[3:] for row in pipeline.rows()]
    assert rows == [
        ("2024-01-01", "S1", 7), ("2024-01-02", "S1", 2), ("2024-01-04", "S9", 1),
    ]  # fmt: skip
    assert done.replacement_ended
    assert (done.removed, done.restored, done.vanished, done.returned) == (1, 0, 1, 2)
    assert pipeline.codes()["store", "S9"] == 2
    assert pipeline.ranges() == {"S1": "2024-01-02", "S9": "2024-01-04"}
    assert [reason for key, reason in pipeline.reasons().items() if key != "raw/all.csv"] == (
        [None] * 4
    )
    pipeline.put("raw/older.csv", line(8), modified=HOUR_OF_OLD - 9)
    assert pipeline.run().superseded == (), "nothing supersedes what was before it any more"


def test_a_replacement_that_came_too_late_counts_when_the_newer_one_is_withdrawn(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/first.csv", line(7))
    pipeline.run()
    pipeline.put("raw/old.csv", line(1))
    pipeline.put("raw/new.csv", line(2))
    pipeline.land("raw/old.csv", replace=True)
    pipeline.run("raw/new.csv", replace=True)
    assert [row[0] for row in pipeline.rows()] == ["2024-01-02"]
    take_back(pipeline, line(2))
    assert [row[0] for row in pipeline.rows()] == ["2024-01-01"]
    reasons = pipeline.reasons()
    assert reasons["raw/first.csv"] == "superseded by the replacement of run run-2"
    take_back(pipeline, line(1))
    assert [row[0] for row in pipeline.rows()] == ["2024-01-07"]


def test_a_replacement_whose_file_was_withdrawn_and_loaded_again_stays_ended(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.run()
    pipeline.put("raw/all.csv", line(2))
    pipeline.run("raw/all.csv", replace=True)
    take_back(pipeline, line(2))
    pipeline.run("raw/all.csv", again=True)
    assert [row[0] for row in pipeline.rows()] == ["2024-01-01", "2024-01-02"]


def test_bytes_that_the_archive_lost_stop_it_before_anything_is_changed(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/a.csv", line(1, quantity=1))
    pipeline.put("raw/b.csv", line(1, quantity=2))
    publication = pipeline.run("raw/a.csv", "raw/b.csv")
    before = pipeline.checksum()
    key = f"archive/sha256/{publication.files[0].sha256[:2]}/{publication.files[0].sha256}"
    kept = pipeline.store.get(key).body
    pipeline.store.delete(key)
    with pytest.raises(LandingError, match=r"raw/a\.csv: its bytes are needed and not in the arch"):
        take_back(pipeline, line(1, quantity=2))
    pipeline.store.put(key, b"something else")
    with pytest.raises(LandingError, match=r"raw/a\.csv: expected the bytes"):
        take_back(pipeline, line(1, quantity=2))
    assert pipeline.checksum() == before
    assert set(pipeline.states().values()) == {"published"}
    pipeline.store.put(key, kept)
    assert take_back(pipeline, line(1, quantity=2)).restored == 1


def test_a_file_that_is_read_otherwise_today_stops_it(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1, quantity=1))
    pipeline.put("raw/b.csv", line(1, quantity=2))
    publication = pipeline.run("raw/a.csv", "raw/b.csv")
    with pytest.raises(LandingError, match="SCALECAST_COLUMNS"):
        withdraw(
            pipeline.conn, pipeline.store, publication.files[1].sha256,
            renames={"Units": "quantity_sold", "quantity_sold": "price", "price": "promotion"},
        )  # fmt: skip
    assert [row[3] for row in pipeline.rows()] == [2]


def test_rows_that_somebody_takes_away_meanwhile_stop_it(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1, quantity=1), line(2, quantity=1))
    pipeline.put("raw/b.csv", line(1, quantity=2), line(2, quantity=2))
    publication = pipeline.run("raw/a.csv", "raw/b.csv")

    def meddle(text: str) -> None:
        with psycopg.connect(pipeline.url) as other:
            other.execute("delete from warehouse.demand_data where date = '2024-01-01'")

    with pytest.raises(WithdrawalError, match="and has 1 now"):
        withdraw(pipeline.conn, pipeline.store, publication.files[1].sha256, say=meddle)
    assert [row[3] for row in pipeline.rows()] == [2]
    assert set(pipeline.states().values()) == {"published"}
    left = "select count(*) from pg_class where relname in ('holes', 'fills', 'replayed')"
    assert pipeline.conn.execute(left).fetchone() == (0,)


def test_publishing_waits_for_a_withdrawal(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1, quantity=1))
    pipeline.put("raw/b.csv", line(1, quantity=2))
    publication = pipeline.run("raw/a.csv", "raw/b.csv")

    def hurry(text: str) -> None:
        with psycopg.connect(pipeline.url, autocommit=True) as other:
            other.execute("set lock_timeout = '200ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                publish(other)
        pipeline.messages.append("waited")

    withdraw(pipeline.conn, pipeline.store, publication.files[1].sha256, say=hurry)
    assert pipeline.messages[-1] == "waited"


def test_a_ledger_of_before_learns_what_withdrawing_needs(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.run()
    pipeline.put("raw/b.csv", line(2))
    pipeline.put("raw/c.csv", line(3))
    pipeline.run("raw/b.csv", "raw/c.csv", replace=True)
    pipeline.put("raw/d.csv", line(4))
    pipeline.run("raw/d.csv", replace=True)
    pipeline.run("raw/c.csv", again=True)
    pipeline.conn.execute(
        "drop table warehouse.schema_version;"
        " alter table warehouse.replacements drop column contents;"
        " alter table warehouse.file_ledger drop constraint file_ledger_states,"
        " drop column withdrawn_at, add constraint file_ledger_state_check"
        " check (state in ('landed', 'validated', 'published', 'refused'))"
    )
    take_back(pipeline, line(4))
    assert pipeline.states()["raw/d.csv"] == "withdrawn"
    assert [row[0] for row in pipeline.rows()] == ["2024-01-02", "2024-01-03"], "d's has ended"
    take_back(pipeline, line(2))
    assert [row[0] for row in pipeline.rows()] == ["2024-01-03"], (
        "of the other one a file is not known any more, so that it never ends"
    )
