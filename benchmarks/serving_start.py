"""How long the sidecar takes to be ready, how much memory it takes, and how much it installs.

    python -m benchmarks.serving_start [--install]

A local bundle (XGBoost with the parameters of a real run) and the state of 30,000 series; several
starts, each a new process. With ``--install`` the sidecar's own locked set is installed into an
environment of its own and weighed: the goal is 400 MB.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
import venv
from pathlib import Path
from typing import Final

import psutil

from benchmarks.load import ROOT, module
from benchmarks.serving_store import make_store
from scalecast_assets.contract.store import DirectoryStore

SERIES: Final = 30_000
STARTS: Final = 5
SECONDS: Final = 2.0
RESIDENT: Final = 300.0
INSTALLED: Final = 400.0


def start(store: Path) -> tuple[float, float, float, float]:
    """Start one; returns seconds until ready, processor seconds, MiB then, and after forecasts."""
    with module("serving", store.as_uri(), {0, 1}) as (url, seconds, pid):
        weighed = psutil.Process(pid)
        times = weighed.cpu_times()
        cpu = times.user + times.system + times.children_user + times.children_system
        ready = weighed.memory_info().rss / 2**20
        for product in range(1, 21):
            body = json.dumps({"product_id": f"P{product}", "horizon": 56}).encode()
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"{url}/forecast", body, headers)
            urllib.request.urlopen(request).read()
        return seconds, cpu, ready, weighed.memory_info().rss / 2**20


def imports() -> list[tuple[float, str]]:
    """Return the packages that take longest to import, in milliseconds of their own."""
    command = [sys.executable, "-X", "importtime", "-c", "import serving.app"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    own: dict[str, float] = {}
    for line in done.stderr.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdigit():
            name = parts[2].strip().partition(".")[0]
            own[name] = own.get(name, 0.0) + int(parts[0]) / 1000
    return sorted(((ms, name) for name, ms in own.items()), reverse=True)


def installed_mb() -> float:
    """Install what the image holds into a new environment; returns its size in MB, pip left out."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        lock = ROOT / "requirements-serving.lock"
        command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(lock)]
        subprocess.run(command, check=True)
        files = [
            file for file in Path(folder).rglob("*") if file.is_file() and "/pip" not in str(file)
        ]
        return sum(file.lstat().st_size for file in files) / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving_start")
    parser.add_argument("--install", action="store_true")
    held = True
    if parser.parse_args().install:
        size = installed_mb()
        print(f"the sidecar's own set, installed: {size:.0f} MB (goal {INSTALLED:.0f})")
        held = size < INSTALLED
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        fitted = make_store(DirectoryStore(store), SERIES)
        print(f"{fitted.name}: a graph of {len(fitted.onnx) / 1e6:.1f} MB, {SERIES:,} series")
        os.sync()
        start(store)  # compiles, and reads the files for the first time
        found = [start(store) for _ in range(STARTS)]
    seconds, cpu, ready, after = (statistics.median(column) for column in zip(*found, strict=True))
    print(
        f"ready after {seconds:.2f} s ({min(one[0] for one in found):.2f} to "
        f"{max(one[0] for one in found):.2f}; goal {SECONDS:g}), {cpu:.2f} s of processor\n"
        f"resident {ready:.0f} MiB when ready, {after:.0f} MiB after forecasts of 20 products in "
        f"300 stores, 56 days each (goal {RESIDENT:.0f})"
    )
    longest = ", ".join(f"{name} {ms:.0f}" for ms, name in imports()[:8])
    print(f"imports, ms of their own: {longest}")
    return 0 if held and seconds < SECONDS and after < RESIDENT else 1


if __name__ == "__main__":
    sys.exit(main())
