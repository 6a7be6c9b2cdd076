"""Model and state change under load; what is wrong is refused and the last good one serves on."""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import httpx
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from onnx import TensorProto

from scalecast_assets.contract.layout import (
    ENCODERS,
    MANIFEST,
    MODEL,
    MODEL_POINTER,
    REPORT,
    STATE_POINTER,
    model_key,
    state_key,
)
from scalecast_assets.contract.store import ObjectStore
from tests.serving.conftest import Home, bucket_home, eventually, running
from tests.serving.makers import (
    OLD_REQUEST,
    World,
    asking,
    graph_reading_a_file,
    linear_graph,
    make_world,
    point_at,
    promote,
    renamed,
    set_up,
    write_bundle,
    write_state,
)

N_SWAPS = 12


def answer(api: httpx.Client, **changes: Any) -> dict[str, Any]:
    reply = api.post("/predict", json=asking(**changes))
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def version(api: httpx.Client) -> str:
    return str(answer(api)["model_version"])


def test_a_model_that_appears_later_is_picked_up(any_home: Home, world: World) -> None:
    with running(any_home.settings) as api:
        assert api.post("/predict", json=OLD_REQUEST).status_code == 503

        set_up(any_home.store, world)

        eventually(
            lambda: api.post("/predict", json=OLD_REQUEST).status_code == 200, "a model is in"
        )
        assert api.get("/health").json() == {"status": "healthy", "model_loaded": True}


def test_swaps_under_load_fail_no_request_and_mix_no_versions(any_home: Home, world: World) -> None:
    """Version 1.n.0 always answers n + 1, so that a mixed answer would show."""
    store = any_home.store
    shas = {
        f"1.{n}.0": write_bundle(store, f"1.{n}.0", linear_graph({}, bias=n + 1.0), world.encoders)
        for n in range(3)
    }
    point_at(store, "1.0.0", shas["1.0.0"])
    write_state(store, world.panel())
    stop = threading.Event()
    answers: list[tuple[int, str, float]] = []

    with running(any_home.settings) as api:
        callers = [
            threading.Thread(target=_call_until, args=(api, stop, answers, n)) for n in range(3)
        ]
        for caller in callers:
            caller.start()
        for swap in range(N_SWAPS):
            name = f"1.{(swap + 1) % 3}.0"
            point_at(store, name, shas[name])
            eventually(lambda: answers[-1:] and answers[-1][1] == name, name)  # noqa: B023
            seen = len(answers) + 30
            eventually(lambda: len(answers) > seen, "more requests are answered")  # noqa: B023
        stop.set()
        for caller in callers:
            caller.join()

    assert len(answers) > 300
    assert {status for status, _, _ in answers} == {200}
    assert {found for _, found, _ in answers} == set(shas)
    assert all(prediction == int(found[2]) + 1 for _, found, prediction in answers)


def _call_until(
    api: httpx.Client, stop: threading.Event, answers: list[tuple[int, str, float]], caller: int
) -> None:
    dates = ["2024-03-10", "2024-03-15", "2024-04-20"]
    while not stop.is_set():
        reply = api.post("/predict", json=asking(date=dates[(len(answers) + caller) % 3]))
        body = reply.json()
        answers.append(
            (reply.status_code, body.get("model_version", reply.text), body.get("prediction", -1))
        )


def test_a_newer_state_moves_the_history_without_a_new_model(any_home: Home, world: World) -> None:
    set_up(any_home.store, world, linear_graph({"lag_1": 1.0}))
    with running(any_home.settings) as api:
        before = answer(api)
        later = make_world(seed=8)
        tomorrow = max(later.open_days["STORE_001"]).replace(day=15)
        for (shop, _), sold in later.sales.items():
            if shop == "STORE_001":
                sold[tomorrow] = 77.0
        write_state(any_home.store, later.panel())

        eventually(lambda: answer(api)["data_until"] == "2024-03-15", "the new state answers")

        after = answer(api, date="2024-03-16")
        assert (after["prediction"], after["model_version"]) == (77.0, before["model_version"])


Spoiler = Callable[[ObjectStore, World], None]


def _flip_a_byte(store: ObjectStore, key: str) -> None:
    data = bytearray(store.get(key).body)
    data[len(data) // 2] ^= 1
    store.put(key, bytes(data))


def _corrupt(name: str) -> Spoiler:
    def spoil(store: ObjectStore, world: World) -> None:
        sha256 = write_bundle(store, "1.1.0", linear_graph(), world.encoders)
        _flip_a_byte(store, model_key("1.1.0", name))
        point_at(store, "1.1.0", sha256)

    return spoil


def _truncated(store: ObjectStore, world: World) -> None:
    sha256 = write_bundle(store, "1.1.0", linear_graph(), world.encoders)
    key = model_key("1.1.0", MODEL)
    store.put(key, store.get(key).body[:-10])
    point_at(store, "1.1.0", sha256)


def _half_uploaded(store: ObjectStore, world: World) -> None:
    sha256 = write_bundle(store, "1.1.0", linear_graph(), world.encoders)
    store.delete(model_key("1.1.0", ENCODERS))
    point_at(store, "1.1.0", sha256)


def _no_manifest(store: ObjectStore, world: World) -> None:
    point_at(store, "1.1.0", "c" * 64)


def _other_manifest(store: ObjectStore, world: World) -> None:
    write_bundle(store, "1.1.0", linear_graph(), world.encoders)
    point_at(store, "1.1.0", "c" * 64)


def _manifest(**changes: Any) -> Spoiler:
    def spoil(store: ObjectStore, world: World) -> None:
        sha256 = write_bundle(
            store,
            "1.1.0",
            linear_graph(),
            world.encoders,
            spoil=lambda manifest: renamed(manifest, **changes),
        )
        point_at(store, "1.1.0", sha256)

    return spoil


def _escaping_path(store: ObjectStore, world: World) -> None:
    """Manifest.to_bytes would refuse to write this one, so its bytes are edited."""
    write_bundle(store, "1.1.0", linear_graph(), world.encoders)
    key = model_key("1.1.0", MANIFEST)
    data = store.get(key).body.replace(f'"{REPORT}"'.encode(), b'"../../../etc/passwd"')
    assert b"etc/passwd" in data
    store.put(key, data)
    point_at(store, "1.1.0", hashlib.sha256(data).hexdigest())


def _graph(onnx_graph: bytes) -> Spoiler:
    def spoil(store: ObjectStore, world: World) -> None:
        promote(store, "1.1.0", onnx_graph, world.encoders)

    return spoil


def _pointer(body: bytes) -> Spoiler:
    def spoil(store: ObjectStore, world: World) -> None:
        store.put(MODEL_POINTER, body)

    return spoil


BAD_MODELS: dict[str, tuple[Spoiler, str]] = {
    "a flipped bit in the graph": (_corrupt(MODEL), "expected sha256"),
    "a flipped bit in the encoders": (_corrupt(ENCODERS), "expected sha256"),
    "a flipped bit in a file that is not served": (_corrupt(REPORT), "expected sha256"),
    "a truncated graph": (_truncated, "bytes"),
    "a bundle half uploaded": (_half_uploaded, "missing"),
    "a bundle without manifest": (_no_manifest, "missing"),
    "a manifest with another checksum": (_other_manifest, "the pointer says"),
    "another feature contract": (_manifest(contract_hash="0" * 16), "feature contract"),
    "other features": (_manifest(features=("lag_1", "price")), "feature"),
    "a manifest of another version": (_manifest(version="1.2.0"), "says that it is of 1.2.0"),
    "a path that escapes": (_escaping_path, "plain file names"),
    "another input name": (_graph(linear_graph(input_name="x")), "expected one input 'features'"),
    "fifteen features": (_graph(linear_graph(width=15)), "expected one input 'features'"),
    "another input type": (
        _graph(linear_graph(element=TensorProto.DOUBLE)),
        "expected one input 'features'",
    ),
    "another output name": (_graph(linear_graph(output_name="y")), "expected one output 'demand'"),
    "two outputs": (_graph(linear_graph(n_outputs=2)), "expected one output 'demand'"),
    "a graph that predicts NaN": (_graph(linear_graph(bias=float("nan"))), "not finite"),
    "a graph that reads a file": (_graph(graph_reading_a_file("../../etc/passwd")), "model.onnx"),
    "a pickle for a graph": (_graph(b"cos\nsystem\n(S'id'\ntR."), "cannot be loaded"),
    "an empty graph": (_graph(b""), "cannot be loaded"),
    "a pointer that is no JSON": (_pointer(b"\x80\x04boom"), "no valid JSON"),
    "an empty pointer": (_pointer(b""), "no valid JSON"),
    "a pointer to a path": (
        _pointer(
            b'{"format": 1, "version": "../1.0.0", "manifest_sha256": "'
            + b"a" * 64
            + b'", "previous": null, "traffic": {"../1.0.0": 1.0}}'
        ),
        "version",
    ),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_a_bad_bundle_is_refused_with_a_reason_and_the_last_good_model_serves_on(
    home: Home, world: World, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoil, reason = BAD_MODELS[name]
    set_up(home.store, world)
    with running(home.settings) as api:
        before = answer(api)

        spoil(home.store, world)

        eventually(lambda: "is refused" in caplog.text, f"{name} is refused")
        assert reason in caplog.text
        assert "the last good one goes on serving" in caplog.text
        assert answer(api) == before
        assert api.get("/health").json() == {"status": "healthy", "model_loaded": True}

        promote(home.store, "1.3.0", linear_graph(), world.encoders)
        eventually(lambda: version(api) == "1.3.0", "the next good model answers")


def test_a_bad_bundle_at_the_start_leaves_the_sidecar_alive_without_a_model(
    home: Home, world: World
) -> None:
    set_up(home.store, world)
    _flip_a_byte(home.store, model_key("1.0.0", MODEL))
    with running(home.settings) as api:
        assert api.get("/health").json() == {"status": "healthy", "model_loaded": False}
        assert api.post("/predict", json=OLD_REQUEST).status_code == 503


def test_a_bundle_completed_later_is_tried_again(home: Home, world: World) -> None:
    set_up(home.store, world)
    sha256 = write_bundle(home.store, "1.1.0", linear_graph(), world.encoders)
    key = model_key("1.1.0", ENCODERS)
    encoders = home.store.get(key).body
    home.store.delete(key)
    with running(home.settings) as api:
        point_at(home.store, "1.1.0", sha256)
        home.store.put(key, encoders)

        eventually(lambda: version(api) == "1.1.0", "the completed bundle answers")


BAD_STATES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "flipped": (lambda data: data[:-500] + bytes([data[-500] ^ 1]) + data[-499:], "sha256"),
    "truncated": (lambda data: data[:-1], "bytes"),
    "a pickle": (lambda data: b"cos\nsystem\n(S'id'\ntR.", "bytes"),
}


@pytest.mark.parametrize("name", BAD_STATES)
def test_a_bad_state_is_refused_and_the_last_good_one_serves_on(
    home: Home, world: World, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoil, reason = BAD_STATES[name]
    set_up(home.store, world)
    with running(home.settings) as api:
        before = answer(api)

        write_state(home.store, make_world(seed=9).panel(), spoil)

        eventually(lambda: f"{STATE_POINTER} is refused" in caplog.text, "the state is refused")
        assert reason in caplog.text
        assert answer(api) == before


def test_a_state_with_objects_in_it_is_refused(
    home: Home, world: World, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The sha256 is right: only the content is a trap."""
    set_up(home.store, world)
    trap = tmp_path / "trap.npz"
    np.savez(trap, quantity=np.array([{"a": 1}], dtype=object))
    data = trap.read_bytes()
    with running(home.settings) as api:
        before = answer(api)
        good = write_state(home.store, make_world(seed=9).panel(), lambda _: data)
        bad = replace(good, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        home.store.put(state_key(bad.sha256), data)
        caplog.clear()
        home.store.put(STATE_POINTER, bad.to_bytes())

        eventually(lambda: "StateError" in caplog.text, "the trap is refused")
        assert answer(api)["data_until"] == before["data_until"]
        assert answer(api)["prediction"] == before["prediction"]


def test_model_and_state_of_different_calendars_never_meet(
    home: Home, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(home.store, world)
    with running(home.settings) as api:
        before = answer(api)
        write_state(home.store, world.panel("observed"))
        eventually(lambda: "the last good pair goes on serving" in caplog.text, "it is refused")
        assert answer(api) == before

        sha256 = write_bundle(
            home.store, "2.0.0", linear_graph(), world.encoders, calendar="observed"
        )
        point_at(home.store, "2.0.0", sha256)
        eventually(lambda: version(api) == "2.0.0", "the fitting pair answers")


def test_a_pointer_that_vanishes_leaves_the_model_serving(
    home: Home, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(home.store, world)
    with running(home.settings) as api:
        before = answer(api)
        home.store.delete(MODEL_POINTER)
        eventually(lambda: f"{MODEL_POINTER} is not there" in caplog.text, "it is noticed")
        assert answer(api) == before

        write_state(home.store, make_world(seed=10).panel())
        eventually(lambda: answer(api)["prediction"] != before["prediction"], "states still swap")
        assert version(api) == "1.0.0"


@pytest.fixture
def mortal_endpoint() -> Iterator[ThreadedMotoServer]:
    """An S3 endpoint of the test's own, which it may stop."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    yield server
    with contextlib.suppress(Exception):
        server.stop()


@pytest.mark.usefixtures("aws_environment")
def test_a_bucket_that_goes_away_leaves_the_model_serving(
    world: World, mortal_endpoint: ThreadedMotoServer, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = mortal_endpoint.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="mortal")
    home = bucket_home(client, "mortal", endpoint)
    set_up(home.store, world)
    with running(home.settings) as api:
        before = answer(api)

        mortal_endpoint.stop()

        eventually(lambda: f"{MODEL_POINTER} cannot be read" in caplog.text, "it is noticed")
        assert answer(api) == before
    client.close()


@pytest.mark.usefixtures("aws_environment")
def test_a_bucket_that_was_never_there_does_not_keep_the_sidecar_from_starting() -> None:
    home = bucket_home(None, "nowhere", "http://127.0.0.1:9")
    with running(home.settings) as api:
        assert api.get("/health").json() == {"status": "healthy", "model_loaded": False}
        assert api.post("/predict", json=OLD_REQUEST).status_code == 503
