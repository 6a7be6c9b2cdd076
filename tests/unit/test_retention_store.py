"""Purging a store, on a directory and on S3: what pointers and kept versions need stays."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scalecast_assets.contract.bundle import BundleError, Manifest, read_bundle
from scalecast_assets.contract.layout import state_key
from scalecast_assets.contract.pointers import read_serving, read_state_pointer
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.promotion.challenging import challenge
from scalecast_assets.promotion.publishing import claim_version, list_versions, publish_bundle
from scalecast_assets.promotion.switching import (
    ConcurrentPromotion,
    promote,
    publish_state,
    rollback,
)
from scalecast_assets.retention.plan import Removal
from scalecast_assets.retention.policy import Policy
from scalecast_assets.retention.store_purge import (
    StillNeeded,
    plan_lineage,
    plan_other_areas,
    plan_versions,
    remove,
)

POLICY = Policy(
    models=3, training_sets_days=30, states_days=7, forecasts_days=150, quarantine_days=90,
    logs_days=30, alerts_days=180, runs_days=90,
)  # fmt: skip
FOR_EVER = Policy(0, 0, 0, 0, 0, 0, 0, 0)
LATER = datetime.now(UTC) + timedelta(days=200)
"""So much later everything that a test writes is old; a store stamps its objects itself."""

Publish = Callable[[int], Manifest]


def sha_of(number: int) -> str:
    return f"{number:02x}" * 32


@pytest.fixture
def publish(
    store: ObjectStore, bundle_files: dict[str, bytes], manifest_fields: dict[str, Any]
) -> Publish:
    """Publish a version with a training set and candidates of its own, and serve it."""

    def publish_number(number: int) -> Manifest:
        sha = sha_of(number)
        store.put(f"training_sets/{sha}/rows.parquet", b"rows")
        store.put(f"training_sets/{sha}/training_set.json", b"{}")
        store.put(f"candidates/{sha}/xgboost/model.onnx", b"graph")
        manifest = publish_bundle(store, bundle_files, manifest_fields | {"training_set": sha})
        promote(store, manifest.version, read_serving(store))
        return manifest

    return publish_number


def plan_all(
    store: ObjectStore,
    policy: Policy = POLICY,
    current: str | None = sha_of(0),
    now: datetime = LATER,
) -> list[Removal]:
    versions = plan_versions(store, policy, now)
    gone = {removal.name for removal in versions}
    lineage = plan_lineage(store, policy, current, gone, now)
    return [*versions, *lineage, *plan_other_areas(store, policy, now)]


def purge_all(
    store: ObjectStore, policy: Policy = POLICY, current: str | None = sha_of(0)
) -> list[str]:
    planned = plan_all(store, policy, current)
    for removal in planned:
        remove(store, removal)
    return [f"{removal.area}/{removal.name}" for removal in planned]


def test_old_versions_go_with_what_only_they_came_from(
    store: ObjectStore, publish: Publish
) -> None:
    for number in range(6):
        publish(number)
    store.put("archive/sha256/00/" + sha_of(0), b"raw bytes")
    store.put("raw/sales.csv", b"raw bytes")
    gone = purge_all(store, current=sha_of(5))
    assert list_versions(store) == ["1.3.0", "1.4.0", "1.5.0"]
    assert not list(store.list("models/1.0.0/"))
    assert {key.split("/")[1] for key in gone if key.startswith("training_sets/")} == {
        sha_of(number) for number in range(3)
    }
    left = {info.key.split("/")[1] for info in store.list("candidates/")}
    assert left == {sha_of(5)}
    assert store.exists("archive/sha256/00/" + sha_of(0))
    assert store.exists("raw/sales.csv")
    for version in list_versions(store):
        assert store.exists(f"training_sets/{read_bundle(store, version).manifest.training_set}"
                            "/rows.parquet")  # fmt: skip
    assert purge_all(store, current=sha_of(5)) == []


def test_the_served_the_previous_and_the_challenger_stay_and_rollback_works(
    store: ObjectStore, publish: Publish
) -> None:
    for number in range(7):
        publish(number)
    rollback(store, "1.0.0")
    challenge(store, "1.2.0", mode="shadow", share=0.1)
    purge_all(store)
    assert list_versions(store) == ["1.0.0", "1.2.0", "1.4.0", "1.5.0", "1.6.0"]
    for version in [*list_versions(store), "1.0.0"]:
        done = rollback(store, version)
        assert done.pointer.version == version
        assert read_bundle(store, version).manifest.version == version
    with pytest.raises(BundleError, match=r"no complete version 1\.3\.0; there are: 1\.0\.0"):
        rollback(store, "1.3.0")


def test_versions_are_given_out_after_the_highest_that_was_claimed(
    store: ObjectStore, publish: Publish
) -> None:
    publish(0)
    assert claim_version(store) == "1.1.0"
    assert claim_version(store) == "1.2.0"
    assert purge_all(store) == ["models/1.1.0"]
    assert claim_version(store) == "1.3.0"


def test_nothing_goes_when_all_is_kept_for_ever_or_all_is_young(
    store: ObjectStore, publish: Publish
) -> None:
    for number in range(5):
        publish(number)
    store.put("quarantine/a/report.csv", b"x")
    before = [info.key for info in store.list()]
    assert purge_all(store, FOR_EVER) == []
    now = datetime.now(UTC) + timedelta(hours=20)
    assert plan_all(store, now=now) == []
    assert [info.key for info in store.list()] == before


def serve_state(store: ObjectStore, state: bytes) -> str:
    return publish_state(
        store, state, data_until="2024-03-14", contract_hash="c", schema=1,
        expected_pointer=read_state_pointer(store),
    ).sha256  # fmt: skip


def test_of_states_forecasts_and_quarantine_the_needed_ones_stay(store: ObjectStore) -> None:
    old, new = serve_state(store, b"old"), serve_state(store, b"new")
    for day in ("2023-01-01", "2023-12-01", "2024-03-14"):
        store.put(f"forecasts/{day}/forecasts.parquet", b"x")
    store.put("quarantine/bad.csv-12345678/report.csv", b"x")
    assert purge_all(store) == [
        f"state/{old}", "forecasts/2023-01-01", "quarantine/bad.csv-12345678",
    ]  # fmt: skip
    assert store.exists(state_key(new))
    assert not store.exists(state_key(old))


def test_what_comes_to_be_served_while_it_is_planned_away_stays(
    store: ObjectStore, publish: Publish
) -> None:
    for number in range(5):
        publish(number)
    old, _ = serve_state(store, b"old"), serve_state(store, b"new")
    planned = plan_all(store)
    rollback(store, "1.0.0")
    serve_state(store, b"old")
    for removal in planned:
        if removal.name in ("1.0.0", old):
            with pytest.raises(StillNeeded, match="is served since"):
                remove(store, removal)
        else:
            remove(store, removal)
    assert read_bundle(store, "1.0.0").manifest.version == "1.0.0"
    assert store.exists(state_key(old))


class Meddled:
    """A store in which something happens right before, or right after, one call."""

    def __init__(
        self, store: ObjectStore, call: str, before: bool, what: Callable[[], Any]
    ) -> None:
        self._store, self._call, self._before, self._what = store, call, before, what

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if name != self._call:
            return real

        def meddled(*given: Any, **named: Any) -> Any:
            what, self._what = self._what, lambda: None
            if self._before:
                what()
            answer = real(*given, **named)
            if not self._before:
                what()
            return answer

        return meddled


def removal_of(store: ObjectStore, area: str, name: str) -> Removal:
    return next(r for r in plan_all(store) if (r.area, r.name) == (area, name))


@pytest.mark.parametrize("before", [True, False])
def test_a_rollback_in_the_middle_of_a_removal_is_seen_by_one_of_both(
    store: ObjectStore, publish: Publish, before: bool
) -> None:
    for number in range(5):
        publish(number)
    removal = removal_of(store, "models", "1.0.0")
    store_of_purge: Any = Meddled(store, "delete", before, lambda: rollback(store, "1.0.0"))
    if before:
        with pytest.raises(StillNeeded):
            remove(store_of_purge, removal)
        served = "1.0.0"
    else:
        with pytest.raises(BundleError, match=r"no complete version 1\.0\.0"):
            remove(store_of_purge, removal)
        served = "1.4.0"
    held = read_serving(store)
    assert held
    assert held.pointer.version == served
    assert read_bundle(store, served).manifest.version == served


def test_a_rollback_to_a_version_that_is_removed_before_the_swap_goes_back(
    store: ObjectStore, publish: Publish
) -> None:
    for number in range(5):
        publish(number)
    removal = removal_of(store, "models", "1.0.0")
    store_of_rollback: Any = Meddled(
        store, "compare_and_swap", True, lambda: remove(store, removal)
    )
    with pytest.raises(ConcurrentPromotion, match=r"1\.0\.0 was purged meanwhile"):
        rollback(store_of_rollback, "1.0.0")
    held = read_serving(store)
    assert held
    assert held.pointer.version == "1.4.0"
    assert held.pointer.previous == "1.3.0"


def test_an_old_state_that_is_served_again_while_it_is_removed_is_there(
    store: ObjectStore,
) -> None:
    old, _ = serve_state(store, b"old"), serve_state(store, b"new")
    removal = removal_of(store, "state", old)
    store_of_state: Any = Meddled(store, "compare_and_swap", True, lambda: remove(store, removal))
    assert serve_state(store_of_state, b"old") == old
    assert store.get(state_key(old)).body == b"old"


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_purge_that_is_killed_in_the_middle_of_a_version_is_finished_by_the_next(
    store: ObjectStore, publish: Publish
) -> None:
    for number in range(5):
        publish(number)

    def die() -> None:
        raise Killed

    store_of_purge: Any = Meddled(store, "delete_many", True, die)
    with pytest.raises(Killed):
        remove(store_of_purge, removal_of(store, "models", "1.0.0"))
    assert list_versions(store) == ["1.1.0", "1.2.0", "1.3.0", "1.4.0"]
    assert [info.key for info in store.list("models/1.0.0/")], "its files are still there"
    assert "models/1.0.0" in purge_all(store)
    assert not list(store.list("models/1.0.0/"))
