"""Ingestion takes no more memory for a large file than for a small one."""

import datetime as dt
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.factories_files import HEADER

LARGE_BYTES = 60_000_000

WATCHED = textwrap.dedent("""
    import pathlib, resource, sys
    import psycopg
    from scalecast_assets.checks.expectations import judge
    from scalecast_assets.contract.directory_store import DirectoryStore
    from scalecast_assets.ingest.intake import Intake, take_in
    from scalecast_assets.ingest.publish import publish
    from scalecast_assets.resources.warehouse import WarehouseResource

    warehouse = WarehouseResource(url=sys.argv[1])
    store = DirectoryStore(pathlib.Path(sys.argv[2]))

    def ingest(key):
        with warehouse.connect() as conn:
            take_in(conn, store, Intake(key, [key]), lambda message: None)
            verdict = judge(conn, store, warehouse.sqlalchemy_url)
            assert all(judgement.passed for judgement in verdict.judgements)
            rows = publish(conn).files[0].inserted
        return rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    _, before = ingest("raw/small.csv")  # imports what there is to import
    rows, after = ingest("raw/large.csv")
    print(rows, (after - before) // 1024)
""")


def write_sales(path: Path, first_year: int, days: int) -> int:
    """Write a file of 2,000 series with long ids, 192 kB a day; returns the rows."""
    ids = [(f"STORE {n:030}", f"PRODUCT {n % 50:030}") for n in range(2000)]
    lines = "".join(f",{store},{product},7,9.99,0\n" for store, product in ids)
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{HEADER}\n")
        for at in range(days):
            day = dt.date(first_year, 1, 1) + dt.timedelta(days=at)
            file.write(lines.replace(",STORE", f"{day},STORE"))
    return days * 2000


def test_landing_judging_and_publishing_take_no_memory_that_grows_with_the_file(
    tmp_path: Path, database_url: str
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    write_sales(raw / "small.csv", 1999, days=1)
    rows = write_sales(raw / "large.csv", 2000, days=320)
    assert (raw / "large.csv").stat().st_size > LARGE_BYTES
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, database_url, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    published, grown_mib = map(int, done.stdout.split())
    assert published == rows
    assert grown_mib < 150
