"""Which ONNX graphs are let in, and what the ones let in answer."""

from pathlib import Path

import numpy as np
import pytest

from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.contract.strict_json import BundleError
from serving.model import PredictionFailed, open_predictor
from tests.serving.makers import WEIGHTS, graph_reading_a_file, linear_graph


@pytest.mark.parametrize("flat", [True, False])
def test_an_output_of_one_or_two_dimensions_is_flattened(flat: bool) -> None:
    rows = np.random.default_rng(1).uniform(0, 50, (5, len(FEATURES))).astype(np.float32)

    demand = open_predictor(linear_graph(flat=flat))(rows)

    weights = np.array([WEIGHTS.get(name, 0.0) for name in FEATURES])
    np.testing.assert_allclose(demand, np.maximum(rows @ weights, 0), rtol=1e-5)
    assert demand.dtype == np.float64


def test_weights_in_a_file_of_the_working_directory_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.ones((len(FEATURES), 1), np.float32).tofile(tmp_path / "weights.bin")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(BundleError, match="External data path"):
        open_predictor(graph_reading_a_file("weights.bin"))


def test_an_answer_that_is_not_finite_is_a_failure_and_no_number() -> None:
    predictor = open_predictor(linear_graph({"price": 1e35}))
    rows = np.full((1, len(FEATURES)), 1e9, dtype=np.float32)

    with pytest.raises(PredictionFailed, match="not finite"):
        predictor(rows)
