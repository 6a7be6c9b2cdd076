"""Which files the next run takes, and why the others wait: the decision, without a bucket."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scalecast_assets.automation.back_off import LONGEST_WAIT, wait_after
from scalecast_assets.automation.decision import (
    LONGEST_WAIT_ALONE,
    LONGEST_WAIT_WITH_NEWS,
    MAX_FILES,
    Decision,
    Failures,
    Seen,
    decide,
    sort_out,
)
from scalecast_assets.contract.objects import ObjectInfo
from scalecast_assets.ingest.attempts import Attempt

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
HOUR = 3600.0


def file(name: str, age: float = HOUR, etag: str = "v1") -> ObjectInfo:
    return ObjectInfo(f"raw/{name}.csv", 10, etag, NOW - timedelta(seconds=age))


def attempt(info: ObjectInfo, times: int, age: float) -> Attempt:
    return Attempt(info.key, info.etag, times, NOW, age, "run", None)


def decided(files: Sequence[ObjectInfo] = (), **seen: Any) -> Decision:
    given = Seen(now=NOW, files=files, **seen)
    return decide(given, sort_out(given))


A, B, C = file("a", 3 * HOUR), file("b", 2 * HOUR), file("c")


def test_where_nothing_waits_no_run_starts() -> None:
    assert decided([A], known={("raw/a.csv", "v1")}) == Decision(None, "nothing waits")
    assert decided() == Decision(None, "nothing waits")


def test_every_file_that_the_ledger_lacks_is_taken_in_its_order() -> None:
    assert decided([A, B, C], known={("raw/b.csv", "v1")}).only == ("raw/a.csv", "raw/c.csv")


def test_another_version_of_a_known_key_waits() -> None:
    assert decided([file("a", etag="v2")], known={("raw/a.csv", "v1")}).only == ("raw/a.csv",)


def test_a_run_takes_so_many_files_and_says_how_many_are_left() -> None:
    files = [file(f"{n:04}") for n in range(MAX_FILES + 700)]
    taken = decided(files)
    assert taken.only == tuple(info.key for info in files[:MAX_FILES])
    assert "raw/0000.csv, raw/0001.csv, raw/0002.csv and 497 more" in taken.why
    assert "700 more after them" in taken.why


def test_while_an_ingest_is_under_way_everything_waits_and_it_is_named() -> None:
    seen = decided([A], busy="run 12345678 of refresh_data is queued")
    assert seen.only is None
    assert seen.why.startswith("run 12345678 of refresh_data is queued; then: raw/a.csv")


def test_what_was_landed_and_not_brought_to_an_end_goes_first_and_alone() -> None:
    """Else a bad file a minute, each in a run of its own, would hold up a good one for ever."""
    seen = decided([A], undecided=["raw/good.csv"])
    assert seen.only == ()
    assert "raw/good.csv" in seen.why


@pytest.mark.parametrize("age", [0.0, 4.0, -120.0])
def test_a_file_that_is_written_to_waits_until_it_rests(age: float) -> None:
    growing = file("growing", age)
    seen = decided([A, growing], whole_on_arrival=False)
    assert seen.only == ("raw/a.csv",)
    alone = decided([growing], whole_on_arrival=False)
    assert alone.only is None
    assert "still being written: raw/growing.csv" in alone.why


def test_a_file_rests_some_seconds_after_its_last_byte() -> None:
    assert decided([file("a", 5.0)], whole_on_arrival=False).only == ("raw/a.csv",)


def test_a_file_from_the_future_rests_when_it_is_what_it_was_at_the_last_tick() -> None:
    ahead = file("a", -HOUR, "v2")
    same, other = {"raw/a.csv": "v2"}, {"raw/a.csv": "v1"}
    assert decided([ahead], whole_on_arrival=False, arriving=same).only == ("raw/a.csv",)
    assert decided([ahead], whole_on_arrival=False, arriving=other).only is None


def test_objects_that_are_whole_on_arrival_wait_for_nothing() -> None:
    assert decided([file("a", 0.0), file("b", -HOUR)]).only == ("raw/a.csv", "raw/b.csv")


def test_a_file_over_which_a_run_died_does_not_hold_up_the_others() -> None:
    seen = decided([A, B, C], attempts=[attempt(A, times=1, age=20)])
    assert seen.only == ("raw/b.csv", "raw/c.csv")


def test_it_is_tried_again_on_its_own_after_a_minute_and_then_ever_later() -> None:
    for times, minutes in ((1, 1), (2, 2), (3, 4), (4, 8)):
        before = decided([A], attempts=[attempt(A, times, 60 * minutes - 1)])
        after = decided([A, B], attempts=[attempt(A, times, 60 * minutes)])
        assert before.only is None
        assert "could not be loaded: raw/a.csv" in before.why
        assert after.only == ("raw/a.csv",)


def test_after_the_longest_wait_it_is_tried_whatever_happened_before() -> None:
    late = LONGEST_WAIT_ALONE.total_seconds()
    assert decided([A], attempts=[attempt(A, 10_000, late)]).only == ("raw/a.csv",)
    assert decided([A], attempts=[attempt(A, 10_000, late - 1)]).only is None


def test_a_new_version_of_it_waits_for_nothing() -> None:
    corrected = file("a", etag="v2")
    assert decided([corrected], attempts=[attempt(A, 9, 1)]).only == ("raw/a.csv",)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"changed_ranges": 2}, "2 changed ranges for dbt to catch up with"),
        ({"behind": ["serving_state", "forecasts"]}, "older than the data: serving_state"),
    ],
)
def test_what_a_killed_run_left_undone_is_done_though_no_file_waits(
    more: dict[str, Any], words: str
) -> None:
    seen = decided([A], known={("raw/a.csv", "v1")}, **more)
    assert seen.only == ()
    assert words in seen.why


def failed(times: int, ago: timedelta) -> Failures:
    return Failures(times, NOW - ago)


def test_after_one_failure_the_next_tick_tries_again() -> None:
    assert decided([A], failures=failed(1, timedelta(0))).only == ("raw/a.csv",)


def test_after_more_failures_the_next_run_is_ever_later_and_the_tick_says_when() -> None:
    for times, minutes in ((2, 1), (3, 2), (4, 4), (10, 60), (400, 60)):
        almost = decided([A], failures=failed(times, timedelta(minutes=minutes, seconds=-1)))
        assert almost.only is None
        assert f"the last {times} runs failed" in almost.why
        assert "the next begins at 03:00:01 UTC" in almost.why
        assert "raw/a.csv" in almost.why
        assert decided([A], failures=failed(times, timedelta(minutes=minutes))).only is not None


def test_something_new_in_the_bucket_may_be_the_cure_and_waits_minutes_at_most() -> None:
    given: dict[str, Any] = {"failures": failed(10, LONGEST_WAIT_WITH_NEWS)}
    assert decided([A], **given).only is None
    assert decided([A], **given, something_new=True).only == ("raw/a.csv",)
    given = {"failures": failed(10, LONGEST_WAIT_WITH_NEWS - timedelta(seconds=1))}
    assert decided([A], **given, something_new=True).only is None


def test_waits_grow_to_an_end() -> None:
    waits = [wait_after(failures) for failures in range(60)]
    assert waits[:4] == [timedelta(0), timedelta(0), timedelta(minutes=1), timedelta(minutes=2)]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT
