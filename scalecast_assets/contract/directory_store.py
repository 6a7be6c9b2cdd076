"""An object store in a local directory, with the same guarantees as S3.

A write goes to a hidden file on the same file system, is synced, and is renamed into place. Every
write of a key holds that key's ``flock``, so compare-and-swap works between threads and processes.
Symbolic links below the root are refused: nothing outside the directory is read or written.
"""

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from scalecast_assets.contract.file_etags import blob_of_file, etag_of_file, etag_of_stat
from scalecast_assets.contract.objects import (
    Blob,
    InvalidKey,
    ObjectInfo,
    ObjectNotFound,
    ObjectUnreadable,
    PreconditionFailed,
    StoreError,
    StoreUnavailable,
    check_key,
    check_prefix,
)

RESERVED: Final = ".scalecast-store"
"""The directory of locks and unfinished writes; no key may begin with it."""

_LOCKS: Final = 64
_MAX_PART_BYTES: Final = 255
_PLACINGS: Final = 50
_STALE_SECONDS: Final = 24 * 3600.0
_NO_FILE_THERE: Final = {errno.ENOTDIR, errno.ENXIO}
"""Below a plain file, or a socket: nothing to read, which is no error of its own."""
_OF_ONE_FILE: Final = {errno.EACCES, errno.EPERM, errno.EIO}

_log = logging.getLogger(__name__)


class DirectoryStore:
    """``ObjectStore`` below ``root``, which is created by the first write."""

    whole_on_arrival = False
    """Whoever copies a file into the directory shows it half done."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(os.path.realpath(root))
        self._private = self.root / RESERVED
        self._swept = False

    def __repr__(self) -> str:
        return f"DirectoryStore({str(self.root)!r})"

    def get(self, key: str, max_bytes: int | None = None) -> Blob:
        """Return the whole object; raises ``ObjectNotFound`` or ``ObjectTooLarge``."""
        with self.open(key) as file, self._reading(key):
            return blob_of_file(file, key, max_bytes)

    def get_if_changed(self, key: str, etag: str, max_bytes: int | None = None) -> Blob | None:
        """As ``get``; ``None`` if the object still has this etag."""
        with self.open(key) as file, self._reading(key):
            if etag_of_file(file) == etag:
                return None
            return blob_of_file(file, key, max_bytes)

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        """Stream the object; an overwrite meanwhile does not disturb the reader."""
        path = self._path(key)
        with self._reading(key):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            file = os.fdopen(descriptor, "rb") if _is_file(descriptor) else None
        if file is None:
            os.close(descriptor)
            raise ObjectNotFound(f"no object {key!r} in {self.root} (there is no plain file there)")
        with file:
            yield file

    def put(self, key: str, data: bytes) -> str:
        """Write or overwrite the object and return its etag."""
        return self._write(key, lambda file: _write_all(file, data), os.replace)

    def put_if_absent(self, key: str, data: bytes) -> str:
        """Create the object; raises ``PreconditionFailed`` if the key is taken."""

        def create(temporary: Path, path: Path) -> None:
            if os.path.isfile(path):
                raise PreconditionFailed(f"object {key!r} exists already in {self.root}")
            os.replace(temporary, path)

        return self._write(key, lambda file: _write_all(file, data), create)

    def compare_and_swap(self, key: str, data: bytes, etag: str) -> str:
        """Overwrite the object only if it has this etag; else raises ``PreconditionFailed``."""

        def swap(temporary: Path, path: Path) -> None:
            found = self._current_etag(key)
            if found != etag:
                raise PreconditionFailed(
                    f"object {key!r} in {self.root} changed meanwhile: expected etag {etag}, "
                    f"found {found or 'no object'}; read it again and decide anew"
                )
            os.replace(temporary, path)

        return self._write(key, lambda file: _write_all(file, data), swap)

    def upload(self, path: str | os.PathLike[str], key: str) -> str:
        """Write a local file of any size under the key and return its etag."""
        with open(path, "rb") as source:
            return self._write(key, lambda file: _copy_all(source, file), os.replace)

    def download(self, key: str, path: str | os.PathLike[str]) -> None:
        """Write the object to a local file, which appears only when it is whole."""
        target = Path(path)
        temporary = target.with_name(f".{uuid.uuid4().hex}.part")
        with self.open(key) as source:
            try:
                with temporary.open("wb") as file:
                    _copy_all(source, file)
                os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)

    def copy(self, src: str, dst: str, *, etag: str | None = None) -> None:
        """Copy within the store; with ``etag`` only that content, else ``PreconditionFailed``."""
        with self.open(src) as source:
            if etag is not None and (found := etag_of_file(source)) != etag:
                raise PreconditionFailed(
                    f"object {src!r} in {self.root} changed meanwhile: expected etag {etag}, "
                    f"found {found}"
                )
            source.seek(0)
            self._write(dst, lambda file: _copy_all(source, file), os.replace)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield every object whose key starts with ``prefix``, in the byte order of keys."""
        folder, _, _ = check_prefix(prefix).rpartition("/")
        if folder:
            self._path(folder)
        yield from self._walk(f"{folder}/" if folder else "", prefix)

    def exists(self, key: str) -> bool:
        """Tell whether there is an object under the key."""
        try:
            with self.open(key):
                return True
        except ObjectNotFound:
            return False

    def delete(self, key: str) -> None:
        """Remove the object, and folders that are empty then; that it is not there is no error."""
        path = self._path(key)
        if not self.exists(key):
            return
        with self._lock(key), suppress(ObjectNotFound), self._translated(key):
            path.unlink()
            self._remove_empty(path.parent)

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove the objects; what fails is raised when all were tried."""
        failed: StoreError | None = None
        for key in keys:
            try:
                self.delete(key)
            except StoreError as error:
                failed = failed or error
        if failed:
            raise failed

    def url_of(self, key: str) -> str:
        """Return the ``file://`` address of the object."""
        return self._path(key).as_uri()

    def _path(self, key: str) -> Path:
        parts = check_key(key).split("/")
        if parts[0] == RESERVED:
            raise InvalidKey(f"object key {key!r}: names under {RESERVED!r} belong to the store")
        if any(len(part.encode()) > _MAX_PART_BYTES for part in parts):
            raise InvalidKey(
                f"object key {key[:200]!r} has a part longer than {_MAX_PART_BYTES} bytes, the "
                "most a file name may have"
            )
        path = self.root.joinpath(*parts)
        # A link that leads to itself is its own real path.
        if os.path.realpath(path) != str(path) or os.path.islink(path):
            raise StoreError(
                f"object {key!r} in {self.root} lies behind a symbolic link, which the store does "
                "not follow; put the file itself there"
            )
        return path

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectInfo]:
        """Yield what ``folder`` holds; one below ``prefix`` that cannot be read is left out."""
        try:
            # The dot asks for leave to look at the files too, not only to read their names.
            with self._reading(folder), os.scandir(f"{self.root}/{folder}.") as found:
                entries = [(e.name + "/" * e.is_dir(follow_symlinks=False), e) for e in found]
        except ObjectNotFound:
            return
        except ObjectUnreadable as error:
            if prefix.startswith(folder):
                raise
            _log.warning("%s: not listed: %s", self, error)
            return
        for name, entry in sorted(entries, key=lambda pair: os.fsencode(pair[0])):
            key = folder + name
            if key == f"{RESERVED}/":
                continue
            if name.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(key, prefix)
            elif key.startswith(prefix) and (info := self._info(key, entry)):
                yield info

    def _info(self, key: str, entry: os.DirEntry[str]) -> ObjectInfo | None:
        if not entry.is_file(follow_symlinks=False):
            _log.warning("%s: %r is no plain file and is not listed", self, key)
            return None
        try:
            info, etag = self._look_at(key, entry)
        except ObjectNotFound:  # removed since the folder was read
            return None
        except InvalidKey as error:
            _log.warning("%s: not listed: %s", self, error)
            return None
        modified = datetime.fromtimestamp(info.st_mtime_ns / 1e9, UTC)
        return ObjectInfo(key, info.st_size, etag, modified)

    def _look_at(self, key: str, entry: os.DirEntry[str]) -> tuple[os.stat_result, str]:
        """Return stat and etag; of a file that cannot be read, what can be told without."""
        try:
            with self.open(key) as file, self._reading(key):
                return os.fstat(file.fileno()), etag_of_file(file)
        except ObjectUnreadable:  # is said to whoever reads it
            with self._reading(key):
                info = entry.stat(follow_symlinks=False)
            return info, etag_of_stat(info)

    def _current_etag(self, key: str) -> str | None:
        try:
            with self.open(key) as file, self._reading(key):
                return etag_of_file(file)
        except ObjectNotFound:
            return None

    def _write(
        self, key: str, fill: Callable[[BinaryIO], None], place: Callable[[Path, Path], None]
    ) -> str:
        """Fill a hidden file, sync it, and under the key's lock ``place`` it; return its etag."""
        path = self._path(key)
        self._prepare()
        temporary = self._private / "tmp" / uuid.uuid4().hex
        try:
            with self._translated(key), temporary.open("x+b") as file:
                fill(file)
                file.flush()
                # Before Linux 6.13 the kernel stamps files by a clock that ticks every 4 ms.
                os.utime(file.fileno(), ns=(time.time_ns(), time.time_ns()))
                os.fsync(file.fileno())
                etag = etag_of_file(file)
            with self._lock(key), self._translated(key):
                _place_in_folder(temporary, path, place)
                _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
        return etag

    def _remove_empty(self, folder: Path) -> None:
        """Remove the folder if nothing is in it, and those above it; not one of the first level.

        Into those people drop files by hand. A writer that has just made a folder and finds it gone
        makes it again.
        """
        with suppress(OSError):  # something is in it, or somebody else was faster
            while folder != self.root and folder.parent != self.root:
                folder.rmdir()
                folder = folder.parent

    def _prepare(self) -> None:
        """Make the hidden directories; once, sweep what killed writers left long ago."""
        with self._translated(RESERVED):
            for name in ("tmp", "locks"):
                (self._private / name).mkdir(parents=True, exist_ok=True)
            if self._swept:
                return
            oldest = time.time() - _STALE_SECONDS
            for left in (self._private / "tmp").iterdir():
                with suppress(FileNotFoundError):
                    if left.stat().st_mtime < oldest:
                        left.unlink()
        self._swept = True

    @contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        """Hold the key's lock; its file is shared with some other keys and never removed."""
        self._prepare()
        number = hashlib.sha256(key.encode()).digest()[0] % _LOCKS
        with (
            self._translated(key),
            open(self._private / "locks" / f"{number:02d}", "ab") as lock,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        """As ``_translated``, for what reads."""
        with self._translated(key):
            try:
                yield
            except OSError as error:
                if error.errno in _NO_FILE_THERE:
                    raise FileNotFoundError(error.errno, error.strerror, error.filename) from error
                if error.errno in _OF_ONE_FILE:
                    raise ObjectUnreadable(
                        f"object {key!r} in {self.root} cannot be read: {error.strerror}; check "
                        "that it, and the folders above it, are readable by this user, and that "
                        "the disk is sound"
                    ) from error
                raise

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ObjectNotFound(f"no object {key!r} in {self.root}") from error
        except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
            raise InvalidKey(
                f"object {key!r} cannot be written in {self.root}: {error.filename!r} would be "
                "both an object and a folder; choose another key"
            ) from error
        except OSError as error:
            raise StoreUnavailable(
                f"the directory store {self.root} failed at {key!r}: {error.strerror or error}; "
                "check that the directory is writable by this user and that the disk is not full"
            ) from error


def _place_in_folder(temporary: Path, path: Path, place: Callable[[Path, Path], None]) -> None:
    """Place the file in its folder, which until then any ``delete`` may find empty and remove."""
    for attempt in range(_PLACINGS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            place(temporary, path)
            return
        except (FileNotFoundError, FileExistsError):
            if attempt == _PLACINGS - 1:
                raise


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _copy_all(source: BinaryIO, file: BinaryIO) -> None:
    shutil.copyfileobj(source, file, 1 << 20)


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
