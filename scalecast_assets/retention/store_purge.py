"""Purging the object store: versions, training sets, candidates, states, forecasts, quarantine.

A pointer may move while something is removed, so each side does its own first and then looks at the
other's. Here the thing is made unusable, and then the pointer is read again; whoever moves a
pointer (``promotion/switching.py``) looks at the thing afterwards. One of both sees the other.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import datetime

from scalecast_assets.contract.bundle import read_manifest
from scalecast_assets.contract.layout import (
    CLAIM,
    FORECASTS_PREFIX,
    MANIFEST,
    MODELS_PREFIX,
    model_key,
    state_key,
)
from scalecast_assets.contract.pointers import read_serving, read_state_pointer
from scalecast_assets.contract.store import ObjectNotFound, ObjectStore
from scalecast_assets.promotion.publishing import list_versions
from scalecast_assets.retention.plan import (
    Removal,
    folders,
    removable_by_age,
    removable_forecasts,
    removable_versions,
)
from scalecast_assets.retention.policy import Policy

TRAINING_AREAS = ("models", "training_sets", "candidates")
"""What a training writes: left alone while one is under way."""


class StillNeeded(Exception):
    """The pointer came to name it since it was planned away; it is as it was."""


def plan_versions(store: ObjectStore, policy: Policy, now: datetime) -> list[Removal]:
    """The versions beyond those that are kept."""
    found = folders(store.list(MODELS_PREFIX), MODELS_PREFIX)
    return removable_versions(found, served_versions(store), policy.models, now)


def plan_lineage(
    store: ObjectStore,
    policy: Policy,
    current_training_set: str | None,
    gone: Collection[str],
    now: datetime,
) -> Iterator[Removal]:
    """Training sets and candidates that no version comes from but those that are ``gone``.

    Candidates are for the next comparison, which reads those of the current training set.
    """
    origins = {
        read_manifest(store, version)[0].training_set
        for version in list_versions(store)
        if version not in gone
    }
    current = {current_training_set} if current_training_set else set()
    for area, needed in (("training_sets", origins | current), ("candidates", current)):
        of_area = folders(store.list(f"{area}/"), f"{area}/")
        yield from removable_by_age(area, of_area, needed, policy.training_sets_days, now)


def plan_other_areas(store: ObjectStore, policy: Policy, now: datetime) -> Iterator[Removal]:
    """States, forecasts and quarantine."""
    held = read_state_pointer(store)
    needed = {held.pointer.sha256} if held else set()
    states = folders(store.list("state/"), "state/")
    yield from removable_by_age("state", states, needed, policy.states_days, now)
    forecasts = folders(store.list(FORECASTS_PREFIX), FORECASTS_PREFIX)
    yield from removable_forecasts(forecasts, policy.forecasts_days, now)
    quarantine = folders(store.list("quarantine/"), "quarantine/")
    yield from removable_by_age("quarantine", quarantine, (), policy.quarantine_days, now)


def served_versions(store: ObjectStore) -> set[str]:
    """The version that the pointer names, the one before it, and the challenger."""
    held = read_serving(store)
    if held is None:
        return set()
    pointer = held.pointer
    challenger = pointer.challenger.version if pointer.challenger else None
    return {v for v in (pointer.version, pointer.previous, challenger) if v}


def remove(store: ObjectStore, removal: Removal) -> None:
    """Remove a thing as a whole; where that is broken off, the next purge goes on.

    Raises ``StillNeeded`` if it is served since it was planned.
    """
    remover: dict[str, Callable[[ObjectStore, Removal], None]] = {
        "models": _remove_version,
        "state": _remove_state,
    }
    remover.get(removal.area, _remove_plainly)(store, removal)


def _remove_plainly(store: ObjectStore, removal: Removal) -> None:
    store.delete_many(removal.keys)


def _remove_version(store: ObjectStore, removal: Removal) -> None:
    """The manifest first: without it no reader takes the version for a bundle; the claim last."""
    _unless_served(
        store, model_key(removal.name, MANIFEST), lambda: removal.name in served_versions(store)
    )
    claim = model_key(removal.name, CLAIM)
    store.delete_many(key for key in removal.keys if key != claim)
    store.delete(claim)


def _remove_state(store: ObjectStore, removal: Removal) -> None:
    def is_served() -> bool:
        held = read_state_pointer(store)
        return held is not None and held.pointer.sha256 == removal.name

    _unless_served(store, state_key(removal.name), is_served)
    store.delete_many(removal.keys)


def _unless_served(store: ObjectStore, key: str, is_served: Callable[[], bool]) -> None:
    """Remove the object that makes the thing usable, and put it back if the pointer names it."""
    if is_served():
        raise StillNeeded(f"{key} is served since")
    try:
        kept = store.get(key).body
    except ObjectNotFound:
        return
    store.delete(key)
    if is_served():
        store.put(key, kept)
        raise StillNeeded(f"{key} is served since")
