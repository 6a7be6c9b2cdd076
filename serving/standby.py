"""What answers while the store is away: the last good pair, and how long it has gone unconfirmed.

``reload.py`` looks at the store and tells the outcome; here is decided when a pair is kept, when a
kept one is taken, and when what answers is called stale. The folder is in ``last_good.py``.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from scalecast_assets.contract.store import ObjectStore
from serving.last_good import CannotKeep, LastGood, LastGoodPairs, Record

logger = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 2.0
"""A start that has a kept pair waits at most so long for the store."""

UNSEEN: Final = timedelta(minutes=1)
"""What answers is stale once the store could not be asked for so long."""

REFRESHED: Final = timedelta(hours=1)
"""The kept pair is told so often that the store still names it."""

PAUSE_SECONDS: Final = 300.0
"""Between two tries to keep a pair, if the first failed."""


class Stale(NamedTuple):
    """What answers may be out of date."""

    since: datetime
    """When the store last said that this is what to serve."""
    because: str


class Standby:
    """Keeps what is served, gives it back at a start, and knows when it is stale."""

    def __init__(
        self,
        store: ObjectStore,
        pairs: LastGoodPairs | None,
        note: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        """``note`` is told what became of keeping and taking: written, unwritable, taken, refused.

        Without ``pairs`` nothing is kept.
        """
        self.stale: Stale | None = None
        self.problem: str | None = None
        """Why the kept pair could not be taken."""
        self._store = store
        self._pairs = pairs
        self._note = note
        self._seen_at: datetime | None = None
        self._kept: Record | None = None
        self._keep_at = 0.0
        self._last_complaint: str | None = None

    def patience(self, longest: float) -> float:
        """Return how many seconds a start waits for the store."""
        has_one = self._pairs is not None and self._pairs.is_there()
        return min(longest, PATIENCE_SECONDS) if has_one else longest

    def take(self) -> LastGood | None:
        """Return the kept pair, verified anew; None if there is none, or none that holds."""
        if self._pairs is None:
            return None
        found, self.problem = self._pairs.load()
        if self.problem:
            self._note("refused")
        if found is not None:
            self._note("taken")
            self._seen_at = found.seen_at
        return found

    def looked(self, *, confirmed: bool, is_lent: bool, problems: str) -> None:
        """Be told of a look at the store that is over.

        ``confirmed``: both pointers could be asked for. ``is_lent``: what answers is the kept pair,
        or half of it.
        """
        now = datetime.now(UTC)
        if confirmed and not is_lent:
            self._seen_at, self.stale = now, None
        elif self._seen_at is not None and (is_lent or now - self._seen_at > UNSEEN):
            self.stale = Stale(self._seen_at, problems or "the store has not answered yet")

    def keep(self, model: bytes, state: bytes) -> None:
        """Keep the pair that these two pointers name, if it is not kept already."""
        if self._pairs is None or self._seen_at is None or time.monotonic() < self._keep_at:
            return
        record, kept = Record(model, state, self._seen_at), self._kept
        if kept is not None and record.names(kept) and record.seen_at - kept.seen_at < REFRESHED:
            return
        try:
            self._pairs.keep(self._store, record)
        except CannotKeep as error:
            self._keep_at = time.monotonic() + PAUSE_SECONDS
            self._note("unwritable")
            if str(error) != self._last_complaint:
                logger.warning("last good pair: %s; serving goes on without it", error)
            self._last_complaint = str(error)
        else:
            self._note("written")
            self._kept, self._last_complaint = record, None
