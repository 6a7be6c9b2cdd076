"""From the serving pointer to a model that answers: bundle verified, ONNX graph checked and tried.

Whatever the graph was trained as, it must be what ``contract`` promises: one input ``features``
``(n, 16) float32``, one output ``demand``, finite numbers. When to load and which model answers is
in ``reload.py``; nothing here, or anywhere in the sidecar, unpickles.
"""

import logging
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from scalecast_assets.contract.bundle import (
    REQUIRED_FILES,
    Manifest,
    read_bundle,
    verify_files,
)
from scalecast_assets.contract.challenger import Challenger
from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.intervals import IntervalTable
from scalecast_assets.contract.layout import INTERVALS, MODEL
from scalecast_assets.contract.pointers import ServingPointer
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.contract.strict_json import BundleError
from serving.trial import TrialFailed, try_apart

logger = logging.getLogger(__name__)

INPUT: Final = "features"
OUTPUT: Final = "demand"
SMOKE_ROWS: Final = 3
READ_AT_ONCE: Final = (*REQUIRED_FILES, INTERVALS)
"""What reading a bundle verifies; its other files are streamed through."""

FATAL_ONLY: Final = 4
"""onnxruntime also prints what it raises; we log it ourselves."""

EXTERNAL_WEIGHTS: Final = "session.model_external_initializers_file_folder_path"
"""Where a graph's weights may lie outside it. Not a folder: left alone, a graph could have files of
the working directory, such as ``.env``, read in as weights (seen with onnxruntime 1.32)."""


class PredictionFailed(Exception):
    """The graph failed on these features, or returned something that is not a finite number."""


@dataclass(frozen=True)
class Predictor:
    """An ONNX graph behind the one interface of every model."""

    session: ort.InferenceSession

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the demand, units per day ``(n,) float64``, of ``features (n, 16) float32``.

        Raises:
            PredictionFailed: the graph fails, or the demand is not finite.
        """
        try:
            (found,) = self.session.run([OUTPUT], {INPUT: features})
            demand = np.asarray(found, dtype=np.float64).reshape(len(features))
        except Exception as error:  # the graph is somebody else's and may fail in any way
            raise PredictionFailed(f"model.onnx fails to predict: {_first_line(error)}") from error
        if not np.isfinite(demand).all():
            raise PredictionFailed(f"model.onnx predicts {demand[:10].tolist()}, not finite")
        return demand

    def one(self, features: NDArray[np.float32]) -> float:
        """Do the same for one row, without the cost of arrays."""
        try:
            (found,) = self.session.run([OUTPUT], {INPUT: features})
            demand = float(found.item())
        except Exception as error:
            raise PredictionFailed(f"model.onnx fails to predict: {_first_line(error)}") from error
        if not isfinite(demand):
            raise PredictionFailed(f"model.onnx predicts {demand}, not finite")
        return demand


@dataclass(frozen=True)
class LoadedModel:
    """A model that passed every check, ready to answer."""

    predictor: Predictor
    encoders: Encoders
    intervals: IntervalTable | None
    manifest: Manifest
    manifest_sha256: str
    loaded_at: datetime
    previous: str | None = None
    challenger: Challenger | None = None
    """What is to be served beside it."""
    spoilt: str | None = None
    """Why what the pointer says about a challenger cannot be read."""

    @property
    def version(self) -> str:
        """The version, as under ``models/``."""
        return self.manifest.version


def load_model(store: ObjectStore, pointer: bytes, *, whole: bool = True) -> LoadedModel:
    """Load what ``serving/model.json`` names, every file of the bundle verified.

    Not ``whole``: only the files that serving reads, where the others were never put.

    Raises:
        BundleError: anything is missing, altered, or not what the contract promises.
        StoreError: the store failed meanwhile.
    """
    named = ServingPointer.parse(pointer)
    model = load_version(store, named.version, named.manifest_sha256, whole=whole)
    return replace(model, previous=named.previous, challenger=named.challenger, spoilt=named.spoilt)


def load_version(
    store: ObjectStore, version: str, manifest_sha256: str, *, whole: bool = True
) -> LoadedModel:
    """Load one version, every file of its bundle verified, the graph tried.

    Not ``whole``: only the files that serving reads, where the others were never put.

    Raises:
        BundleError: anything is missing, altered, or not what the contract promises.
        StoreError: the store failed meanwhile.
    """
    bundle = read_bundle(store, version, manifest_sha256)
    _try_apart(bundle.onnx, bundle.manifest.files[MODEL].sha256)
    if whole:
        verify_files(store, bundle.manifest, skip=READ_AT_ONCE)
    if bundle.intervals is None:
        logger.warning("model %s has no %s: its answers carry no bounds", version, INTERVALS)
    return LoadedModel(
        predictor=open_predictor(bundle.onnx),
        encoders=bundle.encoders,
        intervals=bundle.intervals,
        manifest=bundle.manifest,
        manifest_sha256=bundle.manifest_sha256,
        loaded_at=datetime.now(UTC),
    )


def _try_apart(onnx: bytes, sha256: str) -> None:
    try:
        try_apart(onnx, sha256)
    except TrialFailed as error:
        raise BundleError(f"{MODEL} cannot be loaded: in a trial it {error}") from None
    except OSError as error:
        logger.warning("%s is loaded untried, no process can be started: %s", MODEL, error)


def open_predictor(onnx: bytes) -> Predictor:
    """Load a graph on one thread, check its inputs and outputs, and predict a few rows with it.

    Raises:
        BundleError: the bytes are no ONNX graph, or one with another interface.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY
    options.add_session_config_entry(EXTERNAL_WEIGHTS, os.devnull)
    try:
        session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen kinds for bytes that are no graph
        raise BundleError(f"model.onnx cannot be loaded: {_first_line(error)}") from error
    _check_input(session)
    _check_output(session)
    predictor = Predictor(session)
    _smoke_predict(predictor)
    return predictor


def _check_input(session: ort.InferenceSession) -> None:
    found = [(i.name, i.type, list(i.shape)) for i in session.get_inputs()]
    match found:
        case [(str(name), "tensor(float)", [rows, width])] if (
            name == INPUT and width == len(FEATURES) and not isinstance(rows, int)
        ):
            return
    raise BundleError(
        f"model.onnx takes {_listed(found)}; expected one input {INPUT!r}, "
        f"tensor(float) [N, {len(FEATURES)}]"
    )


def _check_output(session: ort.InferenceSession) -> None:
    found = [(o.name, o.type, list(o.shape)) for o in session.get_outputs()]
    match found:
        case [(str(name), "tensor(float)", [_] | [_, 1])] if name == OUTPUT:
            return
    raise BundleError(
        f"model.onnx gives {_listed(found)}; expected one output {OUTPUT!r}, tensor(float) [N]"
    )


def _smoke_predict(predictor: Predictor) -> None:
    rows = np.zeros((SMOKE_ROWS, len(FEATURES)), dtype=np.float32)
    rows[1:] = 1.0
    rows[2, FEATURES.index("lag_1") : FEATURES.index("price") + 1] = 100.0
    try:
        predictor(rows)
    except PredictionFailed as error:
        raise BundleError(str(error)) from error


def _listed(found: list[tuple[str, str, list[Any]]]) -> str:
    return ", ".join(f"{name!r} {kind} {shape}" for name, kind, shape in found) or "nothing"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
