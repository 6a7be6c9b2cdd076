"""Switching what is served: promote, roll back, refresh the state, each one compare-and-swap.

A pointer is moved only to what was verified just before, and only if it still is what the caller
saw; otherwise ``ConcurrentPromotion``, and the caller decides anew.
"""

import hashlib
from dataclasses import dataclass

from scalecast_assets.contract.bundle import REQUIRED_FILES, read_bundle, verify_files
from scalecast_assets.contract.layout import (
    MANIFEST,
    MODEL_POINTER,
    STATE_POINTER,
    is_version,
    model_key,
    state_key,
)
from scalecast_assets.contract.pointers import (
    Damaged,
    Held,
    ServingPointer,
    StatePointer,
    find_serving,
    read_state_pointer,
)
from scalecast_assets.contract.store import ObjectNotFound, ObjectStore, PreconditionFailed
from scalecast_assets.contract.strict_json import BundleError
from scalecast_assets.promotion.publishing import list_versions


class ConcurrentPromotion(Exception):
    """The pointer moved after the caller read it: somebody else promoted or rolled back."""


@dataclass(frozen=True)
class Switched:
    """What is served now, whether that changed anything, and a sentence about it."""

    pointer: ServingPointer
    changed: bool
    message: str


def promote(
    store: ObjectStore,
    version: str,
    expected_pointer: Held[ServingPointer] | Damaged | None,
    traffic: dict[str, float] | None = None,
) -> Switched:
    """Serve ``version``, if the pointer still is what ``read_serving`` gave the caller.

    ``traffic`` may share requests with other complete versions; by default all go to ``version``.
    Raises ``BundleError`` if a version is not complete and intact, ``ConcurrentPromotion`` if the
    pointer moved.
    """
    shares = {version: 1.0} if traffic is None else traffic
    digests = {name: _verified(store, name) for name in {version, *shares}}
    before = expected_pointer.pointer if isinstance(expected_pointer, Held) else None
    pointer = ServingPointer(version, digests[version], _previous(before, version), shares)
    if pointer == before:
        return Switched(pointer, False, f"{version} is served already; nothing to do")
    etag = expected_pointer.etag if expected_pointer else None
    _swap(store, MODEL_POINTER, pointer.to_bytes(), etag)
    _not_purged(store, pointer, before)
    instead = f" instead of {before.version}" if before and before.version != version else ""
    return Switched(pointer, True, f"{version} is served now{instead}")


def rollback(store: ObjectStore, version: str) -> Switched:
    """Serve an earlier (or later) complete version again; to the served one changes nothing.

    A damaged pointer is written anew; what was served before is then not known. Raises
    ``BundleError`` if the version does not exist or is damaged, ``ConcurrentPromotion`` if the
    pointer moved meanwhile.
    """
    held = find_serving(store)
    if held is None:
        raise BundleError("nothing is served yet, so there is nothing to roll back; promote first")
    if not is_version(version):
        raise BundleError(f"version {version[:100]!r} does not read like '1.0.0'")
    known = list_versions(store)
    if version not in known:
        raise BundleError(
            f"there is no complete version {version}; there are: {', '.join(known) or 'none'}"
        )
    return promote(store, version, held)


def publish_state(
    store: ObjectStore,
    state: bytes,
    *,
    data_until: str,
    contract_hash: str,
    schema: int,
    expected_pointer: Held[StatePointer] | Damaged | None,
) -> StatePointer:
    """Store the state under its sha256 and point to it, if the pointer still is the expected one.

    The caller reads ``expected_pointer`` before it reads the warehouse: then a state made from
    older data never replaces one made from newer. Raises ``ConcurrentPromotion`` if the pointer
    moved.
    """
    digest = hashlib.sha256(state).hexdigest()
    pointer = StatePointer(digest, len(state), data_until, contract_hash, schema)
    data = pointer.to_bytes()
    store.put(
        state_key(digest), state
    )  # overwriting repairs a damaged copy; the bytes are the same
    if isinstance(expected_pointer, Held) and expected_pointer.pointer == pointer:
        _still(store, expected_pointer)
        return pointer
    _swap(store, STATE_POINTER, data, expected_pointer.etag if expected_pointer else None)
    if not store.exists(state_key(digest)):  # an old one that a purge had just begun to remove
        store.put(state_key(digest), state)
    return pointer


def _not_purged(store: ObjectStore, pointer: ServingPointer, before: ServingPointer | None) -> None:
    """Look again at what is served now: a purge that had planned it away may have begun.

    It removes the manifest and reads the pointer then, we the other way about, so that one of both
    sees the other.
    """
    gone = [v for v in pointer.traffic if not store.exists(model_key(v, MANIFEST))]
    if not gone:
        return
    held = find_serving(store)
    if before and isinstance(held, Held) and held.pointer == pointer:
        _swap(store, MODEL_POINTER, before.to_bytes(), held.etag)
    raise ConcurrentPromotion(
        f"version {', '.join(gone)} was purged meanwhile; what was served before is served. Choose "
        "another of `scalecast models`"
    )


def _still(store: ObjectStore, expected: Held[StatePointer]) -> None:
    found = read_state_pointer(store)
    if found is None or found.pointer != expected.pointer:
        raise ConcurrentPromotion(f"{STATE_POINTER} moved meanwhile; read the data again")


def _verified(store: ObjectStore, version: str) -> str:
    """Verify the whole bundle and return its manifest's sha256."""
    if not is_version(version):
        raise BundleError(f"version {version[:100]!r} does not read like '1.0.0'")
    bundle = read_bundle(store, version)
    verify_files(store, bundle.manifest, skip=REQUIRED_FILES)  # those were just verified
    return bundle.manifest_sha256


def _previous(before: ServingPointer | None, version: str) -> str | None:
    """What was served before; when only the traffic changes, that stays what it was."""
    if before is None:
        return None
    return before.previous if before.version == version else before.version


def _swap(store: ObjectStore, key: str, data: bytes, etag: str | None) -> None:
    """Write the pointer if it has this etag (``None``: if there is none).

    If it has exactly our bytes already, our request was carried out and only its answer was lost,
    or somebody else wanted just the same; both are success.
    """
    try:
        if etag is None:
            store.put_if_absent(key, data)
        else:
            store.compare_and_swap(key, data, etag)
    except PreconditionFailed as error:
        try:
            if store.get(key).body == data:
                return
        except ObjectNotFound:
            pass
        raise ConcurrentPromotion(
            f"{key} moved after it was read: somebody else promoted or rolled back; look at what "
            "is served now and decide again"
        ) from error
