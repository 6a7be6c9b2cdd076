"""What a load pays for being watched: forecasts promised and handed over, scored, drift measured.

    python -m benchmarks.monitoring [series:horizon_days …]      (default 2147:14 30000:14 30000:56)

A seeded retailer of ten stores with that many series and 91 days is written into a Postgres of its
own, as dbt would leave it; the model is gradient boosting, 300 trees of depth 8. As many origins as
the horizon has days have promised the day that is scored. Peak memory is that of this process.
"""

import datetime as dt
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from scalecast_assets import keys
from scalecast_assets.contract.bundle import Manifest
from scalecast_assets.contract.columns import FEATURES, feature_contract_hash
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.forecasting.budget import Budget
from scalecast_assets.forecasting.candidates import candidate
from scalecast_assets.forecasting.candidates.base import onnx_predictor
from scalecast_assets.forecasting.drift import measure_drift
from scalecast_assets.forecasting.training_rows import TrainingRows
from scalecast_assets.forecasting.training_set import write_snapshot
from scalecast_assets.ingest.schema import Connection, ensure_schema
from scalecast_assets.monitoring.coming import ComingForecasts
from scalecast_assets.monitoring.comparable_rows import NewDays, read_new_rows, read_reference_rows
from scalecast_assets.monitoring.handover import hand_over
from scalecast_assets.monitoring.scoring import score_due_days
from scalecast_assets.monitoring.served import Served
from scalecast_assets.resources.embedded_postgres import EmbeddedPostgres
from scalecast_assets.resources.feature_rows import read_panel, snapshot_batches
from scalecast_assets.resources.warehouse import WarehouseResource

FIRST: Final = dt.date(2024, 1, 1)
N_DAYS: Final = 91
STORES: Final = 10
DEFAULT_SIZES: Final = ("2147:14", "30000:14", "30000:56")
SCORED_ROWS: Final = 500_000
"""Above so many rows an origin, nothing is scored: it would take a table of a hundred millions."""

PARAMS: Final = {
    "max_depth": 8, "learning_rate": 0.1, "variance_power": 1.1, "rounds": 300,
}  # fmt: skip

TABLES: Final = """
create schema features;

create table features.demand_calendar as
select 'store_' || store as store_id, %(first)s::date + day as date, true as is_final
from generate_series(1, %(stores)s) as store, generate_series(0, %(days)s - 1) as day;

create table features.demand_features as
select
    ('store_' || series %% %(stores)s + 1) collate "C" as store_id,
    ('product_' || lpad((series / %(stores)s)::text, 6, '0')) collate "C" as product_id,
    %(first)s::date + day as date,
    floor(-ln(1 - random()) * level * (1 + (day %% 7) / 6.0)) as quantity_sold,
    false as is_imputed,
    day + 100 as history_days,
    true as has_history,
    true as is_final,
    day %% 7 as day_of_week,
    extract(month from %(first)s::date + day)::int as month,
    extract(week from %(first)s::date + day)::int as week_of_year,
    (day %% 7 >= 5)::int as is_weekend,
    0 as is_month_start,
    0 as is_month_end,
    floor(-ln(1 - random()) * level) as lag_1,
    floor(-ln(1 - random()) * level) as lag_7,
    floor(-ln(1 - random()) * level) as lag_14,
    level * (0.5 + random()) as rolling_mean_7,
    level * random() as rolling_std_7,
    level * (0.7 + 0.6 * random()) as rolling_mean_14,
    2.0 + series %% 17 as price,
    (random() < 0.05)::int as promotion,
    series %% %(stores)s + 1 as store_id_encoded,
    series / %(stores)s + 1 as product_id_encoded
from generate_series(0, %(series)s - 1) as series
cross join generate_series(0, %(days)s - 1) as day
cross join lateral (select 1.0 + series %% 13 as level) as of_series;
"""
INDEXES: Final = """
create unique index on features.demand_calendar (store_id, date);
create unique index on features.demand_features (store_id, date, product_id);
analyze features.demand_calendar, features.demand_features;
"""


class Size(NamedTuple):
    """How large a retailer, and how far ahead."""

    series: int
    horizon_days: int


def timed(what: str, started: float, note: str = "") -> float:
    """Print what has taken how long since ``started``; returns now."""
    now = time.perf_counter()
    print(f"  {what:52} {now - started:8.2f} s  {note}")
    return now


def fill(connection: Connection, series: int) -> None:
    """Write what dbt would leave, with seeded chance."""
    connection.execute("select setseed(0.5)")
    values = {"first": FIRST, "stores": STORES, "days": N_DAYS, "series": series}
    for statement in TABLES.split(";\n\n"):
        connection.execute(statement.encode(), values if "%(" in statement else None)
    connection.execute(INDEXES.encode())


def fitted_graph() -> bytes:
    """An ensemble as large as one that is served, of features that mean nothing."""
    rng = np.random.default_rng(42)
    features = rng.gamma(2.0, 3.0, (100_000, len(FEATURES))).astype(np.float32)
    target = features[:, 6:12].mean(axis=1).astype(np.float64)
    rows = TrainingRows(features, target, *(np.arange(100_000, dtype=np.int32),) * 2)
    fit = candidate(keys.XGBOOST).refit(
        rows, PARAMS, budget=Budget(len(rows), len(rows)), seed=42, log=print
    )
    return fit.onnx


def measure(size: Size, onnx: bytes, folder: Path, server_url: str) -> None:
    """Print the cost of every part, for one size."""
    store = DirectoryStore(folder / "store")
    with WarehouseResource(url=server_url).connect() as connection:
        connection.execute("drop schema if exists features cascade")
        connection.execute("drop schema if exists ml cascade")
        ensure_schema(connection)
        ensure_schema(connection)
        fill(connection, size.series)
        now = time.perf_counter()
        panel = read_panel(server_url, "store")
        now = timed("(reading the panel, as serving_state does)", now)
        served = Served(_manifest(), Encoders({}, {}), onnx_predictor(onnx), panel)
        coming = ComingForecasts.of(served, size.horizon_days)
        now = timed("forecasting, seasonal naive beside", now, f"{len(coming):,} rows")
        handed = hand_over(coming, connection, store, folder)
        files = (handed.parquet_key, handed.csv_key)
        megabytes = " and ".join(f"{len(store.get(key).body) / 1e6:.1f} MB" for key in files)
        now = timed("to Postgres, Parquet and CSV", now, megabytes)
        hand_over(coming, connection, store, folder)
        timed("the same again", now)
        if len(coming) <= SCORED_ROWS:
            _score(connection, coming, store, folder, size.horizon_days)
        _drift(connection, server_url, folder, size.horizon_days)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"  {'most memory held so far':52} {peak:8.2f} GiB")


def _score(
    connection: Connection,
    coming: ComingForecasts,
    store: DirectoryStore,
    folder: Path,
    horizon_days: int,
) -> None:
    """Score a day of all stores that every horizon had promised, on top of all earlier days."""
    for ahead in range(1, horizon_days + 1):
        hand_over(replace(coming, origin_day=coming.origin_day - ahead), connection, store, folder)
    last = FIRST + dt.timedelta(days=N_DAYS - 1)
    final = "update features.demand_calendar set is_final = %s where date = %s"
    connection.execute(final, (False, last))
    now = time.perf_counter()
    now = timed("scoring what waits", now, f"{score_due_days(connection)} store-days and origins")
    connection.execute(final, (True, last))
    now = time.perf_counter()
    now = timed("scoring one day", now, f"{score_due_days(connection)} store-days and origins")
    timed("scoring nothing new", now, f"{score_due_days(connection)} store-days and origins")


def _drift(connection: Connection, url: str, folder: Path, horizon_days: int) -> None:
    """Compare the last days with the eight weeks before them."""
    snapshot = folder / "snapshot.parquet"
    with snapshot_batches(url) as batches:
        write_snapshot(batches, snapshot)
    last = FIRST + dt.timedelta(days=N_DAYS - 1)
    cutoff = last - dt.timedelta(days=horizon_days)
    now = time.perf_counter()
    reference = read_reference_rows(snapshot, cutoff)
    new = read_new_rows(url, NewDays(cutoff + dt.timedelta(days=1), last))
    now = timed("reading both sides of the drift", now, f"{len(reference):,} and {len(new):,} rows")
    drift = measure_drift(reference, new)
    assert drift is not None
    timed("measuring it", now, f"worst {drift.worst.feature} {drift.worst.psi:.3f}")


def _manifest() -> Manifest:
    """As much of a manifest as forecasting reads."""
    return Manifest(
        "1.0.0", keys.XGBOOST, FEATURES, feature_contract_hash("store"), "store", "a" * 64, (),
        str(FIRST), str(FIRST), 14, {}, (), {}, None, None, "2024-01-01T00:00:00+00:00", {},
    )  # fmt: skip


def main(arguments: list[str]) -> int:
    """Measure every size asked for."""
    sizes = [Size(*map(int, text.split(":"))) for text in arguments or DEFAULT_SIZES]
    folder = Path(tempfile.mkdtemp(prefix="scalecast-bench-"))
    folder.chmod(0o755)
    try:
        onnx = fitted_graph()
        with EmbeddedPostgres(folder / "home") as server:
            for size in sizes:
                print(f"{size.series:,} series, {size.horizon_days} days ahead")
                measure(size, onnx, folder, server.warehouse_url)
        return 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
