"""The sidecar under load, beside what it could be at best, in one run.

    python -m benchmarks.serving

* ``/predict``: requests per second, p50 and p99 with wrk (``apt install wrk``), beside a FastAPI
  route with the same request and response models that does nothing; server on one core, wrk on
  another, the two servers in turn.
* ``/predict/batch``: rows per second of its inner path on 10,000 rows beside a bare onnxruntime
  call on the same features, beside XGBoost's own ``inplace_predict``, and over HTTP.
* resident memory with the state of 30,000 series, and the time from start to ready.

The model is XGBoost with the parameters of a real run, fitted on seeded sales of those series.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import psutil

from benchmarks.serving_store import make_store
from scalecast_assets.contract.features import as_model_input, features
from scalecast_assets.contract.store import DirectoryStore, ObjectStore
from scalecast_assets.forecasting.candidates.base import FittedModel
from serving.batch import Questions
from serving.forecaster import Forecaster
from serving.model import load_model
from serving.state import load_state
from serving.wide import THREADS, WidePredictor

ROUNDS: Final = 5
SECONDS: Final = 4
CONNECTIONS: Final = 16
ROWS: Final = 10_000
SERIES: Final = 30_000
ROOT: Final = Path(__file__).resolve().parents[1]


class Load(NamedTuple):
    """What wrk measured: requests per second, milliseconds; the server's own µs per request."""

    rate: float
    p50: float
    p99: float
    cpu: float


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(command: list[str], store_url: str, cores: set[int]) -> Iterator[tuple[str, float, int]]:
    """Run a server; yields its address, the seconds from start to ready, and its process id."""
    port = free_port()
    environment = {
        **os.environ,
        "SCALECAST_STORE_URL": store_url,
        "SCALECAST_API_PORT": str(port),
        "SCALECAST_LOG_LEVEL": "error",
    }
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                with urllib.request.urlopen(f"{url}/ready") as reply:
                    reply.read()
                break
            except OSError:
                if process.poll() is not None or time.perf_counter() - began > 60:
                    raise SystemExit(f"{command} did not get ready") from None
                time.sleep(0.01)
        yield url, time.perf_counter() - began, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process until now, which other processes do not add to."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def wrk(url: str, pid: int, body: bytes, core: int) -> Load:
    """Put one route of the process under load from ``core``."""
    before = cpu_seconds(pid)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
            f"wrk.body = {json.dumps(body.decode())}\n"
        )
        script.flush()
        command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s"]
        done = subprocess.run(
            [*command, "--latency", "-s", script.name, f"{url}/predict"],
            capture_output=True,
            text=True,
            check=True,
        )
    text = done.stdout
    if "Non-2xx" in text:
        raise SystemExit(f"{url} answered errors:\n{text}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]
    n = int(re.search(r"(\d+) requests in", text)[1])  # type: ignore[index]
    cpu = (cpu_seconds(pid) - before) / n * 1e6
    return Load(rate, _milliseconds(text, "50%"), _milliseconds(text, "99%"), cpu)


def _milliseconds(text: str, percentile: str) -> float:
    number, unit = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)\b", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def measure_predict(store_url: str, body: bytes) -> None:
    """Print the rates of both servers, round by round, and their ratio."""
    ours: list[Load] = []
    nothing: list[Load] = []
    with (
        server(["serving"], store_url, {0}) as (url, _, pid),
        server(["benchmarks.serving_nothing"], store_url, {0}) as (empty, _, empty_pid),
    ):
        wrk(url, pid, body, 1)
        wrk(empty, empty_pid, body, 1)
        for _ in range(ROUNDS):
            ours.append(wrk(url, pid, body, 1))
            nothing.append(wrk(empty, empty_pid, body, 1))
    for name, loads in (("/predict", ours), ("does nothing", nothing)):
        middle = sorted(loads)[len(loads) // 2]
        print(
            f"{name:<14} {middle.rate:8.0f} requests/s  p50 {middle.p50:.2f}  "
            f"p99 {middle.p99:.2f} ms  {middle.cpu:.0f} µs of processor a request"
        )
    ratios = sorted(a.rate / b.rate for a, b in zip(ours, nothing, strict=True))
    tails = sorted(a.p99 / b.p99 for a, b in zip(ours, nothing, strict=True))
    print(
        f"ratio of the rates {ratios[ROUNDS // 2]:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), "
        f"of the p99 {tails[ROUNDS // 2]:.2f}, of the processor time "
        f"{sorted(a.cpu / b.cpu for a, b in zip(ours, nothing, strict=True))[ROUNDS // 2]:.2f}"
    )


def rows_per_second(work: Callable[[], Any], rows: int, seconds: float = 3.0) -> float:
    """Return the best of the runs that fit into ``seconds``."""
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return rows / best


def measure_batch(store: ObjectStore, store_url: str, fitted: FittedModel) -> None:
    """Print rows per second of the inner path and of what it is made of."""
    forecaster = Forecaster(
        load_model(store, store.get("serving/model.json").body),
        load_state(store, store.get("serving/state.json").body),
    )
    panel = forecaster.state.panel
    random = np.random.default_rng(1)
    series = random.integers(0, panel.n_series, ROWS)
    store_of, product_of = panel.series_store[series], panel.series_product[series]
    questions = Questions(
        day=panel.until[store_of].astype(np.int64) + 1 - random.integers(0, 50, ROWS),
        store_id=[panel.stores[one] for one in store_of.tolist()],
        product_id=[panel.products[one] for one in product_of.tolist()],
        price=random.uniform(1, 20, ROWS),
        promotion=random.random(ROWS) < 0.2,
        level=np.full(ROWS, 80),
    )
    batch = forecaster.batch
    matrix, _ = features(
        panel,
        series,
        questions.day,
        questions.price,
        questions.promotion,
        forecaster.codes.store[series],
        forecaster.codes.product[series],
    )
    rows = as_model_input(matrix)
    booster: Any = fitted.native
    rates = {
        "inner path": rows_per_second(
            lambda: batch.answer(questions, batch.locate(questions)), ROWS
        ),
        f"onnxruntime, {THREADS} threads": rows_per_second(
            lambda: WidePredictor(forecaster.model.predictor)(rows), ROWS
        ),
        "onnxruntime, 1 thread": rows_per_second(lambda: forecaster.model.predictor(rows), ROWS),
    }
    for threads in (1, THREADS):
        booster.set_param({"nthread": threads})
        name = f"inplace_predict, {threads} threads"
        rates[name] = rows_per_second(lambda: booster.inplace_predict(rows), ROWS)
    body = json.dumps(
        {
            "rows": [
                {
                    "date": str(np.datetime64(int(day), "D")),
                    "store_id": store_id,
                    "product_id": product_id,
                    "price": price,
                    "promotion": promotion,
                }
                for day, store_id, product_id, price, promotion in zip(
                    questions.day.tolist(),
                    questions.store_id,
                    questions.product_id,
                    questions.price.tolist(),
                    questions.promotion.tolist(),
                    strict=True,
                )
            ]
        }
    ).encode()
    with server(["serving"], store_url, {0, 1}) as (url, _, _):
        request = urllib.request.Request(
            f"{url}/predict/batch", body, {"Content-Type": "application/json"}
        )
        rates["over HTTP"] = rows_per_second(lambda: urllib.request.urlopen(request).read(), ROWS)
    for name, rate in rates.items():
        ratio = f"{rates['inner path'] / rate:5.2f}" if name != "inner path" else ""
        print(f"{name:<26} {rate:10,.0f} rows/s   inner path / it {ratio}")


def measure_size(store_url: str) -> None:
    """Print how long the start takes, and the memory before and after some requests."""
    with server(["serving"], store_url, {0, 1}) as (url, seconds, pid):
        cpu = cpu_seconds(pid)
        before = psutil.Process(pid).memory_info().rss / 2**20
        body = json.dumps({"product_id": "P1", "horizon": 14}).encode()
        for path in ("/forecast",) * 3:
            request = urllib.request.Request(
                f"{url}{path}", body, {"Content-Type": "application/json"}
            )
            urllib.request.urlopen(request).read()
        after = psutil.Process(pid).memory_info().rss / 2**20
    print(
        f"with {SERIES:,} series: ready after {seconds:.2f} s ({cpu:.2f} s of processor), "
        f"resident {before:.0f} MiB, {after:.0f} MiB after forecasts of a product in 300 stores"
    )


def main() -> None:
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; Debian: apt install wrk")
    with tempfile.TemporaryDirectory() as folder:
        store = DirectoryStore(folder)
        fitted = make_store(store, SERIES)
        url = Path(folder).as_uri()
        print(f"{fitted.name}: a graph of {len(fitted.onnx) / 1e6:.1f} MB, {SERIES:,} series")
        day = json.loads(store.get("serving/state.json").body)["data_until"]
        row = {
            "date": str(np.datetime64(day) + 1),
            "store_id": "S1",
            "product_id": "P1",
            "price": 9.5,
            "promotion": True,
        }
        measure_size(url)
        measure_predict(url, json.dumps(row).encode())
        measure_batch(store, url, fitted)


if __name__ == "__main__":
    main()
