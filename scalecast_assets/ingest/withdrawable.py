"""Which content a person means who names a file: by key, by name, or by the start of its sha256.

One key may have held many contents, and one content may lie under many keys. Nothing is guessed:
whoever names more than one content, or none, is told which there are. What withdrawing does is in
``withdrawal.py``.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from scalecast_assets.ingest.ledger import State
from scalecast_assets.ingest.schema import Connection

MIN_PREFIX: Final = 6
"""Digits of a sha256 that name a content."""

_LISTED: Final = 10


class NotWithdrawable(LookupError):
    """The name is of no published file, or of more than one; the message lists candidates."""


@dataclass(frozen=True)
class Content:
    """A content that was published once, as the ledger has it; times are of the last attempt."""

    sha256: str
    key: str
    keys: list[str]
    state: State
    rows: int
    published_at: datetime | None
    reason: str | None

    def __str__(self) -> str:
        when = f" on {self.published_at:%Y-%m-%d %H:%M}" if self.published_at else ""
        return f"{self.sha256[:12]} {self.key} ({self.rows:,} rows, {self.state}{when})"


_CONTENTS: Final = """
select * from (
    select distinct on (f.sha256)
        f.sha256,
        f.key,
        array(
            select f.key union select o.key from warehouse.file_objects o
            where o.sha256 = f.sha256 order by 1
        ) as keys,
        f.state,
        f.rows,
        f.published_at,
        f.reason
    from warehouse.file_ledger f
    -- what counts is whether the content is in the data, not a later attempt to load it
    order by f.sha256, array_position(array['published', 'withdrawn'], f.state), f.file_seq desc
) contents
"""
_NAMED: Final = """
where
    exists (
        select from unnest(keys) as k (key)
        where k.key = %(name)s or right(k.key, length(%(name)s) + 1) = '/' || %(name)s
    )
    or left(sha256, length(%(prefix)s)) = nullif(%(prefix)s, '')
order by published_at desc nulls last, sha256
"""


def find_withdrawable(conn: Connection, name: str) -> Content:
    """Return the content that ``name`` names; it is published, or was withdrawn before.

    Raises ``NotWithdrawable`` if that is none or more than one.
    """
    named = _contents(conn, _NAMED, {"name": name, "prefix": _prefix(name)})
    usable = [content for content in named if content.state in ("published", "withdrawn")]
    published = [content for content in usable if content.state == "published"]
    found = published or usable
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise NotWithdrawable(
            f"{name}: expected the name of one file, found {len(found)} contents; name one by the"
            f" start of its sha256: {_listed(found)}"
        )
    if named:
        raise NotWithdrawable(
            f"{name}: expected a published file, found {_listed(named)}: nothing of it is in the"
            " warehouse"
        )
    latest = _contents(conn, "where state = 'published' order by published_at desc", {})
    raise NotWithdrawable(
        f"{name}: expected a published file, by its key in raw/, its name, or {MIN_PREFIX} or more"
        f" digits of its sha256; found none. Published last: {_listed(latest) or 'nothing yet'}"
    )


def _prefix(name: str) -> str:
    text = name.lower()
    is_hex = len(text) >= MIN_PREFIX and set(text) <= set(string.hexdigits)
    return text if is_hex else ""


def _contents(conn: Connection, which: str, values: dict[str, str]) -> list[Content]:
    with conn.cursor(row_factory=class_row(Content)) as cursor:
        return cursor.execute((_CONTENTS + which).encode(), values).fetchall()


def _listed(contents: Sequence[Content]) -> str:
    more = f"; and {len(contents) - _LISTED} more" if len(contents) > _LISTED else ""
    return "; ".join(map(str, contents[:_LISTED])) + more
