"""From nothing to a forecast: a fresh clone, ``make run``, and the seconds to its first prediction.

    python -m benchmarks.first_prediction

The last commit is cloned into an empty folder with a space in its name; nothing but Python, make
and the package index is used. Exit code 1: no prediction within ``TARGET_SECONDS``.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
TARGET_SECONDS: Final = 300.0
REQUEST: Final = {
    "date": "2024-03-15",
    "store_id": "STORE_001",
    "product_id": "PROD_A",
    "price": 29.99,
    "promotion": True,
}


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def predict(port: int) -> dict[str, Any] | None:
    """Ask once; None while there is no answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predict",
        json.dumps(REQUEST).encode(),
        {"Content-Type": "application/json"},
    )
    with suppress(OSError), urllib.request.urlopen(request, timeout=5) as reply:
        answer: dict[str, Any] = json.load(reply)
        return answer
    return None


def wait_for_prediction(process: "subprocess.Popen[bytes]", port: int) -> dict[str, Any] | None:
    """Ask twice a second until there is an answer, or ``make run`` ends, or the time is up."""
    deadline = time.monotonic() + TARGET_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if (answer := predict(port)) is not None:
            return answer
        time.sleep(0.5)
    return None


def main() -> int:
    """Clone, run, ask, and stop everything again."""
    folder = Path(tempfile.mkdtemp(prefix="scalecast first run "))
    folder.chmod(0o755)
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    api, ui = free_port(), free_port()
    clean = {n: v for n, v in os.environ.items() if not n.startswith("SCALECAST_")}
    ports = {"SCALECAST_API_PORT": str(api), "SCALECAST_UI_PORT": str(ui)}
    started = time.perf_counter()
    process = subprocess.Popen(
        ["make", "run"], cwd=clone, env={**clean, **ports}, start_new_session=True
    )
    try:
        answer = wait_for_prediction(process, api)
        seconds = time.perf_counter() - started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)
    if answer is None:
        print(f"no prediction within {seconds:.0f} s")
        return 1
    print(f"\nfirst prediction after {seconds:.0f} s: {json.dumps(answer)}")
    return 0 if seconds <= TARGET_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
