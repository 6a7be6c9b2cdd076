"""Whose a series is: the same everywhere, uniform, and a larger share only adds series."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecast_assets.contract.challenger import Challenger, position
from tests.serving.makers import make_world

ids = st.text(min_size=1, max_size=20)
shares = st.floats(0.0001, 0.9999)


def challenger(share: float, version: str = "1.1.0") -> Challenger:
    return Challenger(version, "a" * 64, share, "split")


@given(ids, ids, shares, shares)
def test_a_larger_share_only_adds_series(store: str, product: str, one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert challenger(low).takes(store, product) <= challenger(high).takes(store, product)
    assert Challenger("1.1.0", "a" * 64, 1.0, "shadow").takes(store, product)


@given(ids, ids, shares)
def test_the_mode_and_the_manifest_do_not_move_a_series(
    store: str, product: str, share: float
) -> None:
    other = Challenger("1.1.0", "b" * 64, share, "shadow")
    assert other.takes(store, product) == challenger(share).takes(store, product)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_of_ten_thousand_series_the_share_is_taken(share: float) -> None:
    """Within five standard deviations of a fair draw; the hash is fixed, so this never varies."""
    taken = sum(
        challenger(share).takes(f"STORE_{n % 100:03}", f"PROD_{n // 100}") for n in range(10_000)
    )
    assert abs(taken - 10_000 * share) < 5 * np.sqrt(10_000 * share * (1 - share))


def test_another_version_gets_other_series() -> None:
    pairs = [(f"S{n % 10}", f"P{n // 10}") for n in range(2_000)]
    one, two = ([challenger(0.5, v).takes(*pair) for pair in pairs] for v in ("1.1.0", "1.2.0"))
    agree = np.mean(np.array(one) == np.array(two))
    assert 0.4 < agree < 0.6


def test_positions_are_those_of_every_process() -> None:
    """A change of the hash would move every series in the middle of a trial."""
    assert position("1.1.0", "STORE_001", "PROD_A") == pytest.approx(0.7652034730656132, abs=1e-12)
    code = (
        "from scalecast_assets.contract.challenger import position;"
        "print(repr(position('1.1.0', 'STORE_001', 'PROD_A')))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert float(told.stdout) == position("1.1.0", "STORE_001", "PROD_A")


def test_a_panel_is_shared_as_its_series_are() -> None:
    panel = make_world().panel()
    found = challenger(0.5).series_of(panel)
    for series in range(panel.n_series):
        store = panel.stores[int(panel.series_store[series])]
        product = panel.products[int(panel.series_product[series])]
        assert found[series] == challenger(0.5).takes(store, product)
    assert 0 < found.sum() < panel.n_series
