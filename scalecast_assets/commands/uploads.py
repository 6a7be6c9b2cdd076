"""Local files into the store's ``raw/``, where ``scalecast run`` takes them from.

Nothing is read or judged here; landing what lies in ``raw/`` is ``ingest/``'s.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from scalecast_assets.commands.progress import Progress
from scalecast_assets.contract.layout import RAW_PREFIX, shortened
from scalecast_assets.contract.store import ObjectNotFound, ObjectStore
from scalecast_assets.ingest.landing import describe
from scalecast_assets.settings import SettingsError


class Given(NamedTuple):
    """A file named on the command line: its key in the store and what it holds."""

    key: str
    sha256: str


def upload(store: ObjectStore, files: Sequence[Path], progress: Progress) -> list[Given]:
    """Copy files into the store's raw/, in order.

    A key that holds other bytes is never overwritten: the new file gets a name with its checksum.
    """
    given: list[Given] = []
    for path in files:
        sha256 = describe(path).sha256
        key = f"{RAW_PREFIX}{path.name}"
        if any(key == other and sha256 != sha for other, sha in given) or _is_taken(
            store, key, sha256
        ):
            stem, suffix = _split(path.name)
            key = f"{RAW_PREFIX}{shortened(stem)}-{sha256[:8]}{suffix}"
        store.upload(path, key)
        progress.console.print(f"  ↑ {path.name} → {store.url_of(key)}", markup=False)
        given.append(Given(key, sha256))
    return given


def _is_taken(store: ObjectStore, key: str, sha256: str) -> bool:
    try:
        with store.open(key) as present:
            return _digest(present) != sha256
    except ObjectNotFound:
        return False


def _digest(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _split(name: str) -> tuple[str, str]:
    for suffix in (".csv.gz", ".csv"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)], name[-len(suffix) :]
    raise SettingsError(f"{name}: expected a file named .csv or .csv.gz")
