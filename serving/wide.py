"""Asking the model about many rows at once, on every core, without a second copy of it.

The session runs on one thread, which is best for the one row of ``/predict``. Many rows are cut
into parts that threads of our own ask it about: onnxruntime lets other threads run meanwhile.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serving.model import PredictionFailed, Predictor

THREADS: Final = os.cpu_count() or 1
LEAST_ROWS: Final = 256
"""Fewer rows than this are not worth a part of their own."""

_pool: Final = ThreadPoolExecutor(THREADS, thread_name_prefix="predict")


class WidePredictor:
    """A predictor for ``(n, 16) float32`` rows of any number."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the demand of each row, as :class:`Predictor` does.

        Raises:
            PredictionFailed: the graph fails, or a demand is not finite.
        """
        return self._in_parts(self._predictor, rows)

    def finite_or_nan(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Do the same, but answer NaN for the rows alone that fail or are not finite."""
        return self._in_parts(self._forgiving, rows)

    def _forgiving(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        try:
            return self._predictor(rows)
        except PredictionFailed:
            if len(rows) == 1:
                return np.full(1, np.nan)
        half = len(rows) // 2
        return np.concatenate([self._forgiving(rows[:half]), self._forgiving(rows[half:])])

    def _in_parts(
        self, ask: Callable[[NDArray[np.float32]], NDArray[np.float64]], rows: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        n_parts = min(THREADS, len(rows) // LEAST_ROWS)
        if n_parts < 2:
            return ask(rows) if len(rows) else np.empty(0)
        parts = np.array_split(rows, n_parts)
        others = [_pool.submit(ask, part) for part in parts[1:]]
        return np.concatenate([ask(parts[0]), *(other.result() for other in others)])
