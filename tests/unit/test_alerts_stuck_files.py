"""Alerts on files that cannot be loaded: one each, with the reason, gone when they are loaded."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scalecast_assets.alerting.cause import Cause, Look
from scalecast_assets.alerting.files import TOLERATED_ATTEMPTS, stuck_files
from scalecast_assets.contract.objects import ObjectInfo, ObjectStore, ObjectUnreadable
from scalecast_assets.ingest import intake, landing
from scalecast_assets.ingest.attempts import begin_attempt
from scalecast_assets.ingest.intake import Intake, take_in
from scalecast_assets.ingest.landing import LandingError, SpooledFile
from tests.factories_files import GOOD, Pipeline, line


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


def found(pipeline: Pipeline) -> list[Cause]:
    return list(stuck_files(pipeline.conn)(Look(datetime.now(UTC))))


def take_only(pipeline: Pipeline, *keys: str) -> None:
    take_in(pipeline.conn, pipeline.store, Intake("run-of-the-sensor", only=keys), lambda _: None)


def unreadable(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    opened = pipeline.store.open

    def refuse(wanted: str):  # type: ignore[no-untyped-def]
        if wanted == key:
            raise ObjectUnreadable(f"object {wanted!r} cannot be read: a bad disk block")
        return opened(wanted)

    monkeypatch.setattr(pipeline.store, "open", refuse)


def test_a_file_that_cannot_be_read_is_told_at_once_and_fails_no_run_of_the_sensor(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.put("raw/locked.csv", GOOD)
    with monkeypatch.context() as patch:
        unreadable(pipeline, patch, "raw/locked.csv")
        take_only(pipeline, "raw/locked.csv")
        take_only(pipeline, "raw/locked.csv")
    (cause,) = found(pipeline)
    assert (cause.kind, cause.files) == ("file_not_loaded", ("raw/locked.csv",))
    assert "begun 2 times, the last time by run run-of-t: " in cause.what
    assert "a bad disk block" in cause.what
    take_only(pipeline, "raw/locked.csv")
    assert found(pipeline) == []


def test_a_file_over_which_runs_die_is_told_when_it_is_no_accident_any_more(
    pipeline: Pipeline,
) -> None:
    info = ObjectInfo("raw/huge.csv", 10**12, "v1", datetime.now(UTC))
    for _ in range(TOLERATED_ATTEMPTS):
        begin_attempt(pipeline.conn, info, "killed")
        assert found(pipeline) == []
    begin_attempt(pipeline.conn, info, "killed")
    (cause,) = found(pipeline)
    assert "ended without a word (killed?)" in cause.what


def test_whatever_fails_while_a_file_is_read_names_it_and_leaves_those_behind_it(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.put("raw/a.csv", GOOD, modified=1)
    pipeline.put("raw/b.csv", line(2), modified=2)
    pipeline.put("raw/c.csv", line(3), modified=3)
    spool = landing.spool

    def full_disk(store: ObjectStore, key: str, folder: Path) -> SpooledFile:
        if key == "raw/b.csv":
            raise OSError(28, "No space left on device")
        return spool(store, key, folder)

    with monkeypatch.context() as patch:
        patch.setattr(intake, "spool", full_disk)
        with pytest.raises(LandingError, match=r"^raw/b\.csv: could not be landed \(OSError: .*28"):
            pipeline.land()
    assert pipeline.states() == {"raw/a.csv": "landed"}
    take_only(pipeline, "raw/c.csv")
    assert pipeline.states() == {"raw/a.csv": "landed", "raw/c.csv": "landed"}
    attempts = pipeline.conn.execute("select key, attempts from warehouse.file_attempts")
    assert attempts.fetchall() == [("raw/b.csv", 1)]


def test_without_a_key_only_what_was_landed_before_is_taken(pipeline: Pipeline) -> None:
    pipeline.put("raw/a.csv", GOOD)
    pipeline.land()
    pipeline.put("raw/b.csv", line(2))
    take_only(pipeline)
    assert pipeline.states() == {"raw/a.csv": "landed"}


def test_another_version_that_is_loaded_ends_what_was_begun(pipeline: Pipeline) -> None:
    key = pipeline.put("raw/a.csv", GOOD)
    begin_attempt(pipeline.conn, ObjectInfo(key, 1, "an older one", datetime.now(UTC)), "killed")
    take_only(pipeline, key)
    left = pipeline.conn.execute("select count(*) from warehouse.file_attempts").fetchone()
    assert left == (0,)
