"""Landing, ledger and publishing on a real Postgres."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scalecast_assets.ingest.landing import LandingError, landed_rows
from scalecast_assets.ingest.ledger import files_in_state, next_seq_at
from scalecast_assets.ingest.publish import ReconciliationError, publish
from scalecast_assets.ingest.verdict import decide
from tests.factories_files import Pipeline, csv_of, line


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


def test_a_file_is_landed_archived_published_and_noted(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(2, "S2"), line(1, "S10"), line(3, "S10", "0012"))
    publication = pipeline.run()
    assert (publication.warehouse_rows, publication.files[0].inserted) == (3, 3)
    assert pipeline.ranges() == {"S10": "2024-01-01", "S2": "2024-01-02"}
    assert pipeline.codes() == {
        ("store", "S10"): 1,
        ("store", "S2"): 2,
        ("product", "0012"): 1,
        ("product", "P1"): 2,
    }
    assert pipeline.states() == {"raw/a.csv": "published"}
    sha256 = publication.files[0].sha256
    archived = pipeline.store.get(f"archive/sha256/{sha256[:2]}/{sha256}").body
    assert archived == csv_of(line(2, "S2"), line(1, "S10"), line(3, "S10", "0012"))


def test_awkward_ids_and_numbers_arrive_as_they_were_written(pipeline: Pipeline) -> None:
    names = ["0012", " x ", 'a "b"', "x'; drop table t; --", "日本 Ω", "NULL", "\\N", "\\.", "a\nb"]
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    pipeline.put("raw/a.csv", *(f"2024-01-01,{n},{n},0.1234567890123456,1e-7,t" for n in quoted))
    pipeline.run()
    rows = pipeline.conn.execute(
        "select store_id, product_id, quantity_sold, price from warehouse.demand_data"
    ).fetchall()
    assert sorted(rows) == sorted((n, n, 0.1234567890123456, 1e-7) for n in names)


def test_only_stores_whose_content_changed_have_a_range(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1, "S1"), line(2, "S1"), line(1, "S2"))
    pipeline.run()
    pipeline.clear_ranges()
    pipeline.put("raw/b.csv", line(1, "S1"), line(2, "S1", quantity=7), line(1, "S2"))
    publication = pipeline.run("raw/b.csv")
    assert pipeline.ranges() == {"S1": "2024-01-02"}
    assert (publication.files[0].inserted, publication.files[0].updated) == (0, 3)


def test_a_late_older_file_adds_but_never_undoes(pipeline: Pipeline) -> None:
    pipeline.put("raw/new.csv", line(1, quantity=2), line(2, quantity=2))
    pipeline.run("raw/new.csv")
    pipeline.clear_ranges()
    pipeline.put("raw/old.csv", line(1, quantity=1), line(3, quantity=1))
    pipeline.land("raw/old.csv")
    pipeline.conn.execute(
        "update warehouse.file_ledger set state = 'validated' where key = 'raw/old.csv'"
    )
    _make_older(pipeline, "raw/old.csv")
    published = publish(pipeline.conn).files[0]
    assert (published.inserted, published.updated, published.older) == (1, 0, 1)
    assert [row[3] for row in pipeline.rows()] == [2, 2, 1]
    assert pipeline.ranges() == {"S1": "2024-01-03"}


def _make_older(pipeline: Pipeline, key: str) -> None:
    """Move the landed rows to the first place in the order."""
    seq = pipeline.conn.execute(
        "select file_seq from warehouse.file_ledger where key = %s", (key,)
    ).fetchone()
    assert seq
    pipeline.conn.execute(
        f"alter table landing.demand_rows detach partition landing.demand_rows_{seq[0]}"
    )
    pipeline.conn.execute(
        "create table landing.demand_rows_1 partition of landing.demand_rows for values in (1)"
    )
    pipeline.conn.execute(
        "insert into landing.demand_rows select 1, line_no, date, store_id, product_id,"
        f" quantity_sold, price, promotion from landing.demand_rows_{seq[0]}"
    )
    pipeline.conn.execute("update warehouse.file_ledger set file_seq = 1 where key = %s", (key,))


def test_files_named_are_taken_in_their_order_and_the_later_one_wins(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1, quantity=1))
    pipeline.put("raw/b.csv", line(1, quantity=2))
    pipeline.run("raw/b.csv", "raw/a.csv")
    assert [row[3] for row in pipeline.rows()] == [1]


def test_known_bytes_are_skipped_with_a_message_whatever_their_key(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.run()
    before = pipeline.checksum()
    pipeline.put("raw/copy.csv", line(1))
    assert [o.outcome for o in pipeline.land()] == ["known"]
    assert "--again" in pipeline.messages[-1]
    assert pipeline.land() == [], "the copy is remembered and not read again"
    assert publish(pipeline.conn).files == ()
    assert pipeline.checksum() == before


def test_again_loads_known_bytes_as_the_newest(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1, quantity=1))
    pipeline.put("raw/b.csv", line(1, quantity=2))
    pipeline.run("raw/a.csv", "raw/b.csv")
    pipeline.run("raw/a.csv", again=True)
    assert [row[3] for row in pipeline.rows()] == [1]


def test_a_key_that_is_not_there_is_named(pipeline: Pipeline) -> None:
    with pytest.raises(LandingError, match=r"raw/none\.csv"):
        pipeline.land("raw/none.csv")


def test_files_of_a_dead_run_are_taken_over_and_landed_again_if_their_rows_are_gone(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.put("raw/b.csv", line(2))
    first = pipeline.land()
    pipeline.conn.execute(f"drop table landing.demand_rows_{first[0].file_seq}")
    pipeline.conn.execute(f"truncate landing.demand_rows_{first[1].file_seq}")
    second = pipeline.land()
    assert [o.outcome for o in second] == ["taken over", "taken over"]
    assert [o.file_seq for o in second] == [o.file_seq for o in first]
    assert [landed_rows(pipeline.conn, o.file_seq) for o in first] == [1, 1]
    assert len(pipeline.run().files) == 2


def test_rows_lost_before_publishing_are_noticed_and_nothing_is_published(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/a.csv", line(1), line(2))
    (landed,) = pipeline.land()
    decide(pipeline.conn, files_in_state(pipeline.conn, "landed"), {})
    pipeline.conn.execute(f"delete from landing.demand_rows_{landed.file_seq} where line_no = 2")
    with pytest.raises(ReconciliationError, match=r"raw/a\.csv"):
        publish(pipeline.conn)
    assert (pipeline.rows(), pipeline.ranges(), pipeline.codes()) == ([], {}, {})
    assert pipeline.states() == {"raw/a.csv": "validated"}


def test_a_landed_file_without_a_verdict_is_not_published(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.land()
    assert publish(pipeline.conn).files == ()
    assert pipeline.rows() == []


def test_places_in_the_order_are_unique_within_a_second(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1))
    (landed,) = pipeline.land()
    (info,) = pipeline.store.list("raw/")
    assert next_seq_at(pipeline.conn, info.last_modified) == landed.file_seq + 1
