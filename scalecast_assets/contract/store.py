"""Opening an object store from its URL; everything about stores can be imported from here.

The protocol and the errors are written in ``objects.py``, the back ends in ``directory_store.py``
and ``s3_store.py``.
"""

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

from scalecast_assets.contract.directory_store import DirectoryStore
from scalecast_assets.contract.objects import (
    Blob,
    InvalidKey,
    ObjectInfo,
    ObjectNotFound,
    ObjectStore,
    ObjectTooLarge,
    ObjectUnreadable,
    PreconditionFailed,
    StoreError,
    StoreUnavailable,
)
from scalecast_assets.contract.s3_store import S3Store

__all__ = [
    "Blob",
    "DirectoryStore",
    "InvalidKey",
    "ObjectInfo",
    "ObjectNotFound",
    "ObjectStore",
    "ObjectTooLarge",
    "ObjectUnreadable",
    "PreconditionFailed",
    "S3Store",
    "StoreError",
    "StoreUnavailable",
    "open_store",
]

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def open_store(url: str, client_factory: Callable[[], Any] | None = None) -> ObjectStore:
    """Open ``file:///directory`` or ``s3://bucket/prefix``; connects to nothing.

    ``client_factory`` makes the boto3 S3 client and is called for ``s3://`` only. Raises
    ``ValueError`` naming what is wrong with the URL.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme.lower() == "file":
        return DirectoryStore(_directory_of(url, rest))
    if separator and scheme.lower() == "s3":
        bucket, prefix = _bucket_of(url, rest)
        if client_factory is None:
            raise ValueError(f"store URL {url!r} needs a client factory for S3; none was given")
        return S3Store(client_factory(), bucket, prefix)
    raise ValueError(
        f"store URL {_safe(url)!r} is neither 'file:///absolute/directory' nor 's3://bucket/prefix'"
    )


def _directory_of(url: str, rest: str) -> str:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise ValueError(
            f"store URL {url!r} is no absolute directory; expected 'file:///absolute/directory' "
            "(three slashes)"
        )
    if _BAD_PERCENT.search(path):
        raise ValueError(
            f"store URL {url!r} has a '%' that escapes nothing; write '%25' for the character '%'"
        )
    directory = unquote("/" + path, errors="surrogateescape")
    if "\0" in directory or "\n" in directory:
        raise ValueError(f"store URL {url!r} contains a control character")
    return directory


def _bucket_of(url: str, rest: str) -> tuple[str, str]:
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket or ":" in bucket:
        raise ValueError(
            "store URL 's3://…' holds a user name, password or port; give credentials as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and the service as AWS_ENDPOINT_URL"
        )
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(
            f"store URL {url!r} names no bucket; expected 's3://bucket/prefix' with a bucket of 3 "
            f"to 63 letters, digits, '.', '-' or '_', found {bucket!r}"
        )
    return bucket, prefix


def _safe(url: str) -> str:
    """The URL without what may be a password in it."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else url
