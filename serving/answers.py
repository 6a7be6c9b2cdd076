"""From answers to what goes over the wire: the one place where replies are put together.

One answer and a thousand of them make the same fields, those of ``schemas.PredictReply``; a field
that is added is added to both, here.
"""

import datetime
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from scalecast_assets.contract.cold_start import SOURCES, Source
from serving.intervals import Bounds, Interval

EPOCH: Final = datetime.date(1970, 1, 1).toordinal()

OPEN_UNKNOWN: Final = -1
_IS_OPEN: Final = (False, True, None)
"""By the values of ``Answers.store_open``; the last is that of -1."""


Reply = dict[str, Any]
"""One answer as it goes over the wire."""


class _Answer(Protocol):
    """What ``Forecaster.answer`` returns."""

    @property
    def prediction(self) -> float: ...
    @property
    def source(self) -> Source: ...
    @property
    def horizon(self) -> int: ...
    @property
    def data_until(self) -> datetime.date: ...
    @property
    def store_open(self) -> bool | None: ...
    @property
    def interval(self) -> Interval: ...


class Answers(NamedTuple):
    """The answers to ``n`` questions, as columns; see ``forecaster.Answer`` for one."""

    prediction: NDArray[np.float64]
    """Units per day."""
    source: NDArray[np.int8]
    """Indices into ``SOURCES``."""
    horizon: NDArray[np.int64]
    data_until: NDArray[np.int64]
    """Days since 1970-01-01."""
    store_open: NDArray[np.int8]
    """0 or 1; -1 where the store was never seen."""
    bounds: Bounds
    """The intervals; None if the model has none."""

    def replies(self, version: str, rows: Sequence[int] | slice = slice(None)) -> list[Reply]:
        """Return the replies to ``rows``, of all by default."""
        return list(_replies(self, version, rows))

    def by_source(self) -> dict[Source, int]:
        """Count where the numbers come from."""
        found = np.bincount(self.source, minlength=len(SOURCES)).tolist()
        return {source: n for source, n in zip(SOURCES, found, strict=True) if n}


def reply_to(answer: _Answer, version: str) -> Reply:
    """Return one answer as it goes over the wire."""
    return {
        "prediction": answer.prediction,
        "model_version": version,
        "source": answer.source,
        "horizon": answer.horizon,
        "data_until": answer.data_until.isoformat(),
        "store_open": answer.store_open,
        **answer.interval._asdict(),
    }


def _replies(answers: Answers, version: str, rows: Sequence[int] | slice) -> Iterator[Reply]:
    plain = (
        answers.prediction,
        answers.source,
        answers.horizon,
        answers.data_until,
        answers.store_open,
    )
    # Without a table the intervals never end.
    bounds = answers.bounds.rows(rows)
    columns = zip(*(column[rows].tolist() for column in plain), bounds, strict=False)
    for prediction, source, horizon, data_until, store_open, interval in columns:
        yield {
            "prediction": prediction,
            "model_version": version,
            "source": SOURCES[source],
            "horizon": horizon,
            "data_until": iso_day(data_until),
            "store_open": _IS_OPEN[store_open],
            "lower": interval[0],
            "upper": interval[1],
            "level": interval[2],
        }


@lru_cache(maxsize=4096)
def iso_day(day: int) -> str:
    """Write a day since 1970-01-01 as ``YYYY-MM-DD``."""
    return datetime.date.fromordinal(EPOCH + day).isoformat()
