"""What an alert is about: one cause, and what everybody who finds causes is told and returns.

Nothing here reads or sends anything; which causes there are is found by ``files.py``, ``gates.py``,
``runs.py`` and ``ticks.py``.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args

Kind = Literal[
    "file_refused",
    "file_not_loaded",
    "breaker_open",
    "promotion_refused",
    "run_failed",
    "feed_stale",
    "sensor_failing",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

NEWS: Final = timedelta(days=7)
"""What happened longer ago, and was not told then, is history and not told any more."""

_PASSWORD_IN_URL: Final = re.compile(r"(?<=://)[^/\s@]*(?:@[^/\s@]*)*@")
_PASSWORD_BY_NAME: Final = re.compile(
    r"""([\w-]*(?:passw|secret|token|api_?key)[\w-]*["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s&;,]+)""",
    re.IGNORECASE,
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Cause:
    """One thing that is wrong now. Kind and subject name it; the rest is for people.

    The texts may quote anything, a stranger's file name or a library's error; what no message may
    hold (passwords, control characters) is taken out of them here.
    """

    kind: Kind
    subject: str
    headline: str
    """What is wrong, in a few words."""
    what: str
    """The same with rule, line and reason."""
    to_do: str
    since: datetime
    files: tuple[str, ...] = ()
    """The raw files it is about, as keys of the store."""
    run_id: str | None = None

    def __post_init__(self) -> None:
        for name, limit in (("subject", 1200), ("headline", 200), ("what", 2000), ("to_do", 2000)):
            object.__setattr__(self, name, clean(getattr(self, name), limit))
        object.__setattr__(self, "headline", " ".join(self.headline.split()))

    @property
    def key(self) -> str:
        """What makes it the same cause at the next look."""
        return f"{self.kind}/{self.subject}"


@dataclass(frozen=True)
class Look:
    """What a finder of causes is told: the time, and the alerts that are open."""

    now: datetime
    open: Mapping[str, Cause] = field(default_factory=dict)
    """By key of the cause."""
    told: frozenset[str] = frozenset()
    """The keys of those that wait for no channel any more."""
    settled: Mapping[str, datetime] = field(default_factory=dict)
    """When alerts that are not open were cleared last, by key."""

    @property
    def news_since(self) -> datetime:
        """From when on something that happened is worth telling."""
        return self.now - NEWS

    def of_kind(self, kind: Kind) -> dict[str, Cause]:
        """The open alerts of a kind."""
        return {key: cause for key, cause in self.open.items() if cause.kind == kind}


@dataclass(frozen=True)
class Finder:
    """Finds every cause of its kinds. If it raises, their alerts stay what they are."""

    kinds: tuple[Kind, ...]
    find: Callable[[Look], Iterable[Cause]]


def clean(text: str, limit: int) -> str:
    """Return the text fit to be stored, sent and read: no password, no control character, short."""
    text = text.encode(errors="replace").decode()
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").strip())
    text = _PASSWORD_BY_NAME.sub(r"\1…", _PASSWORD_IN_URL.sub("…@", text))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def in_words(moment: datetime) -> str:
    """A moment as people read it, to the minute, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
