"""Bodies that are small to send and large to hold: refused before they are objects in memory."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from serving.bodies import MAX_VALUES, values_of
from serving.settings import Limits
from tests.serving.conftest import eventually, folder_home
from tests.serving.makers import OLD_REQUEST, World, set_up
from tests.serving.test_process import free_port, is_healthy, process

SIZE = Limits.batch_bytes
CONTAINER_BYTES = 512 << 20
"""What docker-compose.yml gives a sidecar."""

ROW = json.dumps(OLD_REQUEST).encode()
SERIES = {"type": "univariate_time_series", "name": "x", "frequency": "D"}
CONTINUE = json.dumps({"model": "scalecast", "options": {"horizon": 1}, "inputs": []}).encode()


def filled(head: bytes, part: bytes, tail: bytes) -> bytes:
    """As many parts as a body may have bytes for."""
    n = (SIZE - len(head) - len(tail)) // (len(part) + 1)
    return head + b",".join([part] * n) + tail


class Greedy(NamedTuple):
    path: str
    body: bytes
    media_type: str = "application/json"


ALMOST_A_ROW = b'{"date":"2024-02-17","store_id":"S","product_id":"P","promotion":true,"price":'
GREEDY = {
    "rows that are lists": Greedy("/predict/batch", filled(b'{"rows":[', b"[]", b"]}")),
    "rows that are objects": Greedy("/predict/batch", filled(b'{"rows":[', b"{}", b"]}")),
    "rows that are numbers": Greedy("/predict/batch", filled(b'{"rows":[', b"1", b"]}")),
    "rows within rows": Greedy("/predict/batch", b'{"rows":' + b"[" * (SIZE - 10)),
    "a row of many names": Greedy(
        "/predict/batch", filled(b'{"rows":[{', b'"a":1', b"}]}")
    ),
    "one endless text": Greedy("/predict/batch", b'{"rows":"' + b"\\" * (SIZE - 20) + b'"}'),
    "a text without an end": Greedy("/predict/batch", b'{"rows":[' + b'",' * (SIZE // 2 - 10)),
    "a plan of lists": Greedy("/forecast", filled(b'{"store_id":"S","plan":[', b"[]", b"]}")),
    "a series of lists": Greedy(
        "/v1/timeseries/forecast",
        filled(CONTINUE[:-2] + json.dumps(SERIES)[:-1].encode() + b',"series":[', b"[]", b"]}]}"),
    ),
    "something else": Greedy(
        "/v1/timeseries/forecast", filled(CONTINUE[:-1] + b',"metadata":{"x":[', b"[]", b"]}}")
    ),
    "one line": Greedy(
        "/predict/batch", filled(ALMOST_A_ROW + b"[", b"[]", b"]}"), "application/x-ndjson"
    ),
    "a line after half a text": Greedy(
        "/predict/batch",
        b'"\n' + filled(ALMOST_A_ROW + b"[", b"[]", b"]}")[:-100],
        "application/x-ndjson",
    ),
    "lines that look plain": Greedy(
        "/predict/batch",
        b"\n".join([ALMOST_A_ROW + b"[" + b"[]," * 20_000 + b"1]}"] * (SIZE // 61_000)),
        "application/x-ndjson",
    ),
}  # fmt: skip


class Sidecar(NamedTuple):
    url: str
    pid: int

    @property
    def most_memory(self) -> int:
        """Bytes that it has ever held (``VmHWM``)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Sidecar]:
    home = folder_home(tmp_path_factory.mktemp("greedy"))
    set_up(home.store, world)
    port = free_port()
    with process(home, port) as running:
        eventually(lambda: is_healthy(port), "the process answers", seconds=30)
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: httpx.get(f"{url}/ready").status_code == 200, "a model", seconds=30)
        yield Sidecar(url, running.pid)
        assert running.poll() is None


@pytest.mark.parametrize("name", GREEDY)
def test_eight_at_once_are_refused_and_leave_room(sidecar: Sidecar, name: str) -> None:
    asked = GREEDY[name]
    assert SIZE // 2 < len(asked.body) <= SIZE

    def ask(_: int) -> int:
        headers = {"Content-Type": asked.media_type}
        url = sidecar.url + asked.path
        reply = httpx.post(url, content=asked.body, headers=headers, timeout=60)
        return reply.status_code

    with ThreadPoolExecutor(8) as callers:
        assert set(callers.map(ask, range(8))) <= {400, 413, 422, 503}
    assert httpx.post(f"{sidecar.url}/predict", json=OLD_REQUEST).status_code == 200
    assert sidecar.most_memory < CONTAINER_BYTES


def test_marks_within_texts_are_no_values() -> None:
    crowded = json.dumps({"rows": [",[{" * MAX_VALUES, 2]}).encode()
    assert values_of(crowded) == 3
    for escaped in (rb"\"", rb"\\\"", rb"\\"):
        assert values_of(b'["' + (escaped + b",") * (MAX_VALUES + 1) + b'", {}]') == 3
    assert values_of(b'["\\\\"' + b",{}" * MAX_VALUES + b"]") == 2 * MAX_VALUES + 1


def test_the_largest_batch_with_the_longest_ids_is_no_crowd() -> None:
    row = OLD_REQUEST | {"store_id": "," * 200, "product_id": "[" * 200, "level": 90}
    body = json.dumps({"rows": [row] * 10_000}).encode()
    assert len(body) < SIZE
    assert values_of(body) < MAX_VALUES
