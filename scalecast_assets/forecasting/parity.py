"""The gate's evidence that serving's features are the training's: numpy beside SQL, row by row.

A sample of snapshot rows, stratified by what goes wrong first (imputed days, closures, gaps, short
histories), is computed again from panels, and held against what SQL computed. A panel reaches back
eight weeks only, so where stores are few, as many panels are made as the sample needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from scalecast_assets.contract.columns import FEATURES, KEPT_HISTORY_DAYS
from scalecast_assets.contract.features import features
from scalecast_assets.contract.panel import Panel
from scalecast_assets.forecasting.training_rows import Float64
from scalecast_assets.forecasting.training_set import TrainingSet

SAMPLE_ROWS: Final = 2_000
"""Rows that are drawn, where there are as many."""

REQUIRED_ROWS: Final = 1_000
"""Fewer prove nothing, unless there are no more rows with history."""

TOLERANCE: Final = 1e-6
"""Largest allowed |a-b| / max(1, |b|), in float64."""

ORDINARY: Final = "ordinary"

Positions = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Parity:
    """How far apart the two are: the worst relative difference, and on which feature."""

    rows: int
    required_rows: int
    rows_by_stratum: dict[str, int]
    worst_difference: float
    worst_feature: str

    @property
    def agrees(self) -> bool:
        """Whether enough rows were compared, and every feature of each is within the tolerance."""
        enough = self.rows >= max(1, self.required_rows)
        return enough and self.worst_difference <= TOLERANCE


def check_parity(training_set: TrainingSet, snapshot: Path, seed: int) -> Parity:
    """Compute a stratified sample of at least 1,000 rows (all, if fewer) again and compare."""
    random = np.random.default_rng(seed)
    strata = _strata(training_set)
    required = min(REQUIRED_ROWS, len(strata[ORDINARY]))
    sampled, matrix = _sample_and_compute(training_set, strata, required, random)
    expected = _sql_features(snapshot, sampled)
    difference = np.abs(matrix - expected) / np.maximum(1.0, np.abs(expected))
    difference = np.where(np.isnan(matrix) | np.isnan(expected), np.inf, difference)
    column = int(difference.max(axis=0, initial=0.0).argmax())
    return Parity(
        rows=len(sampled),
        required_rows=required,
        rows_by_stratum={
            name: int(np.isin(sampled, rows, assume_unique=True).sum())
            for name, rows in strata.items()
        },
        worst_difference=float(difference.max(initial=0.0)),
        worst_feature=FEATURES[column],
    )


def _strata(training_set: TrainingSet) -> dict[str, Positions]:
    """Positions of rows with history, by what is special about them; strata may overlap."""
    known = training_set.has_history
    same = np.zeros(len(training_set), dtype=bool)
    same[1:] = training_set.series[1:] == training_set.series[:-1]
    step = np.zeros(len(training_set), dtype=np.int64)
    step[1:] = np.diff(training_set.day)
    masks = {
        "imputed": known & training_set.is_imputed,
        "after_closure": known & same & (step > 1) & (step <= KEPT_HISTORY_DAYS),
        "after_gap": known & same & (step > KEPT_HISTORY_DAYS),
        "short_history": known & (training_set.history_days < 2 * KEPT_HISTORY_DAYS),
        ORDINARY: known,
    }
    return {name: np.flatnonzero(mask) for name, mask in masks.items()}


def _origins(
    training_set: TrainingSet, strata: dict[str, Positions], random: np.random.Generator
) -> list[int]:
    """Days at whose end panels are made: the last, and one that holds a row of each stratum."""
    origins = {training_set.last_day}
    for rows in strata.values():
        if len(rows):
            day = int(training_set.day[random.choice(rows)])
            origins.add(min(training_set.last_day, day + int(random.integers(KEPT_HISTORY_DAYS))))
    return sorted(origins)


def _sample_and_compute(
    training_set: TrainingSet,
    strata: dict[str, Positions],
    required: int,
    random: np.random.Generator,
) -> tuple[Positions, Float64]:
    """Draw rows, sorted, and compute their features, ``(n, 16) float64``; NaN without history."""
    chosen: list[Positions] = []
    computed: list[Float64] = []
    taken = np.zeros(len(training_set), dtype=bool)
    for origin, budget in _panels(training_set, strata, taken, required, random):
        panel = training_set.panel(origin)
        rows = _drawn(strata, _within(training_set, panel) & ~taken, budget, random)
        taken[rows] = True
        chosen.append(rows)
        computed.append(_numpy_features(training_set, panel, rows))
    order = np.argsort(np.concatenate(chosen))
    return np.concatenate(chosen)[order], np.concatenate(computed)[order]


def _panels(
    training_set: TrainingSet,
    strata: dict[str, Positions],
    taken: npt.NDArray[np.bool_],
    required: int,
    random: np.random.Generator,
) -> Iterator[tuple[int, int]]:
    """Yield origins, and how many rows to draw from each, until ``required`` rows are ``taken``.

    Each further origin is the day of the latest row that is not taken yet: its panel holds it.
    """
    origins = _origins(training_set, strata, random)
    for origin in origins:
        yield origin, -(-SAMPLE_ROWS // len(origins))
    known = strata[ORDINARY]
    while (missing := required - int(taken.sum())) > 0:
        yield int(training_set.day[known[~taken[known]]].max()), missing


def _numpy_features(training_set: TrainingSet, panel: Panel, rows: Positions) -> Float64:
    given = training_set.features[rows]
    matrix, has_history = features(
        panel,
        training_set.series[rows],
        training_set.day[rows],
        given[:, FEATURES.index("price")],
        given[:, FEATURES.index("promotion")] > 0,
        given[:, FEATURES.index("store_id_encoded")].astype(np.int64),
        given[:, FEATURES.index("product_id_encoded")].astype(np.int64),
    )
    matrix[~has_history] = np.nan
    return matrix


def _within(training_set: TrainingSet, panel: Panel) -> npt.NDArray[np.bool_]:
    """Mark the rows whose features the panel can compute."""
    until = panel.until[panel.series_store]
    earliest = np.array([panel.earliest_day(store) for store in range(len(panel.stores))])
    first = earliest[panel.series_store]
    series, day = training_set.series, training_set.day
    return (day >= first[series]) & (day <= until[series])


def _drawn(
    strata: dict[str, Positions],
    free: npt.NDArray[np.bool_],
    budget: int,
    random: np.random.Generator,
) -> Positions:
    """Draw up to ``budget`` rows: a fair share of each special stratum, the rest ordinary."""
    drawn = np.empty(0, dtype=np.intp)
    for name, rows in strata.items():
        inside = np.setdiff1d(rows[free[rows]], drawn, assume_unique=True)
        left = budget - len(drawn) if name == ORDINARY else budget // len(strata)
        picked = random.choice(inside, size=min(left, len(inside)), replace=False)
        drawn = np.concatenate([drawn, picked])
    return drawn


def _sql_features(snapshot: Path, positions: Positions) -> Float64:
    """Read the features of rows at sorted ``positions`` as SQL gave them, ``(n, 16) float64``."""
    expected = np.empty((len(positions), len(FEATURES)))
    start = 0
    with pq.ParquetFile(snapshot) as file:
        for batch in file.iter_batches(columns=list(FEATURES), batch_size=131_072):
            low, high = np.searchsorted(positions, [start, start + batch.num_rows])
            if low < high:
                picked = batch.take(positions[low:high] - start)
                for column, name in enumerate(FEATURES):
                    values = picked.column(name).to_numpy(zero_copy_only=False)
                    expected[low:high, column] = values.astype(np.float64)
            start += batch.num_rows
    return expected
