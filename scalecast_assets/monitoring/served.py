"""What is served right now, read and verified as the sidecar does it: model, codes, history.

The challenger is asked about the same history.

Who changes what is served is ``scalecast_assets.promotion``; here it is only looked at.
"""

from dataclasses import dataclass
from typing import Self

from scalecast_assets.contract.bundle import (
    BundleError,
    Manifest,
    read_bundle,
    read_manifest,
    read_pointed_bundle,
    read_state,
)
from scalecast_assets.contract.challenger import Challenger
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.intervals import IntervalTable
from scalecast_assets.contract.panel import Panel
from scalecast_assets.contract.pointers import read_serving, read_state_pointer
from scalecast_assets.contract.rolling import Predict
from scalecast_assets.contract.state import panel_from_bytes
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.forecasting.candidates.base import onnx_predictor


class NothingServed(LookupError):
    """No model and state that fit each other are served; the message says what is missing."""


@dataclass(frozen=True, eq=False)
class Served:
    """The model and the state that both pointers name."""

    manifest: Manifest
    encoders: Encoders
    predict: Predict
    panel: Panel
    intervals: IntervalTable | None = None
    challenger: Challenger | None = None

    @classmethod
    def read(cls, store: ObjectStore) -> Self:
        """Read both; raises ``NothingServed``, or ``BundleError`` if anything is damaged."""
        model, state = read_serving(store), read_state_pointer(store)
        if model is None:
            raise NothingServed("no model is served yet: materialize promoted_model")
        if state is None:
            raise NothingServed("there is no serving state yet: materialize serving_state")
        bundle = read_pointed_bundle(store, model.pointer)
        if bundle.manifest.contract_hash != state.pointer.contract_hash:
            raise NothingServed(
                f"model {bundle.manifest.version} has the feature contract "
                f"{bundle.manifest.contract_hash}, the state has {state.pointer.contract_hash}: "
                "materialize promoted_model"
            )
        return cls(
            manifest=bundle.manifest,
            encoders=bundle.encoders,
            predict=onnx_predictor(bundle.onnx),
            panel=panel_from_bytes(read_state(store, state.pointer)),
            intervals=bundle.intervals,
            challenger=model.pointer.challenger,
        )

    def rival(self, store: ObjectStore) -> "Served | None":
        """Read the challenger that is served beside; None if there is none.

        Raises ``BundleError`` if it is damaged, or cannot be asked about this history.
        """
        entry = self.challenger
        if entry is None:
            return None
        bundle = read_bundle(store, entry.version, entry.manifest_sha256)
        if bundle.manifest.contract_hash != self.manifest.contract_hash:
            raise BundleError(
                f"challenger {entry.version} has the feature contract "
                f"{bundle.manifest.contract_hash}, the champion {self.manifest.contract_hash}"
            )
        return Served(
            manifest=bundle.manifest,
            encoders=bundle.encoders,
            predict=onnx_predictor(bundle.onnx),
            panel=self.panel,
            intervals=bundle.intervals,
            challenger=entry,
        )


def served_manifest(store: ObjectStore) -> Manifest:
    """Return what is known about the served model; raises ``NothingServed``."""
    held = read_serving(store)
    if held is None:
        raise NothingServed("no model is served yet: materialize promoted_model")
    manifest, _ = read_manifest(store, held.pointer.version)
    return manifest


def promised_wape(manifest: Manifest) -> float | None:
    """Return the WAPE on the holdout with which the model was promoted; None if undefined."""
    own = (row for row in manifest.leaderboard if row.get("name") == manifest.candidate)
    return next((row.get("wape") for row in own), None)
