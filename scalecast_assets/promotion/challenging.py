"""Putting a second version beside the champion, and taking it away: each one compare-and-swap.

What a challenger is, and which series are its own, is in ``contract/challenger.py``; what becomes
of it when another champion is promoted is in ``switching.py``.
"""

from dataclasses import replace

from scalecast_assets.contract.bundle import read_manifest
from scalecast_assets.contract.challenger import Challenger, Mode
from scalecast_assets.contract.layout import MODEL_POINTER
from scalecast_assets.contract.pointers import Held, ServingPointer, read_serving
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.contract.strict_json import BundleError
from scalecast_assets.promotion.publishing import list_versions
from scalecast_assets.promotion.switching import Switched, not_purged, swap_pointer, verified


def challenge(store: ObjectStore, version: str, *, mode: Mode, share: float) -> Switched:
    """Serve ``version`` beside the champion, for a share of the series; instead of another one.

    Raises ``BundleError`` if nothing is served, if the version is the champion, not complete and
    intact, or made for other features, ``ConcurrentPromotion`` if the pointer moved meanwhile.
    """
    held = _held(store)
    champion = held.pointer.version
    if version == champion:
        raise BundleError(f"version {version} is the champion already: challenge it with another")
    known = list_versions(store)
    if version not in known:
        others = ", ".join(v for v in known if v != champion) or "none"
        raise BundleError(f"there is no complete version {version[:100]!r}; there are: {others}")
    sha256 = verified(store, version)
    expected = read_manifest(store, champion)[0].contract_hash
    found = read_manifest(store, version)[0].contract_hash
    if found != expected:
        raise BundleError(
            f"version {version} was made for feature contract {found}, the champion {champion} "
            f"for {expected}: both must be asked about the same features"
        )
    challenger = Challenger(version, sha256, share, mode)
    return _swapped(
        store, held, challenger, f"{version} {challenger.in_words()}, beside {champion}"
    )


def end_challenge(store: ObjectStore) -> Switched:
    """Let the champion alone answer; an entry about a challenger that was spoilt goes, too."""
    held = _held(store)
    pointer = held.pointer
    if pointer.challenger is None and pointer.spoilt is None:
        return Switched(pointer, False, f"{pointer.version} has no challenger; nothing to do")
    whose = f"the challenger {pointer.challenger.version}" if pointer.challenger else "the entry"
    return _swapped(store, held, None, f"{whose} has ended; {pointer.version} answers for all")


def _held(store: ObjectStore) -> Held[ServingPointer]:
    held = read_serving(store)
    if held is None:
        raise BundleError("nothing is served yet, so there is nothing to challenge; promote first")
    return held


def _swapped(
    store: ObjectStore,
    held: Held[ServingPointer],
    challenger: Challenger | None,
    message: str,
) -> Switched:
    pointer = replace(held.pointer, challenger=challenger, spoilt=None)
    if pointer == held.pointer:
        return Switched(pointer, False, f"{message}; it was so already")
    swap_pointer(store, MODEL_POINTER, pointer.to_bytes(), held.etag)
    not_purged(store, pointer, held.pointer)
    return Switched(pointer, True, message)
