"""The bundle: what a promoted model consists of, and how a reader makes sure of it.

A bundle is complete once its manifest exists; the manifest names sha256 and size of every other
file. Nothing here unpickles: ``*.pkl`` files are carried for notebooks and never opened.
Writing a bundle is in ``scalecast_assets.promotion``; the pointers to it in ``pointers.py``.
"""

import hashlib
import re
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from scalecast_assets.contract.columns import FEATURES, feature_contract_hash
from scalecast_assets.contract.encoders import MAX_ENCODERS_BYTES, Encoders
from scalecast_assets.contract.intervals import MAX_INTERVALS_BYTES, IntervalTable
from scalecast_assets.contract.layout import (
    CLAIM,
    ENCODERS,
    INTERVALS,
    MANIFEST,
    MODEL,
    model_key,
    state_key,
)
from scalecast_assets.contract.pointers import ServingPointer, StatePointer
from scalecast_assets.contract.store import ObjectNotFound, ObjectStore
from scalecast_assets.contract.strict_json import BundleError as BundleError  # for our callers
from scalecast_assets.contract.strict_json import Fields, check_format, dump_json, load_object

FORMAT: Final = 1
REQUIRED_FILES: Final = (MODEL, ENCODERS)
MAX_MANIFEST_BYTES: Final = 16 * 1024 * 1024
MAX_FILE_BYTES: Final[Mapping[str, int]] = {
    MODEL: 100_000_000,
    ENCODERS: MAX_ENCODERS_BYTES,
    INTERVALS: MAX_INTERVALS_BYTES,
}
MAX_OTHER_FILE_BYTES: Final = 4 * 1024**3

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class RawFile:
    """A raw file that the training set came from; ``rows`` are its data lines."""

    key: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class FileEntry:
    """What a file of the bundle must be; ``size`` in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """Everything known about a promoted model; days and instants are ISO text.

    ``scored_fit_cutoff`` is the last day the leaderboard's fit saw, ``fit_cutoff`` the last day the
    served artefact saw. ``params`` is the recipe: enough to fit it again. ``leaderboard`` holds one
    object per candidate and reference, an undefined metric as ``None``. ``coverage`` says what the
    intervals covered on the holdout; ``None`` in bundles from before there were intervals.
    """

    version: str
    candidate: str
    features: tuple[str, ...]
    contract_hash: str
    calendar: str
    training_set: str
    raw_files: tuple[RawFile, ...]
    scored_fit_cutoff: str
    fit_cutoff: str
    horizon_days: int
    params: dict[str, Any]
    leaderboard: tuple[dict[str, Any], ...]
    libraries: dict[str, str]
    git_commit: str | None
    run_id: str | None
    created_at: str
    files: dict[str, FileEntry]
    coverage: dict[str, Any] | None = None

    def to_bytes(self) -> bytes:
        """Serialise deterministically, and only if ``parse`` would accept the result."""
        data = dump_json({"format": FORMAT, **asdict(self)}, f"manifest of {self.version}")
        Manifest.parse(data)
        return data

    @classmethod
    def parse(cls, data: bytes) -> "Manifest":
        """Parse strictly; raises ``BundleError`` naming the field, what was expected and found."""
        fields = load_object(data, "manifest", MAX_MANIFEST_BYTES)
        check_format(fields, FORMAT)
        manifest = cls(
            version=fields.version("version"),
            candidate=fields.text("candidate", 100),
            features=_texts(fields, "features"),
            contract_hash=fields.text("contract_hash", 64),
            calendar=fields.one_of("calendar", ("store", "observed")),
            training_set=fields.sha256("training_set"),
            raw_files=_raw_files(fields),
            scored_fit_cutoff=fields.day("scored_fit_cutoff"),
            fit_cutoff=fields.day("fit_cutoff"),
            horizon_days=fields.count("horizon_days", 1, 366),
            params=fields.take("params", dict),
            leaderboard=_objects(fields, "leaderboard"),
            libraries=fields.mapping("libraries", str),
            git_commit=fields.optional_text("git_commit"),
            run_id=fields.optional_text("run_id"),
            created_at=fields.instant("created_at"),
            files=_files(fields),
            coverage=fields.optional_object("coverage"),
        )
        fields.done()
        if manifest.scored_fit_cutoff > manifest.fit_cutoff:
            raise BundleError(
                f"manifest: scored_fit_cutoff {manifest.scored_fit_cutoff} lies after fit_cutoff "
                f"{manifest.fit_cutoff}"
            )
        return manifest

    def check_contract(self) -> None:
        """Raise ``BundleError`` if the model was made for other features than this code makes."""
        expected = feature_contract_hash("observed" if self.calendar == "observed" else "store")
        if self.features != FEATURES or self.contract_hash != expected:
            raise BundleError(
                f"model {self.version} was made for feature contract {self.contract_hash} with "
                f"{len(self.features)} features; this release computes contract {expected} with "
                f"{len(FEATURES)}; train and promote a model with this release"
            )


@dataclass(frozen=True)
class Bundle:
    """What the sidecar needs of a model, verified."""

    manifest: Manifest
    manifest_sha256: str
    onnx: bytes
    encoders: Encoders
    intervals: IntervalTable | None
    """None in a bundle without ``intervals.json``: its forecasts have no bounds."""


def read_manifest(store: ObjectStore, version: str) -> tuple[Manifest, str]:
    """Return the manifest and its sha256; raises ``BundleError`` if the version is not complete."""
    data = _read(store, model_key(version, MANIFEST), MAX_MANIFEST_BYTES, version)
    manifest = Manifest.parse(data)
    if manifest.version != version:
        raise BundleError(f"manifest of {version} says that it is of {manifest.version}")
    return manifest, hashlib.sha256(data).hexdigest()


def read_bundle(store: ObjectStore, version: str, manifest_sha256: str | None = None) -> Bundle:
    """Read manifest, ONNX graph, encoders and intervals, and verify size and sha256 of each.

    ``manifest_sha256`` is what the serving pointer says. Raises ``BundleError`` if anything is
    missing, altered, too large, or made for another feature contract.
    """
    manifest, found = read_manifest(store, version)
    if manifest_sha256 is not None and found != manifest_sha256:
        raise BundleError(
            f"manifest of {version} has sha256 {found}, the pointer says {manifest_sha256}"
        )
    manifest.check_contract()
    onnx, encoders = (_read_verified(store, manifest, name) for name in REQUIRED_FILES)
    intervals = None
    if INTERVALS in manifest.files:
        intervals = IntervalTable.parse(_read_verified(store, manifest, INTERVALS))
    return Bundle(manifest, found, onnx, Encoders.parse(encoders), intervals)


def read_pointed_bundle(store: ObjectStore, pointer: ServingPointer) -> Bundle:
    """Read the bundle that a serving pointer names."""
    return read_bundle(store, pointer.version, pointer.manifest_sha256)


def read_state(store: ObjectStore, pointer: StatePointer) -> bytes:
    """Return the verified bytes of the serving state; raises ``BundleError``."""
    what = f"state {pointer.sha256}"
    data = _read(store, state_key(pointer.sha256), pointer.size, what)
    _check_content(what, data, FileEntry(pointer.sha256, pointer.size))
    return data


def read_file(store: ObjectStore, manifest: Manifest, name: str) -> bytes:
    """Return the verified bytes of a file that the manifest names; raises ``BundleError``."""
    return _read_verified(store, manifest, name)


def verify_files(store: ObjectStore, manifest: Manifest, skip: Container[str] = ()) -> None:
    """Stream every file the manifest names and verify it; raises ``BundleError``."""
    for name, expected in sorted(manifest.files.items()):
        if name in skip:
            continue
        what = f"{name} of {manifest.version}"
        digest, size = hashlib.sha256(), 0
        try:
            with store.open(model_key(manifest.version, name)) as file:
                while size <= expected.size and (chunk := file.read(_CHUNK)):
                    digest.update(chunk)
                    size += len(chunk)
        except ObjectNotFound as error:
            raise BundleError(f"{what} is missing: {error}") from error
        _check_found(what, FileEntry(digest.hexdigest(), size), expected)


def max_bytes_of(name: str) -> int:
    """The largest size that a file of a bundle may have."""
    return MAX_FILE_BYTES.get(name, MAX_OTHER_FILE_BYTES)


def is_file_name(name: str) -> bool:
    """Tell whether a bundle may hold a file of this name: flat, plain, not one of our own."""
    return _FILE_NAME.fullmatch(name) is not None and name not in (MANIFEST, CLAIM)


def _read_verified(store: ObjectStore, manifest: Manifest, name: str) -> bytes:
    expected, what = manifest.files[name], f"{name} of {manifest.version}"
    data = _read(store, model_key(manifest.version, name), expected.size, what)
    _check_content(what, data, expected)
    return data


def _read(store: ObjectStore, key: str, max_bytes: int, what: str) -> bytes:
    """Read at most one byte more than allowed: a huge impostor never fills the memory."""
    try:
        with store.open(key) as file:
            return file.read(max_bytes + 1)
    except ObjectNotFound as error:
        raise BundleError(f"{what} is missing or not complete: {error}") from error


def _check_content(what: str, data: bytes, expected: FileEntry) -> None:
    _check_found(what, FileEntry(hashlib.sha256(data).hexdigest(), len(data)), expected)


def _check_found(what: str, found: FileEntry, expected: FileEntry) -> None:
    if found.size != expected.size:
        longer = "more than" if found.size > expected.size else "only"
        raise BundleError(f"{what}: expected {expected.size} bytes, found {longer} {found.size}")
    if found.sha256 != expected.sha256:
        raise BundleError(f"{what}: expected sha256 {expected.sha256}, found {found.sha256}")


def _texts(fields: Fields, name: str) -> tuple[str, ...]:
    values = fields.take(name, list)
    if not values or any(type(v) is not str for v in values) or len(set(values)) != len(values):
        raise fields.wrong(name, values, "a list of different names")
    return tuple(values)


def _objects(fields: Fields, name: str) -> tuple[dict[str, Any], ...]:
    values = fields.take(name, list)
    for number, value in enumerate(values):
        if type(value) is not dict:
            raise fields.wrong(f"{name}[{number}]", value, "a JSON object")
    return tuple(values)


def _raw_files(fields: Fields) -> tuple[RawFile, ...]:
    files = []
    for number, value in enumerate(fields.take("raw_files", list)):
        entry = Fields(value, f"{fields.where}.raw_files[{number}]")
        files.append(RawFile(entry.text("key", 4096), entry.sha256("sha256"), entry.count("rows")))
        entry.done()
    return tuple(files)


def _files(fields: Fields) -> dict[str, FileEntry]:
    files = {}
    for name, value in fields.take("files", dict).items():
        if not is_file_name(name):
            raise fields.wrong("files", name, "plain file names without folders")
        entry = Fields(value, f"{fields.where}.files[{name!r}]")
        files[name] = FileEntry(entry.sha256("sha256"), entry.count("size", 0, max_bytes_of(name)))
        entry.done()
    for name in REQUIRED_FILES:
        if name not in files:
            raise BundleError(f"{fields.where}: files lacks {name!r}, which every bundle has")
    return files
