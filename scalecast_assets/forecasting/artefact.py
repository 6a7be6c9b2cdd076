"""A fitted candidate in the store: its graph, its recipe, and predictions to check the graph by.

Laid out at ``candidates/<training-set sha256>/<name>/``: ``model.onnx``, ``verification.npz``
(feature rows and what the native model predicts for them), for the winner ``demand_model.pkl`` and,
written last and vouching for the others by checksum, ``candidate.json``. Published versions are in
``contract/bundle.py``.
"""

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from scalecast_assets.contract.layout import MODEL, NATIVE_MODEL
from scalecast_assets.contract.store import ObjectNotFound, ObjectStore
from scalecast_assets.forecasting.candidates.base import FittedModel
from scalecast_assets.forecasting.training_rows import Float32, Float64, TrainingError, TrainingRows

VERIFICATION_ROWS: Final = 5_000
"""Rows on which the ONNX graph is held against the native model."""

VERIFICATION: Final = "verification.npz"


@dataclass(frozen=True)
class Artefact:
    """What ``candidate.json`` says; ``fit_cutoff`` is the last day fitted on, since 1970-01-01."""

    name: str
    training_set_sha256: str
    contract_hash: str
    horizon_days: int
    fit_cutoff: int
    params: dict[str, Any]
    rows_used: int
    rows_available: int
    fit_seconds: float
    importances: dict[str, float] | None
    notes: list[str]
    files: dict[str, str]
    """sha256 of each other file, by name."""


@dataclass(frozen=True, eq=False)
class Exhibit:
    """An artefact with its files, read once: what is judged is, byte for byte, what is published.

    ``rows`` ``(n, 16) float32`` and ``native`` ``(n,)`` are what the graph is verified on.
    ``pickled``, for notebooks, is there if the artefact was saved with its native model.
    """

    artefact: Artefact
    onnx: bytes
    rows: Float32
    native: Float64
    pickled: bytes | None


def folder_of(training_set_sha256: str, name: str) -> str:
    """Return the store folder of a candidate, without a slash at its end."""
    return f"candidates/{training_set_sha256}/{name}"


def save(
    store: ObjectStore,
    fitted: FittedModel,
    rows: TrainingRows,
    *,
    folder: str,
    training_set_sha256: str,
    contract_hash: str,
    horizon_days: int,
    fit_cutoff: int,
    seed: int,
    with_native: bool = False,
) -> Artefact:
    """Write a fitted model with a seeded sample of ``rows`` for its verification.

    ``with_native`` adds the pickled native model.
    """
    sample = rows.sample(VERIFICATION_ROWS, seed).features
    buffer = io.BytesIO()
    np.savez(buffer, features=sample, native=fitted.predict_native(sample))
    files = {MODEL: fitted.onnx, VERIFICATION: buffer.getvalue()}
    if with_native:
        files[NATIVE_MODEL] = pickle.dumps(fitted.native)
    for name, data in files.items():
        store.put(f"{folder}/{name}", data)
    artefact = Artefact(
        name=fitted.name,
        training_set_sha256=training_set_sha256,
        contract_hash=contract_hash,
        horizon_days=horizon_days,
        fit_cutoff=fit_cutoff,
        params=dict(fitted.params),
        rows_used=fitted.rows_used,
        rows_available=fitted.rows_available,
        fit_seconds=fitted.fit_seconds,
        importances=fitted.importances,
        notes=list(fitted.notes),
        files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    )
    store.put(f"{folder}/candidate.json", json.dumps(asdict(artefact), indent=1).encode())
    return artefact


def load(store: ObjectStore, folder: str) -> Artefact:
    """Read ``candidate.json``; raises ``ObjectNotFound``."""
    return Artefact(**json.loads(store.get(f"{folder}/candidate.json").body))


def load_file(store: ObjectStore, folder: str, artefact: Artefact, name: str) -> bytes:
    """Read a file of an artefact; raises TrainingError if it is not the one it was saved with."""
    data = store.get(f"{folder}/{name}").body
    if hashlib.sha256(data).hexdigest() != artefact.files[name]:
        raise TrainingError(
            f"{folder}/{name}: expected sha256 {artefact.files[name]}, found another; "
            f"materialize {artefact.name} again"
        )
    return data


def load_verification(
    store: ObjectStore, folder: str, artefact: Artefact
) -> tuple[Float32, Float64]:
    """Return the verification rows ``(n, 16) float32`` and the native predictions ``(n,)``."""
    data = load_file(store, folder, artefact, VERIFICATION)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return arrays["features"], arrays["native"]


def load_exhibit(
    store: ObjectStore, folder: str, expected_files: Mapping[str, str] | None
) -> Exhibit:
    """Read an artefact whole, if its files still are ``expected_files``, sha256 by name.

    Raises TrainingError if the folder was written again since, or a file was altered.
    """
    artefact = load(store, folder)
    if artefact.files != expected_files:
        raise TrainingError(
            f"{folder}: expected the files that the comparison was held on, found others: it was "
            "written again since; materialize model_comparison with its checks"
        )
    rows, native = load_verification(store, folder, artefact)
    return Exhibit(
        artefact=artefact,
        onnx=load_file(store, folder, artefact, MODEL),
        rows=rows,
        native=native,
        pickled=(
            load_file(store, folder, artefact, NATIVE_MODEL)
            if NATIVE_MODEL in artefact.files
            else None
        ),
    )


def load_all(
    store: ObjectStore,
    names: tuple[str, ...],
    *,
    training_set_sha256: str,
    fit_cutoff: int,
) -> dict[str, Artefact]:
    """Read all candidates of a training set.

    Raises TrainingError naming every one that is missing or was fitted up to another day.
    """
    found: dict[str, Artefact] = {}
    problems: list[str] = []
    for name in names:
        try:
            artefact = load(store, folder_of(training_set_sha256, name))
        except ObjectNotFound:
            problems.append(f"{name} (not fitted on it)")
            continue
        if artefact.fit_cutoff != fit_cutoff:
            problems.append(f"{name} (fitted up to another day)")
        found[name] = artefact
    if problems:
        raise TrainingError(
            f"the candidates do not all stand on training set {training_set_sha256[:12]}: "
            f"{', '.join(problems)}; materialize them"
        )
    return found


def as_metadata(artefact: Artefact) -> Mapping[str, Any]:
    """Return what a person wants to know of a fit, for the asset's metadata."""
    return {
        "rows_used": artefact.rows_used,
        "rows_available": artefact.rows_available,
        "fit_seconds": round(artefact.fit_seconds, 2),
        "parameters": artefact.params,
    }
