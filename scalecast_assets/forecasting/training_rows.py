"""The matrix a candidate is fitted on: features, target, and whose row of which day it is.

``TrainingRows`` and the error that says what a training set lacks live here. Reading the snapshot
is in ``training_set.py``, cutting rows by date is in ``splits.py``, the models are in
``candidates/``.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from scalecast_assets.contract.columns import FEATURES

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]


class TrainingError(ValueError):
    """A model cannot be fitted on these rows; the message says what is needed."""


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """One row per (store_id, product_id, date) that has history and whose day is final.

    ``features`` is ``(n_rows, 16) float32`` in the order of ``FEATURES``, ``target`` is
    ``(n_rows,) float64`` in units per day, ``day`` is ``(n_rows,) int32`` days since 1970-01-01,
    ``series`` is ``(n_rows,) int32``, any numbering of the (store, product) pairs.
    """

    features: Float32
    target: Float64
    day: Int32
    series: Int32

    def __post_init__(self) -> None:
        """Raise TrainingError unless the four arrays fit together and every number is finite."""
        if self.features.ndim != 2 or self.features.shape[1] != len(FEATURES):
            raise TrainingError(
                f"features: expected shape (n_rows, {len(FEATURES)}), found {self.features.shape}"
            )
        expected = {"features": "float32", "target": "float64", "day": "int32", "series": "int32"}
        for name, dtype in expected.items():
            column = getattr(self, name)
            if column.dtype != np.dtype(dtype):
                raise TrainingError(f"{name}: expected dtype {dtype}, found {column.dtype}")
            if len(column) != len(self.features) or (name != "features" and column.ndim != 1):
                raise TrainingError(
                    f"{name}: expected {len(self.features)} rows, one per row of features, "
                    f"found shape {column.shape}"
                )
        for name in ("features", "target"):
            bad = ~np.isfinite(getattr(self, name))
            if bad.any():
                where = np.argwhere(bad)[0]
                column_name = FEATURES[where[1]] if name == "features" else name
                raise TrainingError(
                    f"{column_name}: expected finite numbers, found {int(bad.sum())} that are not, "
                    f"the first in row {int(where[0])}; leave out rows without history"
                )

    def __len__(self) -> int:
        return len(self.target)

    def take(self, chosen: npt.NDArray[np.bool_] | Indices) -> Self:
        """Return the rows of a boolean mask, or of row positions, in that order."""
        return type(self)(
            self.features[chosen], self.target[chosen], self.day[chosen], self.series[chosen]
        )

    def before(self, day: int) -> Self:
        """Return the rows of days strictly before ``day``."""
        return self.take(self.day < day)

    def up_to(self, day: int) -> Self:
        """Return the rows of days up to and including ``day``: what an origin on ``day`` knows."""
        return self.take(self.day <= day)

    def sample(self, budget: int, seed: int) -> Self:
        """Return at most ``budget`` rows, a seeded uniform sample over all rows, order kept."""
        if budget < 1:
            raise TrainingError(f"row budget: expected at least 1, found {budget}")
        if len(self) <= budget:
            return self
        chosen = np.random.default_rng(seed).choice(len(self), size=budget, replace=False)
        return self.take(np.sort(chosen))
