"""The interval around a forecast: a table of calibrated multiples, and the bounds they give.

A bundle carries the table as ``intervals.json``. Each multiple is a quantile of
``(actual - forecast) / scale`` on days that the fit had not seen, by demand class, horizon and
level; the interval is ``forecast - lower * scale`` to ``forecast + upper * scale``, cut at zero.
Where the multiples come from is in ``forecasting/conformal.py``; class and scale of a series are in
``demand_classes.py``.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scalecast_assets.contract.columns import MAX_HORIZON_DAYS
from scalecast_assets.contract.demand_classes import ALL_CLASSES
from scalecast_assets.contract.layout import INTERVALS
from scalecast_assets.contract.strict_json import Fields, check_format, dump_json, load_object

Float64s = npt.NDArray[np.float64]

FORMAT: Final = 1
MAX_INTERVALS_BYTES: Final = 1024 * 1024

LEVELS: Final = (50, 80, 90, 95)
"""Per cent of the days that lie inside; what a request may ask for."""

DEFAULT_LEVEL: Final = 80

HORIZON_ENDS: Final = (1, 7, 14, 28, 56)
"""The last day of each group of horizons: 1, 2 to 7, 8 to 14, 15 to 28, 29 to 56 days ahead."""

MAX_MULTIPLE: Final = 1e6
"""A multiple of the scale beyond it is taken for a mistake and refused."""

_TAILS: Final = ("lower", "upper")


@dataclass(frozen=True, eq=False)
class IntervalTable:
    """Multiples of the scale, ``(n_classes, n_groups, n_levels)``, below and above the forecast.

    The groups are the first of ``HORIZON_ENDS``, as many as were measured; the last one may be cut
    short at ``calibrated_days``, the furthest horizon measured. ``residuals`` ``(n_classes,
    n_groups)`` says on how many each cell stands; days are ISO text.
    """

    lower: Float64s
    upper: Float64s
    residuals: npt.NDArray[np.int64]
    calibrated_days: int
    fit_cutoff: str
    calibrated_until: str

    def bounds(
        self,
        point: npt.ArrayLike,
        horizon: npt.ArrayLike,
        demand_class: npt.ArrayLike,
        scale: npt.ArrayLike,
        level: int = DEFAULT_LEVEL,
    ) -> tuple[Float64s, Float64s]:
        """Return the lower and the upper bound, units per day, of any broadcastable arguments.

        ``0 <= lower <= point <= upper``, and a higher level never has a narrower interval.
        ``horizon`` counts days from 1 on, ``demand_class`` indexes ``ALL_CLASSES``, ``scale`` is in
        units per day. Raises ValueError for a level that is not one of ``LEVELS``, and IndexError
        for a horizon beyond ``MAX_HORIZON_DAYS``.
        """
        if level not in LEVELS:
            raise ValueError(f"level: expected one of {LEVELS}, found {level!r}")
        at = (np.asarray(demand_class), np.asarray(horizon))
        below, above = self.by_day[(slice(None), LEVELS.index(level), *at)]
        lower = np.maximum(np.subtract(point, below * scale), 0.0)
        upper = np.add(point, above * scale)
        return lower, upper

    @cached_property
    def by_day(self) -> Float64s:
        """``(2, n_levels, n_classes, 57)``: both multiples, indexed by the horizon itself.

        Beyond the horizons measured, the multiple of the last group grows with the square root of
        the horizon, as the error of a random walk does (Hyndman & Athanasopoulos, Forecasting:
        Principles and Practice, 5.5): the errors measured grow less.
        """
        horizon = np.arange(MAX_HORIZON_DAYS + 1)
        group = np.searchsorted(HORIZON_ENDS, np.clip(horizon, 1, self.calibrated_days))
        growth = np.sqrt(np.maximum(horizon / self.calibrated_days, 1.0))
        both = np.stack([self.lower, self.upper])[:, :, group, :] * growth[None, None, :, None]
        return np.ascontiguousarray(both.transpose(0, 3, 1, 2))

    def to_bytes(self) -> bytes:
        """Serialise deterministically, and only if ``parse`` would accept the result."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "levels": list(LEVELS),
            "horizon_ends": list(HORIZON_ENDS[: self.lower.shape[1]]),
            "calibrated_days": self.calibrated_days,
            "fit_cutoff": self.fit_cutoff,
            "calibrated_until": self.calibrated_until,
            "classes": {
                name: {
                    "lower": self.lower[at].tolist(),
                    "upper": self.upper[at].tolist(),
                    "residuals": self.residuals[at].tolist(),
                }
                for at, name in enumerate(ALL_CLASSES)
            },
        }
        data = dump_json(document, INTERVALS)
        IntervalTable.parse(data)
        return data

    @classmethod
    def parse(cls, data: bytes) -> "IntervalTable":
        """Parse strictly; raises ``BundleError`` naming what is missing, not a number, or crossed.

        Refused are multiples that are negative, huge, or fall with the level or with the horizon.
        """
        fields = load_object(data, INTERVALS, MAX_INTERVALS_BYTES)
        check_format(fields, FORMAT)
        levels, ends = fields.take("levels", list), fields.take("horizon_ends", list)
        if levels != list(LEVELS):
            raise fields.wrong("levels", levels, str(list(LEVELS)))
        if not ends or ends != list(HORIZON_ENDS[: len(ends)]):
            raise fields.wrong("horizon_ends", ends, f"the first of {list(HORIZON_ENDS)}")
        n_groups = len(ends)
        least = HORIZON_ENDS[n_groups - 2] + 1 if n_groups > 1 else 1
        calibrated_days = fields.count("calibrated_days", least, HORIZON_ENDS[n_groups - 1])
        fit_cutoff, until = fields.day("fit_cutoff"), fields.day("calibrated_until")
        if until <= fit_cutoff:
            raise fields.wrong("calibrated_until", until, f"a day after fit_cutoff {fit_cutoff}")
        classes = Fields(fields.take("classes", dict), f"{fields.where}.classes")
        found = [_class_of(classes, name, n_groups) for name in ALL_CLASSES]
        classes.done()
        fields.done()
        lower, upper, residuals = (np.stack(parts) for parts in zip(*found, strict=True))
        return cls(lower, upper, residuals, calibrated_days, fit_cutoff, until)


def _class_of(
    classes: Fields, name: str, n_groups: int
) -> tuple[Float64s, Float64s, npt.NDArray[np.int64]]:
    fields = Fields(classes.take(name, dict), f"{classes.where}.{name}")
    lower, upper = (_multiples(fields, tail, n_groups) for tail in _TAILS)
    counts = fields.take("residuals", list)
    if len(counts) != n_groups or any(type(n) is not int or not 0 <= n < 2**53 for n in counts):
        raise fields.wrong("residuals", counts, f"{n_groups} whole numbers from 0 on")
    fields.done()
    return lower, upper, np.array(counts, dtype=np.int64)


def _multiples(fields: Fields, name: str, n_groups: int) -> Float64s:
    rows = fields.take(name, list)
    shaped = len(rows) == n_groups and all(
        type(row) is list and len(row) == len(LEVELS) and all(type(x) is float for x in row)
        for row in rows
    )
    if not shaped:
        raise fields.wrong(name, rows, f"{n_groups} lists of {len(LEVELS)} decimal numbers")
    cells = np.array(rows, dtype=np.float64)
    if cells.min() < 0 or cells.max() > MAX_MULTIPLE:
        raise fields.wrong(name, rows, f"numbers from 0 to {MAX_MULTIPLE:g}")
    for axis, what in ((1, "level"), (0, "horizon")):
        if np.any(np.diff(cells, axis=axis) < 0):
            raise fields.wrong(name, rows, f"numbers that never fall with the {what}")
    return cells
