"""What may be purged, and what stays whatever the settings say."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecast_assets.contract.columns import MAX_HORIZON_DAYS
from scalecast_assets.contract.layout import version_order
from scalecast_assets.contract.objects import ObjectInfo
from scalecast_assets.monitoring.scoring import FOLLOWED_DAYS
from scalecast_assets.retention.plan import (
    Folder,
    Removal,
    folders,
    removable_by_age,
    removable_forecasts,
    removable_origins,
    removable_versions,
)
from scalecast_assets.settings import SCORED_DAYS, Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD = NOW - timedelta(days=400)


def version(name: str, *files: str, at: datetime = OLD) -> list[ObjectInfo]:
    return [ObjectInfo(f"models/{name}/{file}", 10, "e", at) for file in files]


def found(*objects: list[ObjectInfo]) -> dict[str, Folder]:
    return folders([info for some in objects for info in some], "models/")


WHOLE = ("claim.json", "manifest.json", "model.onnx")


def names(removals: list[Removal]) -> list[str]:
    return [removal.name for removal in removals]


def test_the_last_versions_stay_by_number_and_not_by_text() -> None:
    all_of_them = found(*(version(f"1.{n}.0", *WHOLE) for n in range(12)))
    removed = removable_versions(all_of_them, set(), 3, NOW)
    assert names(removed) == [f"1.{n}.0" for n in range(9)]
    assert removed[0].items == 3
    assert removed[0].bytes == 30
    assert removed[0].why == "beyond the last 3"


def test_needed_and_young_versions_stay_and_0_keeps_all() -> None:
    young = NOW - timedelta(hours=23)
    some = found(
        version("1.0.0", *WHOLE), version("1.1.0", *WHOLE), version("1.2.0", *WHOLE, at=young),
        version("1.3.0", *WHOLE), version("1.4.0", *WHOLE),
    )  # fmt: skip
    assert names(removable_versions(some, {"1.0.0"}, 1, NOW)) == ["1.1.0", "1.3.0"]
    assert removable_versions(some, set(), 0, NOW) == []


def test_a_gap_goes_but_not_the_highest_one_and_does_not_count_as_a_version() -> None:
    some = found(
        version("1.0.0", *WHOLE), version("1.1.0", "claim.json"), version("1.2.0", *WHOLE),
        version("1.3.0", "claim.json", "model.onnx"), version("notes", "a.txt"),
        [ObjectInfo("models/loose.txt", 1, "e", OLD)],
    )  # fmt: skip
    removed = removable_versions(some, set(), 2, NOW)
    assert [(r.name, r.why) for r in removed] == [("1.1.0", "never finished")]


@given(
    numbers=st.sets(st.integers(0, 30), max_size=12),
    needed=st.sets(st.integers(0, 30)),
    keep=st.integers(0, 12),
)
def test_what_is_needed_and_the_last_ones_always_stay(
    numbers: set[int], needed: set[int], keep: int
) -> None:
    all_of_them = {f"1.{n}.0" for n in numbers}
    wanted = {f"1.{n}.0" for n in needed}
    some = found(*(version(name, *WHOLE) for name in all_of_them))
    gone = set(names(removable_versions(some, wanted, keep, NOW)))
    left = all_of_them - gone
    assert wanted & all_of_them <= left
    last = sorted(all_of_them, key=version_order)[-keep:] if keep else all_of_them
    assert left == set(last) | (wanted & all_of_them) | set(
        sorted(all_of_them, key=version_order)[-1:]
    )


def test_folders_go_by_the_youngest_thing_in_them() -> None:
    at = {"a": 40, "b": 40, "c": 29, "d": 40}
    objects = [ObjectInfo(f"models/{n}/x", 1, "e", NOW - timedelta(days=d)) for n, d in at.items()]
    objects.append(ObjectInfo("models/d/y", 1, "e", NOW - timedelta(days=3)))
    some = folders(objects, "models/")
    assert names(removable_by_age("state", some, {"b"}, 30, NOW)) == ["a"]
    assert removable_by_age("state", some, {"b"}, 0, NOW) == []
    assert names(removable_by_age("state", some, (), 1, NOW)) == ["a", "b", "c", "d"]


def test_nothing_that_was_written_within_a_day_ever_goes() -> None:
    hours = {"young": 23, "old": 25}
    objects = [ObjectInfo(f"x/{n}/a", 1, "e", NOW - timedelta(hours=h)) for n, h in hours.items()]
    assert names(removable_by_age("x", folders(objects, "x/"), (), 1, NOW)) == ["old"]


def test_origins_go_by_their_distance_from_the_newest_one() -> None:
    newest = date(2023, 6, 1)
    days = [newest - timedelta(days=n) for n in (0, 149, 150, 151, 400)]
    assert removable_origins(days, 150) == set(days[3:])
    assert removable_origins(days, 0) == removable_origins([], 150) == set()
    objects = [ObjectInfo(f"forecasts/{day}/forecasts.parquet", 1, "e", OLD) for day in days]
    objects.append(ObjectInfo("forecasts/20230101/mine.csv", 1, "e", OLD))
    objects.append(ObjectInfo("forecasts/readme.txt", 1, "e", OLD))
    some = folders(objects, "forecasts/")
    assert names(removable_forecasts(some, 150, NOW)) == sorted(map(str, days[3:]))
    assert removable_forecasts(some, 150, OLD + timedelta(hours=1)) == []


def test_forecasts_are_kept_for_as_long_as_corrections_are_scored_against_them() -> None:
    assert SCORED_DAYS == FOLLOWED_DAYS + MAX_HORIZON_DAYS
    assert Settings().keep_forecasts_days >= SCORED_DAYS
    assert Settings(keep_forecasts_days=0).keep_forecasts_days == 0
    with pytest.raises(ValueError, match=r"expected 0 .* or 147 or more"):
        Settings(keep_forecasts_days=146)
