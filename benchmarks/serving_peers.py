"""``/predict`` beside servers that are given the features, all with one fitted XGBoost.

    python -m benchmarks.serving_peers
    python -m benchmarks.serving_peers --environments ~/peers --only mlserver

MLflow, MLServer and BentoML are installed with pip, each into a virtual environment of its own in
``--environments``, and found there the next time. They get the sixteen features ready-made; ours
gets ids, day, price and promotion, and finds the history itself. Every server has one process on
one core, wrk has another; they take turns, round by round. That all forecast the same demand is
checked first.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.load import Load, free_port, module, require_wrk, server, wrk
from benchmarks.serving_store import make_store, question
from scalecast_assets.contract.features import as_model_input, features_one
from scalecast_assets.contract.store import DirectoryStore
from serving.forecaster import Forecaster
from serving.model import load_model
from serving.state import load_state

ROUNDS: Final = 5
SERIES: Final = 30_000
XGBOOST: Final = "xgboost-cpu==3.2.0"
MODEL: Final = "model.json"

Serve = Callable[[Path, int], tuple[list[str], dict[str, str]]]


@dataclass(frozen=True)
class Peer:
    """A server of models: what to install, the command that serves, and what it is asked."""

    name: str
    packages: tuple[str, ...]
    serve: Serve
    """Folder (with the model and ``bin/``'s commands beside it) and port to command and settings;
    writes what the server needs into the folder."""
    route: str
    ready: str
    body: Callable[[list[float]], Any]
    read: Callable[[Any], float]


def _mlflow(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    save = (
        "import mlflow.xgboost, xgboost; b = xgboost.Booster(); b.load_model('model.json');"
        "mlflow.xgboost.save_model(b, 'saved')"
    )
    shutil.rmtree(folder / "saved", ignore_errors=True)  # of an earlier run
    subprocess.run([folder / "bin" / "python", "-c", save], cwd=folder, check=True)
    options = ["--env-manager", "local", "--workers", "1", "--port", str(port)]
    command = [str(folder / "bin" / "mlflow"), "models", "serve", "-m", str(folder / "saved")]
    path = f"{folder / 'bin'}:/usr/bin:/bin"
    return [*command, *options], {"PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}


def _mlserver(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    settings = {
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,
        "host": "127.0.0.1",
        "debug": False,
    }
    model = {
        "name": "demand",
        "implementation": "mlserver_xgboost.XGBoostModel",
        "parameters": {"uri": f"./{MODEL}"},
    }
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    return [str(folder / "bin" / "mlserver"), "start", str(folder)], {}


def _bentoml(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    (folder / "service.py").write_text(
        "import bentoml, numpy, xgboost\n"
        "from numpy.typing import NDArray\n\n\n"
        "@bentoml.service(workers=1)\n"
        "class Demand:\n"
        "    def __init__(self):\n"
        "        self.booster = xgboost.Booster({'nthread': 1})\n"
        f"        self.booster.load_model({str(folder / MODEL)!r})\n\n"
        "    @bentoml.api\n"
        "    def predict(self, rows: list[list[float]]) -> list[float]:\n"
        "        asked = numpy.asarray(rows, dtype=numpy.float32)\n"
        "        return self.booster.inplace_predict(asked).tolist()\n",
        encoding="utf-8",
    )
    command = [str(folder / "bin" / "bentoml"), "serve", "service:Demand", "--port", str(port)]
    options = ["--host", "127.0.0.1", "--working-dir", str(folder)]
    return [*command, *options], {
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(folder),
        "BENTOML_CONFIG_OPTIONS": "services.logging.access.enabled=false",
    }


PEERS: Final = (
    Peer(
        "mlflow",
        ("mlflow==3.17.2",),
        _mlflow,
        "/invocations",
        "/ping",
        lambda row: {"inputs": [row]},
        lambda reply: float(reply["predictions"][0]),
    ),
    Peer(
        "mlserver",
        ("mlserver==1.7.1", "mlserver-xgboost==1.7.1"),
        _mlserver,
        "/v2/models/demand/infer",
        "/v2/models/demand/ready",
        lambda row: {
            "inputs": [{"name": "x", "shape": [1, len(row)], "datatype": "FP32", "data": row}]
        },
        lambda reply: float(reply["outputs"][0]["data"][0]),
    ),
    Peer(
        "bentoml",
        ("bentoml==1.4.40",),
        _bentoml,
        "/predict",
        "/readyz",
        lambda row: {"rows": [row]},
        lambda reply: float(reply[0]),
    ),
)


def environment(peer: Peer, folder: Path) -> Path:
    """Return the peer's virtual environment, made and filled if it is not there."""
    home = folder / peer.name
    if not (home / "installed").exists():
        print(f"installing {', '.join(peer.packages)} into {home} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, XGBOOST, *peer.packages], check=True)
        (home / "installed").touch()
    return home


@contextmanager
def running(peer: Peer, home: Path, booster: Any) -> Iterator[tuple[str, int]]:
    """Serve the booster with the peer on core 0; yields address of the route and process id."""
    booster.save_model(home / MODEL)
    port = free_port()
    command, settings = peer.serve(home, port)
    with server(command, port, settings, {0}, ready=peer.ready, seconds=180) as (url, _, pid):
        yield f"{url}{peer.route}", pid


def ask(url: str, body: bytes) -> Any:
    """POST once and return what came back."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def feature_row(store: DirectoryStore, asked: dict[str, Any]) -> list[float]:
    """Return the sixteen features of the question, which the peers are given."""
    forecaster = Forecaster(
        load_model(store, store.get("serving/model.json").body),
        load_state(store, store.get("serving/state.json").body),
    )
    panel, encoders = forecaster.state.panel, forecaster.model.encoders
    series = panel.find(asked["store_id"], asked["product_id"])
    assert series is not None
    row, _ = features_one(
        panel,
        series,
        np.datetime64(asked["date"]).astype("datetime64[D]").astype(int).item(),
        asked["price"],
        asked["promotion"],
        encoders.store_code(asked["store_id"]),
        encoders.product_code(asked["product_id"]),
    )
    return [float(one) for one in as_model_input(row)[0].tolist()]


def measure(store: DirectoryStore, store_url: str, booster: Any, homes: dict[str, Path]) -> None:
    """Print the rate and tail of each server and how many times the peers' rate ours is."""
    asked = question(store)
    row = feature_row(store, asked)
    loads: dict[str, list[Load]] = {}
    with ExitStack() as stack:
        url, _, pid = stack.enter_context(module("serving", store_url, {0}))
        servers = {"scalecast": (f"{url}/predict", pid, json.dumps(asked).encode())}
        expected = float(ask(*servers["scalecast"][::2])["prediction"])
        for peer in PEERS:
            if peer.name not in homes:
                continue
            address, pid = stack.enter_context(running(peer, homes[peer.name], booster))
            body = json.dumps(peer.body(row)).encode()
            found = peer.read(ask(address, body))
            if abs(found - expected) > 1e-4 * max(1.0, expected):
                raise SystemExit(f"{peer.name} forecasts {found}, ScaleCast {expected}")
            servers[peer.name] = (address, pid, body)
        for name, (address, pid, body) in list(servers.items()) * ROUNDS:
            loads.setdefault(name, []).append(wrk(address, pid, body, 1))
    for name, found_loads in loads.items():
        middle = sorted(found_loads)[ROUNDS // 2]
        times = sorted(
            a.rate / b.rate for a, b in zip(loads["scalecast"], found_loads, strict=True)
        )
        beside = "" if name == "scalecast" else f"   scalecast / it {times[ROUNDS // 2]:.1f}"
        print(
            f"{name:<10} {middle.rate:7.0f} requests/s  p50 {middle.p50:7.2f}  "
            f"p99 {middle.p99:7.2f} ms{beside}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving_peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = Path(tempfile.gettempdir()) / "scalecast-peers"
    parser.add_argument("--environments", type=Path, default=default, metavar="DIR")
    parser.add_argument("--only", choices=[peer.name for peer in PEERS], action="append")
    given = parser.parse_args()
    require_wrk()
    chosen = [peer for peer in PEERS if not given.only or peer.name in given.only]
    homes = {peer.name: environment(peer, given.environments.absolute()) for peer in chosen}
    with tempfile.TemporaryDirectory() as folder:
        store = DirectoryStore(folder)
        fitted = make_store(store, SERIES)
        measure(store, Path(folder).as_uri(), fitted.native, homes)


if __name__ == "__main__":
    main()
