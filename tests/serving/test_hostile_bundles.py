"""Bundles and histories made to do harm: refused with a reason, and the last good pair serves on.

Their checksums are right: whoever can write a bundle can write those. Bundles that are merely
damaged are in ``test_hot_swap.py``; mutations at random in ``test_fuzz.py``.
"""

import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scalecast_assets.contract.bundle import MAX_MANIFEST_BYTES, Manifest
from scalecast_assets.contract.encoders import MAX_ENCODERS_BYTES
from scalecast_assets.contract.intervals import MAX_INTERVALS_BYTES
from scalecast_assets.contract.layout import (
    ENCODERS,
    INTERVALS,
    MANIFEST,
    MODEL,
    MODEL_POINTER,
    STATE_POINTER,
    model_key,
    state_key,
)
from scalecast_assets.contract.pointers import MAX_POINTER_BYTES, StatePointer
from scalecast_assets.contract.store import DirectoryStore
from serving import state as serving_state
from serving import trial
from serving.memory import free_bytes
from serving.reload import Reloader
from tests.serving.conftest import Home
from tests.serving.hostile_graphs import endless_loop, enormous_constant, outer_product
from tests.serving.makers import (
    World,
    graph_reading_a_file,
    linear_graph,
    point_at,
    promote,
    set_up,
    write_bundle,
    write_state,
)

VERSION = "1.1.0"
Attack = Callable[[DirectoryStore, World], None]


def _graph(make: Callable[[], bytes]) -> Attack:
    return lambda store, world: promote(store, VERSION, make(), world.encoders)


def _file(name: str, data: Callable[[], bytes]) -> Attack:
    """A bundle in which one file is ``data``, with the right checksum wherever one may be given."""

    def attack(store: DirectoryStore, world: World) -> None:
        write_bundle(store, VERSION, linear_graph(), world.encoders)
        manifest = Manifest.parse(store.get(model_key(VERSION, MANIFEST)).body)
        body = data()
        store.put(model_key(VERSION, name), body)
        entry = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}
        document = json.loads(manifest.to_bytes())
        document["files"][name] = entry
        text = json.dumps(document).encode()
        store.put(model_key(VERSION, MANIFEST), text)
        point_at(store, VERSION, hashlib.sha256(text).hexdigest())

    return attack


def _manifest(change: Callable[[bytes], bytes]) -> Attack:
    def attack(store: DirectoryStore, world: World) -> None:
        write_bundle(store, VERSION, linear_graph(), world.encoders)
        key = model_key(VERSION, MANIFEST)
        data = change(store.get(key).body)
        store.put(key, data)
        point_at(store, VERSION, hashlib.sha256(data).hexdigest())

    return attack


def _state(make: Callable[[bytes], bytes]) -> Attack:
    def attack(store: DirectoryStore, world: World) -> None:
        good = write_state(store, world.panel())
        data = make(store.get(state_key(good.sha256)).body)
        sha256 = hashlib.sha256(data).hexdigest()
        store.put(state_key(sha256), data)
        store.put(STATE_POINTER, replace(good, sha256=sha256, size=len(data)).to_bytes())

    return attack


def _pointer(key: str, body: bytes) -> Attack:
    return lambda store, world: void(store.put(key, body))


def void(_: object) -> None:
    """Nothing."""


def _compressed(good: bytes) -> bytes:
    """A member of 64 MB of zeros in a file of 64 KB."""
    out = io.BytesIO(good)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("carry2.npy", b"\0" * (64 << 20))
    return out.getvalue()


def _claiming(good: bytes) -> bytes:
    """An array whose header says that it has a thousand times its elements."""
    at = good.index(b"(6, 70)")
    return good[:at] + b"(9**9,)"[:7] + good[at + 7 :]


def _linked(store: DirectoryStore, world: World) -> None:
    write_bundle(store, VERSION, linear_graph(), world.encoders)
    graph = store.root / "models" / VERSION / MODEL
    aside = store.root.parent / "outside.onnx"
    graph.rename(aside)
    graph.symlink_to(aside)
    sha256 = hashlib.sha256(store.get(model_key(VERSION, MANIFEST)).body).hexdigest()
    point_at(store, VERSION, sha256)


NESTED = b'{"format": 1, "stores": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
MANY = b'{"format": 1, "stores": [' + b"[]," * 2_000_000 + b"[]]}"

ATTACKS: dict[str, tuple[Attack, str]] = {
    "a graph that asks for gigabytes": (_graph(enormous_constant), "in a trial it fails"),
    "a graph that grows with the rows": (_graph(outer_product), "in a trial it fails"),
    "weights in an absolute path": (_graph(lambda: graph_reading_a_file("/etc/passwd")), MODEL),
    "weights beside the process": (_graph(lambda: graph_reading_a_file(".env")), MODEL),
    "encoders nested deeply": (_file(ENCODERS, lambda: NESTED), "nested too deeply"),
    "encoders of millions of values": (_file(ENCODERS, lambda: MANY), "more than 1,000,000 values"),
    "encoders too large": (
        _file(ENCODERS, lambda: b" " * (MAX_ENCODERS_BYTES + 1)),
        "field 'size'",
    ),
    "encoders that are a pickle": (
        _file(ENCODERS, lambda: b"cos\nsystem\n(S'false'\ntR."),
        "no valid JSON",
    ),
    "codes that are huge": (
        _file(ENCODERS, lambda: b'{"format": 1, "stores": {"a": 1' + b"0" * 5_000 + b"}}"),
        "no valid JSON",
    ),
    "intervals that are no table": (_file(INTERVALS, lambda: b"{}"), "'format' is missing"),
    "intervals too large": (
        _file(INTERVALS, lambda: b" " * (MAX_INTERVALS_BYTES + 1)),
        "field 'size'",
    ),
    "a manifest nested deeply": (_manifest(lambda _: b"[" * 100_000), "nested too deeply"),
    "a manifest without end": (
        _manifest(lambda data: data + b" " * MAX_MANIFEST_BYTES),
        "larger than",
    ),
    "a manifest with a name twice": (
        _manifest(lambda data: data.replace(b"{", b'{"version": "9.9.9",', 1)),
        "occurs twice",
    ),
    "a graph behind a link": (_linked, "symbolic link"),
    "a pointer nested deeply": (_pointer(MODEL_POINTER, b"[" * 60_000), "nested too deeply"),
    "a pointer too large": (
        _pointer(MODEL_POINTER, b" " * (MAX_POINTER_BYTES + 1)),
        "larger than 65536 bytes",
    ),
    "a history with a bomb in it": (_state(_compressed), "do not belong"),
    "a history that claims more than it has": (_state(_claiming), "state: "),
    "a history that is a pickle": (_state(lambda _: b"cos\nsystem\n(S'false'\ntR."), "state file"),
    "a history cut in the middle": (_state(lambda data: data[: len(data) // 2]), "state file"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_with_a_reason_and_the_last_good_pair_serves_on(
    home: Home, world: World, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    attack, reason = ATTACKS[name]
    assert isinstance(home.store, DirectoryStore)
    outcomes: list[str] = []
    set_up(home.store, world)
    reloader = Reloader(home.store, 0.0, lambda what, outcome: outcomes.append(outcome))
    reloader.refresh()
    before = reloader.current

    attack(home.store, world)
    reloader.refresh()

    assert reloader.current is before
    assert reason in caplog.text
    assert "the last good one goes on serving" in caplog.text
    assert {"refused", "unreadable"} & set(outcomes)


def test_a_graph_that_loops_for_ever_is_given_up(
    home: Home, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(home.store, world)
    reloader = Reloader(home.store, 0.0)
    reloader.refresh()
    monkeypatch.setattr(trial, "SECONDS", 2.0)
    promote(home.store, VERSION, endless_loop(), world.encoders)

    reloader.refresh()

    assert "in a trial it took more than 2 s" in caplog.text
    assert reloader.current is not None
    assert reloader.current.model.version == "1.0.0"


def test_a_graph_that_ends_the_process_that_tries_it_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What onnxruntime would have to crash of is not known; a child that dies of it stands in."""
    deadly = tmp_path / "deadly.py"
    deadly.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(trial, "__file__", str(deadly))

    with pytest.raises(trial.TrialFailed, match="signal 11"):
        trial.try_apart(b"anything", "a" * 64)


def test_a_trial_sees_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told.json"
    curious = tmp_path / "curious.py"
    curious.write_text(
        f"import json, os\nopen({str(told)!r}, 'w').write(json.dumps(dict(os.environ)))\n"
    )
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("SCALECAST_DATABASE_URL", "postgresql://u:secret@h/d")
    monkeypatch.setattr(trial, "__file__", str(curious))

    trial.try_apart(b"anything", "b" * 64)

    assert "secret" not in told.read_text()
    assert "PATH" in json.loads(told.read_text())


def test_a_history_larger_than_the_memory_that_is_left_is_refused_unread(
    home: Home, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(home.store, DirectoryStore)
    set_up(home.store, world)
    reloader = Reloader(home.store, 0.0)
    reloader.refresh()
    monkeypatch.setattr(serving_state, "free_bytes", lambda: 3 << 30)
    good = StatePointer.parse(home.store.get(STATE_POINTER).body)
    key = state_key("d" * 64)
    home.store.put(key, b"")
    os.truncate(home.store.root / key, 2 << 30)  # a file with a hole in it takes no room
    home.store.put(STATE_POINTER, replace(good, sha256="d" * 64, size=2 << 30).to_bytes())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    reloader.refresh()

    assert "2048 MiB, and loading takes 3 times that; 3072 MiB are free" in caplog.text
    assert reloader.current is not None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < 100 << 10


def test_the_memory_that_is_left_is_the_least_of_machine_and_container(tmp_path: Path) -> None:
    machine = tmp_path / "meminfo"
    machine.write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    group = tmp_path / "cgroup"
    assert free_bytes(machine, group) == 4000 << 10
    group.mkdir()
    for name, text in (("max", "3000000"), ("current", "1000000")):
        (group / f"memory.{name}").write_text(text + "\n")
    (group / "memory.stat").write_text("anon 5\ninactive_file 500000\n")
    assert free_bytes(machine, group) == 2_500_000
    (group / "memory.max").write_text("max\n")
    assert free_bytes(machine, group) == 4000 << 10
    assert free_bytes(tmp_path / "none", tmp_path / "nothing") is None


def test_the_fuzzer_finds_nothing_in_a_process_of_bounded_memory() -> None:
    """A short run of ``python -m benchmarks.fuzz_bundles``, other faults each time it changes."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "benchmarks.fuzz_bundles", "--rounds", "50"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "problems: 0" in done.stdout
