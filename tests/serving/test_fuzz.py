"""Every reader of others' bytes, given good bytes that were spoilt: it reads them or refuses them.

The longer run, with the reloader and in a process of bounded memory, is
``python -m benchmarks.fuzz_bundles``.
"""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz_bundles import spoil
from scalecast_assets.contract.bundle import Manifest
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.intervals import IntervalTable
from scalecast_assets.contract.layout import MANIFEST, MODEL_POINTER, STATE_POINTER, model_key
from scalecast_assets.contract.pointers import ServingPointer, StatePointer
from scalecast_assets.contract.state import panel_from_bytes, panel_to_bytes
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.contract.strict_json import BundleError
from serving.errors import ApiError
from serving.last_good import CURRENT, LastGoodPairs, Record
from serving.rows import from_json, from_lines
from tests.interval_tables import plain_table
from tests.serving.makers import OLD_REQUEST, World, set_up

Reader = Callable[[bytes], Any]

READERS: dict[str, tuple[Reader, type[Exception]]] = {
    "manifest": (Manifest.parse, BundleError),
    "encoders": (Encoders.parse, BundleError),
    "intervals": (IntervalTable.parse, BundleError),
    "model pointer": (ServingPointer.parse, BundleError),
    "state pointer": (StatePointer.parse, BundleError),
    "history": (panel_from_bytes, BundleError),
    "observed history": (panel_from_bytes, BundleError),
    "record of a kept pair": (Record.parse, BundleError),
    "rows": (from_json, ApiError),
    "lines": (from_lines, ApiError),
}
"""What reads, and how it refuses."""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, world: World) -> dict[str, bytes]:
    """Bytes that each reader takes."""
    store = DirectoryStore(tmp_path_factory.mktemp("good"))
    set_up(store, world)
    row = json.dumps(OLD_REQUEST).encode()
    pointers = [store.get(key).body for key in (MODEL_POINTER, STATE_POINTER)]
    kept = LastGoodPairs(tmp_path_factory.mktemp("kept"))
    kept.keep(store, Record(pointers[0], pointers[1], datetime.now(UTC)))
    return {
        "manifest": store.get(model_key("1.0.0", MANIFEST)).body,
        "encoders": world.encoders.to_bytes(),
        "intervals": plain_table().to_bytes(),
        "model pointer": pointers[0],
        "state pointer": pointers[1],
        "history": panel_to_bytes(world.panel()),
        "observed history": panel_to_bytes(world.panel("observed")),
        "record of a kept pair": (kept.folder / CURRENT).read_bytes(),
        "rows": b'{"rows": [' + b", ".join([row] * 3) + b"]}",
        "lines": b"\n".join([row] * 3),
    }


def assert_read_or_refused(name: str, data: bytes) -> None:
    """Fail if the reader does anything else, or refuses without a word."""
    reader, refusal = READERS[name]
    reason = "read"
    try:
        reader(data)
    except refusal as error:
        reason = str(error)
    assert reason


@pytest.mark.parametrize("name", READERS)
def test_what_is_not_spoilt_is_read(good: dict[str, bytes], name: str) -> None:
    assert READERS[name][0](good[name]) is not None


@pytest.mark.parametrize("name", READERS)
@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32))
def test_spoilt_bytes_are_read_or_refused_and_nothing_else(
    good: dict[str, bytes], name: str, seed: int
) -> None:
    assert_read_or_refused(name, spoil(good[name], random.Random(seed)))


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60, deadline=None, database=None)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_and_nothing_else(name: str, data: bytes) -> None:
    assert_read_or_refused(name, data)


@pytest.mark.parametrize("name", READERS)
def test_every_beginning_of_good_bytes_is_refused_or_read(
    good: dict[str, bytes], name: str
) -> None:
    data = good[name]
    for end in range(0, len(data), max(len(data) // 60, 1)):
        assert_read_or_refused(name, data[:end])
