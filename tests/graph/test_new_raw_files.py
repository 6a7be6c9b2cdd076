"""The sensor ``new_raw_files`` over a real ledger and both kinds of store."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from scalecast_assets import keys
from scalecast_assets.automation.decision import MAX_FILES
from scalecast_assets.automation.feed import FOLLOWING
from scalecast_assets.contract.store import DirectoryStore, S3Store
from scalecast_assets.definitions import build_definitions
from scalecast_assets.ingest.attempts import begin_attempt, read_attempts
from scalecast_assets.ingest.intake import Intake, take_in
from scalecast_assets.ingest.ledger import raw_objects, remember_object
from scalecast_assets.ingest.publish import publish
from scalecast_assets.resources import turns
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.settings import Settings
from tests.factories_files import GOOD, Pipeline, csv_of, line
from tests.graph.feed_world import Feed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STATUS = dg.DagsterRunStatus


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def feed(pipeline: Pipeline, instance: dg.DagsterInstance) -> Feed:
    """Over a directory whose files were written long ago."""
    root = pipeline.store.root
    return Feed(pipeline, ObjectStoreResource(url=root.as_uri()), instance)


@pytest.fixture
def cloud(
    pipeline: Pipeline, instance: dg.DagsterInstance, s3_client: "S3Client", s3_bucket: str,
    moto_endpoint: str,
) -> Feed:  # fmt: skip
    """Over an S3 endpoint."""
    pipeline.store = S3Store(s3_client, s3_bucket, "shop")  # type: ignore[assignment]
    resource = ObjectStoreResource(url=f"s3://{s3_bucket}/shop", endpoint_url=moto_endpoint)
    return Feed(pipeline, resource, instance)


@pytest.fixture(params=["directory", "s3"])
def either(request: pytest.FixtureRequest) -> Feed:
    feed: Feed = request.getfixturevalue("feed" if request.param == "directory" else "cloud")
    return feed


def put(feed: Feed, name: str, *lines: str, age: float = 60) -> str:
    """A raw file; in a directory, one that was written so many seconds ago."""
    key = f"raw/{name}"
    if isinstance(feed.pipeline.store, DirectoryStore):
        return feed.pipeline.put(key, *(lines or (GOOD,)), modified=time.time() - age)
    feed.pipeline.store.put(key, csv_of(*(lines or (GOOD,))))
    return key


def run(feed: Feed, only: list[str] | None, bad: str | None = None) -> None:
    """What the run does that the tick asked for; it ends well unless a file is refused."""
    assert only is not None
    pipeline = feed.pipeline
    begun = feed.add_run(STATUS.FAILURE if bad else STATUS.SUCCESS)
    take_in(pipeline.conn, pipeline.store, Intake(begun.run_id, only=only), lambda _: None)
    pipeline.judge(bad)
    if not bad:
        publish(pipeline.conn)
        pipeline.clear_ranges()
        feed.materialized(keys.DEMAND_DATA, *FOLLOWING)


def test_twelve_hundred_files_are_taken_the_oldest_first_in_runs_of_bounded_size(
    either: Feed,
) -> None:
    pipeline = either.pipeline
    for number in range(1200):
        put(either, f"{number:04}.csv", line(1, quantity=number), age=9000 - number)
    in_order = [info.key for info in raw_objects(pipeline.store)]
    assert len(in_order) == 1200
    left = in_order
    while left:
        tick = either.tick()
        assert tick.only == left[:MAX_FILES]
        for info in raw_objects(pipeline.store):
            if info.key in set(tick.only):
                remember_object(pipeline.conn, info, info.etag)
        left = left[MAX_FILES:]
    assert either.tick().only is None
    observed = [tick.seen["waiting"] for tick in either.ticks if tick.seen]
    assert observed == [1200, 700, 200, 0]


def test_names_contents_and_objects_that_are_none(either: Feed) -> None:
    """Spaces and Unicode; the same bytes twice; folders, notes and the marker of raw/ itself."""
    store = either.pipeline.store
    names = ["Süd été/sales 2024.csv", "b.csv.GZ".lower(), "c.CSV", "d.csv"]
    for name in names:
        put(either, name, line(1 + len(name)))
    put(either, "a copy.csv", line(1 + len("d.csv")))
    store.put("raw/readme.txt", b"not for us")
    store.put("raw/old.csv.bak", b"not for us either")
    store.put("elsewhere/e.csv", b"not in raw/")
    if isinstance(store, DirectoryStore):
        (store.root / "raw" / "an empty folder.csv").mkdir()
    else:
        for marker in ("shop/raw/", "shop/raw/folder.csv/"):
            store._client.put_object(Bucket=store.bucket, Key=marker, Body=b"")
    tick = either.tick()
    assert sorted(tick.only or []) == sorted(f"raw/{name}" for name in [*names, "a copy.csv"])
    assert tick.seen is not None
    assert (tick.seen["files"], tick.seen["waiting"], tick.seen["ignored"]) == (5, 5, 2)
    assert tick.seen["ignored_objects"] == ["raw/old.csv.bak", "raw/readme.txt"]
    assert tick.seen["bytes"] == sum(info.size for info in raw_objects(store))


def test_a_file_is_taken_once_and_its_key_again_when_it_holds_something_else(
    either: Feed,
) -> None:
    put(either, "a.csv", line(1))
    run(either, either.tick().only)
    assert either.tick().why == "nothing waits"
    put(either, "a.csv", line(2))
    tick = either.tick()
    assert tick.only == ["raw/a.csv"]
    run(either, tick.only)
    put(either, "same bytes.csv", line(2))
    run(either, either.tick().only)
    assert either.tick().why == "nothing waits"
    assert [row[0] for row in either.pipeline.rows()] == ["2024-01-01", "2024-01-02"]


def test_the_good_neighbours_of_a_refused_file_are_next_before_anything_new(
    either: Feed,
) -> None:
    put(either, "bad.csv", line(1), age=90)
    put(either, "good.csv", line(2), age=80)
    run(either, either.tick().only, bad="bad")
    put(either, "another bad one.csv", line(3), age=70)
    tick = either.tick()
    assert tick.only == []
    assert "raw/good.csv" in tick.why
    run(either, tick.only)
    assert either.pipeline.states()["raw/good.csv"] == "published"
    assert either.tick().only == ["raw/another bad one.csv"]


def test_a_refused_file_is_not_tried_again_until_it_is_corrected_under_its_name(
    either: Feed,
) -> None:
    put(either, "bad.csv", line(1))
    run(either, either.tick().only, bad="bad")
    assert either.tick().why == "nothing waits"
    put(either, "bad.csv", line(1, quantity=2))
    run(either, either.tick().only)
    assert either.pipeline.rows() == [("2024-01-01", "S1", "P1", 2.0)]
    assert either.tick().why == "nothing waits"


def test_raw_files_are_observed_when_something_has_changed_and_else_not(feed: Feed) -> None:
    first = feed.tick()
    assert first.seen is not None
    assert first.seen["files"] == 0
    assert feed.tick().seen is None
    put(feed, "a.csv")
    seen = feed.tick().seen
    assert seen is not None
    assert (seen["files"], seen["waiting_files"]) == (1, ["raw/a.csv"])
    assert seen["newest_file"] == "raw/a.csv"
    assert feed.tick().seen is None
    feed.pipeline.run()
    seen = feed.tick().seen
    assert seen is not None
    assert (seen["files"], seen["waiting"]) == (1, 0)
    assert feed.tick().seen is None


@pytest.mark.parametrize("cursor", ["", "no JSON", "[]", '{"unknown": 1}', "3"])
def test_a_cursor_that_says_nothing_loses_nothing(feed: Feed, cursor: str) -> None:
    put(feed, "a.csv")
    feed.cursor = cursor
    assert feed.tick().only == ["raw/a.csv"]


def test_a_growing_file_in_a_directory_waits_and_its_neighbour_does_not(feed: Feed) -> None:
    put(feed, "whole.csv", line(1))
    growing = feed.pipeline.store.root / "raw" / "growing.csv"
    growing.write_bytes(csv_of(line(2))[:-9])
    tick = feed.tick()
    assert tick.only == ["raw/whole.csv"]
    assert tick.seen is not None
    assert tick.seen["still_being_written"] == ["raw/growing.csv"]
    run(feed, tick.only)
    growing.write_bytes(csv_of(line(2)))
    assert feed.tick().only is None
    long_ago = time.time() - 10
    os.utime(growing, (long_ago, long_ago))
    assert feed.tick().only == ["raw/growing.csv"]


def test_the_run_leaves_a_growing_file_alone_too(feed: Feed) -> None:
    put(feed, "whole.csv", line(1))
    growing = feed.pipeline.store.root / "raw" / "growing.csv"
    growing.write_bytes(csv_of(line(2))[:-9])
    run(feed, feed.tick().only)
    assert feed.pipeline.states() == {"raw/whole.csv": "published"}


@pytest.mark.parametrize("status", [STATUS.QUEUED, STATUS.STARTING, STATUS.STARTED])
@pytest.mark.parametrize(
    ("job", "tag", "waits"),
    [
        ("everything", turns.UNDER_WAY, True),
        ("everything", turns.OVER, False),
        ("refresh_data", turns.OVER, True),
        ("retrain", None, False),
    ],
)
def test_no_run_is_started_while_one_ingests(
    feed: Feed, status: dg.DagsterRunStatus, job: str, tag: str | None, waits: bool
) -> None:
    put(feed, "a.csv")
    under_way = feed.add_run(status, job, **({"scalecast_ingest": tag} if tag else {}))
    tick = feed.tick()
    assert (tick.only is None) == waits
    assert (f"run {under_way.run_id[:8]} of {job} is {status.value.lower()}" in tick.why) == waits


def test_files_that_a_command_is_loading_are_left_to_it(feed: Feed) -> None:
    put(feed, "a.csv")
    with turns.loading_by_hand(feed.pipeline.url, feed.instance, lambda _: None):
        assert "a scalecast command loads files" in feed.tick().why
    assert feed.tick().only == ["raw/a.csv"]


def test_a_file_over_which_the_run_was_killed_does_not_hold_up_the_others(feed: Feed) -> None:
    poison, good = put(feed, "poison.csv", age=99), put(feed, "good.csv", line(2))
    first = raw_objects(feed.pipeline.store)[0]
    begin_attempt(feed.pipeline.conn, first, "killed")
    feed.add_run(STATUS.FAILURE)
    assert feed.tick().only == [good]
    feed.pipeline.conn.execute(
        "update warehouse.file_attempts set tried_at = now() - interval '1 min'"
    )
    tick = feed.tick()
    assert tick.only == [poison]
    run(feed, tick.only)
    assert read_attempts(feed.pipeline.conn) == []


def test_what_was_tried_in_vain_and_is_gone_from_the_bucket_is_forgotten(feed: Feed) -> None:
    key = put(feed, "poison.csv")
    begin_attempt(feed.pipeline.conn, raw_objects(feed.pipeline.store)[0], "killed")
    tick = feed.tick()
    assert tick.seen is not None
    assert tick.seen["begun_in_vain"] == [f"{key}: 1 times"]
    feed.pipeline.store.delete(key)
    assert feed.tick().why == "nothing waits"
    assert read_attempts(feed.pipeline.conn) == []


def test_runs_that_fail_and_get_nothing_done_are_tried_ever_later(feed: Feed) -> None:
    put(feed, "a.csv")
    feed.add_run(STATUS.FAILURE)
    assert feed.tick().only is not None, "at once after the first"
    for _ in range(9):
        feed.add_run(STATUS.FAILURE)
    tick = feed.tick()
    assert tick.only is None
    assert "the last 10 runs failed" in tick.why
    feed.add_run(STATUS.SUCCESS)
    assert feed.tick().only is not None


def test_a_run_that_failed_but_landed_or_judged_a_file_is_followed_at_once(feed: Feed) -> None:
    put(feed, "a.csv")
    for _ in range(5):
        feed.add_run(STATUS.FAILURE)
    assert feed.tick().only is None
    run(feed, ["raw/a.csv"], bad="nothing of it is bad")
    put(feed, "b.csv", line(2))
    assert feed.tick().only is not None


def test_what_a_killed_run_left_undone_behind_the_warehouse_is_done(feed: Feed) -> None:
    put(feed, "a.csv")
    run(feed, feed.tick().only)
    assert feed.tick().only is None
    feed.pipeline.put("raw/b.csv", line(2), modified=time.time() - 60)
    feed.pipeline.run()
    assert feed.tick().why == "1 changed range for dbt to catch up with"
    feed.pipeline.clear_ranges()
    feed.materialized(keys.DEMAND_DATA)
    tick = feed.tick()
    assert tick.only == []
    assert tick.why == "older than the data: serving_state, forecasts, live_accuracy"
    training = feed.add_run(STATUS.STARTED, "everything", scalecast_ingest=turns.OVER)
    assert feed.tick().only is None, "that run will make them"
    feed.instance.report_run_canceled(training)
    feed.materialized(*FOLLOWING)
    assert feed.tick().why == "nothing waits"


@pytest.mark.parametrize("on_arrival", [True, False])
def test_it_runs_as_the_settings_say(tmp_path: Path, on_arrival: bool) -> None:
    settings = Settings(home=tmp_path, ingest_on_arrival=on_arrival, sensor_seconds=45)
    sensor = build_definitions(settings).resolve_sensor_def("new_raw_files")
    assert sensor.minimum_interval_seconds == 45
    assert (sensor.default_status is dg.DefaultSensorStatus.RUNNING) == on_arrival
    assert [target.job_name for target in sensor.targets] == ["refresh_data"]
