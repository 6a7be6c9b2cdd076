"""From a file dropped to what is served, under `scalecast up`, with nobody touching anything.

    python -m benchmarks.refresh [directory] [s3]      (default: both)

The sample is loaded and trained on in an empty home; then, beside `scalecast up` with its defaults,
a file with the sales of one more day is dropped, three times. Told are the seconds from the drop to
the tick that began its run, and from the tick to rows published and to the serving state pointing
at the new day. The bucket is moto in a process of its own.
"""

import csv
import datetime as dt
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import boto3
import psycopg

from scalecast_assets.contract.pointers import read_state_pointer
from scalecast_assets.contract.store import DirectoryStore, ObjectStore, S3Store
from scalecast_assets.resources.embedded_postgres import read_running

DROPS: Final = 3
PATIENCE_SECONDS: Final = 600.0
BUCKET: Final = "refresh"
COMMAND: Final = str(Path(sys.executable).with_name("scalecast"))
ACCOUNT: Final = {
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip
_TICK = (
    "select extract(epoch from max(create_timestamp) at time zone 'utc')::float8 from dagster.runs"
)
_PUBLISHED = (
    "select extract(epoch from published_at)::float8 from warehouse.file_ledger where key = %s"
)


class Drop(NamedTuple):
    """Seconds, of one file."""

    to_tick: float
    tick_to_published: float
    tick_to_state: float

    @property
    def whole(self) -> float:
        return self.to_tick + self.tick_to_state


def until(found: Callable[[], Any]) -> Any:
    """Wait for something that is not None."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (answer := found()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.1)
    return answer


def next_day(sample: Path, ahead: int) -> tuple[dt.date, bytes]:
    """The sales of the sample's last day, as of so many days later."""
    with sample.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    last = max(row["date"] for row in rows)
    day = dt.date.fromisoformat(last) + dt.timedelta(days=ahead)
    lines = [",".join(rows[0])]
    for row in rows:
        if row["date"] == last:
            lines.append(",".join((row | {"date": day.isoformat()}).values()))
    return day, ("\n".join(lines) + "\n").encode()


def measure(store: ObjectStore, home: Path, sample: Path, ahead: int) -> Drop:
    """Drop one file, and wait for the state to have it."""
    key = f"raw/day-{ahead}.csv"
    day, content = next_day(sample, ahead)

    def state() -> float | None:
        held = read_state_pointer(store)
        return time.time() if held and held.pointer.data_until == day.isoformat() else None

    store.put(key, content)
    dropped = time.time()
    served: float = until(state)
    with psycopg.connect(read_running(home).warehouse_url) as connection:
        tick = connection.execute(_TICK.encode()).fetchall()[0][0]
        published = connection.execute(_PUBLISHED.encode(), (key,)).fetchall()[0][0]
    return Drop(tick - dropped, published - tick, served - tick)


@contextmanager
def process(
    *command: str, environment: Mapping[str, str] | None = None, stderr: int | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """A process that is up for as long as the block lasts."""
    running = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(120)


@contextmanager
def bucket() -> Iterator[tuple[S3Store, dict[str, str]]]:
    """A bucket, and the settings that lead to it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    moto = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port)
    with process(*moto, stderr=subprocess.DEVNULL):  # a line for each request
        until(lambda: _answers(int(port)))
        client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip
        client.create_bucket(Bucket=BUCKET)
        settings = {"AWS_ENDPOINT_URL": url, "SCALECAST_STORE_URL": f"s3://{BUCKET}", **ACCOUNT}
        yield S3Store(client, BUCKET), settings


def _answers(port: int) -> bool | None:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return None


def drops(store: ObjectStore, home: Path, settings: dict[str, str]) -> list[Drop]:
    """Load and train, bring everything up, and drop one file after the other."""
    environment = {**os.environ, **settings, "SCALECAST_HOME": str(home)}
    facts = json.loads(
        subprocess.run(
            [COMMAND, "sample-data", str(home / "sample"), "--json"],
            env=environment, check=True, capture_output=True, text=True,
        ).stdout
    )  # fmt: skip
    sample = Path(facts["file"])
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([COMMAND, "run", "--csv", str(sample)], env=environment, check=True, **quiet)
    with process(COMMAND, "up", "--json", environment=environment) as up:
        assert up.stdout is not None
        up.stdout.readline()
        return [measure(store, home, sample, ahead) for ahead in range(1, DROPS + 1)]


def main(arguments: list[str]) -> int:
    """Measure the kinds of stores asked for."""
    for kind in arguments or ["directory", "s3"]:
        home = Path(tempfile.mkdtemp(prefix="scalecast-refresh-"))
        home.chmod(0o755)
        try:
            if kind == "s3":
                with bucket() as (store, settings):
                    found = drops(store, home, settings)
            else:
                found = drops(DirectoryStore(home / "store"), home, {})
        finally:
            shutil.rmtree(home, ignore_errors=True)
        print(f"{kind}: seconds to the tick, from there to published, to the state, and in all")
        for drop in found:
            print("  " + "".join(f"{value:9.1f}" for value in (*drop, drop.whole)))
        print(f"  median {statistics.median(drop.whole for drop in found):.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
