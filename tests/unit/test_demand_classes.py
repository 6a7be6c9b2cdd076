"""Class and variation of a series, against a naive twin, from its kept history alone."""

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecast_assets.contract import demand_classes
from scalecast_assets.contract.cold_start import MODEL
from scalecast_assets.contract.columns import Calendar
from scalecast_assets.contract.demand_classes import (
    ALL_CLASSES,
    COLD_START,
    DemandProfile,
    cold_start_scale,
)
from scalecast_assets.contract.panel import KEPT_DAYS, Panel
from scalecast_assets.contract.panel_rows import PanelRows, build_panel

LAST_DAY = 19_000


def panel_of(
    series: list[list[float]], calendar: Calendar = "store", origin_day: int | None = None
) -> Panel:
    """One store, open every day; each series' quantities end on the same day."""
    cells = [
        (s, LAST_DAY + 1 - len(sold) + at, quantity)
        for s, sold in enumerate(series)
        for at, quantity in enumerate(sold)
    ]
    owner, day, quantity = (np.array(column) for column in zip(*cells, strict=True))
    return build_panel(
        PanelRows(owner, day, quantity, np.ones(len(cells)), np.zeros(len(cells), np.bool_)),
        stores=["S"],
        products=[str(s) for s in range(len(series))],
        series_store=np.zeros(len(series), np.int32),
        series_product=np.arange(len(series), dtype=np.int32),
        calendar=calendar,
        origin_day=origin_day,
    )


def naive(sold: list[float]) -> tuple[str, float]:
    kept = sold[-KEPT_DAYS:]
    sales = [q for q in kept if q > 0]
    rare = len(kept) >= 1.32 * len(sales)
    unequal = len(sales) > 1 and statistics.variance(sales) >= 0.49 * statistics.mean(sales) ** 2
    variance = statistics.variance(kept) if len(kept) > 1 else 0.0
    name = {(0, 0): "smooth", (0, 1): "erratic", (1, 0): "intermittent", (1, 1): "lumpy"}
    return name[rare, unequal], max(variance, 1 / len(kept)) ** 0.5


histories = st.lists(
    st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.0, 5.0, 40.0]), min_size=1, max_size=90),
    min_size=1,
    max_size=6,
)


@given(histories, st.sampled_from(["store", "observed"]))
def test_class_and_deviation_are_those_of_the_naive_twin(
    series: list[list[float]], calendar: Calendar
) -> None:
    found = DemandProfile.of(panel_of(series, calendar))
    for at, sold in enumerate(series):
        name, deviation = naive(sold)
        assert ALL_CLASSES[found.demand_class[at]] == name
        assert found.deviation[at] == pytest.approx(deviation)


def test_the_four_classes_are_told_apart() -> None:
    series = [[5.0, 6.0] * 35, [1.0, 9.0] * 35, [0.0, 3.0] * 35, [0.0, 1.0, 0.0, 9.0] * 17]
    found = DemandProfile.of(panel_of(series)).demand_class
    assert [ALL_CLASSES[at] for at in found] == ["smooth", "erratic", "intermittent", "lumpy"]


def test_many_series_are_looked_at_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = panel_of([[1.0, 2.0 * s, 0.0, 5.0] for s in range(7)])
    whole = DemandProfile.of(panel)
    monkeypatch.setattr(demand_classes, "_BLOCK", 3)
    parts = DemandProfile.of(panel)
    np.testing.assert_array_equal(parts.demand_class, whole.demand_class)
    np.testing.assert_array_equal(parts.deviation, whole.deviation)


def test_a_series_that_never_sold_still_varies_by_one_unit_sold_once() -> None:
    found = DemandProfile.of(panel_of([[0.0] * 70, [4.0] * 70]))
    assert found.deviation == pytest.approx([70**-0.5, 70**-0.5])
    assert [ALL_CLASSES[at] for at in found.demand_class] == ["intermittent", "smooth"]


def test_an_answer_of_the_cold_start_rule_has_a_class_and_a_scale_of_its_own() -> None:
    found = DemandProfile.of(panel_of([[5.0, 6.0] * 35]))
    point, source = np.array([4.0, 4.0, 0.0]), np.array([MODEL, 2, 4])
    demand_class, scale = found.answered(np.zeros(3, np.int64), point, source)
    assert demand_class.tolist() == [0, COLD_START, COLD_START]
    own = (found.deviation[0] ** 2 + 2.0**2) ** 0.5
    assert scale == pytest.approx([own, (4 + 16 + 1 / 28) ** 0.5, (1 / 28) ** 0.5])
    assert cold_start_scale(4.0) == scale[1]


def test_nothing_after_the_origin_moves_class_or_deviation() -> None:
    known, later = [5.0, 0.0, 3.0] * 30, [1e6, 0.0] * 5
    before = DemandProfile.of(panel_of([known]))
    cut = DemandProfile.of(panel_of([known + later], origin_day=LAST_DAY - 10))
    assert cut.deviation[0] == before.deviation[0]
    assert cut.demand_class[0] == before.demand_class[0]
    assert DemandProfile.of(panel_of([known + later])).deviation[0] > 1e5
