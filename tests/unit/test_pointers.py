"""The pointers' strict parsing, and reading them from a store."""

import json
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scalecast_assets.contract.challenger import Challenger
from scalecast_assets.contract.pointers import (
    ServingPointer,
    StatePointer,
    read_serving,
    read_state_pointer,
)
from scalecast_assets.contract.store import DirectoryStore, ObjectStore
from scalecast_assets.contract.strict_json import BundleError

SERVING: dict[str, Any] = {
    "format": 1,
    "version": "1.1.0",
    "manifest_sha256": "ab" * 32,
    "previous": "1.0.0",
}
ENTRY: dict[str, Any] = {
    "version": "1.2.0",
    "manifest_sha256": "ef" * 32,
    "share": 0.1,
    "mode": "split",
}
EARLIER: dict[str, Any] = SERVING | {"traffic": {"1.1.0": 1.0}}
"""As releases wrote it that knew no challenger."""
STATE: dict[str, Any] = {
    "format": 1,
    "sha256": "cd" * 32,
    "size": 123,
    "data_until": "2024-03-14",
    "contract_hash": "0123456789abcdef",
    "schema": 1,
}


def bytes_of(document: object) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "challenger",
    [
        None,
        Challenger("1.2.0", "ef" * 32, 0.1, "split"),
        Challenger("1.2.0", "ef" * 32, 1.0, "shadow"),
    ],
)
def test_a_serving_pointer_survives_the_round_trip(challenger: Challenger | None) -> None:
    pointer = ServingPointer("1.1.0", "ab" * 32, "1.0.0", challenger)
    assert ServingPointer.parse(pointer.to_bytes()) == pointer


def test_pointers_are_read_and_without_a_challenger_written_as_by_earlier_releases() -> None:
    pointer = ServingPointer.parse(bytes_of(EARLIER))
    assert pointer == ServingPointer("1.1.0", "ab" * 32, "1.0.0")
    assert json.loads(pointer.to_bytes()) == EARLIER


def test_a_state_pointer_survives_the_round_trip() -> None:
    pointer = StatePointer.parse(bytes_of(STATE))
    assert StatePointer.parse(pointer.to_bytes()) == pointer


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY | {"version": "1.1.0"},
        ENTRY | {"version": "newest"},
        ENTRY | {"version": None},
        ENTRY | {"manifest_sha256": "ef"},
        ENTRY | {"share": 0},
        ENTRY | {"share": 1},
        ENTRY | {"share": -0.1},
        ENTRY | {"share": 1.1, "mode": "shadow"},
        ENTRY | {"share": True},
        ENTRY | {"share": "0.1"},
        ENTRY | {"mode": "canary"},
        ENTRY | {"unknown": 1},
        {name: value for name, value in ENTRY.items() if name != "share"},
        {},
        [],
        "1.2.0",
        0,
    ],
)
def test_a_spoilt_challenger_leaves_the_champion_and_says_why(entry: object) -> None:
    pointer = ServingPointer.parse(bytes_of(SERVING | {"challenger": entry}))
    assert (pointer.version, pointer.challenger) == ("1.1.0", None)
    assert pointer.spoilt is not None
    assert "challeng" in pointer.spoilt
    assert ServingPointer.parse(pointer.to_bytes()) == replace(pointer, spoilt=None)


@pytest.mark.parametrize("traffic", [{"1.1.0": 0.9, "1.0.0": 0.1}, {}, [], "all", {"1.0.0": 1.0}])
def test_shares_that_no_release_wrote_leave_the_champion_and_say_why(traffic: object) -> None:
    pointer = ServingPointer.parse(bytes_of(SERVING | {"traffic": traffic}))
    assert pointer.spoilt is not None
    assert "traffic" in pointer.spoilt


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": "1"},
        {"version": None},
        {"version": "latest"},
        {"version": "../1.0.0"},
        {"manifest_sha256": "ab"},
        {"manifest_sha256": None},
        {"previous": "1.1.0"},
        {"previous": ""},
        {"unknown": 1},
    ],
)
def test_a_spoilt_serving_pointer_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"serving/model\.json"):
        ServingPointer.parse(bytes_of(SERVING | change))


@pytest.mark.parametrize(
    "change",
    [
        {"format": 0},
        {"sha256": "../../etc/passwd"},
        {"sha256": 1},
        {"size": 0},
        {"size": -1},
        {"size": 1e3},
        {"size": 2**60},
        {"data_until": "14.03.2024"},
        {"data_until": "2024-3-14"},
        {"data_until": None},
        {"contract_hash": ""},
        {"schema": 0},
        {"unknown": 1},
    ],
)
def test_a_spoilt_state_pointer_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"serving/state\.json"):
        StatePointer.parse(bytes_of(STATE | change))


@pytest.mark.parametrize("name", [name for name in SERVING if name != "format"])
def test_no_field_of_the_serving_pointer_may_be_missing(name: str) -> None:
    document = {field: value for field, value in SERVING.items() if field != name}
    with pytest.raises(BundleError, match=f"field '{name}' is missing"):
        ServingPointer.parse(bytes_of(document))


@pytest.mark.parametrize("name", [name for name in STATE if name != "format"])
def test_no_field_of_the_state_pointer_may_be_missing(name: str) -> None:
    document = {field: value for field, value in STATE.items() if field != name}
    with pytest.raises(BundleError, match=f"field '{name}' is missing"):
        StatePointer.parse(bytes_of(document))


@pytest.mark.parametrize(
    "data", [b"", b"null", b"\xff", b'{"format": 1, "format": 1}', b" " * 65_537 + b"{}"]
)
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"serving/model\.json"):
        ServingPointer.parse(data)


def test_a_pointer_that_cannot_be_read_back_cannot_be_written() -> None:
    with pytest.raises(BundleError, match="its own previous one"):
        ServingPointer("1.0.0", "ab" * 32, "1.0.0").to_bytes()
    itself = Challenger("1.0.0", "ab" * 32, 0.5, "split")
    with pytest.raises(BundleError, match="cannot challenge itself"):
        ServingPointer("1.0.0", "ab" * 32, None, itself).to_bytes()


def test_before_the_first_promotion_there_is_no_pointer(store: ObjectStore) -> None:
    assert read_serving(store) is None
    assert read_state_pointer(store) is None


def test_a_pointer_is_read_with_the_etag_to_swap_it_by(store: ObjectStore) -> None:
    etag = store.put("serving/model.json", bytes_of(SERVING))
    held = read_serving(store)
    assert held is not None
    assert (held.pointer.version, held.etag) == ("1.1.0", etag)
    store.put("serving/state.json", b"{")
    with pytest.raises(BundleError, match="no valid JSON"):
        read_state_pointer(store)


def test_a_huge_pointer_is_refused_unread(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    for key in ("serving/model.json", "serving/state.json"):
        store.put(key, b"")
        os.truncate(tmp_path / key, 256 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=r"serving/model\.json' is larger than 65536 bytes"):
            read_serving(store)
        with pytest.raises(BundleError, match=r"serving/state\.json' is larger than 65536 bytes"):
            read_state_pointer(store)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 << 20
