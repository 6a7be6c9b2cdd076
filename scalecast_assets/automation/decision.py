"""Which raw files the next run takes, or why there is none: a pure function of what a tick sees.

What came first goes first, and nothing holds up the others for ever. A file that is still being
written waits until it rests. One over which a run was killed, or that could not be read, is tried
again on its own, at growing distances. What a run landed and did not bring to an end (a neighbour
was refused) goes before anything new: else a bad file a minute would hold up a good one for ever.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from scalecast_assets.automation.back_off import wait_after
from scalecast_assets.contract.objects import ObjectInfo
from scalecast_assets.ingest.attempts import Attempt
from scalecast_assets.ingest.wording import counted

SETTLED_AFTER: Final = timedelta(seconds=5)
"""A file in a directory that was not written to for so long is taken to be whole."""

MAX_FILES: Final = 500
"""Files that one run takes; the others are the next run's."""

LONGEST_WAIT_ALONE: Final = timedelta(hours=6)
"""For a file that cannot be loaded. A new version of it is a new file and waits for nothing."""

LONGEST_WAIT_WITH_NEWS: Final = timedelta(minutes=5)
"""While runs fail, but something has come since the last of them: it may be the cure."""


@dataclass(frozen=True)
class Failures:
    """Runs that failed one after the other, none of which brought a file any further."""

    count: int = 0
    last_ended: datetime | None = None


@dataclass(frozen=True)
class Seen:
    """What a tick sees."""

    now: datetime
    files: Sequence[ObjectInfo]
    """The raw files of the bucket, in the order in which they count."""
    known: Set[tuple[str, str]] = frozenset()
    """The (key, etag) on which the ledger has decided, or which it is about to."""
    others: Sequence[str] = ()
    """Keys under raw/ that are no CSV files: reported, and ignored."""
    whole_on_arrival: bool = True
    arriving: Mapping[str, str] = field(default_factory=dict)
    """Of the files that were still being written at the last tick, the etags then."""
    attempts: Sequence[Attempt] = ()
    undecided: Sequence[str] = ()
    """Keys of the files that are landed or validated, and no more than that."""
    changed_ranges: int = 0
    behind: Sequence[str] = ()
    """Assets that are older than the data they are made of."""
    busy: str | None = None
    """Who ingests now."""
    failures: Failures = Failures()
    something_new: bool = False
    """Whether the bucket has changed since the last run was started."""


@dataclass(frozen=True)
class Waiting:
    """The files on which nothing is decided, by what they wait for; each in their order."""

    ready: tuple[ObjectInfo, ...]
    arriving: tuple[ObjectInfo, ...]
    """Still being written."""
    due: tuple[ObjectInfo, ...]
    """Begun before in vain, and to be tried again now."""
    set_aside: tuple[ObjectInfo, ...]
    """Begun before in vain, and left alone for a while."""

    @property
    def all(self) -> tuple[ObjectInfo, ...]:
        """All of them, in their order."""
        every = (*self.ready, *self.arriving, *self.due, *self.set_aside)
        return tuple(sorted(every, key=lambda info: (info.last_modified, info.key)))


@dataclass(frozen=True)
class Decision:
    """``only`` is what a run is to be started with (``RawDemandConfig``); None: no run, yet."""

    only: tuple[str, ...] | None
    why: str


def sort_out(seen: Seen) -> Waiting:
    """Say what each file waits for on which nothing is decided."""
    attempts = {(attempt.key, attempt.version): attempt for attempt in seen.attempts}
    ready: list[ObjectInfo] = []
    arriving: list[ObjectInfo] = []
    due: list[ObjectInfo] = []
    set_aside: list[ObjectInfo] = []
    for info in seen.files:
        if (info.key, info.etag) in seen.known:
            continue
        attempt = attempts.get((info.key, info.etag))
        if not seen.whole_on_arrival and not _rests(info, seen):
            arriving.append(info)
        elif attempt is None:
            ready.append(info)
        else:
            (due if _is_due(attempt) else set_aside).append(info)
    return Waiting(tuple(ready), tuple(arriving), tuple(due), tuple(set_aside))


def decide(seen: Seen, waiting: Waiting) -> Decision:
    """Choose what the next run takes."""
    wanted = _what_to_do(seen, waiting)
    if wanted.only is None:
        return wanted
    if seen.busy:
        return Decision(None, f"{seen.busy}; then: {wanted.why}")
    if (until := _rests_until(seen)) and seen.now < until:
        return Decision(
            None,
            f"the last {counted(seen.failures.count, 'run')} failed and brought nothing further:"
            f" the next begins at {until:%H:%M:%S} UTC, or when job refresh_data is started by"
            f" hand; then: {wanted.why}",
        )
    return wanted


def _what_to_do(seen: Seen, waiting: Waiting) -> Decision:
    if seen.undecided:
        return Decision((), f"{_some(seen.undecided)}: landed before and not brought to an end")
    if waiting.due:
        return _take(waiting.due, "tried again on their own")
    if waiting.ready:
        return _take(waiting.ready, "wait to be loaded")
    if seen.changed_ranges:
        ranges = counted(seen.changed_ranges, "changed range")
        return Decision((), f"{ranges} for dbt to catch up with")
    if seen.behind:
        return Decision((), f"older than the data: {', '.join(seen.behind)}")
    why = "nothing waits"
    if waiting.arriving:
        why += f"; still being written: {_some([info.key for info in waiting.arriving])}"
    if waiting.set_aside:
        why += f"; could not be loaded: {_some([info.key for info in waiting.set_aside])}"
    return Decision(None, why)


def _take(files: Sequence[ObjectInfo], what_for: str) -> Decision:
    chosen = tuple(info.key for info in files[:MAX_FILES])
    rest = len(files) - len(chosen)
    then = f", {rest:,} more after them" if rest else ""
    return Decision(chosen, f"{_some(chosen)}: {what_for}{then}")


def _rests(info: ObjectInfo, seen: Seen) -> bool:
    """Whether a file in a directory is written to no more.

    One from the future (a clock that is ahead) rests when it is what it was at the last tick.
    """
    unchanged = seen.arriving.get(info.key) == info.etag
    return unchanged or info.last_modified <= seen.now - SETTLED_AFTER


def _is_due(attempt: Attempt) -> bool:
    wait = wait_after(attempt.attempts + 1, LONGEST_WAIT_ALONE)
    return attempt.age_seconds >= wait.total_seconds()


def _rests_until(seen: Seen) -> datetime | None:
    failures = seen.failures
    if failures.last_ended is None:
        return None
    wait = wait_after(failures.count)
    return failures.last_ended + (min(wait, LONGEST_WAIT_WITH_NEWS) if seen.something_new else wait)


def _some(keys: Sequence[str], shown: int = 3) -> str:
    more = len(keys) - shown
    return ", ".join(keys[:shown]) + (f" and {more:,} more" if more > 0 else "")
