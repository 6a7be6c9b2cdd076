"""Runs that get in each other's way: nothing is lost, published twice or taken back."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scalecast_assets.ingest import publish as publishing
from scalecast_assets.ingest.ledger import files_in_state
from scalecast_assets.ingest.publish import ReconciliationError, publish
from scalecast_assets.ingest.verdict import decide
from tests.factories_files import Pipeline, line


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


def test_two_publishers_at_once_publish_each_file_once(pipeline: Pipeline) -> None:
    for day in range(1, 6):
        pipeline.put(f"raw/{day}.csv", line(day))
    pipeline.land()
    decide(pipeline.conn, files_in_state(pipeline.conn, "landed"), {})

    def one(_: int) -> int:
        with psycopg.connect(pipeline.url, autocommit=True) as conn:
            return len(publish(conn).files)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(one, range(4))) == [0, 0, 0, 5]
    assert len(pipeline.rows()) == 5


def test_two_intakes_at_once_land_each_file_once(pipeline: Pipeline, tmp_path: Path) -> None:
    for day in range(1, 6):
        pipeline.put(f"raw/{day}.csv", line(day))

    def one(_: int) -> list[str]:
        other = Pipeline(pipeline.url, tmp_path)
        with other.conn:
            return [o.outcome for o in other.land()]

    with ThreadPoolExecutor(3) as pool:
        outcomes = [o for found in pool.map(one, range(3)) for o in found]
    assert outcomes.count("landed") == 5


def test_a_bad_file_of_another_run_takes_nothing_back_that_was_validated(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.land("raw/a.csv")
    pipeline.judge()
    pipeline.put("raw/bad.csv", line(2))
    pipeline.put("raw/c.csv", line(3))
    pipeline.land("raw/bad.csv", "raw/c.csv")
    pipeline.judge(bad="bad")
    assert pipeline.states() == {
        "raw/a.csv": "validated", "raw/bad.csv": "refused", "raw/c.csv": "landed",
    }  # fmt: skip
    assert [file.key for file in publish(pipeline.conn).files] == ["raw/a.csv"]


def test_a_validated_file_that_breaks_a_rule_itself_is_refused(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.land()
    pipeline.judge()
    pipeline.judge(bad="a.csv")
    assert pipeline.states() == {"raw/a.csv": "refused"}


def test_what_was_published_or_refused_meanwhile_keeps_its_state(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.land()
    seen = files_in_state(pipeline.conn, "landed")
    pipeline.judge()
    publish(pipeline.conn)
    decide(pipeline.conn, seen, {seen[0].file_seq: "bad"})
    assert pipeline.states() == {"raw/a.csv": "published"}


def test_a_file_that_lost_its_verdict_while_it_was_merged_is_not_published(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.put("raw/a.csv", line(1))
    pipeline.land()
    pipeline.judge()

    def refused_meanwhile(*_: object) -> None:
        with psycopg.connect(pipeline.url, autocommit=True) as other:
            other.execute("update warehouse.file_ledger set state = 'refused'")

    monkeypatch.setattr(publishing, "give_codes", refused_meanwhile)
    with pytest.raises(ReconciliationError, match="1 files were validated, 0 still are"):
        publish(pipeline.conn)
    assert (pipeline.rows(), pipeline.states()) == ([], {"raw/a.csv": "refused"})


def test_a_file_taken_again_while_it_is_published_is_first_published_whole(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intake waits for the publication instead of dropping rows under it."""
    pipeline.put("raw/a.csv", line(1))
    pipeline.land()
    pipeline.judge()
    other = Pipeline(pipeline.url, tmp_path)
    summarize = publishing._summarize
    landing: list[Future[object]] = []

    def while_another_takes_it_again(*given: Any) -> Any:
        landing.append(pool.submit(other.land, "raw/a.csv", again=True))
        waits = "select 1 from pg_locks where not granted and relation = 'landing.demand_rows'"
        while not pipeline.conn.execute(f"{waits}::regclass").fetchone():
            assert not landing[0].done(), "it did not wait"
        return summarize(*given)

    monkeypatch.setattr(publishing, "_summarize", while_another_takes_it_again)
    with other.conn, ThreadPoolExecutor(1) as pool:
        assert len(publish(pipeline.conn).files) == 1
        landing[0].result(30)
    assert pipeline.states() == {"raw/a.csv": "landed"}
    assert len(pipeline.rows()) == 1
