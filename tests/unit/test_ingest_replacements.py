"""Replacing everything: what is in afterwards, what is not any more, and what comes too late."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scalecast_assets.contract.objects import ObjectStore
from scalecast_assets.ingest import intake
from scalecast_assets.ingest.landing import LandingError, SpooledFile, spool
from scalecast_assets.ingest.ledger import files_in_state
from scalecast_assets.ingest.publish import publish
from scalecast_assets.ingest.verdict import decide
from tests.factories_files import Pipeline, line

HOUR_OF_OLD = 1_700_000_000.0
"""Seconds since 1970, before any command that a test gives."""


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


def test_replace_makes_the_union_of_the_files_the_whole_warehouse(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1, "S1"), line(1, "S2"), line(2, "S3"))
    pipeline.run()
    codes = pipeline.codes()
    pipeline.clear_ranges()
    pipeline.put("raw/b.csv", line(1, "S1"), line(1, "S4", quantity=1))
    pipeline.put("raw/c.csv", line(1, "S4", quantity=2), line(3, "S3"))
    publication = pipeline.run("raw/b.csv", "raw/c.csv", replace=True)
    assert [(row[1], row[3]) for row in pipeline.rows()] == [("S1", 1), ("S3", 1), ("S4", 2)]
    assert pipeline.ranges() == {"S2": "2024-01-01", "S3": "2024-01-02", "S4": "2024-01-01"}
    assert pipeline.codes() == codes | {("store", "S4"): 4}
    assert publication.deleted == 2
    assert [(f.inserted, f.updated, f.older) for f in publication.files] == [(0, 1, 1), (2, 0, 0)]


def test_replace_takes_known_files_again_and_stays_the_same(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1), line(2))
    pipeline.run()
    rows = pipeline.rows()
    pipeline.clear_ranges()
    pipeline.run("raw/a.csv", replace=True)
    assert (pipeline.rows(), pipeline.ranges()) == (rows, {})


def test_half_a_replacement_is_never_published(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1), line(2))
    pipeline.run()
    before = pipeline.checksum()
    pipeline.put("raw/b.csv", line(1))
    pipeline.put("raw/c.csv", line(2))
    pipeline.land("raw/b.csv", "raw/c.csv", replace=True)
    files = files_in_state(pipeline.conn, "landed")
    decide(pipeline.conn, files, {files[0].file_seq: "bad"})
    assert pipeline.states()["raw/c.csv"] == "landed"
    assert "raw/b.csv, of the same replacement" in str(pipeline.reasons()["raw/c.csv"])
    assert publish(pipeline.conn).files == ()
    assert pipeline.checksum() == before
    assert [file.key for file in pipeline.run().files] == ["raw/c.csv"]
    assert len(pipeline.rows()) == 2, "it is loaded as the file that it is, and replaces nothing"


def test_of_a_replacement_whose_run_died_the_files_wait_as_before(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.put("raw/pub.csv", line(1))
    pipeline.run()
    before = pipeline.checksum()
    pipeline.put("raw/new.csv", line(2), modified=HOUR_OF_OLD)
    pipeline.put("raw/last.csv", line(3))

    def dies_at_the_last(store: ObjectStore, key: str, directory: Path) -> SpooledFile:
        if key == "raw/last.csv":
            raise KeyboardInterrupt
        return spool(store, key, directory)

    monkeypatch.setattr(intake, "spool", dies_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        pipeline.die_landing("raw/pub.csv", "raw/new.csv", "raw/last.csv", replace=True)
    monkeypatch.setattr(intake, "spool", spool)
    assert pipeline.states() == {"raw/pub.csv": "landed", "raw/new.csv": "landed"}
    assert pipeline.unvouched() == set()
    assert pipeline.checksum() == before
    pipeline.run()
    assert set(pipeline.states().values()) == {"published"}
    assert [*pipeline.states()] == ["raw/new.csv", "raw/pub.csv", "raw/last.csv"]
    assert len(pipeline.rows()) == 3


def test_a_refused_replacement_leaves_published_files_as_they_were(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.run()
    ledger = "select * from warehouse.file_ledger where key = 'raw/a.csv'"
    before = pipeline.conn.execute(ledger).fetchall()
    pipeline.put("raw/bad.csv", line(2))
    pipeline.land("raw/a.csv", "raw/bad.csv", replace=True)
    assert pipeline.unvouched() == set()
    pipeline.judge(bad="bad")
    assert pipeline.conn.execute(ledger).fetchall() == before


def test_bytes_that_were_published_and_are_refused_now_are_vouched_for_and_told(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.run()
    for _ in range(2):
        pipeline.land("raw/a.csv", again=True)
        pipeline.judge(bad="a.csv")
    assert pipeline.states() == {"raw/a.csv": "refused"}
    assert pipeline.unvouched() == set()
    rows = "select state from warehouse.file_ledger order by file_seq"
    assert pipeline.conn.execute(rows).fetchall() == [("published",), ("refused",)]
    pipeline.run("raw/a.csv", again=True)
    assert pipeline.conn.execute(rows).fetchall() == [("published",)]
    assert pipeline.unvouched() == set()


def test_replace_by_nothing_is_an_error(pipeline: Pipeline) -> None:
    with pytest.raises(LandingError, match="at least one file"):
        pipeline.land(replace=True)


def test_a_file_from_before_a_replacement_adds_nothing_however_late_it_comes(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/all.csv", line(1))
    pipeline.run("raw/all.csv", replace=True)
    pipeline.clear_ranges()
    before = pipeline.checksum()
    pipeline.put("raw/late.csv", line(2, "S9"), modified=HOUR_OF_OLD)
    pipeline.put("raw/new.csv", line(3))
    publication = pipeline.run()
    assert publication.superseded == ("raw/late.csv",)
    assert [file.key for file in publication.files] == ["raw/new.csv"]
    assert pipeline.rows() == [("2024-01-01", "S1", "P1", 1), ("2024-01-03", "S1", "P1", 1)]
    assert pipeline.ranges() == {"S1": "2024-01-03"}
    assert ("store", "S9") not in pipeline.codes()
    assert pipeline.states()["raw/late.csv"] == "published"
    assert pipeline.reasons()["raw/late.csv"] == "superseded by the replacement of run run-1"
    pipeline.conn.execute("delete from warehouse.demand_data where date = '2024-01-03'")
    assert pipeline.checksum() == before


def test_the_ledger_says_which_published_files_a_replacement_took_away(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.put("raw/b.csv", line(2))
    pipeline.run()
    pipeline.run("raw/b.csv", replace=True)
    pipeline.put("raw/c.csv", line(3))
    pipeline.run("raw/c.csv", replace=True)
    gone = "superseded by the replacement of run"
    assert pipeline.reasons() == {
        "raw/a.csv": f"{gone} run-2", "raw/b.csv": f"{gone} run-3", "raw/c.csv": None,
    }  # fmt: skip
    assert set(pipeline.states().values()) == {"published"}
    pipeline.run("raw/a.csv", again=True)
    assert pipeline.reasons()["raw/a.csv"] is None
    assert len(pipeline.rows()) == 2


def test_an_older_replacement_published_after_a_newer_one_is_superseded(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/old.csv", line(1))
    pipeline.put("raw/new.csv", line(2))
    pipeline.land("raw/old.csv", replace=True)
    pipeline.land("raw/new.csv", replace=True)
    new = [f for f in files_in_state(pipeline.conn, "landed") if f.key == "raw/new.csv"]
    decide(pipeline.conn, new, {})
    assert publish(pipeline.conn).replaced
    pipeline.judge()
    assert publish(pipeline.conn).superseded == ("raw/old.csv",)
    assert [row[0] for row in pipeline.rows()] == ["2024-01-02"]


def test_a_replacement_by_everything_keeps_the_order_of_the_bucket_and_is_the_newest(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/a.csv", line(1, quantity=1), modified=HOUR_OF_OLD)
    pipeline.run()
    pipeline.put("raw/b.csv", line(1, quantity=2), modified=HOUR_OF_OLD + 1)
    pipeline.run(replace=True)
    assert [row[3] for row in pipeline.rows()] == [2]
    pipeline.put("raw/c.csv", line(2), modified=HOUR_OF_OLD + 2)
    assert pipeline.run().superseded == ("raw/c.csv",)


def test_a_replacement_that_lost_a_file_to_another_run_does_not_wait_for_ever(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.put("raw/b.csv", line(2))
    pipeline.land("raw/a.csv", "raw/b.csv", replace=True)
    pipeline.judge()
    pipeline.run("raw/a.csv", again=True)
    assert pipeline.states() == {"raw/a.csv": "published", "raw/b.csv": "validated"}
    pipeline.run()
    assert pipeline.states() == {"raw/a.csv": "published", "raw/b.csv": "published"}
    assert len(pipeline.rows()) == 2
