"""Who answers about a series: the champion, or the challenger that is served beside it.

A request takes one ``Traffic`` and keeps it, so that an answer never mixes versions within a
series. Both stand on the same state. How a challenger is loaded is in ``challenger.py``, what a
shadow does in ``shadow.py``, whose a series is in ``contract/challenger.py``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scalecast_assets.contract.challenger import SPLIT, Challenger
from scalecast_assets.contract.cold_start import Source
from scalecast_assets.contract.panel import Bools
from serving.answers import Answers, Reply
from serving.batch import UNKNOWN, Places, Questions
from serving.forecaster import Forecaster

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Rival:
    """A challenger that is ready to answer."""

    entry: Challenger
    forecaster: Forecaster

    @cached_property
    def of_panel(self) -> Bools:
        """``(S,)``: which series of the panel are its own."""
        return self.entry.series_of(self.forecaster.state.panel)

    def takes(
        self, series: NDArray[np.int64], store_id: Sequence[str], product_id: Sequence[str]
    ) -> Bools:
        """Tell of ``n`` series which are its own; by their ids where ``series`` is unknown."""
        taken = self.of_panel[series]
        for row in np.flatnonzero(series == UNKNOWN).tolist():
            taken[row] = self.entry.takes(store_id[row], product_id[row])
        return taken


@dataclass(frozen=True, eq=False)
class Traffic:
    """What answers now."""

    champion: Forecaster
    rival: Rival | None = None

    @property
    def split(self) -> Rival | None:
        """The challenger, if it answers."""
        return self.rival if self.rival is not None and self.rival.entry.mode == SPLIT else None

    @property
    def shadow(self) -> Rival | None:
        """The challenger, if it is only compared."""
        return self.rival if self.rival is not None and self.rival.entry.mode != SPLIT else None

    def answering(self) -> tuple[Forecaster, ...]:
        """Return all that answer about some series, the champion first."""
        split = self.split
        return (self.champion,) if split is None else (self.champion, split.forecaster)

    def of(self, store_id: str, product_id: str) -> Forecaster:
        """Return what answers about one series."""
        if self.rival is None or self.rival.entry.mode != SPLIT:
            return self.champion
        taken = self.rival.entry.takes(store_id, product_id)
        return self.rival.forecaster if taken else self.champion

    def groups(
        self, series: NDArray[np.int64], store_id: Sequence[str], product_id: Sequence[str]
    ) -> Iterator[tuple[Forecaster, Rows]]:
        """Yield who answers about which of ``n`` series, as indices that ascend."""
        if self.split is None:
            yield self.champion, np.arange(len(series))
            return
        taken = self.split.takes(series, store_id, product_id)
        for forecaster, own in ((self.champion, ~taken), (self.split.forecaster, taken)):
            if own.any():
                yield forecaster, np.flatnonzero(own)

    def answer(self, questions: Questions, places: Places) -> "Told":
        """Answer many questions, each by the version that its series belongs to."""
        parts = []
        for forecaster, rows in self.groups(
            places.series, questions.store_id, questions.product_id
        ):
            whole = len(rows) == len(places.series)
            mine = (questions, places) if whole else chosen(questions, places, rows)
            answers = forecaster.batch.answer(*mine)
            parts.append(_Part(forecaster.model.version, answers, rows))
        return Told(parts, len(places.series))


class _Part:
    """The answers of one version, and which rows they are."""

    def __init__(self, version: str, answers: Answers, rows: Rows) -> None:
        self.version = version
        self.answers = answers
        self.rows = rows

    @cached_property
    def place(self) -> dict[int, int]:
        """Where among its answers each of its rows stands."""
        return {row: at for at, row in enumerate(self.rows.tolist())}


class Told:
    """The answers to ``n`` questions, by one version or by two."""

    def __init__(self, parts: list[_Part], n: int) -> None:
        self._parts = parts
        self._n = n

    @cached_property
    def prediction(self) -> NDArray[np.float64]:
        """``(n,)`` units per day, whoever answered."""
        column = np.empty(self._n)
        for part in self._parts:
            column[part.rows] = part.answers.prediction
        return column

    @cached_property
    def source(self) -> NDArray[np.int8]:
        """``(n,)`` indices into ``SOURCES``."""
        column = np.empty(self._n, np.int8)
        for part in self._parts:
            column[part.rows] = part.answers.source
        return column

    def by_version_and_source(self) -> Iterator[tuple[str, Source, int]]:
        """Yield how many numbers come from where."""
        for part in self._parts:
            for source, n in part.answers.by_source().items():
                yield part.version, source, n

    def replies(self, rows: Sequence[int] | None = None) -> list[Reply]:
        """Return the replies to ``rows`` in their order, to all by default."""
        if len(self._parts) == 1:
            part = self._parts[0]
            return part.answers.replies(part.version, slice(None) if rows is None else rows)
        asked = list(range(self._n)) if rows is None else list(rows)
        made: dict[int, Reply] = {}
        for part in self._parts:
            own = [row for row in asked if row in part.place]
            replies = part.answers.replies(part.version, [part.place[row] for row in own])
            made.update(zip(own, replies, strict=True))
        return [made[row] for row in asked]


def chosen(questions: Questions, places: Places, rows: Rows) -> tuple[Questions, Places]:
    """Return some of the questions, and where they stand."""
    only = Questions(
        day=questions.day[rows],
        store_id=[questions.store_id[row] for row in rows.tolist()],
        product_id=[questions.product_id[row] for row in rows.tolist()],
        price=questions.price[rows],
        promotion=questions.promotion[rows],
        level=questions.level[rows],
    )
    return only, Places(*(column[rows] for column in places))
