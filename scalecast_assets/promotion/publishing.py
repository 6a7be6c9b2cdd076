"""Publishing: a bundle under a version that nobody else has, a state under its sha256.

``claim.json``, created with If-None-Match, gives the version to one publisher; then come the files,
and the manifest last. So files of two publishers never meet under one version, and a version
without a manifest (its publisher was killed) is a gap that no reader ever takes for a bundle.
"""

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from scalecast_assets.contract.bundle import (
    REQUIRED_FILES,
    FileEntry,
    Manifest,
    RawFile,
    is_file_name,
    max_bytes_of,
)
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.intervals import IntervalTable
from scalecast_assets.contract.layout import (
    CLAIM,
    ENCODERS,
    INTERVALS,
    MANIFEST,
    MODELS_PREFIX,
    is_version,
    model_key,
    next_version,
    version_order,
)
from scalecast_assets.contract.store import ObjectStore, PreconditionFailed
from scalecast_assets.contract.strict_json import BundleError, dump_json

Source = bytes | str | os.PathLike[str]
"""A file of a bundle: its bytes, or where it lies."""

_FILLED_IN: Final = {"version", "files", "created_at"}
_OPTIONAL: Final = {"coverage"}
_MAX_CLAIMS: Final = 1000
_CHUNK: Final = 1 << 20


def list_versions(store: ObjectStore) -> list[str]:
    """Return the versions of all complete bundles, lowest first."""
    return _versions(store, complete=True)


def publish_bundle(
    store: ObjectStore,
    files: Mapping[str, Source],
    manifest_fields: Mapping[str, Any],
    *,
    version: str | None = None,
) -> Manifest:
    """Publish a bundle under the next version; nothing is served from it until it is promoted.

    ``manifest_fields`` are those of ``Manifest`` but for version, files and created_at. A caller
    whose files name their own version takes it with ``claim_version`` first. Raises
    ``BundleError`` for fields, names or sizes that a reader would refuse, before anything is
    written.
    """
    with _snapshot(files) as (sources, entries):
        if ENCODERS in sources:
            Encoders.parse(_bytes_of(sources[ENCODERS]))
        if INTERVALS in sources:
            IntervalTable.parse(_bytes_of(sources[INTERVALS]))
        draft = _manifest("0.0.0", manifest_fields, entries)
        draft.to_bytes()
        draft.check_contract()
        version = version or claim_version(store)
        for name, source in sources.items():
            if isinstance(source, bytes):
                store.put(model_key(version, name), source)
            else:
                store.upload(source, model_key(version, name))
        manifest = _manifest(version, manifest_fields, entries)
        _create(store, model_key(version, MANIFEST), manifest.to_bytes())
    return manifest


def _manifest(version: str, given: Mapping[str, Any], entries: dict[str, FileEntry]) -> Manifest:
    names = {field.name for field in fields(Manifest)} - _FILLED_IN
    if missing := sorted(names - given.keys() - _OPTIONAL):
        raise BundleError(f"manifest fields are missing: {', '.join(missing)}")
    if unknown := sorted(given.keys() - names):
        raise BundleError(f"manifest fields are unknown or not yours to give: {', '.join(unknown)}")
    values = dict(given)
    values["features"] = tuple(given["features"])
    values["leaderboard"] = tuple(dict(row) for row in given["leaderboard"])
    values["raw_files"] = tuple(
        raw if isinstance(raw, RawFile) else RawFile(**raw) for raw in given["raw_files"]
    )
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return Manifest(version=version, files=entries, created_at=now, **values)


@contextmanager
def _snapshot(
    files: Mapping[str, Source],
) -> Iterator[tuple[dict[str, bytes | Path], dict[str, FileEntry]]]:
    """Copy files aside, so that what is hashed is what is uploaded, whoever writes meanwhile."""
    for name in files:
        if not is_file_name(name):
            raise BundleError(f"file name {name[:200]!r} cannot stand in a bundle; use a plain one")
    if missing := [name for name in REQUIRED_FILES if name not in files]:
        raise BundleError(f"the bundle lacks {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="scalecast-bundle-") as folder:
        sources: dict[str, bytes | Path] = {}
        entries: dict[str, FileEntry] = {}
        for name, source in files.items():
            if isinstance(source, bytes):
                sources[name] = source
                entries[name] = FileEntry(hashlib.sha256(source).hexdigest(), len(source))
            else:
                sources[name] = Path(shutil.copyfile(source, Path(folder, name)))
                entries[name] = _entry_of(sources[name])
            if entries[name].size > max_bytes_of(name):
                raise BundleError(
                    f"{name} has {entries[name].size} bytes, more than the {max_bytes_of(name)} "
                    "that a bundle may hold"
                )
        yield sources, entries


def _entry_of(path: Any) -> FileEntry:
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(digest.hexdigest(), size)


def _bytes_of(source: bytes | Path) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def claim_version(store: ObjectStore) -> str:
    """Take the version after the highest that anybody has claimed; one never filled is a gap."""
    taken = _versions(store, complete=False)
    version = next_version(taken[-1] if taken else None)
    for _ in range(_MAX_CLAIMS):
        note = dump_json({"claimed_by": uuid.uuid4().hex, "at": _now()}, CLAIM)
        try:
            _create(store, model_key(version, CLAIM), note)
        except PreconditionFailed:
            version = next_version(version)
        else:
            return version
    raise BundleError(f"no free version found in {_MAX_CLAIMS} attempts, the last one {version}")


def _create(store: ObjectStore, key: str, data: bytes) -> None:
    """Create the object; that it is there already, with exactly our bytes, is success.

    When the answer to a successful request is lost, the client sends it again, and that one fails.
    """
    try:
        store.put_if_absent(key, data)
    except PreconditionFailed:
        if store.get(key).body != data:
            raise


def _versions(store: ObjectStore, *, complete: bool) -> list[str]:
    versions = set()
    for info in store.list(MODELS_PREFIX):
        version, _, name = info.key.removeprefix(MODELS_PREFIX).partition("/")
        if is_version(version) and (name == MANIFEST or not complete):
            versions.add(version)
    return sorted(versions, key=version_order)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
