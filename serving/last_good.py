"""The last good model and history, kept on this machine for a start without the store.

A pair that answers is copied into a folder: the files that serving needs, then one record that
names them. At most two pairs are there, the current one and the one before. Whatever is read back
passes every check that the store's own files pass; nothing here is trusted because it is ours.
When a pair is taken from here is decided in ``reload.py``.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from scalecast_assets.contract.bundle import (
    MAX_MANIFEST_BYTES,
    REQUIRED_FILES,
    Manifest,
    read_file,
    read_pointed_bundle,
    read_state,
)
from scalecast_assets.contract.layout import INTERVALS, MANIFEST, model_key, state_key
from scalecast_assets.contract.pointers import MAX_POINTER_BYTES, ServingPointer, StatePointer
from scalecast_assets.contract.store import DirectoryStore, ObjectNotFound, ObjectStore, StoreError
from scalecast_assets.contract.strict_json import (
    BundleError,
    check_format,
    dump_json,
    load_object,
)
from serving.model import LoadedModel, load_model
from serving.state import LoadedState, load_state

logger = logging.getLogger(__name__)

FORMAT: Final = 1
CURRENT: Final = "current.json"
PREVIOUS: Final = "previous.json"
NEEDED: Final = (*REQUIRED_FILES, INTERVALS)
"""What serving reads of a bundle; reports and files for notebooks are not kept."""

MAX_RECORD_BYTES: Final = 4 * MAX_POINTER_BYTES


class CannotKeep(Exception):
    """The pair cannot be kept; serving goes on."""


@dataclass(frozen=True)
class Record:
    """One pair: what the two pointers said, and when the store last said so."""

    model: bytes
    state: bytes
    seen_at: datetime

    def to_bytes(self) -> bytes:
        """Serialise; the pointers are JSON, and so text."""
        return dump_json(
            {
                "format": FORMAT,
                "model": self.model.decode(),
                "state": self.state.decode(),
                "seen_at": self.seen_at.isoformat(),
            },
            CURRENT,
        )

    @classmethod
    def parse(cls, data: bytes) -> "Record":
        """Parse strictly; raises ``BundleError``."""
        fields = load_object(data, "record", MAX_RECORD_BYTES)
        check_format(fields, FORMAT)
        record = cls(
            model=fields.take("model", str).encode(),
            state=fields.take("state", str).encode(),
            seen_at=datetime.fromisoformat(fields.instant("seen_at")),
        )
        fields.done()
        return record

    def names(self, other: "Record | None") -> bool:
        """Tell whether both stand for the same pair."""
        return other is not None and (self.model, self.state) == (other.model, other.state)


class LastGood(NamedTuple):
    """A pair read back and verified."""

    model: LoadedModel
    state: LoadedState
    seen_at: datetime


class LastGoodPairs:
    """The folder that pairs are kept in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept = DirectoryStore(folder)

    def is_there(self) -> bool:
        """Tell whether anything is kept; reads nothing of it."""
        try:
            return any(self._kept.exists(name) for name in (CURRENT, PREVIOUS))
        except StoreError:
            return True  # loading says what is wrong

    def load(self) -> tuple[LastGood | None, str | None]:
        """Return the newest pair that holds, and why a newer one does not."""
        problems: list[str] = []
        for name in (CURRENT, PREVIOUS):
            try:
                record = self._record(name)
                if record is not None:
                    model = load_model(self._kept, record.model, whole=False)
                    state = load_state(self._kept, record.state)
                    if model.manifest.contract_hash != state.contract_hash:
                        raise BundleError("its model and its history are of two feature contracts")
                    return LastGood(model, state, record.seen_at), "; ".join(problems) or None
            except Exception as error:  # a spoilt disk may fail in any way
                problems.append(f"{self.folder / name} is refused: {error}")
                logger.warning("last good pair: %s", problems[-1])
        return None, "; ".join(problems) or None

    def keep(self, store: ObjectStore, record: Record) -> None:
        """Copy what the record names out of the store; the current pair becomes the previous one.

        Killed at any moment, it leaves at least one whole pair where there was one.

        Raises:
            CannotKeep: the folder cannot be written, or the store has changed or gone meanwhile.
        """
        try:
            with self._alone():
                self._keep(store, record)
        except (StoreError, BundleError, OSError) as error:
            raise CannotKeep(f"not kept in {self.folder}: {error}") from error

    def _keep(self, store: ObjectStore, record: Record) -> None:
        current = self._readable(CURRENT)
        if current is not None and not record.names(current):
            self._kept.put(PREVIOUS, current.to_bytes())
        # The one before goes first, so that a disk has to hold two pairs and never three.
        self._sweep(record, current)
        self._keep_model(store, _version(record))
        pointer = StatePointer.parse(record.state)
        if not self._has_state(pointer):
            self._kept.put(state_key(pointer.sha256), read_state(store, pointer))
        # What was copied is what was served, or it is no good at the next start.
        read_pointed_bundle(self._kept, ServingPointer.parse(record.model))
        self._kept.put(CURRENT, record.to_bytes())

    def _keep_model(self, store: ObjectStore, version: str) -> None:
        data = store.get(model_key(version, MANIFEST), MAX_MANIFEST_BYTES).body
        manifest = Manifest.parse(data)
        for name in NEEDED:
            if name in manifest.files and not self._has_file(manifest, name):
                self._kept.put(model_key(version, name), read_file(store, manifest, name))
        self._kept.put(model_key(version, MANIFEST), data)

    def _has_file(self, manifest: Manifest, name: str) -> bool:
        try:
            read_file(self._kept, manifest, name)
        except (BundleError, StoreError):
            return False
        return True

    def _has_state(self, pointer: StatePointer) -> bool:
        try:
            read_state(self._kept, pointer)
        except (BundleError, StoreError):
            return False
        return True

    def _sweep(self, *records: Record | None) -> None:
        """Remove the files that no record names."""
        named = {CURRENT, PREVIOUS}
        for record in filter(None, records):
            named.add(state_key(StatePointer.parse(record.state).sha256))
            named.update(model_key(_version(record), name) for name in (MANIFEST, *NEEDED))
        for key in [entry.key for entry in self._kept.list() if entry.key not in named]:
            self._kept.delete(key)
            with contextlib.suppress(OSError):  # other files of that version are still there
                (self.folder / key).parent.rmdir()

    def _record(self, name: str) -> Record | None:
        try:
            return Record.parse(self._kept.get(name, MAX_RECORD_BYTES).body)
        except ObjectNotFound:
            return None

    def _readable(self, name: str) -> Record | None:
        """Return a record that names something, or None: one that was spoilt is written over."""
        try:
            record = self._record(name)
            if record is not None:
                StatePointer.parse(record.state)
                _version(record)
        except (BundleError, StoreError):
            return None
        return record

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder's lock, so that two sidecars on one folder do not sweep each other's."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(descriptor)


def _version(record: Record) -> str:
    """The version that is served; what else may share the requests is not needed for a start."""
    return ServingPointer.parse(record.model).version
