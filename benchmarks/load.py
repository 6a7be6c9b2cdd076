"""Servers on one core and wrk on another, for the benchmarks of serving."""

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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import psutil

SECONDS: Final = 4
CONNECTIONS: Final = 16
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
def server(
    command: Sequence[str],
    port: int,
    environment: Mapping[str, str],
    cores: set[int],
    *,
    ready: str = "/ready",
    seconds: float = 60,
) -> Iterator[tuple[str, float, int]]:
    """Run a server; yields its address, the seconds from start to ready, and its process id."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                with urllib.request.urlopen(f"{url}{ready}") as reply:
                    reply.read()
                break
            except OSError:
                if process.poll() is not None or time.perf_counter() - began > seconds:
                    raise SystemExit(f"{' '.join(command)} did not get ready") from None
                time.sleep(0.01)
        yield url, time.perf_counter() - began, process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def module(name: str, store_url: str, cores: set[int]) -> Iterator[tuple[str, float, int]]:
    """Run one of our servers, ``python -m name``, over the store."""
    port = free_port()
    environment = {
        "SCALECAST_STORE_URL": store_url,
        "SCALECAST_API_PORT": str(port),
        "SCALECAST_LOG_LEVEL": "error",
    }
    with server([sys.executable, "-m", name], port, environment, cores) as running:
        yield running


def require_wrk() -> None:
    """End with what to do if there is no wrk."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; Debian: apt install wrk")


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process until now, which other processes do not add to."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def wrk(url: str, pid: int, body: bytes, core: int) -> Load:
    """Put a route, which takes ``body`` by POST, under load from ``core``; ``pid`` serves it."""
    before = cpu_seconds(pid)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
            f"wrk.body = {json.dumps(body.decode())}\n"
        )
        script.flush()
        command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s"]
        done = subprocess.run(
            [*command, "--latency", "-s", script.name, url],
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
