"""What an object store is: the protocol, its errors, and which keys it takes.

The back ends are in ``directory_store.py`` and ``s3_store.py``; ``store.py`` opens one from a URL.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from typing import BinaryIO, Final, Protocol

MAX_KEY_BYTES: Final = 1024
"""The longest key S3 takes, in UTF-8, the store's own prefix included."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class StoreError(Exception):
    """Anything that went wrong between us and the object store."""


class InvalidKey(StoreError, ValueError):
    """The key names no object that every back end could hold."""


class ObjectNotFound(StoreError):
    """There is no object under this key."""


class PreconditionFailed(StoreError):
    """Somebody else wrote the object first: the conditional write (or read) was not done."""


class ObjectTooLarge(StoreError):
    """The object has more bytes than the reader takes; it was not read to its end."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, or refuses us; nothing is known about the object."""


class ObjectUnreadable(StoreUnavailable):
    """This object cannot be read (no permission, a bad disk block); others may well be."""


@dataclass(frozen=True)
class ObjectInfo:
    """One line of a listing; ``size`` in bytes, ``last_modified`` with its time zone."""

    key: str
    size: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True)
class Blob:
    """A whole object, and the opaque ``etag`` that a later ``compare_and_swap`` refers to."""

    body: bytes
    etag: str


class ObjectStore(Protocol):
    """Named, immutable-while-read byte strings; a reader never sees a half-written one.

    Keys are relative and ``/``-separated. An etag is opaque; it changes when the content does.
    """

    @property
    def whole_on_arrival(self) -> bool:
        """Whether what others put there is listed only when all of it is there."""
        ...

    def get(self, key: str, max_bytes: int | None = None) -> Blob:
        """Return the whole object; raises ``ObjectNotFound``.

        Of an object with more than ``max_bytes`` no more is read, and ``ObjectTooLarge`` raised.
        """
        ...

    def get_if_changed(self, key: str, etag: str, max_bytes: int | None = None) -> Blob | None:
        """As ``get``, but return ``None`` if the object still has this etag."""
        ...

    def open(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Stream the object, for reading once from start to end; raises ``ObjectNotFound``."""
        ...

    def put(self, key: str, data: bytes) -> str:
        """Write or overwrite the object and return its etag."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> str:
        """Create the object; raises ``PreconditionFailed`` if the key is taken."""
        ...

    def compare_and_swap(self, key: str, data: bytes, etag: str) -> str:
        """Overwrite the object only if it has this etag; else raises ``PreconditionFailed``."""
        ...

    def upload(self, path: str | PathLike[str], key: str) -> str:
        """Write a local file of any size under the key and return its etag."""
        ...

    def download(self, key: str, path: str | PathLike[str]) -> None:
        """Write the object to a local file, which appears only when it is whole."""
        ...

    def copy(self, src: str, dst: str, *, etag: str | None = None) -> None:
        """Copy within the store; with ``etag`` only that content, else ``PreconditionFailed``."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield every object whose key starts with ``prefix``, in the byte order of keys."""
        ...

    def exists(self, key: str) -> bool:
        """Tell whether there is an object under the key."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; that it is not there is no error."""
        ...

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove the objects, as many as a request takes at a time; what fails is raised at last.

        One that cannot be removed does not keep the others. A process that is killed has removed
        some.
        """
        ...

    def url_of(self, key: str) -> str:
        """Return the address of the object, for people and reports; it need not exist."""
        ...


def read_whole(file: BinaryIO, key: str, max_bytes: int | None) -> bytes:
    """Read the object's stream to its end; raises ``ObjectTooLarge`` at byte ``max_bytes`` + 1."""
    if max_bytes is None:
        return file.read()
    body = file.read(max_bytes + 1)
    if len(body) > max_bytes:
        raise ObjectTooLarge(
            f"object {key!r} is larger than {max_bytes} bytes, the most it may have; put back what "
            "belongs there"
        )
    return body


def check_key(key: str) -> str:
    """Return the key if every back end can hold it; raises ``InvalidKey`` saying why not."""
    problem = _problem_of(key)
    if problem:
        raise InvalidKey(
            f"object key {key[:200]!r} {problem}; expected a relative, '/'-separated name such as "
            "'raw/sales 2024.csv'"
        )
    return key


def check_prefix(prefix: str) -> str:
    """Return the prefix of a listing: empty, or the beginning of a valid key."""
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


def _problem_of(key: str) -> str | None:
    if not key:
        return "is empty"
    if key.startswith("/") or key.endswith("/"):
        return "starts or ends with '/'"
    if _CONTROL.search(key):
        return "contains a control character"
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if size > MAX_KEY_BYTES:
        return f"is {size} bytes long, more than {MAX_KEY_BYTES}"
    parts = key.split("/")
    if "" in parts:
        return "contains '//'"
    if "." in parts or ".." in parts:
        return "contains '.' or '..' as a part"
    return None
