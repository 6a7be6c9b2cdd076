"""The whole graph on a real file: seconds of each stage, memory, and figures checked from outside.

    SCALECAST_BENCH_DATA=<folder> python -m benchmarks.whole_graph m5_subset.csv.xz [FILE …]

Each file (.csv, .csv.gz or .csv.xz of that folder) goes through ``scalecast run --json`` in an
empty home, as a process of its own. Twice a second the resident memory of every process under it,
Postgres included, is read: shared pages count in each, so the figures are upper bounds. For a file
with at most ``CHECKED_ROWS`` rows, ``tests/independent_leaderboard.py`` then recomputes naive, mean
and linear regression from the CSV, with code of its own.

Exit code 1: a run failed, or took over ``TARGET_SECONDS``, or a process held over ``TARGET_GIB``,
or a figure was not reproduced; 2 without the data.
"""

import json
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

ROOT: Final = Path(__file__).resolve().parents[1]
TARGET_SECONDS: Final = 600.0
TARGET_GIB: Final = 6.0
CHECKED_ROWS: Final = 500_000


@dataclass
class Memory:
    """The most that any process, and all together, held; in bytes."""

    by_process: dict[str, int] = field(default_factory=dict)
    together: int = 0

    def look(self, home: Path) -> None:
        """Read what this process' descendants and the home's Postgres hold now."""
        total = 0
        for process in _processes(home):
            with suppress(psutil.Error):
                held = process.memory_info().rss
                name = _name(process)
                self.by_process[name] = max(held, self.by_process.get(name, 0))
                total += held
        self.together = max(total, self.together)

    @contextmanager
    def watched(self, home: Path) -> Iterator[None]:
        """Look twice a second for as long as the block lasts."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.5):
                self.look(home)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _processes(home: Path) -> list[psutil.Process]:
    found: list[psutil.Process] = list(psutil.Process().children(recursive=True))
    for process in psutil.process_iter(["name"]):
        if process.info["name"] and process.info["name"].startswith("postgres"):
            with suppress(psutil.Error):
                if Path(process.cwd()).is_relative_to(home):
                    found.append(process)
    return found


def _name(process: psutil.Process) -> str:
    words = process.cmdline() or [process.name()]  # a process that has just ended has no words
    if process.name().startswith("postgres"):
        return "postgres"
    module = words[words.index("-m") + 1] if "-m" in words else None
    return module or next((Path(w).name for w in words[1:] if not w.startswith("-")), words[0])


def unpacked(path: Path, folder: Path) -> Path:
    """Return the file, without .xz."""
    if path.suffix != ".xz":
        return path
    plain = folder / path.stem
    with lzma.open(path) as packed, plain.open("wb") as target:
        shutil.copyfileobj(packed, target, 1024 * 1024)
    return plain


def run(file: Path, folder: Path) -> tuple[dict[str, Any], float, Memory]:
    """Run the whole graph on the file in an empty home; returns report, seconds and memory."""
    home = folder / "home"
    clean = {n: v for n, v in os.environ.items() if not n.startswith("SCALECAST_")}
    memory = Memory()
    started = time.perf_counter()
    with memory.watched(home):
        done = subprocess.run(
            [sys.executable, "-m", "scalecast_assets.cli", "run", "--json", "--csv", str(file)],
            cwd=ROOT,
            env={**clean, "SCALECAST_HOME": str(home)},
            stdout=subprocess.PIPE,
            check=False,
        )
    seconds = time.perf_counter() - started
    report: dict[str, Any] = json.loads(done.stdout)
    report["exit_code"] = done.returncode
    return report, seconds, memory


def show(name: str, report: dict[str, Any], seconds: float, memory: Memory) -> None:
    """Print one run as markdown."""
    print(f"\n## {name}: {report['rows_published']:,} rows\n")
    print("| stage | seconds |\n|---|--:|")
    for stage, spent in report["stages"].items():
        print(f"| {stage} | {spent:.1f} |")
    print(f"| **process start to exit** | **{seconds:.1f}** |")
    print("\n| process | most memory, GiB |\n|---|--:|")
    for process, held in sorted(memory.by_process.items(), key=lambda item: -item[1])[:5]:
        print(f"| {process} | {held / 2**30:.2f} |")
    print(f"| all together | {memory.together / 2**30:.2f} |")
    columns = ("mae", "rmse", "wape", "rmsse", "bias", "one_step_mae", "fit_seconds")
    print(f"\n| model | {' | '.join(columns)} |\n|---|{'--:|' * len(columns)}")
    for row in report["leaderboard"]:
        figures = ("–" if row[c] is None else f"{row[c]:.4g}" for c in columns)
        print(f"| {row['name']} | {' | '.join(figures)} |")
    print(f"\n{report['champion']}: {report['why']}\n")


def checked_from_outside(file: Path, report: dict[str, Any], folder: Path) -> bool:
    """Recompute three rows of the leaderboard from the CSV alone."""
    outcome = folder / "run.json"
    outcome.write_text(json.dumps(report))
    script = ROOT / "tests" / "independent_leaderboard.py"
    command = [sys.executable, str(script), str(file), "--leaderboard", str(outcome)]
    return subprocess.run(command, check=False).returncode == 0


def measure(path: Path) -> bool:
    """Run one file and print what was found; tells whether every target is met."""
    folder = Path(tempfile.mkdtemp(prefix="scalecast-bench-"))
    folder.chmod(0o755)
    try:
        file = unpacked(path, folder)
        report, seconds, memory = run(file, folder)
        if report["exit_code"]:
            print(f"{path.name}: exit code {report['exit_code']}: {report['why']}")
            return False
        show(path.name, report, seconds, memory)
        met = seconds <= TARGET_SECONDS
        met &= max(memory.by_process.values()) <= TARGET_GIB * 2**30
        if report["rows_published"] <= CHECKED_ROWS:
            met &= checked_from_outside(file, report, folder)
        return met
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(names: list[str]) -> int:
    """Measure the files named."""
    data = os.environ.get("SCALECAST_BENCH_DATA")
    if not data or not names:
        print(__doc__, file=sys.stderr)
        return 2
    return 0 if all([measure(Path(data) / name) for name in names]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
