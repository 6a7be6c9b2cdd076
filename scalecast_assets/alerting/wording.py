"""What an alert says: what, since when, which file, what is still served, and what to do.

What is wrong in particular was worded by whoever found it; here it becomes a message. How a channel
dresses a message is in ``resources/alerts.py``.
"""

from dataclasses import dataclass
from typing import Any, Final

from scalecast_assets.alerting.book import Alert, Event
from scalecast_assets.alerting.bounded import within
from scalecast_assets.alerting.cause import clean, in_words
from scalecast_assets.contract.pointers import read_serving, read_state_pointer
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.resources.alerts import Message

STORE_SECONDS: Final = 10.0
FILES_SHOWN: Final = 5


@dataclass(frozen=True)
class Served:
    """What the two pointers say; ``problem`` says why they could not be read."""

    version: str | None = None
    previous: str | None = None
    data_until: str | None = None
    problem: str | None = None

    def __str__(self) -> str:
        if self.problem:
            return f"not known, the store does not say: {self.problem}"
        if self.version is None:
            return "no model yet"
        before = f" (before it {self.previous})" if self.previous else ""
        return f"model {self.version}{before}, sales history until {self.data_until or 'never'}"


def read_served(store: ObjectStore) -> Served:
    """Read what is served now. Whatever goes wrong becomes a part of the answer."""
    try:
        model, state = within(
            STORE_SECONDS, lambda: (read_serving(store), read_state_pointer(store))
        )
    except Exception as error:
        return Served(problem=clean(f"{type(error).__name__}: {error}", 200))
    return Served(
        version=model.pointer.version if model else None,
        previous=model.pointer.previous if model else None,
        data_until=state.pointer.data_until if state else None,
    )


def compose(alert: Alert, event: Event, served: Served) -> Message:
    """Word the alert, or that it is cleared; of one cleared before it was told, both at once."""
    cause = alert.cause
    title = f"ScaleCast: {'cleared: ' if alert.cleared_at else ''}{cause.headline}"
    lines = {
        "What": cause.what,
        "Since": in_words(cause.since),
        "Cleared": in_words(alert.cleared_at) if alert.cleared_at else "",
        "File": _files(cause.files),
        "Still served": str(served),
        "To do": "Nothing any more." if alert.cleared_at else cause.to_do,
    }
    text = "\n".join(f"{label}: {line}" for label, line in lines.items() if line)
    return Message(f"alert-{alert.alert_id}-{event}", title, text, _document(alert, event, served))


def _document(alert: Alert, event: Event, served: Served) -> dict[str, Any]:
    """The JSON of the generic webhook; fields may be added, none is renamed."""
    cause = alert.cause
    return {
        "id": f"alert-{alert.alert_id}-{event}",
        "event": event,
        "kind": cause.kind,
        "cause": cause.key,
        "headline": cause.headline,
        "what": cause.what,
        "since": cause.since.isoformat(),
        "raised_at": alert.raised_at.isoformat(),
        "cleared_at": alert.cleared_at.isoformat() if alert.cleared_at else None,
        "files": list(cause.files),
        "run_id": cause.run_id,
        "still_served": {
            "model_version": served.version,
            "previous_version": served.previous,
            "data_until": served.data_until,
            "problem": served.problem,
        },
        "to_do": cause.to_do,
    }


def _files(files: tuple[str, ...]) -> str:
    more = len(files) - FILES_SHOWN
    shown = clean(", ".join(files[:FILES_SHOWN]), 2000)
    return f"{shown} and {more} more" if more > 0 else shown
