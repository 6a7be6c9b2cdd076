"""How many rows a candidate may be fitted and tuned on, so that training ends in bounded time.

A budget that bites takes a seeded uniform sample over all rows, never just the latest, and says
so. The defaults aim at 3.3 million rows x 16 features on two free cores: forest within 90 s,
XGBoost 60 s, network 90 s, linear regression 10 s. Least squares needs about 6.4 times the memory
of its float32 matrix: 2 GB for its 5 million rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from scalecast_assets import keys
from scalecast_assets.forecasting.training_rows import TrainingError, TrainingRows

UNBOUNDED: Final = 2**62


@dataclass(frozen=True)
class Budget:
    """The most rows a candidate is fitted on, and the most rows its parameters are tuned on."""

    fit_rows: int
    tune_rows: int

    def __post_init__(self) -> None:
        """Raise TrainingError for a budget that admits no row."""
        for name in ("fit_rows", "tune_rows"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name}: expected at least 1, found {getattr(self, name)}")


DEFAULT_BUDGETS: Final[Mapping[str, Budget]] = MappingProxyType(
    {
        keys.NAIVE_BASELINE: Budget(UNBOUNDED, UNBOUNDED),
        keys.MEAN_BASELINE: Budget(UNBOUNDED, UNBOUNDED),
        keys.LINEAR_REGRESSION: Budget(fit_rows=5_000_000, tune_rows=5_000_000),
        keys.RANDOM_FOREST: Budget(fit_rows=300_000, tune_rows=30_000),
        keys.XGBOOST: Budget(fit_rows=1_500_000, tune_rows=100_000),
        keys.PYTORCH_NN: Budget(fit_rows=600_000, tune_rows=600_000),
    }
)


def within_budget(
    rows: TrainingRows, budget: int, *, seed: int, verb: str, log: Callable[[str], None]
) -> tuple[TrainingRows, list[str]]:
    """Return at most ``budget`` of the rows and, when that is fewer, the note that says so."""
    sample = rows.sample(budget, seed)
    if len(sample) == len(rows):
        return rows, []
    note = f"{verb} on {len(sample):,} of {len(rows):,} rows (budget {budget:,})"
    log(note)
    return sample, [note]
