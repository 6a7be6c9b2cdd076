"""What schemathesis cannot know of the sidecar: lines of JSON, and what there is to ask about.

Loaded by schemathesis itself (``SCHEMATHESIS_HOOKS``), see ``api_contract.py``. Days and ids are
made up at random, and nearly all would be refused for it; most of those of the right form are
brought to a day and a series that the history has.
"""

import datetime
import json
import os
import zlib
from typing import Any, Final

import schemathesis

FIRST: Final = datetime.date.fromisoformat(os.environ["API_CONTRACT_FIRST_DAY"])
DAYS: Final = 90
LONGEST: Final = 100
"""Longer ids may be too long on purpose."""
IDS: Final = {
    name: json.loads(os.environ[f"API_CONTRACT_{name.upper()}"])
    for name in ("store_id", "product_id")
}


@schemathesis.serializer("application/x-ndjson")
def lines(ctx: Any, value: Any) -> bytes:
    """Send text as it is."""
    return str(value).encode(errors="replace")


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Leave out lines that are "no text": whatever is sent is text, and answered line by line."""
    return case.media_type != "application/x-ndjson" or isinstance(case.body, str)


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Bring days and ids to what the history has, in a copy."""
    return _brought(body)


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    """The same for what is asked in the address."""
    return _brought(query)


def _brought(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _brought(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_brought(inner, name) for inner in value]
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST:
        return value
    number = zlib.crc32(value.encode(errors="replace"))
    if name in IDS and number % 4:
        return IDS[name][number % len(IDS[name])]
    if name == "date" and _is_day(value) and number % 8:
        return (FIRST + datetime.timedelta(days=number % DAYS)).isoformat()
    return value


def _is_day(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
