"""The pointers' strict parsing, and reading them from a store."""

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

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
    "traffic": {"1.1.0": 0.9, "1.0.0": 0.1},
}
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


def test_a_serving_pointer_survives_the_round_trip() -> None:
    pointer = ServingPointer.parse(bytes_of(SERVING))
    assert pointer == ServingPointer("1.1.0", "ab" * 32, "1.0.0", {"1.1.0": 0.9, "1.0.0": 0.1})
    assert ServingPointer.parse(pointer.to_bytes()) == pointer


def test_a_state_pointer_survives_the_round_trip() -> None:
    pointer = StatePointer.parse(bytes_of(STATE))
    assert StatePointer.parse(pointer.to_bytes()) == pointer


def test_equal_pointers_have_equal_bytes() -> None:
    one = ServingPointer("1.1.0", "ab" * 32, None, {"1.1.0": 0.5, "1.0.0": 0.5})
    two = ServingPointer("1.1.0", "ab" * 32, None, {"1.0.0": 0.5, "1.1.0": 0.5})
    assert one.to_bytes() == two.to_bytes()


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
        {"traffic": {}},
        {"traffic": None},
        {"traffic": {"1.0.0": 1.0}},
        {"traffic": {"1.1.0": 0.5}},
        {"traffic": {"1.1.0": 1.5, "1.0.0": -0.5}},
        {"traffic": {"1.1.0": 1.0, "1.0.0": 0}},
        {"traffic": {"1.1.0": True}},
        {"traffic": {"1.1.0": "1"}},
        {"traffic": {"1.1.0": float("nan")}},
        {"traffic": {"1.1.0": 0.5, "newest": 0.5}},
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
    with pytest.raises(BundleError, match="add up to 1"):
        ServingPointer("1.0.0", "ab" * 32, None, {"1.0.0": 0.5}).to_bytes()


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
