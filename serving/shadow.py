"""The shadow: the challenger is asked what the champion has answered, off the answer's path.

Answers are offered to a short queue, without waiting: if it is full, the comparison is dropped and
counted. One thread compares, and rests three times as long as it works, so that it takes at most a
quarter of a core from those who answer. What it finds goes to the metrics, and to the log once a
second at most.
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.logs import request_id
from serving.metrics import Metrics
from serving.traffic import Rival

logger = logging.getLogger(__name__)

WAITING: Final = 256
"""Comparisons that wait, at most."""

MAX_ROWS: Final = 500
"""Forecast days of one answer that are compared, at most: evenly drawn."""

REST: Final = 3.0
"""Times as long as a comparison took."""

LOG_SECONDS: Final = 1.0
STOP_SECONDS: Final = 2.0


class _Asked(NamedTuple):
    rival: Rival
    champion: str
    prediction: NDArray[np.float64]
    ask: Callable[[], NDArray[np.float64]]
    about: dict[str, Any]
    request: str | None


class Shadow:
    """Compares in a thread of its own; ``offer`` never waits and never fails."""

    def __init__(self, metrics: Metrics, waiting: int = WAITING) -> None:
        self._metrics = metrics
        self._queue: queue.Queue[_Asked | None] = queue.Queue(waiting)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._logged_at = float("-inf")

    def start(self) -> None:
        """Begin to compare what is offered."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; what waits is forgotten."""
        self._stopping.set()
        with contextlib.suppress(queue.Full):  # then there is something to wake up for
            self._queue.put_nowait(None)
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def offer(
        self,
        rival: Rival,
        champion: str,
        prediction: NDArray[np.float64],
        ask: Callable[[], NDArray[np.float64]],
        **about: Any,
    ) -> None:
        """Have ``ask()`` compared with the champion's ``prediction`` ``(n,)``, NaN where not its.

        ``about`` stands in the log's line.
        """
        asked = _Asked(rival, champion, prediction, ask, about, request_id.get())
        try:
            self._queue.put_nowait(asked)
        except queue.Full:
            self._count(asked, "dropped", len(prediction))

    def _run(self) -> None:
        while not self._stopping.is_set():
            asked = self._queue.get()
            if asked is None:
                continue
            begun = time.perf_counter()
            try:
                self._compare(asked)
            except Exception as error:  # the challenger's graph may fail in any way
                self._count(asked, "failed", len(asked.prediction))
                self._log(asked, logging.WARNING, {"error": f"{type(error).__name__}: {error}"})
            del asked
            self._stopping.wait(REST * (time.perf_counter() - begun))

    def _compare(self, asked: _Asked) -> None:
        told = asked.ask()
        own = np.isfinite(asked.prediction)
        champion, challenger = asked.prediction[own], told[own]
        difference = np.abs(challenger - champion)
        n = int(own.sum())
        if n == 0:
            return
        self._count(asked, "compared", n)
        self._metrics.differed(
            asked.rival.entry.version,
            asked.champion,
            difference=float(difference.sum()),
            champion_units=float(champion.sum()),
        )
        figures = {
            "days": n,
            "champion_units": round(float(champion.sum()), 3),
            "challenger_units": round(float(challenger.sum()), 3),
            "mean_absolute_difference": round(float(difference.mean()), 4),
        }
        self._log(asked, logging.INFO, figures)

    def _count(self, asked: _Asked, outcome: str, n: int) -> None:
        self._metrics.shadowed(asked.rival.entry.version, asked.champion, outcome, n)

    def _log(self, asked: _Asked, level: int, fields: dict[str, Any]) -> None:
        now = time.monotonic()
        if now - self._logged_at < LOG_SECONDS:
            return
        self._logged_at = now
        versions = {"champion": asked.champion, "challenger": asked.rival.entry.version}
        whose = {"request_id": asked.request} if asked.request else {}
        logger.log(
            level,
            "shadow of %s by %s",
            asked.champion,
            asked.rival.entry.version,
            extra={"fields": {**versions, **asked.about, **fields, **whose}},
        )


def drawn(rows: NDArray[np.intp], most: int = MAX_ROWS) -> NDArray[np.intp]:
    """Return at most ``most`` of the rows, evenly."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]
