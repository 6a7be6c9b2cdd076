"""What `scalecast status` says of the feed, and where it reads it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scalecast_assets.commands.watching import feed_lines, read_feed
from scalecast_assets.ingest.attempts import begin_attempt, note_error
from scalecast_assets.ingest.ledger import raw_objects
from tests.factories_files import GOOD, Pipeline, line

NOTHING: dict[str, Any] = {"in_raw": [], "landed": [], "begun_in_vain": []}


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


def test_what_waits_is_read_from_bucket_and_ledger(pipeline: Pipeline) -> None:
    assert read_feed(pipeline.conn, pipeline.store) == NOTHING
    pipeline.put("raw/landed.csv", GOOD)
    pipeline.land()
    pipeline.put("raw/new.csv", line(2))
    new = next(i for i in raw_objects(pipeline.store) if i.key == "raw/new.csv")
    begin_attempt(pipeline.conn, new, "run")
    note_error(pipeline.conn, new, "locked away")
    assert read_feed(pipeline.conn, pipeline.store) == {
        "in_raw": ["raw/new.csv"],
        "landed": ["raw/landed.csv"],
        "begun_in_vain": [{"key": "raw/new.csv", "attempts": 1, "error": "locked away"}],
    }


def test_people_are_told_what_waits_and_why() -> None:
    feed = {
        "in_raw": [f"raw/{n}.csv" for n in range(1007)],
        "landed": ["raw/a.csv"],
        "begun_in_vain": [
            {"key": "raw/b.csv", "attempts": 3, "error": None},
            {"key": "raw/c.csv", "attempts": 1, "error": "locked away"},
        ],
    }
    said = "\n".join(feed_lines(feed, []))
    assert "raw/3.csv, raw/4.csv and 1,002 more in raw/" in said
    assert "raw/a.csv: the next run publishes or refuses them" in said
    assert "raw/b.csv, begun 3 times: whoever read it was killed, or is at it" in said
    assert "raw/c.csv, begun 1 times: locked away" in said
    assert feed_lines(NOTHING, []) == []


def test_people_are_told_when_a_sensor_looked_last_and_what_it_said() -> None:
    def tick(seconds: float, **more: Any) -> dict[str, Any]:
        at = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
        return {
            "name": "new_raw_files",
            "on": True,
            "at": at,
            "status": "skipped",
            "said": "",
        } | more

    assert feed_lines(NOTHING, [tick(12, said="nothing waits")])[0].endswith(
        " s ago: nothing waits"
    )
    assert "3 minutes ago: started a run" in feed_lines(NOTHING, [tick(190, status="success")])[0]
    off = feed_lines(NOTHING, [tick(3 * 86_400 + 9, on=False, status="failure")])[0]
    assert off == "Sensor     new_raw_files (off), 3 days ago: failure"
