"""What the soak serves: versions and histories in a bucket that is killed and filled again.

Every version answers the same question differently, and the histories end on different days, so
that an answer names both and a mixed one would show.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.bundles import bundle, codes_of, sales, state
from benchmarks.load import free_port
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.layout import MODEL_POINTER, STATE_POINTER
from scalecast_assets.contract.panel import KEPT_DAYS, Panel
from scalecast_assets.contract.store import ObjectStore, S3Store, StoreError
from scalecast_assets.forecasting.candidates.graphs import column_graph

BUCKET: Final = "soak"
BASELINES: Final = ("lag_1", "rolling_mean_7", "rolling_mean_14")


@dataclass(frozen=True)
class Contents:
    """All that is ever in the bucket: its files, and the pointers to choose from."""

    files: dict[str, bytes]
    models: dict[str, bytes]
    """Version to pointer."""
    states: dict[str, bytes]
    """Last day to pointer."""
    panel: Panel

    def fill(self, store: ObjectStore, version: str, until: str) -> None:
        """Write everything, the pointers last."""
        for key, data in self.files.items():
            store.put(key, data)
        self.point(store, version, until)

    def point(self, store: ObjectStore, version: str, until: str) -> None:
        """Let the pointers name these."""
        store.put(STATE_POINTER, self.states[until])
        store.put(MODEL_POINTER, self.models[version])


def make_contents(n_stores: int, n_products: int, *, with_xgboost: bool) -> Contents:
    """Make a version for each baseline, XGBoost too where asked, and two histories."""
    panels = [sales(n_stores, n_products, n_days) for n_days in (KEPT_DAYS, KEPT_DAYS + 1)]
    encoders = codes_of(panels[0])
    graphs = {name: column_graph(name) for name in BASELINES}
    if with_xgboost:
        graphs["xgboost"] = _xgboost(panels[0], encoders)
    contents = Contents({}, {}, {}, panels[0])
    for number, (name, graph) in enumerate(graphs.items()):
        files, model = bundle(f"1.{number}.0", name, graph, encoders)
        contents.files.update(files)
        contents.models[model.version] = model.to_bytes()
    for panel in panels:
        files, history = state(panel)
        contents.files.update(files)
        contents.states[history.data_until] = history.to_bytes()
    return contents


def _xgboost(panel: Panel, encoders: Encoders) -> bytes:
    from benchmarks.serving_store import PARAMS, training_rows
    from scalecast_assets.forecasting.budget import Budget
    from scalecast_assets.forecasting.candidates.boosting import Boosting

    rows = training_rows(panel, encoders)
    budget = Budget(len(rows), len(rows))
    return Boosting().refit(rows, PARAMS, budget=budget, seed=1, log=print).onnx


class Bucket:
    """An S3 endpoint in a process of its own, which keeps everything in memory: killed, it is lost.

    It comes back on the same port, and is filled again.
    """

    def __init__(self, contents: Contents) -> None:
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._contents = contents
        self._process: subprocess.Popen[bytes] | None = None
        self._client = self._connect()
        self.store = S3Store(self._client, BUCKET, "")

    @property
    def environment(self) -> dict[str, str]:
        """What a sidecar needs to read from it."""
        return {
            "SCALECAST_STORE_URL": f"s3://{BUCKET}",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "soak",
            "AWS_SECRET_ACCESS_KEY": "soak-secret",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self, version: str, until: str) -> None:
        """Start the endpoint and fill the bucket."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
        while True:
            try:
                self._client.create_bucket(Bucket=BUCKET)
                break
            except Exception:  # not up yet
                if self._process.poll() is not None:
                    raise SystemExit("the S3 endpoint did not start") from None
                time.sleep(0.1)
        self._contents.fill(self.store, version, until)

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def point(self, version: str, until: str) -> bool:
        """Let the pointers name these; tell whether that could be written."""
        try:
            self._contents.point(self.store, version, until)
        except StoreError:
            return False
        return True

    def _connect(self) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="soak",
            aws_secret_access_key="soak-secret",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10),
        )


def sidecar(
    environment: dict[str, str], folder: str, log: Any
) -> tuple[subprocess.Popen[bytes], str]:
    """Start the sidecar of this checkout; returns the process and its address."""
    port = free_port()
    given = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SCALECAST_")},
        "SCALECAST_API_PORT": str(port),
        "SCALECAST_HOME": folder,
        **environment,
    }
    process = subprocess.Popen([sys.executable, "-m", "serving"], env=given, stderr=log)
    return process, f"http://127.0.0.1:{port}"
