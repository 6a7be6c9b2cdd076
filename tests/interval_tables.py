"""Tables of multiples to test with: any that a reader accepts, and one that is easy to follow."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scalecast_assets.contract.demand_classes import ALL_CLASSES
from scalecast_assets.contract.intervals import HORIZON_ENDS, LEVELS, IntervalTable


def table_of(lower: np.ndarray, upper: np.ndarray, calibrated_days: int) -> IntervalTable:
    """Return a table of these multiples, made to grow with level and horizon."""
    grown = [np.maximum.accumulate(np.sort(tail, axis=2), axis=1) for tail in (lower, upper)]
    counts = np.full(lower.shape[:2], 100)
    return IntervalTable(grown[0], grown[1], counts, calibrated_days, "2024-01-01", "2024-02-29")


def plain_table(n_groups: int = 3, calibrated_days: int = 14) -> IntervalTable:
    """Return multiples 0.5, 1, 2, 3 by level for smooth series, more by class and by horizon."""
    by_level = np.array([0.5, 1.0, 2.0, 3.0])
    by_class = 1.0 + np.arange(len(ALL_CLASSES))
    by_group = 1.0 + 0.25 * np.arange(n_groups)
    upper = by_class[:, None, None] * by_group[None, :, None] * by_level
    return table_of(0.5 * upper, upper, calibrated_days)


@st.composite
def tables(draw: st.DrawFn) -> IntervalTable:
    """Any table, of any number of groups, cut short anywhere in the last."""
    n_groups = draw(st.integers(1, len(HORIZON_ENDS)))
    first = HORIZON_ENDS[n_groups - 2] + 1 if n_groups > 1 else 1
    shape = (len(ALL_CLASSES), n_groups, len(LEVELS))
    tails = arrays.arrays(np.float64, shape, elements=st.floats(0, 1e6))
    return table_of(draw(tails), draw(tails), draw(st.integers(first, HORIZON_ENDS[n_groups - 1])))
