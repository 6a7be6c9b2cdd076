"""Loading against a bare COPY: rows per second of landing, judging and publishing, in one run.

    SCALECAST_BENCH_DATA=<folder> python -m benchmarks.loading [postgres URL of an empty database]

The yardstick is COPY of the same file into a table with the same columns and primary key on the
same server. Importing Great Expectations is reported beside the total. Without a URL an embedded
Postgres is started.
"""

import lzma
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from scalecast_assets.checks.expectations import judge
from scalecast_assets.contract.directory_store import DirectoryStore
from scalecast_assets.ingest.intake import Intake, take_in
from scalecast_assets.ingest.publish import publish
from scalecast_assets.ingest.schema import Connection, ensure_schema
from scalecast_assets.resources.embedded_postgres import EmbeddedPostgres
from scalecast_assets.resources.warehouse import WarehouseResource

TARGET: Final = 3.0
T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def bare_copy(conn: Connection, file: Path) -> float:
    """Seconds of the yardstick; the table is dropped afterwards."""
    conn.execute(
        "create table bare_copy (date date, store_id text, product_id text, quantity_sold float8,"
        " price float8, promotion boolean, primary key (store_id, product_id, date))"
    )
    started = time.perf_counter()
    with (
        file.open("rb") as source,
        conn.cursor().copy("copy bare_copy from stdin (format csv, header)") as copy,
    ):
        while chunk := source.read(1024 * 1024):
            copy.write(chunk)
    seconds = time.perf_counter() - started
    conn.execute("drop table bare_copy")
    return seconds


def measure(url: str, file: Path, folder: Path) -> bool:
    """Print the table; tells whether the target is met."""
    warehouse = WarehouseResource(url=url)
    store = DirectoryStore(folder / "store")
    store.upload(file, f"raw/{file.name}")
    with warehouse.connect() as conn:
        ensure_schema(conn)
        first = bare_copy(conn, file)
        _, landing = timed(lambda: take_in(conn, store, Intake("benchmark"), print))
        verdict, judging = timed(lambda: judge(conn, store, warehouse.sqlalchemy_url))
        publication, publishing = timed(lambda: publish(conn))
        second = bare_copy(conn, file)
    bare = (first + second) / 2
    importing = verdict.seconds.get("import", 0.0)
    total = landing + judging - importing + publishing
    rows = publication.warehouse_rows
    for name, seconds in (
        ("bare COPY (mean of one before, one after)", bare),
        ("landing (spool, sha256, archive, parse, COPY)", landing),
        ("judging (without the import)", judging - importing),
        ("publishing", publishing),
        ("total", total),
    ):
        print(f"{name:48} {seconds:7.2f} s {rows / seconds:12,.0f} rows/s {seconds / bare:6.2f} x")
    print(f"{'importing Great Expectations, besides':48} {importing:7.2f} s")
    print(f"bare COPY before {first:.2f} s, after {second:.2f} s; {rows:,} rows; target {TARGET} x")
    return total <= TARGET * bare


def main(arguments: list[str]) -> int:
    data = os.environ.get("SCALECAST_BENCH_DATA")
    if not data:
        print("set SCALECAST_BENCH_DATA to the folder that holds m5_subset.csv.xz", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="scalecast-bench-"))
    folder.chmod(0o755)
    try:
        file = folder / "m5_subset.csv"
        with lzma.open(Path(data) / "m5_subset.csv.xz") as packed, file.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 1024 * 1024)
        if arguments:
            return 0 if measure(arguments[0], file, folder) else 1
        with EmbeddedPostgres(folder / "home") as server:
            return 0 if measure(server.warehouse_url, file, folder) else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
