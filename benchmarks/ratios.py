"""Whether any benchmark's ratio to its yardstick is worse than ``limits.toml`` allows.

    python -m benchmarks.ratios [benchmark …]      (default: all that have limits)

Each benchmark runs once more if a figure of it is beyond its limit: a neighbour on the machine is
no regression. Exit code 1: beyond it twice, or a figure that the benchmark does not print.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LIMITS: Final = Path(__file__).with_name("limits.toml")
ROUNDS: Final = 2


@dataclass(frozen=True)
class Limit:
    """One ratio, where it is printed, and how far it may go."""

    name: str
    benchmark: str
    line: re.Pattern[str]
    at_most: float | None = None
    at_least: float | None = None

    def found_in(self, printed: str) -> float | None:
        """The figure, if the benchmark printed it."""
        found = self.line.search(printed)
        return float(found[1]) if found else None

    def holds(self, ratio: float | None) -> bool:
        """Whether the figure is there and within the limit."""
        if ratio is None:
            return False
        within = self.at_most is None or ratio <= self.at_most
        return within and (self.at_least is None or ratio >= self.at_least)

    def __str__(self) -> str:
        """The limit in words."""
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return f"at least {self.at_least:g}"


def read_limits(path: Path = LIMITS) -> list[Limit]:
    """Read the limits.

    Raises:
        ValueError: an entry has no limit, or a pattern without exactly one group.
    """
    limits = [_limit(entry) for entry in tomllib.loads(path.read_text())["ratio"]]
    for limit in limits:
        if limit.line.groups != 1:
            raise ValueError(f"{path.name}: {limit.name}: `line` needs exactly one group")
        if (limit.at_most is None) == (limit.at_least is None):
            raise ValueError(f"{path.name}: {limit.name}: give at_most or at_least")
    return limits


def _limit(entry: dict[str, Any]) -> Limit:
    return Limit(**{**entry, "line": re.compile(entry["line"])})


def run(benchmark: str) -> str:
    """Run a benchmark, showing and returning what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{benchmark}"], stdout=subprocess.PIPE, text=True
    )
    print(done.stdout, flush=True)
    return done.stdout if done.returncode == 0 else ""


def regressions(limits: Sequence[Limit], measure: Callable[[str], str]) -> list[str]:
    """Measure every benchmark and say which limits do not hold, in any of the rounds."""
    said: list[str] = []
    for benchmark in dict.fromkeys(limit.benchmark for limit in limits):
        open_ones = [limit for limit in limits if limit.benchmark == benchmark]
        for _ in range(ROUNDS):
            printed = measure(benchmark)
            figures = {limit.name: limit.found_in(printed) for limit in open_ones}
            open_ones = [limit for limit in open_ones if not limit.holds(figures[limit.name])]
            if not open_ones:
                break
        for limit in open_ones:
            figure = figures[limit.name]
            shown = "not printed" if figure is None else f"{figure:g}"
            said.append(f"{limit.name}: {shown}, {limit} allowed (benchmarks.{benchmark})")
    return said


def main(wanted: Sequence[str]) -> int:
    """Run what is wanted, and return the exit code."""
    limits = [limit for limit in read_limits() if not wanted or limit.benchmark in wanted]
    if not limits:
        print(f"no limits for {' '.join(wanted)} in {LIMITS.name}", file=sys.stderr)
        return 2
    broken = regressions(limits, run)
    for sentence in broken:
        print(f"worse than allowed: {sentence}")
    if not broken:
        print(f"all {len(limits)} ratios within their limits")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
