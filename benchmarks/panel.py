"""What serving computes from history, beside what numpy needs for the same numbers at the least.

    python -m benchmarks.panel

Building the panel of 3.3 million rows is held against sorting them once, reading the state of
30,000 series against copying its bytes, and rolling one series 56 days ahead against 56 calls of
the same model. Ratios count; seconds are this machine's.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

import numpy as np

from scalecast_assets.contract.encoders import SeriesCodes
from scalecast_assets.contract.panel import Panel
from scalecast_assets.contract.panel_rows import PanelRows, build_panel
from scalecast_assets.contract.rolling import roll_forward
from scalecast_assets.contract.state import panel_from_bytes, panel_to_bytes

ROUNDS: Final = 5


def best_of(work: Callable[[], object]) -> float:
    """Seconds of the quickest of a few rounds."""
    seconds = []
    for _ in range(ROUNDS):
        begun = perf_counter()
        work()
        seconds.append(perf_counter() - begun)
    return min(seconds)


def rows_of(n_series: int, n_days: int) -> PanelRows:
    """Every series sells every day."""
    n = n_series * n_days
    quantity = np.random.default_rng(1).poisson(3.0, n).astype(np.float64)
    return PanelRows(
        np.repeat(np.arange(n_series, dtype=np.int32), n_days),
        np.tile(np.arange(16_000, 16_000 + n_days, dtype=np.int32), n_series),
        quantity,
        np.ones(n, np.float32),
        np.zeros(n, np.bool_),
    )


def panel_of(rows: PanelRows, n_series: int) -> Panel:
    """All products of one store."""
    return build_panel(
        rows,
        stores=["A"],
        products=[f"P{i}" for i in range(n_series)],
        series_store=np.zeros(n_series, np.int32),
        series_product=np.arange(n_series, dtype=np.int32),
    )


def mean_of_lags(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A model that costs next to nothing."""
    return np.asarray(rows[:, 6:9].mean(axis=1), np.float64)


def report(name: str, seconds: float, limit: float, beside: str) -> None:
    """Print one line."""
    print(f"{name:<44} {seconds * 1e3:9.2f} ms   {seconds / limit:6.1f} x {beside}")


def main() -> None:
    """Measure all three."""
    rows = rows_of(2_147, 1_555)
    sorting = best_of(lambda: np.lexsort((rows.day, rows.series)))
    building = best_of(lambda: panel_of(rows, 2_147))
    report("panel of 3.3 million rows", building, sorting, "of sorting them")

    state = panel_to_bytes(panel_of(rows_of(30_000, 70), 30_000))
    reading = best_of(lambda: panel_from_bytes(state))
    report("state of 30,000 series", reading, best_of(lambda: bytearray(state)), "of a copy")

    panel = panel_of(rows_of(10, 70), 10)
    codes = SeriesCodes(np.zeros(10, np.int32), np.zeros(10, np.int32))
    one = np.zeros((1, 16), np.float32)
    asking = best_of(lambda: [mean_of_lags(one) for _ in range(56)])
    chosen = np.array([0])
    rolling = best_of(
        lambda: roll_forward(panel, panel.end_day, 56, mean_of_lags, codes, series=chosen)
    )
    report("one series rolled 56 days ahead", rolling, asking, "of asking the model 56 times")


if __name__ == "__main__":
    main()
