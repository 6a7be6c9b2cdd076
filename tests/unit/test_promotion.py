"""Publishing, promoting, rolling back and refreshing the state, alone and in races."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from scalecast_assets.contract.bundle import (
    BundleError,
    Manifest,
    read_bundle,
    read_pointed_bundle,
    read_state,
    verify_files,
)
from scalecast_assets.contract.pointers import Held, read_serving, read_state_pointer
from scalecast_assets.contract.store import DirectoryStore, ObjectStore, PreconditionFailed
from scalecast_assets.promotion.publishing import Source, list_versions, publish_bundle
from scalecast_assets.promotion.switching import (
    ConcurrentPromotion,
    promote,
    publish_state,
    rollback,
)

Publish = Callable[[bytes], Manifest]


class Killed(BaseException):
    """Stands for the end of the process in the middle of a write."""


class DyingStore(DirectoryStore):
    """A directory store whose process is killed just before its n-th write."""

    def __init__(self, root: Path, writes: int) -> None:
        super().__init__(root)
        self.writes_left = writes

    def _write(self, *arguments: Any) -> str:
        if self.writes_left == 0:
            raise Killed
        self.writes_left -= 1
        return super()._write(*arguments)


class ForgetfulStore(DirectoryStore):
    """A directory store that writes, loses the answer, tries again and so finds itself late."""

    def put_if_absent(self, key: str, data: bytes) -> str:
        super().put_if_absent(key, data)
        return super().put_if_absent(key, data)

    def compare_and_swap(self, key: str, data: bytes, etag: str) -> str:
        super().compare_and_swap(key, data, etag)
        return super().compare_and_swap(key, data, etag)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


@pytest.fixture
def publish(
    store: ObjectStore, bundle_files: dict[str, bytes], manifest_fields: dict[str, Any]
) -> Publish:
    def publish_with(onnx: bytes) -> Manifest:
        return publish_bundle(store, {**bundle_files, "model.onnx": onnx}, manifest_fields)

    return publish_with


def served(store: ObjectStore) -> str | None:
    held = read_serving(store)
    return held.pointer.version if held else None


def test_bundles_get_rising_versions_and_are_not_served_by_being_published(
    store: ObjectStore, publish: Publish
) -> None:
    assert list_versions(store) == []
    assert [publish(b"%d" % n).version for n in range(12)] == [f"1.{n}.0" for n in range(12)]
    assert list_versions(store) == [f"1.{n}.0" for n in range(12)]
    assert read_bundle(store, "1.11.0").onnx == b"11"
    assert read_serving(store) is None


def test_files_may_be_given_as_paths(
    store: ObjectStore,
    bundle_files: dict[str, bytes],
    manifest_fields: dict[str, Any],
    tmp_path: Path,
) -> None:
    (tmp_path / "graph").write_bytes(b"from a file")
    files: dict[str, Source] = {**bundle_files, "model.onnx": tmp_path / "graph"}
    manifest = publish_bundle(store, files, manifest_fields)
    verify_files(store, manifest)
    assert read_bundle(store, manifest.version).onnx == b"from a file"


@pytest.mark.parametrize(
    ("files", "fields", "said"),
    [
        ({"model.onnx": None}, {}, "lacks model.onnx"),
        ({"encoders.json": None}, {}, "lacks encoders.json"),
        ({"encoders.json": b"{}"}, {}, "encoders.json: field 'format' is missing"),
        ({"../x": b""}, {}, "'../x' cannot stand in a bundle"),
        ({"manifest.json": b""}, {}, "'manifest.json' cannot stand in a bundle"),
        ({"claim.json": b""}, {}, "'claim.json' cannot stand in a bundle"),
        ({"model.onnx": bytes(100_000_001)}, {}, "more than the 100000000"),
        ({}, {"candidate": None}, "fields are missing: candidate"),
        ({}, {"version": "9.0.0"}, "not yours to give: version"),
        ({}, {"mood": "good"}, "not yours to give: mood"),
        ({}, {"training_set": "x"}, "'training_set': expected a sha256"),
        ({}, {"contract_hash": "0" * 16}, "this release computes contract"),
        ({}, {"params": {"seed": object()}}, "cannot be written as JSON"),
    ],
)
def test_what_no_reader_would_take_is_not_published(
    store: ObjectStore,
    bundle_files: dict[str, bytes],
    manifest_fields: dict[str, Any],
    files: dict[str, bytes | None],
    fields: dict[str, Any],
    said: str,
) -> None:
    given = {n: f for n, f in {**bundle_files, **files}.items() if f is not None}
    told = {
        n: v for n, v in {**manifest_fields, **fields}.items() if v is not None or n not in fields
    }
    with pytest.raises(BundleError) as caught:
        publish_bundle(store, given, told)
    assert said in str(caught.value)
    assert list(store.list()) == []


def test_publishers_in_a_race_get_versions_of_their_own(
    store: ObjectStore, publish: Publish, pool: ThreadPoolExecutor
) -> None:
    start = threading.Barrier(8)

    def race(number: int) -> Manifest:
        start.wait()
        return publish(b"graph %d" % number)

    manifests = list(pool.map(race, range(8)))
    assert sorted(manifest.version for manifest in manifests) == list_versions(store)
    assert len(list_versions(store)) == 8
    for number, manifest in enumerate(manifests):
        assert read_bundle(store, manifest.version).onnx == b"graph %d" % number
        verify_files(store, manifest)


@pytest.mark.parametrize("writes", range(6))
def test_a_publisher_killed_between_any_two_writes_leaves_a_gap_and_no_bundle(
    tmp_path: Path, bundle_files: dict[str, bytes], manifest_fields: dict[str, Any], writes: int
) -> None:
    store = DirectoryStore(tmp_path)
    publish_bundle(store, bundle_files, manifest_fields)
    promote(store, "1.0.0", None)
    with pytest.raises(Killed):
        publish_bundle(DyingStore(tmp_path, writes), bundle_files, manifest_fields)
    assert list_versions(store) == ["1.0.0"]
    assert served(store) == "1.0.0"
    with pytest.raises(BundleError, match="no complete version"):
        rollback(store, "1.1.0")
    after = publish_bundle(store, bundle_files, manifest_fields)
    assert after.version == ("1.1.0" if writes == 0 else "1.2.0")
    verify_files(store, after)


def test_a_lost_answer_is_not_a_lost_race(
    tmp_path: Path, bundle_files: dict[str, bytes], manifest_fields: dict[str, Any]
) -> None:
    store = ForgetfulStore(tmp_path)
    with pytest.raises(PreconditionFailed):
        store.put_if_absent("the store", b"is as forgetful as it should be")
    for _ in range(2):
        publish_bundle(store, bundle_files, manifest_fields)
    assert list_versions(store) == ["1.0.0", "1.1.0"]
    promote(store, "1.0.0", None)
    promote(store, "1.1.0", read_serving(store))
    assert served(store) == "1.1.0"


def test_a_promotion_says_what_was_served_before(store: ObjectStore, publish: Publish) -> None:
    for number in range(2):
        publish(b"%d" % number)
    first = promote(store, "1.0.0", None)
    assert first.changed
    assert first.pointer.previous is None
    second = promote(store, "1.1.0", read_serving(store))
    assert second.message == "1.1.0 is served now instead of 1.0.0"
    held = read_serving(store)
    assert held is not None
    assert held.pointer == second.pointer
    assert (held.pointer.previous, held.pointer.challenger) == ("1.0.0", None)
    assert read_pointed_bundle(store, held.pointer).onnx == b"1"


def test_promoting_what_is_served_changes_nothing(store: ObjectStore, publish: Publish) -> None:
    publish(b"0")
    promote(store, "1.0.0", None)
    before = read_serving(store)
    again = promote(store, "1.0.0", before)
    assert not again.changed
    assert "served already" in again.message
    assert read_serving(store) == before


def test_a_promotion_that_saw_another_champion_is_refused(
    store: ObjectStore, publish: Publish
) -> None:
    for number in range(3):
        publish(b"%d" % number)
    promote(store, "1.0.0", None)
    seen = read_serving(store)
    promote(store, "1.1.0", seen)
    for expected in (seen, None):
        with pytest.raises(ConcurrentPromotion, match="moved after it was read"):
            promote(store, "1.2.0", expected)
    assert served(store) == "1.1.0"


def test_of_many_promotions_one_wins_each_round(
    store: ObjectStore, publish: Publish, pool: ThreadPoolExecutor
) -> None:
    for number in range(8):
        publish(b"%d" % number)
    for _ in range(5):
        seen, start = read_serving(store), threading.Barrier(8)

        def race(number: int, seen: Any = seen, start: threading.Barrier = start) -> str | None:
            start.wait()
            try:
                return promote(store, f"1.{number}.0", seen).pointer.version
            except ConcurrentPromotion:
                return None

        before = served(store)
        won = [version for version in pool.map(race, range(8)) if version]
        assert [version for version in won if version != before] == [served(store)]


def test_a_rollback_leads_to_any_complete_version_and_back(
    store: ObjectStore, publish: Publish
) -> None:
    for number in range(3):
        publish(b"%d" % number)
        promote(store, f"1.{number}.0", read_serving(store))
    back = rollback(store, "1.0.0")
    assert (served(store), back.pointer.previous) == ("1.0.0", "1.2.0")
    forth = rollback(store, "1.2.0")
    assert (served(store), forth.pointer.previous) == ("1.2.0", "1.0.0")
    nowhere = rollback(store, "1.2.0")
    assert not nowhere.changed
    assert nowhere.message == "1.2.0 is served already; nothing to do"
    assert nowhere.pointer == forth.pointer


@pytest.mark.parametrize("spoilt", [b"", b'{"format": 1, "versi', b"\x00\xff", b'{"format": 99}'])
def test_a_rollback_writes_a_spoilt_pointer_anew(
    store: ObjectStore, publish: Publish, spoilt: bytes
) -> None:
    publish(b"0")
    promote(store, "1.0.0", None)
    store.put("serving/model.json", spoilt)
    with pytest.raises(BundleError, match=r"`scalecast rollback VERSION` writes the pointer anew"):
        read_serving(store)
    done = rollback(store, "1.0.0")
    assert (served(store), done.changed, done.pointer.previous) == ("1.0.0", True, None)


def test_a_rollback_to_nothing_is_refused_with_what_there_is(
    store: ObjectStore, publish: Publish
) -> None:
    with pytest.raises(BundleError, match="nothing is served yet"):
        rollback(store, "1.0.0")
    publish(b"0")
    promote(store, "1.0.0", None)
    with pytest.raises(BundleError, match=r"no complete version 2\.0\.0; there are: 1\.0\.0"):
        rollback(store, "2.0.0")
    for nonsense in ("", "previous", "../1.0.0", "1.0.0\n"):
        with pytest.raises(BundleError, match="does not read like"):
            rollback(store, nonsense)


@pytest.mark.parametrize("name", ["model.onnx", "encoders.json", "report.html", "demand_model.pkl"])
def test_a_rollback_to_a_damaged_bundle_is_refused(
    store: ObjectStore, publish: Publish, name: str
) -> None:
    for number in range(2):
        publish(b"%d" % number)
        promote(store, f"1.{number}.0", read_serving(store))
    store.put(f"models/1.0.0/{name}", b"?")
    with pytest.raises(BundleError, match=f"{name} of 1.0.0"):
        rollback(store, "1.0.0")
    assert served(store) == "1.1.0"


def test_rollbacks_and_promotions_in_a_race_form_one_chain(
    store: ObjectStore, publish: Publish, pool: ThreadPoolExecutor
) -> None:
    for number in range(9):
        publish(b"%d" % number)
    promote(store, "1.0.0", None)
    start = threading.Barrier(8)

    def race(number: int) -> tuple[str, str | None] | None:
        version = f"1.{number + 1}.0"
        start.wait()
        try:
            if number % 2:
                switched = rollback(store, version)
            else:
                switched = promote(store, version, read_serving(store))
        except ConcurrentPromotion:
            return None
        assert switched.changed
        return switched.pointer.version, switched.pointer.previous

    came_from = dict(step for step in pool.map(race, range(8)) if step)
    at, visited = served(store), 0
    while at != "1.0.0":
        at, visited = came_from[str(at)], visited + 1
    assert visited == len(came_from) >= 1


def state(store: ObjectStore, data: bytes, day: str, expected: Held[Any] | None) -> None:
    publish_state(
        store, data, data_until=day, contract_hash="c", schema=1, expected_pointer=expected
    )


def test_a_state_is_stored_under_its_sha256_and_pointed_to(store: ObjectStore) -> None:
    state(store, b"history", "2024-03-14", None)
    held = read_state_pointer(store)
    assert held is not None
    assert held.pointer.sha256 == hashlib.sha256(b"history").hexdigest()
    assert read_state(store, held.pointer) == b"history"
    state(store, b"longer history", "2024-03-15", held)
    after = read_state_pointer(store)
    assert after is not None
    assert (after.pointer.data_until, after.pointer.size) == ("2024-03-15", 14)


def test_a_state_from_older_data_never_replaces_a_newer_one(store: ObjectStore) -> None:
    state(store, b"one", "2024-03-13", None)
    seen = read_state_pointer(store)
    state(store, b"three", "2024-03-15", seen)
    with pytest.raises(ConcurrentPromotion, match=r"serving/state\.json moved"):
        state(store, b"two", "2024-03-14", seen)
    with pytest.raises(ConcurrentPromotion, match=r"serving/state\.json moved"):
        state(store, b"one", "2024-03-13", seen)
    after = read_state_pointer(store)
    assert after is not None
    assert after.pointer.data_until == "2024-03-15"


def test_publishing_the_same_state_again_keeps_the_pointer_and_repairs_the_bytes(
    store: ObjectStore,
) -> None:
    state(store, b"history", "2024-03-14", None)
    before = read_state_pointer(store)
    assert before is not None
    store.put(f"state/{before.pointer.sha256}/state.npz", b"damaged")
    state(store, b"history", "2024-03-14", before)
    assert read_state_pointer(store) == before
    assert read_state(store, before.pointer) == b"history"
