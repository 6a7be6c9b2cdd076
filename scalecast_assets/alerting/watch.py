"""One look: find what is wrong now, bring the book up to date, send what waits.

Who looks how often, and at what, is in ``sensor.py``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scalecast_assets.alerting import book
from scalecast_assets.alerting.cause import Cause, Finder, clean
from scalecast_assets.alerting.delivery import Report, deliver
from scalecast_assets.alerting.wording import read_served
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.ingest.schema import Connection, ensure_schema
from scalecast_assets.resources.alerts import AlertChannels


@dataclass
class Seen:
    """What one look came to."""

    open: int = 0
    raised: int = 0
    cleared: int = 0
    reports: list[Report] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why finders failed."""

    def __str__(self) -> str:
        delivered = sum(report.delivered for report in self.reports)
        return (
            f"{self.open} open; {self.raised} raised, {self.cleared} cleared, "
            f"{delivered} messages delivered"
        )


def look(
    connect: Callable[[], Connection],
    finders: Callable[[Connection], Sequence[Finder]],
    store: ObjectStore,
    channels: AlertChannels,
    *,
    announce_cleared: bool = False,
) -> Seen:
    """Bring the book up to date, and every channel up to date with the book."""
    seen = Seen()
    with connect() as conn:
        ensure_schema(conn)
        with book.alone(conn, "look") as held:
            if held:
                _update(conn, finders(conn), channels, seen, announce_cleared)
        seen.open = len(book.open_alerts(conn))
        due = [c for c in channels if book.waiting(conn, c.name, 1)]
    if due:
        seen.reports = deliver(connect, due, read_served(store))
    return seen


def _update(
    conn: Connection,
    finders: Sequence[Finder],
    channels: AlertChannels,
    seen: Seen,
    announce_cleared: bool,
) -> None:
    told = book.read_look(conn, channels.names)
    found: list[tuple[Finder, list[Cause]]] = []
    for finder in finders:
        try:
            found.append((finder, list(finder.find(told))))
        except Exception as error:
            kinds = ", ".join(finder.kinds)
            seen.problems.append(clean(f"{kinds}: {type(error).__name__}: {error}", 500))
    with conn.transaction():
        for finder, causes in found:
            raised, cleared = book.write_causes(conn, finder.kinds, causes, told.now)
            seen.raised += raised
            seen.cleared += cleared
        book.address(conn, channels.names, told.now, clearings=announce_cleared)
