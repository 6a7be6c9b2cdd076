"""Files that rain into raw/ while the daemon is killed again and again, and what must come of it.

The daemon runs as `scalecast up` starts it, in a session of its own; a kill is SIGKILL, of the
daemon alone or of everything in its session: code server and runs. The expected warehouse is
computed here from the files, without any code of ScaleCast.
"""

import csv
import hashlib
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg

from scalecast_assets.commands.services import dagster_daemon
from scalecast_assets.contract.pointers import read_state_pointer
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.runtime import Runtime

HEADER = ("date", "store_id", "product_id", "quantity_sold", "price", "promotion")
FIRST_DAY = date(2024, 1, 1)
Key = tuple[str, str, str]
Row = tuple[float, float, bool]


@dataclass
class Figures:
    """What happened."""

    files: int
    kills: list[str] = field(default_factory=list)
    """Of each kill, when it was and what was killed."""
    runs: dict[str, int] = field(default_factory=dict)
    """Runs by their end."""
    seconds: float = 0.0


class Rain:
    """Small files, each of a few days of one store; where they overlap, the last one counts."""

    def __init__(self, raw: Path, files: int, seed: int) -> None:
        self.raw = raw
        self.files = files
        self.expected: dict[Key, Row] = {}
        self._random = random.Random(seed)

    def fall(self, pauses: Sequence[float]) -> None:
        """Write one file after the other, as a plain copy would, with these pauses."""
        self.raw.mkdir(parents=True, exist_ok=True)
        for number, pause in enumerate(pauses):
            self._drop(number)
            time.sleep(pause)

    def _drop(self, number: int) -> None:
        store = f"S{number % 5}"
        first = FIRST_DAY + timedelta(days=number // 8)
        with (self.raw / f"{store} été {number:03}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            for offset in range(4):
                day = (first + timedelta(days=offset)).isoformat()
                for product in ("A", "B", "C"):
                    quantity = self._random.randint(0, 50)
                    promotion = self._random.random() < 0.2
                    writer.writerow((day, store, product, quantity, f"{number}.5", promotion))
                    self.expected[(store, product, day)] = (quantity, number + 0.5, promotion)


def checksum(rows: dict[Key, Row]) -> str:
    """Of rows in their canonical order."""
    lines = [(*key, float(q), float(p), bool(m)) for key, (q, p, m) in sorted(rows.items())]
    return hashlib.sha256(repr(lines).encode()).hexdigest()


def warehouse(database_url: str) -> dict[Key, Row]:
    """What readers of the warehouse see."""
    rows = query(
        database_url,
        "select store_id, product_id, date::text, quantity_sold, price, promotion"
        " from warehouse.demand_data",
    )
    return {(store, product, day): (q, p, m) for store, product, day, q, p, m in rows}


def query(database_url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(sql.encode()).fetchall()


class Daemon:
    """The daemon of a home, to be killed and started again."""

    def __init__(self, runtime: Runtime, more: dict[str, str]) -> None:
        self._environment = {**os.environ, **runtime.environment, **more}
        self._log = runtime.settings.home / "daemon.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                list(dagster_daemon().command),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, *, with_runs: bool) -> None:
        assert self._process is not None
        if with_runs:
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process is not None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(self._process.pid, number)
                except ProcessLookupError:
                    break
                time.sleep(2)


@contextmanager
def daemon_of(runtime: Runtime, more: dict[str, str]) -> Iterator[Daemon]:
    daemon = Daemon(runtime, more)
    try:
        yield daemon
    finally:
        daemon.stop()


def rain_and_kill(
    runtime: Runtime, *, files: int, kills: int, longest_life: float, patience: float, seed: int = 7
) -> tuple[Figures, Rain]:
    """Let it rain while the daemon is killed, then let everything come to an end.

    Args:
        longest_life: of each daemon, in seconds from its first look into the bucket; but every
            fifth is killed before that, while it starts.
        patience: seconds after the last kill within which everything must be at rest.
    """
    chance = random.Random(seed)
    pauses = [chance.uniform(0, 2) * kills * longest_life / files for _ in range(files)]
    rain = Rain(runtime.settings.home / "store" / "raw", files, seed)
    figures = Figures(files)
    begun = time.monotonic()
    falling = threading.Thread(target=rain.fall, args=(pauses,), daemon=True)
    with daemon_of(runtime, {"SCALECAST_SENSOR_SECONDS": "5"}) as daemon:
        falling.start()
        for number in range(kills):
            daemon.start()
            began = time.monotonic()
            if number % 5 != 4:
                wait_for_a_look(runtime.database_url, seconds=300)
            time.sleep(chance.uniform(0, longest_life))
            with_runs = chance.random() < 0.5
            killed = what_runs(runtime.database_url)
            daemon.kill(with_runs=with_runs)
            what = "everything" if with_runs else "the daemon alone"
            figures.kills.append(f"{time.monotonic() - began:.0f} s old: {what}; {killed}")
        daemon.start()
        falling.join()
        deadline = time.monotonic() + patience
        while not at_rest(runtime, files):
            assert time.monotonic() < deadline, what_is_left(runtime.database_url)
            time.sleep(1)
        figures.seconds = time.monotonic() - begun
    figures.runs = dict(
        query(runtime.database_url, "select status, count(*) from dagster.runs group by status")
    )
    return figures, rain


def wait_for_a_look(database_url: str, seconds: float) -> None:
    """Return when the sensor has begun a tick."""

    def ticks() -> int:
        if query(database_url, "select to_regclass('dagster.job_ticks')") == [(None,)]:
            return 0  # no daemon has lived long enough to make Dagster's tables
        named = "select count(*) from dagster.job_ticks where tick_body like '%new_raw_files%'"
        return int(query(database_url, named)[0][0])

    before, deadline = ticks(), time.monotonic() + seconds
    while ticks() == before:
        assert time.monotonic() < deadline, "the daemon looks at nothing"
        time.sleep(0.2)


def what_runs(database_url: str) -> str:
    """The run that is under way and its last step, for people."""
    if query(database_url, "select to_regclass('dagster.runs')") == [(None,)]:
        return "no run"
    found = query(
        database_url,
        "select r.status, (select max(step_key) from dagster.event_logs e where e.run_id = r.run_id"
        " and e.id = (select max(id) from dagster.event_logs l where l.run_id = r.run_id"
        " and l.step_key is not null)) from dagster.runs r"
        " where status not in ('SUCCESS', 'FAILURE')",
    )
    return ", ".join(f"a run {status} at {step}" for status, step in found) or "no run"


def at_rest(runtime: Runtime, files: int) -> bool:
    """Every file is published, features and state are of the last day, and no run is under way."""
    ((published, ranges, running, last_day),) = query(
        runtime.database_url,
        "select (select count(*) from warehouse.file_ledger where state = 'published'),"
        " (select count(*) from warehouse.changed_ranges),"
        " (select count(*) from dagster.runs where status not in ('SUCCESS', 'FAILURE')),"
        " (select max(date)::text from warehouse.demand_data)",
    )
    held = read_state_pointer(DirectoryStore(runtime.settings.home / "store"))
    caught_up = held is not None and held.pointer.data_until == last_day
    return bool(published >= files and not ranges and not running and caught_up)


def what_is_left(database_url: str) -> str:
    ledger = query(database_url, "select state, count(*) from warehouse.file_ledger group by state")
    runs = query(database_url, "select status, count(*) from dagster.runs group by status")
    return f"not at rest: ledger {ledger}, runs {runs}"
