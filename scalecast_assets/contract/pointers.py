"""The two pointers that the sidecar polls: which model is served, and which state.

They are written by compare-and-swap only: ``serving/model.json`` by promotion, rollback and
challenge, ``serving/state.json`` by the serving state (all in ``scalecast_assets.promotion``).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final, Generic, TypeVar

from scalecast_assets.contract.challenger import Challenger, check_beside
from scalecast_assets.contract.layout import MODEL_POINTER, STATE_POINTER
from scalecast_assets.contract.store import Blob, ObjectNotFound, ObjectStore, ObjectTooLarge
from scalecast_assets.contract.strict_json import (
    BundleError,
    Fields,
    check_format,
    dump_json,
    load_object,
)

FORMAT: Final = 1
MAX_POINTER_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class ServingPointer:
    """Which bundle is served, and which one beside it.

    ``previous`` is what was served before, where a rollback leads. ``spoilt`` says why an entry
    about a challenger could not be read: the champion is served without one. It is never written.
    """

    version: str
    manifest_sha256: str
    previous: str | None
    challenger: Challenger | None = None
    spoilt: str | None = None

    def to_bytes(self) -> bytes:
        """Serialise deterministically, and only if ``parse`` would accept the result.

        Without a challenger the bytes are those that earlier releases wrote, and can read.
        """
        document = {"format": FORMAT, **asdict(self)}
        del document["spoilt"]
        if self.challenger is None:
            del document["challenger"]
            document["traffic"] = {self.version: 1.0}
        data = dump_json(document, MODEL_POINTER)
        written = ServingPointer.parse(data)
        if written.spoilt is not None:
            raise BundleError(written.spoilt)
        return data

    @classmethod
    def parse(cls, data: bytes) -> "ServingPointer":
        """Parse strictly; raises ``BundleError``, but for an entry about a challenger."""
        fields = load_object(data, MODEL_POINTER, MAX_POINTER_BYTES)
        check_format(fields, FORMAT)
        version = fields.version("version")
        challenger, spoilt = _challenger(fields, version)
        pointer = cls(
            version=version,
            manifest_sha256=fields.sha256("manifest_sha256"),
            previous=fields.optional_version("previous"),
            challenger=challenger,
            spoilt=spoilt,
        )
        fields.done()
        if pointer.previous == pointer.version:
            raise BundleError(f"{MODEL_POINTER}: version {pointer.version} is its own previous one")
        return pointer


@dataclass(frozen=True)
class StatePointer:
    """Which serving state is current.

    ``size`` in bytes; ``data_until`` is the last ISO day in it; ``schema`` names the layout of its
    arrays, ``contract_hash`` the features and the calendar it was made for.
    """

    sha256: str
    size: int
    data_until: str
    contract_hash: str
    schema: int

    def to_bytes(self) -> bytes:
        """Serialise deterministically, and only if ``parse`` would accept the result."""
        data = dump_json({"format": FORMAT, **asdict(self)}, STATE_POINTER)
        StatePointer.parse(data)
        return data

    @classmethod
    def parse(cls, data: bytes) -> "StatePointer":
        """Parse strictly; raises ``BundleError``."""
        fields = load_object(data, STATE_POINTER, MAX_POINTER_BYTES)
        check_format(fields, FORMAT)
        pointer = cls(
            sha256=fields.sha256("sha256"),
            size=fields.count("size", 1, 4 * 1024**3),
            data_until=fields.day("data_until"),
            contract_hash=fields.text("contract_hash", 64),
            schema=fields.count("schema", 1, 10**6),
        )
        fields.done()
        return pointer


P = TypeVar("P", ServingPointer, StatePointer)


@dataclass(frozen=True)
class Held(Generic[P]):
    """A pointer as it was read, and the etag to swap it by."""

    pointer: P
    etag: str


@dataclass(frozen=True)
class Damaged:
    """A pointer that was spoilt: why it cannot be read, and the etag to write it anew by."""

    why: str
    etag: str


def read_serving(store: ObjectStore) -> Held[ServingPointer] | None:
    """Return the serving pointer, or ``None`` before the first promotion."""
    found = find_serving(store)
    if isinstance(found, Damaged):
        raise BundleError(f"{found.why}; `scalecast rollback VERSION` writes the pointer anew")
    return found


def read_state_pointer(store: ObjectStore) -> Held[StatePointer] | None:
    """Return the state pointer, or ``None`` before the first state."""
    found = find_state_pointer(store)
    if isinstance(found, Damaged):
        raise BundleError(f"{found.why}; materialize serving_state, which writes the pointer anew")
    return found


def find_serving(store: ObjectStore) -> Held[ServingPointer] | Damaged | None:
    """As ``read_serving``, for who can do without what a damaged pointer said."""
    return _find(store, MODEL_POINTER, ServingPointer.parse)


def find_state_pointer(store: ObjectStore) -> Held[StatePointer] | Damaged | None:
    """As ``read_state_pointer``, for who can do without what a damaged pointer said."""
    return _find(store, STATE_POINTER, StatePointer.parse)


def _find(store: ObjectStore, key: str, parse: Callable[[bytes], P]) -> Held[P] | Damaged | None:
    blob = _read(store, key)
    if blob is None:
        return None
    try:
        return Held(parse(blob.body), blob.etag)
    except BundleError as error:
        return Damaged(str(error), blob.etag)


def _read(store: ObjectStore, key: str) -> Blob | None:
    try:
        return store.get(key, MAX_POINTER_BYTES)
    except ObjectNotFound:
        return None
    except ObjectTooLarge as error:
        raise BundleError(str(error)) from error


def _challenger(fields: Fields, champion: str) -> tuple[Challenger | None, str | None]:
    """Return the challenger, and why it cannot be read: whatever it is, the champion goes on.

    ``traffic`` is what earlier releases wrote instead, always with the champion alone in it.
    """
    try:
        traffic, entry = fields.whatever("traffic"), fields.whatever("challenger")
        if traffic is not None and traffic != {champion: 1.0}:
            raise fields.wrong("traffic", traffic, f"{champion} alone; others are 'challenger'")
        if entry is None:
            return None, None
        challenger = Challenger.parse(Fields(entry, f"{MODEL_POINTER}.challenger"))
        check_beside(challenger, champion)
    except BundleError as error:
        return None, str(error)
    return challenger, None
