"""What intervals covered, for people: a table per group of answers, and whether it is as promised.

The figures are made in ``conformal.py``; the page and its plots are in ``report.py``.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from scalecast_assets.contract.intervals import DEFAULT_LEVEL, LEVELS
from scalecast_assets.forecasting.conformal import EVERYTHING, CoverageRow

ALLOWED_POINTS: Final = 0.05
"""How far coverage may be from nominal, as a fraction of the answers."""

CHANCE: Final = 3.0
"""Deviations of a binomial count that chance explains, where there are few answers."""

HEAD: Final = (
    "answers",
    "rows",
    *(f"in the {level} % interval" for level in LEVELS),
    f"width of the {DEFAULT_LEVEL} % interval",
    "width / demand",
)

_NAMES: Final = {EVERYTHING: "all", "cold_start": "too young for the model"}


def coverage_of(verdict: Mapping[str, Any]) -> list[CoverageRow]:
    """Read the rows of a verdict or a manifest; none where there were no intervals."""
    kept = verdict.get("coverage") or {}
    return [CoverageRow(**row) for row in kept.get("rows", ())]


def why_no_intervals(verdict: Mapping[str, Any]) -> str | None:
    """Say why there are none; None where there are."""
    kept: Mapping[str, Any] = verdict.get("coverage") or {"why_none": "they were not calibrated"}
    why: str | None = kept["why_none"]
    return why


def coverage_table(rows: Sequence[CoverageRow]) -> list[list[str]]:
    """Return one line per group, in the order of ``HEAD``, as text a person reads."""
    lines = []
    for group, of_group in groupby(rows, key=lambda row: row.group):
        by_level = {row.level: row for row in of_group}
        shown = by_level[DEFAULT_LEVEL]
        lines.append(
            [
                _NAMES.get(group, group),
                f"{shown.rows:,}",
                *(f"{by_level[level].covered:.1%}" for level in LEVELS),
                f"{shown.mean_width:.2f}",
                "–" if shown.width_to_demand is None else f"{shown.width_to_demand:.2f}",
            ]
        )
    return lines


def coverage_markdown(rows: Sequence[CoverageRow]) -> str:
    """Return the table as markdown."""
    lines = [f"| {' | '.join(HEAD)} |", "|---" + "|--:" * (len(HEAD) - 1) + "|"]
    lines += [f"| {' | '.join(line)} |" for line in coverage_table(rows)]
    return "\n".join(lines)


def overall(rows: Sequence[CoverageRow]) -> dict[int, CoverageRow]:
    """Return the rows of all answers together, by level."""
    return {row.level: row for row in rows if row.group == EVERYTHING}


def allowed_difference(row: CoverageRow) -> float:
    """Return how far this row may be from nominal: five points, or what chance explains."""
    nominal = row.level / 100
    return max(ALLOWED_POINTS, CHANCE * math.sqrt(nominal * (1 - nominal) / row.rows))


def is_near_nominal(row: CoverageRow) -> bool:
    """Tell whether the row covered what its level promises."""
    return abs(row.covered - row.level / 100) <= allowed_difference(row)
