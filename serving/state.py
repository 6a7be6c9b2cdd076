"""From the state pointer to the history that forecasts start from, verified.

The layout of a state's bytes is in ``contract/state.py``; nothing is unpickled.
"""

import datetime
import math
from dataclasses import dataclass
from typing import Final

from scalecast_assets.contract.bundle import read_state
from scalecast_assets.contract.cold_start import ColdStart
from scalecast_assets.contract.columns import feature_contract_hash
from scalecast_assets.contract.panel import Panel
from scalecast_assets.contract.pointers import StatePointer
from scalecast_assets.contract.state import panel_from_bytes
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.contract.strict_json import BundleError
from serving.memory import free_bytes

LOADING: Final = 3
"""Memory that loading takes, in sizes of the state: the bytes, its members, and what is made of
them (20 MB of 30,000 series)."""


@dataclass(frozen=True)
class LoadedState:
    """The recent history of every series, and the means for those with too little of it."""

    panel: Panel
    cold_start: ColdStart
    sha256: str
    contract_hash: str
    data_until: datetime.date


def load_state(store: ObjectStore, pointer: bytes) -> LoadedState:
    """Load what ``serving/state.json`` names.

    Raises:
        BundleError: it is missing, altered, or made for other features than this code computes.
        StoreError: the store failed meanwhile.
    """
    named = StatePointer.parse(pointer)
    _check_room(named)
    panel = panel_from_bytes(read_state(store, named))
    computed = feature_contract_hash(panel.calendar)
    if named.contract_hash != computed:
        raise BundleError(
            f"state {named.sha256} has the feature contract {named.contract_hash}; this release "
            f"computes {computed}: run `scalecast run` with this release to make a new one"
        )
    if panel.n_series == 0:
        raise BundleError(f"state {named.sha256} holds no series; expected at least one")
    cold_start = ColdStart.of(panel)
    if not math.isfinite(cold_start.of_all):
        raise BundleError(f"state {named.sha256} holds no sale in its last days; expected some")
    return LoadedState(
        panel=panel,
        cold_start=cold_start,
        sha256=named.sha256,
        contract_hash=computed,
        data_until=datetime.date.fromisoformat(named.data_until),
    )


def _check_room(named: StatePointer) -> None:
    """Refuse, unread, what would make the system end this process for want of memory."""
    free = free_bytes()
    if free is not None and named.size * LOADING > free:
        raise BundleError(
            f"state {named.sha256} has {named.size >> 20} MiB, and loading takes {LOADING} times "
            f"that; {free >> 20} MiB are free: give the sidecar more memory"
        )
