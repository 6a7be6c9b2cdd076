"""A fitted candidate in the store: what is read is what was saved, or an error that names it."""

import hashlib
import pickle

import numpy as np
import pytest

from scalecast_assets import keys
from scalecast_assets.contract.store import ObjectNotFound, ObjectStore
from scalecast_assets.forecasting import artefact
from scalecast_assets.forecasting.artefact import Artefact
from scalecast_assets.forecasting.budget import DEFAULT_BUDGETS
from scalecast_assets.forecasting.candidates import candidate
from scalecast_assets.forecasting.candidates.base import onnx_predictor
from scalecast_assets.forecasting.training_rows import TrainingError, TrainingRows
from scalecast_assets.forecasting.training_set import TrainingSet
from tests.unit.snapshot_maker import shop, training_set

TRAINING_SET = "ab" * 32
CUTOFF = 19_800


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    return training_set(shop(60), tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def rows(small_set: TrainingSet) -> TrainingRows:
    return small_set.rows()


def save(
    store: ObjectStore,
    rows: TrainingRows,
    name: str,
    cutoff: int = CUTOFF,
    *,
    with_native: bool = False,
) -> Artefact:
    fitted = candidate(name).fit(rows, budget=DEFAULT_BUDGETS[name], seed=1, log=lambda _: None)
    return artefact.save(
        store,
        fitted,
        rows,
        folder=artefact.folder_of(TRAINING_SET, name),
        training_set_sha256=TRAINING_SET,
        contract_hash="c0ffee",
        horizon_days=14,
        fit_cutoff=cutoff,
        seed=1,
        with_native=with_native,
    )


def test_what_is_read_is_what_was_saved(store: ObjectStore, rows: TrainingRows) -> None:
    saved = save(store, rows, keys.LINEAR_REGRESSION)
    folder = artefact.folder_of(TRAINING_SET, keys.LINEAR_REGRESSION)
    assert artefact.load(store, folder) == saved
    assert (saved.fit_cutoff, saved.contract_hash) == (CUTOFF, "c0ffee")
    assert saved.rows_used == saved.rows_available == len(rows)
    features, native = artefact.load_verification(store, folder, saved)
    assert features.dtype == np.float32
    assert features.shape == (len(native), 16)
    onnx = artefact.load_file(store, folder, saved, "model.onnx")
    np.testing.assert_allclose(onnx_predictor(onnx)(features), native, rtol=1e-4, atol=1e-4)


def test_a_file_that_was_altered_is_named(store: ObjectStore, rows: TrainingRows) -> None:
    saved = save(store, rows, keys.NAIVE_BASELINE)
    folder = artefact.folder_of(TRAINING_SET, keys.NAIVE_BASELINE)
    for name in ("model.onnx", "verification.npz"):
        body = store.get(f"{folder}/{name}").body
        store.put(f"{folder}/{name}", body[:-1] + bytes([body[-1] ^ 1]))
        with pytest.raises(TrainingError, match=f"{folder}/{name}: expected sha256"):
            artefact.load_file(store, folder, saved, name)


def test_an_exhibit_holds_the_very_bytes_that_were_saved(
    store: ObjectStore, rows: TrainingRows
) -> None:
    saved = save(store, rows, keys.LINEAR_REGRESSION, with_native=True)
    folder = artefact.folder_of(TRAINING_SET, keys.LINEAR_REGRESSION)
    exhibit = artefact.load_exhibit(store, folder, saved.files)
    assert exhibit.artefact == saved
    assert exhibit.pickled is not None
    found = {"model.onnx": exhibit.onnx, "demand_model.pkl": exhibit.pickled}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in found.items()} == {
        name: saved.files[name] for name in found
    }
    native = pickle.loads(exhibit.pickled).predict(exhibit.rows.astype(np.float64))
    np.testing.assert_allclose(np.maximum(native, 0), exhibit.native)


def test_an_artefact_that_was_saved_again_is_not_the_expected_exhibit(
    store: ObjectStore, rows: TrainingRows
) -> None:
    """Both are sound; but only the first was compared."""
    saved = save(store, rows, keys.LINEAR_REGRESSION)
    save(store, rows.take(np.arange(len(rows) // 2)), keys.LINEAR_REGRESSION)
    folder = artefact.folder_of(TRAINING_SET, keys.LINEAR_REGRESSION)
    for expected in (saved.files, None):
        with pytest.raises(TrainingError, match=r"written again since; .*model_comparison"):
            artefact.load_exhibit(store, folder, expected)


def test_an_exhibit_with_an_altered_file_is_named(store: ObjectStore, rows: TrainingRows) -> None:
    saved = save(store, rows, keys.NAIVE_BASELINE, with_native=True)
    folder = artefact.folder_of(TRAINING_SET, keys.NAIVE_BASELINE)
    assert artefact.load_exhibit(store, folder, saved.files).artefact == saved
    store.put(f"{folder}/demand_model.pkl", b"somebody else's")
    with pytest.raises(TrainingError, match=f"{folder}/demand_model.pkl: expected sha256"):
        artefact.load_exhibit(store, folder, saved.files)


def test_an_artefact_without_its_last_file_is_none(store: ObjectStore, rows: TrainingRows) -> None:
    save(store, rows, keys.NAIVE_BASELINE)
    folder = artefact.folder_of(TRAINING_SET, keys.NAIVE_BASELINE)
    store.delete(f"{folder}/candidate.json")
    with pytest.raises(ObjectNotFound):
        artefact.load(store, folder)


def test_all_that_do_not_stand_on_the_training_set_are_named(
    store: ObjectStore, rows: TrainingRows
) -> None:
    save(store, rows, keys.NAIVE_BASELINE)
    save(store, rows, keys.MEAN_BASELINE, cutoff=CUTOFF - 1)
    names = (keys.NAIVE_BASELINE, keys.MEAN_BASELINE, keys.XGBOOST)
    with pytest.raises(TrainingError) as error:
        artefact.load_all(store, names, training_set_sha256=TRAINING_SET, fit_cutoff=CUTOFF)
    assert "mean_baseline (fitted up to another day), xgboost (not fitted on it)" in str(
        error.value
    )
    assert "naive_baseline" not in str(error.value)
    found = artefact.load_all(store, names[:1], training_set_sha256=TRAINING_SET, fit_cutoff=CUTOFF)
    assert list(found) == [keys.NAIVE_BASELINE]


def test_metadata_says_how_much_was_used_of_how_much(
    store: ObjectStore, rows: TrainingRows
) -> None:
    shown = artefact.as_metadata(save(store, rows, keys.NAIVE_BASELINE))
    assert shown["rows_used"] == shown["rows_available"] == len(rows)
    assert shown["parameters"] == {"feature": "lag_1"}
