"""A start without the store: the last good pair answers, marked stale, until the real one is in."""

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from scalecast_assets.contract.layout import MODEL, MODEL_POINTER, STATE_POINTER, model_key
from scalecast_assets.contract.store import DirectoryStore, ObjectStore, StoreUnavailable
from serving import standby
from serving.last_good import CURRENT, PREVIOUS, CannotKeep, LastGoodPairs, Record
from serving.reload import Reloader
from serving.settings import Settings
from tests.serving.conftest import Home, eventually, running
from tests.serving.makers import (
    OLD_REQUEST,
    World,
    asking,
    linear_graph,
    make_world,
    promote,
    set_up,
    write_state,
)
from tests.serving.test_operation import counted, reasons


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept pairs"


@pytest.fixture
def settings(home: Home, folder: Path) -> Settings:
    return replace(home.settings, kept_folder=folder)


def serve_once(home: Home, settings: Settings, world: World) -> None:
    """Let a sidecar serve version 1.0.0, keep it, and end."""
    set_up(home.store, world)
    assert settings.kept_folder is not None
    with running(settings):
        eventually((settings.kept_folder / CURRENT).exists, "the pair is kept")


@contextmanager
def away(store: ObjectStore) -> Iterator[None]:
    """A store that refuses every read, as a bucket does that cannot be reached."""
    assert isinstance(store, DirectoryStore)
    root, aside = store.root, store.root.with_name("aside")
    root.rename(aside)
    root.mkdir()
    for name in ("serving", "models", "state"):
        (root / name).symlink_to(aside / name)
    try:
        yield
    finally:
        for name in ("serving", "models", "state"):
            (root / name).unlink()
        root.rmdir()
        aside.rename(root)


def version(api: httpx.Client) -> str:
    reply = api.post("/predict", json=OLD_REQUEST)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["model_version"])


def test_without_the_store_the_last_good_pair_answers_and_is_marked(
    home: Home, settings: Settings, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    began = datetime.now(UTC)
    serve_once(home, settings, world)
    with away(home.store), running(settings) as api:
        reply = api.post("/predict", json=OLD_REQUEST)
        assert (reply.status_code, reply.json()["model_version"]) == (200, "1.0.0")
        ready = api.get("/ready")
        assert ready.status_code == 200
        assert ready.json()["stale"] is True
        since = datetime.fromisoformat(ready.json()["stale_since"])
        assert began < since < datetime.now(UTC)
        assert "serving/model.json cannot be read" in ready.json()["stale_because"]
        assert datetime.fromisoformat(reply.headers["X-Stale-Since"]) == since
        assert datetime.fromisoformat(api.get("/model").json()["stale_since"]) == since
        assert api.get("/health").json() == {
            "status": "healthy",
            "model_loaded": True,
            "stale": True,
        }
        assert counted(api, "scalecast_stale") == 1
        assert counted(api, "scalecast_reloads_total", what="kept", outcome="taken") == 1
    assert "the last good one, until the store has one" in caplog.text


def test_the_real_pointer_wins_as_soon_as_the_store_is_back(
    home: Home, settings: Settings, world: World
) -> None:
    serve_once(home, settings, world)
    promote(home.store, "1.1.0", linear_graph(bias=1.0), world.encoders)
    store_is_back = away(home.store)
    store_is_back.__enter__()
    with running(settings) as api:
        assert version(api) == "1.0.0"
        store_is_back.__exit__(None, None, None)

        eventually(lambda: version(api) == "1.1.0", "the real pointer wins")
        eventually(lambda: "stale" not in api.get("/ready").json(), "nothing is stale")
        assert "X-Stale-Since" not in api.get("/health").headers
        assert counted(api, "scalecast_stale") == 0
        assert api.get("/model").json()["stale_since"] is None


def test_a_store_that_hangs_does_not_hold_up_the_start(
    home: Home, settings: Settings, world: World, request: pytest.FixtureRequest
) -> None:
    serve_once(home, settings, world)
    request.getfixturevalue("aws_environment")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hanging = replace(settings, store_url="s3://bucket", aws_endpoint_url=endpoint)
        with running(hanging) as api:
            ready = api.get("/ready").json()
            assert (ready["model_version"], ready["stale"]) == ("1.0.0", True)
            assert ready["stale_because"] == "the store has not answered yet"
            assert version(api) == "1.0.0"


def test_a_promoted_bundle_that_is_refused_at_the_start_leaves_the_last_good_one_serving(
    home: Home, settings: Settings, world: World
) -> None:
    serve_once(home, settings, world)
    home.store.put(MODEL_POINTER, b"{}")
    write_state(home.store, make_world(seed=8).panel())
    with running(settings) as api:
        ready = api.get("/ready").json()
        assert (ready["model_version"], ready["stale"]) == ("1.0.0", True)
        assert "serving/model.json is refused" in ready["stale_because"]

        eventually(
            lambda: counted(api, "scalecast_reloads_total", what="pair", outcome="swapped") == 1,
            "the newer history answers with the kept model",
        )


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _no_version(path: Path) -> None:
    record = json.loads(path.read_text())
    record["model"] = record["model"].replace("1.0.0", "../..")
    path.write_text(json.dumps(record))


def _no_json(path: Path) -> None:
    path.write_bytes(b"\x80")


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "a flipped bit in the graph": (
        lambda kept: _flip(kept / model_key("1.0.0", MODEL)),
        "expected sha256",
    ),
    "a flipped bit in the history": (
        lambda kept: _flip(next(kept.glob("state/*/state.npz"))),
        "expected sha256",
    ),
    "a file that is gone": (lambda kept: (kept / model_key("1.0.0", MODEL)).unlink(), "missing"),
    "a record that is no JSON": (lambda kept: _no_json(kept / CURRENT), "valid JSON"),
    "a record that leads elsewhere": (lambda kept: _no_version(kept / CURRENT), "version"),
    "a record that is a link": (lambda kept: _link(kept / CURRENT), "symbolic link"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_last_good_pair_is_refused_and_nothing_is_served(
    home: Home, settings: Settings, world: World, folder: Path, name: str
) -> None:
    spoil, reason = SPOILT[name]
    serve_once(home, settings, world)
    spoil(folder)
    with away(home.store), running(settings) as api:
        assert set(reasons(api)) == {"model", "state", "kept"}
        assert reason in reasons(api)["kept"]
        assert api.post("/predict", json=OLD_REQUEST).status_code == 503
        assert counted(api, "scalecast_reloads_total", what="kept", outcome="refused") == 1


def test_if_the_current_pair_is_spoilt_the_one_before_answers(
    home: Home, settings: Settings, world: World, folder: Path
) -> None:
    serve_once(home, settings, world)
    with running(settings) as api:
        promote(home.store, "1.1.0", linear_graph(bias=1.0), world.encoders)
        eventually(lambda: version(api) == "1.1.0", "the next model answers")
        eventually(lambda: "1.1.0" in (folder / CURRENT).read_text(), "and is kept")
    _flip(folder / model_key("1.1.0", MODEL))
    with away(home.store), running(settings) as api:
        assert version(api) == "1.0.0"


def test_a_folder_that_cannot_be_written_is_told_once_and_serving_goes_on(
    home: Home, settings: Settings, world: World, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("in the way")
    set_up(home.store, world)
    with running(settings) as api:
        eventually(lambda: "serving goes on without it" in caplog.text, "it is told")
        promote(home.store, "1.1.0", linear_graph(bias=1.0), world.encoders)
        eventually(lambda: version(api) == "1.1.0", "swaps go on")
        assert counted(api, "scalecast_reloads_total", what="kept", outcome="unwritable") == 1
    assert caplog.text.count("serving goes on without it") == 1


def test_only_the_current_pair_and_the_one_before_are_kept(
    home: Home, world: World, folder: Path
) -> None:
    reloader = Reloader(home.store, 0.0, kept=LastGoodPairs(folder))
    for number in range(5):
        promote(home.store, f"1.{number}.0", linear_graph(bias=number), world.encoders)
        write_state(home.store, make_world(seed=number).panel())
        reloader.refresh()
        reloader._keep_last_good()
    assert sorted(one.name for one in (folder / "models").iterdir()) == ["1.3.0", "1.4.0"]
    assert len(list((folder / "state").iterdir())) == 2
    kept = sorted(one.name for one in (folder / "models" / "1.4.0").iterdir())
    assert kept == ["encoders.json", "manifest.json", "model.onnx"]
    found, problem = LastGoodPairs(folder).load()
    assert found is not None
    assert (found.model.version, problem) == ("1.4.0", None)


class Breaking:
    """A store that answers so many reads and then no more: as for a process that is killed."""

    def __init__(self, store: ObjectStore, reads: int) -> None:
        self._store = store
        self._left = reads

    def __getattr__(self, name: str) -> object:
        if name in ("get", "open"):
            if not self._left:
                raise StoreUnavailable("it went away")
            self._left -= 1
        return getattr(self._store, name)


def test_keeping_that_is_broken_off_anywhere_leaves_a_whole_pair(
    home: Home, world: World, folder: Path
) -> None:
    pairs = LastGoodPairs(folder)

    def record(number: int) -> Record:
        promote(home.store, f"1.{number}.0", linear_graph(bias=number), world.encoders)
        write_state(home.store, make_world(seed=number).panel())
        model, state = (home.store.get(key).body for key in (MODEL_POINTER, STATE_POINTER))
        return Record(model, state, datetime.now(UTC))

    pairs.keep(home.store, record(0))
    later = record(1)
    for reads in range(3):
        broken: ObjectStore = Breaking(home.store, reads)  # type: ignore[assignment]
        with pytest.raises(CannotKeep, match="went away"):
            pairs.keep(broken, later)
        found, problem = pairs.load()
        assert found is not None
        assert (found.model.version, problem) == ("1.0.0", None)
    pairs.keep(home.store, later)
    assert Record.parse((folder / PREVIOUS).read_bytes()) != later
    found, _ = pairs.load()
    assert found is not None
    assert found.model.version == "1.1.0"


def test_an_outage_that_lasts_is_marked_and_serving_goes_on(
    home: Home, settings: Settings, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "UNSEEN", timedelta(0))
    set_up(home.store, world)
    with running(settings) as api:
        assert "stale" not in api.get("/ready").json()
        with away(home.store):
            eventually(lambda: "stale" in api.get("/ready").json(), "the outage is marked")
            assert version(api) == "1.0.0"
        eventually(lambda: "stale" not in api.get("/ready").json(), "the store is back")


def test_where_pairs_are_kept(tmp_path: Path) -> None:
    def chosen(**more: str) -> Path | None:
        home = {"SCALECAST_HOME": str(tmp_path)}
        return Settings.from_environment({**home, **more}).kept_folder

    bucket = "s3://bucket"
    assert chosen() is None
    assert chosen(SCALECAST_STORE_URL=bucket) == tmp_path / "serving-cache"
    assert chosen(SCALECAST_STORE_URL=bucket, SCALECAST_SERVING_CACHE="off") is None
    assert chosen(SCALECAST_SERVING_CACHE="/var/cache/x") == Path("/var/cache/x")


def test_while_the_store_hangs_requests_that_wait_for_it_leave_forecasts_their_threads(
    home: Home, settings: Settings, world: World, request: pytest.FixtureRequest
) -> None:
    """More of them than there are threads."""
    serve_once(home, settings, world)
    request.getfixturevalue("aws_environment")
    with socket.socket() as silent, contextlib.ExitStack() as waiting:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hanging = replace(settings, store_url="s3://bucket", aws_endpoint_url=endpoint)
        with running(hanging) as api:
            assert api.base_url.port is not None
            for _ in range(30):
                for path in (b"/models", b"/model/report"):
                    one = socket.create_connection(("127.0.0.1", api.base_url.port))
                    waiting.callback(one.close)
                    one.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            for ahead in range(15, 25):  # each is rolled to, in a thread
                reply = api.post("/predict", json=asking(date=f"2024-03-{ahead}"), timeout=15)
                assert reply.status_code == 200
            waiting.close()
            silent.close()  # which ends what still waits for it
