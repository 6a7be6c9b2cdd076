"""Switching what is served: promote, roll back, refresh the state, each one compare-and-swap.

A pointer is moved only to what was verified just before, and only if it still is what the caller
saw; otherwise ``ConcurrentPromotion``, and the caller decides anew.
"""

import hashlib
from dataclasses import dataclass, replace

from scalecast_assets.contract.bundle import (
    REQUIRED_FILES,
    read_bundle,
    read_manifest,
    verify_files,
)
from scalecast_assets.contract.challenger import Challenger
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
    store: ObjectStore, version: str, expected_pointer: Held[ServingPointer] | Damaged | None
) -> Switched:
    """Serve ``version``, if the pointer still is what ``read_serving`` gave the caller.

    A challenger goes on beside the new champion, unless it is the new champion or cannot be asked
    about the same features. Raises ``BundleError`` if the version is not complete and intact,
    ``ConcurrentPromotion`` if the pointer moved.
    """
    before = expected_pointer.pointer if isinstance(expected_pointer, Held) else None
    challenger = before.challenger if before else None
    ends = None if challenger is None else _why_it_ends(store, challenger, version)
    return _serve(store, version, expected_pointer, None if ends else challenger, ends)


def _serve(
    store: ObjectStore,
    version: str,
    expected: Held[ServingPointer] | Damaged | None,
    challenger: Challenger | None,
    ends: str | None,
) -> Switched:
    """Point to ``version``; ``ends`` says why the challenger of before is not beside it."""
    before = expected.pointer if isinstance(expected, Held) else None
    pointer = ServingPointer(version, verified(store, version), _previous(before, version))
    pointer = replace(pointer, challenger=challenger)
    if pointer == before:
        return Switched(pointer, False, f"{version} is served already; nothing to do")
    swap_pointer(store, MODEL_POINTER, pointer.to_bytes(), expected.etag if expected else None)
    not_purged(store, pointer, before)
    instead = f" instead of {before.version}" if before and before.version != version else ""
    about = f"; {ends}" if ends else ""
    if challenger is not None:
        about = f"; {challenger.version} goes on challenging: it {challenger.in_words()}"
    return Switched(pointer, True, f"{version} is served now{instead}{about}")


def _why_it_ends(store: ObjectStore, challenger: Challenger, champion: str) -> str | None:
    """Say why the challenger cannot go on beside this champion; None if it can."""
    if challenger.version == champion:
        return "it was the challenger, which ends with that"
    try:
        manifest, sha256 = read_manifest(store, challenger.version)
        expected = read_manifest(store, champion)[0].contract_hash
    except BundleError as error:
        return f"the challenger {challenger.version} ends: {error}"
    if sha256 != challenger.manifest_sha256:
        return f"the challenger {challenger.version} ends: its manifest is another one now"
    if manifest.contract_hash != expected:
        return f"the challenger {challenger.version} ends: it was made for other features"
    return None


def rollback(store: ObjectStore, version: str) -> Switched:
    """Serve an earlier (or later) complete version again, for every series.

    A challenger ends: after a rollback nothing but ``version`` answers. Where that is so already,
    nothing changes. A damaged pointer is written anew; what was served before is then not known.
    Raises ``BundleError`` if the version does not exist or is damaged, ``ConcurrentPromotion`` if
    the pointer moved meanwhile.
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
    before = held.pointer.challenger if isinstance(held, Held) else None
    ends = f"the challenger {before.version} ends with a rollback" if before else None
    return _serve(store, version, held, None, ends)


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
    swap_pointer(store, STATE_POINTER, data, expected_pointer.etag if expected_pointer else None)
    if not store.exists(state_key(digest)):  # an old one that a purge had just begun to remove
        store.put(state_key(digest), state)
    return pointer


def not_purged(store: ObjectStore, pointer: ServingPointer, before: ServingPointer | None) -> None:
    """Look again at what is served now: a purge that had planned it away may have begun.

    It removes the manifest and reads the pointer then, we the other way about, so that one of both
    sees the other.
    """
    served = [pointer.version, *([pointer.challenger.version] if pointer.challenger else [])]
    gone = [v for v in served if not store.exists(model_key(v, MANIFEST))]
    if not gone:
        return
    held = find_serving(store)
    if before and isinstance(held, Held) and held.pointer == pointer:
        swap_pointer(store, MODEL_POINTER, before.to_bytes(), held.etag)
    raise ConcurrentPromotion(
        f"version {', '.join(gone)} was purged meanwhile; what was served before is served. Choose "
        "another of `scalecast models`"
    )


def _still(store: ObjectStore, expected: Held[StatePointer]) -> None:
    found = read_state_pointer(store)
    if found is None or found.pointer != expected.pointer:
        raise ConcurrentPromotion(f"{STATE_POINTER} moved meanwhile; read the data again")


def verified(store: ObjectStore, version: str) -> str:
    """Verify the whole bundle and return its manifest's sha256."""
    if not is_version(version):
        raise BundleError(f"version {version[:100]!r} does not read like '1.0.0'")
    bundle = read_bundle(store, version)
    verify_files(store, bundle.manifest, skip=REQUIRED_FILES)  # those were just verified
    return bundle.manifest_sha256


def _previous(before: ServingPointer | None, version: str) -> str | None:
    """What was served before; when only the challenger changes, that stays what it was."""
    if before is None:
        return None
    return before.previous if before.version == version else before.version


def swap_pointer(store: ObjectStore, key: str, data: bytes, etag: str | None) -> None:
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
