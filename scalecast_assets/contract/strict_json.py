"""Reading small JSON documents without trusting them, and writing them the same way every time.

``Fields`` takes one object apart: each field is asked for once, with its type, and a field that
nobody asked for is an error.
"""

import json
import math
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final, TypeVar

from scalecast_assets.contract.layout import check_sha256, is_version

T = TypeVar("T")
_MAX_DEPTH: Final = 20
MAX_VALUES: Final = 1_000_000
"""In one document: three bytes of JSON can become a hundred of memory, an id and its code 250."""


class BundleError(Exception):
    """A bundle, state or pointer is not what it says it is; it must not be used."""


def dump_json(document: object, what: str) -> bytes:
    """Serialise deterministically: sorted keys, UTF-8, no NaN; raises ``BundleError``."""
    try:
        text = json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
        return (text + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BundleError(
            f"{what} cannot be written as JSON: {error}; expected finite numbers, text, lists and "
            "objects with text keys (an undefined metric is null)"
        ) from error


def load_object(data: bytes, what: str, max_bytes: int) -> "Fields":
    """Parse one JSON object; refuses duplicate keys, NaN, deep nesting and what is too large."""
    if len(data) > max_bytes:
        raise BundleError(f"{what} is larger than {max_bytes} bytes")
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise BundleError(f"{what} holds more than {MAX_VALUES:,} values")
    try:
        document = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except RecursionError as error:
        raise BundleError(f"{what} is nested too deeply") from error
    except ValueError as error:  # not UTF-8, not JSON, a number too long
        raise BundleError(f"{what} is no valid JSON: {error}") from error
    _check_tree(document, what, 0)
    return Fields(document, what)


class Fields:
    """The fields of one JSON object, each taken once; ``where`` names the object in errors."""

    def __init__(self, document: object, where: str) -> None:
        if not isinstance(document, dict):
            raise BundleError(f"{where}: expected an object, found {_show(document)}")
        self._left: dict[str, Any] = dict(document)
        self.where = where

    def take(self, name: str, kind: type[T]) -> T:
        """Return the field if it has exactly this JSON type."""
        if name not in self._left:
            raise BundleError(f"{self.where}: field {name!r} is missing")
        value = self._left.pop(name)
        if type(value) is not kind:
            raise self.wrong(name, value, f"a JSON {_NAMES.get(kind, kind.__name__)}")
        return value

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        """One of the given texts."""
        value = self.take(name, str)
        if value not in choices:
            raise self.wrong(name, value, " or ".join(repr(choice) for choice in choices))
        return value

    def text(self, name: str, max_length: int = 500) -> str:
        """A non-empty text without control characters."""
        value = self.take(name, str)
        if not 0 < len(value) <= max_length or any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise self.wrong(name, value, f"1 to {max_length} printable characters")
        return value

    def optional_text(self, name: str) -> str | None:
        """A text as above, or null."""
        if name in self._left and self._left[name] is None:
            self._left.pop(name)
            return None
        return self.text(name)

    def optional_object(self, name: str) -> dict[str, Any] | None:
        """An object, or null, or nothing at all where the writer did not know the field."""
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return self.take(name, dict)

    def whatever(self, name: str) -> object:
        """Whatever it is, for a caller who checks it; None where it is missing."""
        return self._left.pop(name, None)

    def sha256(self, name: str) -> str:
        """A sha256 in lower-case hex."""
        value = self.take(name, str)
        if _fails(check_sha256, value):
            raise self.wrong(name, value, "a sha256, 64 lower-case hex digits")
        return value

    def version(self, name: str) -> str:
        """A version such as 1.0.0."""
        value = self.take(name, str)
        if not is_version(value):
            raise self.wrong(name, value, "a version such as '1.0.0'")
        return value

    def optional_version(self, name: str) -> str | None:
        """A version, or null."""
        if name in self._left and self._left[name] is None:
            self._left.pop(name)
            return None
        return self.version(name)

    def count(self, name: str, least: int = 0, most: int = 2**53) -> int:
        """A whole number between ``least`` and ``most``."""
        value = self.take(name, int)
        if not least <= value <= most:
            raise self.wrong(name, value, f"a whole number from {least} to {most}")
        return value

    def number(self, name: str, least: float, most: float) -> float:
        """A number between ``least`` and ``most``, whole or not."""
        value = self._left.pop(name, None)
        if type(value) not in (int, float) or not least <= value <= most:
            raise self.wrong(name, value, f"a number from {least:g} to {most:g}")
        return float(value)

    def day(self, name: str) -> str:
        """An ISO day, as text."""
        value = self.take(name, str)
        if len(value) != 10 or _fails(date.fromisoformat, value):
            raise self.wrong(name, value, "an ISO day such as '2024-03-14'")
        return value

    def instant(self, name: str) -> str:
        """An ISO instant with its offset, as text."""
        value = self.take(name, str)
        if _fails(datetime.fromisoformat, value) or datetime.fromisoformat(value).tzinfo is None:
            raise self.wrong(name, value, "an ISO instant such as '2024-03-14T02:00:00+00:00'")
        return value

    def mapping(self, name: str, kind: type[T]) -> dict[str, T]:
        """An object whose values all have this type."""
        value = self.take(name, dict)
        for key, entry in value.items():
            if type(entry) is not kind:
                raise self.wrong(f"{name}.{key}", entry, f"a JSON {_NAMES.get(kind, kind)}")
        return value

    def done(self) -> None:
        """Refuse what nobody asked for."""
        if self._left:
            names = ", ".join(repr(name[:50]) for name in sorted(self._left)[:5])
            raise BundleError(f"{self.where}: unknown field {names}")

    def wrong(self, name: str, found: object, expected: str) -> BundleError:
        """The error for a field that is not what was expected."""
        return BundleError(
            f"{self.where}: field {name!r}: expected {expected}, found {_show(found)}"
        )


def check_format(fields: Fields, known: int) -> None:
    """Refuse documents of another format version, before anything else is looked at."""
    found = fields.take("format", int)
    if found != known:
        raise BundleError(
            f"{fields.where}: format {found} is unknown to this release, which reads format "
            f"{known}; use the release that wrote it, or publish again"
        )


_NAMES: Final[dict[type, str]] = {
    str: "text",
    int: "whole number",
    float: "number",
    dict: "object",
    list: "list",
    bool: "true or false",
}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice[:50]!r} occurs twice")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _check_tree(value: object, what: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise BundleError(f"{what} is nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        for entry in value:
            _check_tree(entry, what, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise BundleError(f"{what} holds a number too large to be one")
    elif isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        raise BundleError(f"{what} holds text that is no valid Unicode")


def _fails(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return True
    return False


def _show(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 100 else shown[:97] + "..."
