"""What the intervals cover on days they have not seen: nominal beside empirical, file by file.

    SCALECAST_BENCH_DATA=<folder> python -m benchmarks.coverage m5_subset.csv.xz [FILE …]

Each file (.csv, .csv.gz or .csv.xz of that folder) goes through ``scalecast run --json`` in an
empty home. The figures are those that the run itself put into the manifest of what it promoted: of
the holdout, its last 14 days, whose days neither the fit nor the calibration has seen.

Exit code 1: a run failed, or made no intervals, or, for a file with at least ``JUDGED_ROWS``
answers on the holdout, a level is further than five points from nominal; 2 without the data.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.whole_graph import run, unpacked
from scalecast_assets.forecasting.coverage_report import (
    ALLOWED_POINTS,
    coverage_markdown,
    coverage_of,
    overall,
    why_no_intervals,
)

JUDGED_ROWS: Final = 10_000
"""On fewer answers, of few series on 14 days, chance and one bad week decide."""


def show(name: str, report: dict[str, Any]) -> bool:
    """Print one file's coverage as markdown; tell whether it is as promised."""
    print(f"\n## {name}: {report['champion']['name']}\n")
    rows = coverage_of(report)
    if not rows:
        print(f"no intervals: {why_no_intervals(report)}")
        return False
    print("| nominal | empirical | below | above | mean width | width / demand |")
    print("|--:|--:|--:|--:|--:|--:|")
    near = True
    for level, row in overall(rows).items():
        relative = "–" if row.width_to_demand is None else f"{row.width_to_demand:.2f}"
        print(
            f"| {level} % | {row.covered:.1%} | {row.below:.1%} | {row.above:.1%} "
            f"| {row.mean_width:.2f} | {relative} |"
        )
        if row.rows >= JUDGED_ROWS:
            near &= abs(row.covered - level / 100) <= ALLOWED_POINTS
    print(f"\n{coverage_markdown(rows)}\n")
    return near


def measure(path: Path) -> bool:
    """Run one file and print what its intervals covered; tells whether all is as promised."""
    folder = Path(tempfile.mkdtemp(prefix="scalecast-bench-"))
    folder.chmod(0o755)
    try:
        report, seconds, _ = run(unpacked(path, folder), folder)
        if report["exit_code"]:
            print(f"{path.name}: exit code {report['exit_code']}: {report['why']}")
            return False
        met = show(path.name, report)
        print(f"whole graph: {seconds:.0f} s, of which comparing and calibrating ", end="")
        print(f"{report['stages']['model_comparison']:.0f} s")
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
