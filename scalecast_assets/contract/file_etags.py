"""The etags of local files, for the directory store: when a file's changes, so did its content.

Where the files are, and who may write them when, is in ``directory_store.py``.
"""

import hashlib
import os
from typing import BinaryIO, Final

from scalecast_assets.contract.objects import Blob, read_whole

_HASHED_UP_TO: Final = 64 * 1024
"""Up to this size an etag is the content's sha256 (pointers: exact compare-and-swap); above it, the
file's time, size and inode, so that listing gigabytes reads none of them."""


def etag_of_file(file: BinaryIO) -> str:
    """Return the etag of an open file, whatever its position."""
    info = os.fstat(file.fileno())
    if info.st_size > _HASHED_UP_TO:
        return etag_of_stat(info)
    file.seek(0)
    return _etag_of(file.read(_HASHED_UP_TO + 1))


def etag_of_stat(info: os.stat_result) -> str:
    """Return the etag that needs no reading: that of a large file, or of one we cannot read."""
    return f"{info.st_mtime_ns:x}-{info.st_size:x}-{info.st_ino:x}"


def blob_of_file(file: BinaryIO, key: str, max_bytes: int | None) -> Blob:
    """Read an open file from its start, with its etag; raises ``ObjectTooLarge``."""
    file.seek(0)
    info = os.fstat(file.fileno())
    body = read_whole(file, key, max_bytes)
    return Blob(body, etag_of_stat(info) if len(body) > _HASHED_UP_TO else _etag_of(body))


def _etag_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
