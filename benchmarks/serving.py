"""The sidecar under load, beside what it could be at best, in one run.

    python -m benchmarks.serving

* ``/predict``: requests per second, p50 and p99 with wrk (``apt install wrk``), beside a FastAPI
  route with the same request and response models that does nothing; server on one core, wrk on
  another, the two servers in turn.
* ``/predict/batch``: rows per second of its inner path on 10,000 rows beside a bare onnxruntime
  call on the same features, beside XGBoost's own ``inplace_predict``, and over HTTP.

The model is XGBoost with the parameters of a real run, fitted on seeded sales of those series.
"""

import json
import tempfile
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from benchmarks.load import Load, module, require_wrk, wrk
from benchmarks.serving_store import make_store, question
from scalecast_assets.contract.features import as_model_input, features
from scalecast_assets.contract.store import DirectoryStore, ObjectStore
from scalecast_assets.forecasting.candidates.base import FittedModel
from serving.batch import Questions
from serving.forecaster import Forecaster
from serving.model import load_model
from serving.state import load_state
from serving.wide import THREADS, WidePredictor

ROUNDS: Final = 5
ROWS: Final = 10_000
SERIES: Final = 30_000


def measure_predict(store_url: str, body: bytes) -> None:
    """Print the rates of both servers, round by round, and their ratio."""
    ours: list[Load] = []
    nothing: list[Load] = []
    with (
        module("serving", store_url, {0}) as (url, _, pid),
        module("benchmarks.serving_nothing", store_url, {0}) as (empty, _, empty_pid),
    ):
        wrk(f"{url}/predict", pid, body, 1)
        wrk(f"{empty}/predict", empty_pid, body, 1)
        for _ in range(ROUNDS):
            ours.append(wrk(f"{url}/predict", pid, body, 1))
            nothing.append(wrk(f"{empty}/predict", empty_pid, body, 1))
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


def plain_session(onnx: bytes, threads: int) -> ort.InferenceSession:
    """Open the graph as onnxruntime's own documentation does."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


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
        "of it, the model": rows_per_second(
            lambda: WidePredictor(forecaster.model.predictor)(rows), ROWS
        ),
    }
    for threads in (1, THREADS):
        session = plain_session(fitted.onnx, threads)
        name = f"onnxruntime, {threads} threads"
        rates[name] = rows_per_second(partial(session.run, None, {"features": rows}), ROWS)
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
    with module("serving", store_url, {0, 1}) as (url, _, _):
        request = urllib.request.Request(
            f"{url}/predict/batch", body, {"Content-Type": "application/json"}
        )
        rates["over HTTP"] = rows_per_second(lambda: urllib.request.urlopen(request).read(), ROWS)
    for name, rate in rates.items():
        ratio = f"{rates['inner path'] / rate:5.2f}" if name != "inner path" else ""
        print(f"{name:<26} {rate:10,.0f} rows/s   inner path / it {ratio}")


def main() -> None:
    require_wrk()
    with tempfile.TemporaryDirectory() as folder:
        store = DirectoryStore(folder)
        fitted = make_store(store, SERIES)
        url = Path(folder).as_uri()
        print(f"{fitted.name}: a graph of {len(fitted.onnx) / 1e6:.1f} MB, {SERIES:,} series")
        measure_predict(url, json.dumps(question(store)).encode())
        measure_batch(store, url, fitted)


if __name__ == "__main__":
    main()
