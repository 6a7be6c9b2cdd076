"""Files that rain into raw/ while the daemon is killed again and again, and what must come of it.

Daemon and code server run as `scalecast up` starts them; a kill is SIGKILL, of the daemon alone
(runs go on until the next daemon begins) or of everything, runs included. The expected warehouse is
computed here from the files, without any code of ScaleCast.
"""

import csv
import hashlib
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg

from scalecast_assets.commands.services import (
    HOST,
    code_server,
    code_server_address,
    dagster_daemon,
)
from scalecast_assets.contract.pointers import read_state_pointer
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.resources.turns import lives
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

    def fall(self, numbers: range, pauses: Sequence[float]) -> None:
        """Write one file after the other, as a plain copy would, with a pause after each."""
        self.raw.mkdir(parents=True, exist_ok=True)
        for number, pause in zip(numbers, pauses, strict=True):
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
    """Daemon and code server of a home, to be killed and started again."""

    def __init__(self, runtime: Runtime, more: dict[str, str]) -> None:
        self._environment = {**os.environ, **runtime.environment, **more}
        self._log = runtime.settings.home / "daemon.log"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start a code server of its own and the daemon; none of them waits for the other."""
        self._kill_all()
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        environment = {**self._environment, **code_server_address(port)}
        with self._log.open("ab") as log:
            self._processes = [
                subprocess.Popen(
                    list(service.command),
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                for service in (dagster_daemon(), code_server(port))
            ]

    def kill(self, *, with_runs: bool) -> None:
        """Kill the daemon; ``with_runs`` also the code server, whose children the runs are."""
        if with_runs:
            self._kill_all()
        else:
            self._processes[0].kill()
            self._processes[0].wait()

    def stop(self) -> None:
        """End everything."""
        self._kill_all()

    def _kill_all(self) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


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

    A daemon is killed while it starts, after it has looked into the bucket, or after a run has
    begun, each time at random up to ``longest_life`` seconds later. Everything must be at rest
    ``patience`` seconds after the last kill.
    """
    chance = random.Random(seed)
    rain = Rain(runtime.settings.home / "store" / "raw", files, seed)
    figures = Figures(files)
    url = runtime.database_url
    begun = time.monotonic()
    with daemon_of(runtime, {"SCALECAST_SENSOR_SECONDS": "5"}) as daemon:
        for number in range(kills):
            share = range(files * number // kills, files * (number + 1) // kills)
            pauses = [chance.uniform(0, 2) * longest_life / len(share) for _ in share]
            falling = threading.Thread(target=rain.fall, args=(share, pauses), daemon=True)
            falling.start()
            daemon.start()
            began = time.monotonic()
            moment = MOMENTS[number % len(MOMENTS)]
            moment(url)
            time.sleep(chance.uniform(0, longest_life))
            with_runs = chance.random() < 0.6
            running = what_runs(url)
            daemon.kill(with_runs=with_runs)
            what = "all its processes" if with_runs else "the daemon alone"
            figures.kills.append(f"{time.monotonic() - began:.0f} s old, {what}: {running}")
            falling.join()
        daemon.start()
        deadline = time.monotonic() + patience
        while not at_rest(runtime, files):
            assert time.monotonic() < deadline, what_is_left(url)
            time.sleep(1)
        figures.seconds = time.monotonic() - begun
    figures.runs = dict(query(url, "select status, count(*) from dagster.runs group by status"))
    return figures, rain


def at_once(database_url: str) -> None:
    """Wait for nothing: the daemon is only just being started."""


def wait_for_a_look(database_url: str) -> None:
    """Return when the sensor has begun a tick."""

    def ticks() -> int:
        if query(database_url, "select to_regclass('dagster.job_ticks')") == [(None,)]:
            return 0  # no daemon has lived long enough to make Dagster's tables
        named = "select count(*) from dagster.job_ticks where tick_body like '%new_raw_files%'"
        return int(query(database_url, named)[0][0])

    before = ticks()
    wait_until(lambda: ticks() > before)


def wait_for_a_run(database_url: str) -> None:
    """Return when the process of a run is at work."""

    def at_work() -> bool:
        if query(database_url, "select to_regclass('dagster.runs')") == [(None,)]:
            return False
        with psycopg.connect(database_url, autocommit=True) as connection:
            started = connection.execute("select run_id from dagster.runs where status = 'STARTED'")
            return any(lives(run_id, connection) for (run_id,) in started.fetchall())

    wait_until(at_work)


def wait_until(holds: Callable[[], bool], seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "the daemon does nothing"
        time.sleep(0.2)


MOMENTS: Final = (wait_for_a_run, wait_for_a_look, wait_for_a_run, wait_for_a_look, at_once)


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
