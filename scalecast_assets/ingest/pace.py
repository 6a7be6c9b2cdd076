"""How far the landing of a file is, said now and then: rows, the share of the file, time left."""

from collections.abc import Callable
from time import monotonic
from typing import Final

FIRST_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 60.0


class Pace:
    """Says how far something is, at distances that double from five seconds to a minute."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        """``say`` gets each line, which begins with ``name``."""
        self._name = name
        self._say = say
        self._since = monotonic()
        self._distance = FIRST_SECONDS
        self._next = self._since + FIRST_SECONDS

    def so_far(self, rows: int, share: float) -> None:
        """Be told that so many rows are in, and which share of the whole is done, 0 to 1."""
        now = monotonic()
        if now < self._next:
            return
        self._distance = min(2 * self._distance, LONGEST_SECONDS)
        self._next = now + self._distance
        left = (now - self._since) * (1 - share) / max(share, 1e-3)
        self._say(f"{self._name}: {rows:,} rows, {share:.0%} of the file, about {left:.0f} s left")


def nobody_asks(rows: int, share: float) -> None:
    """The pace of what nobody waits for."""
