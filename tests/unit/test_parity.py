"""The parity gate's evidence: it agrees where it should, and one altered value is found."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from scalecast_assets.forecasting import parity
from scalecast_assets.forecasting.parity import Parity, check_parity
from scalecast_assets.forecasting.training_set import TrainingSet, write_snapshot
from tests.unit.snapshot_maker import RawRow, feature_table, shop, write_csv


def shop_with_gaps() -> list[RawRow]:
    """Some months; S2 is closed for ten days, S1's B is not sold for twenty weeks."""
    rows = shop(240)
    closed = {row[0] for row in rows if "2024-02-10" <= row[0] < "2024-02-20"}
    gap = {row[0] for row in rows if "2024-02-20" <= row[0] < "2024-07-15"}
    return [
        row
        for row in rows
        if not (row[1] == "S2" and row[0] in closed)
        and not (row[1:3] == ("S1", "B") and row[0] in gap)
    ]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    return feature_table(write_csv(shop_with_gaps(), tmp_path_factory.mktemp("p") / "raw.csv"))


def snapshot(table: pa.Table, folder: Path) -> tuple[TrainingSet, Path]:
    path = folder / "rows.parquet"
    write_snapshot(table.to_batches(), path)
    return TrainingSet.read(path), path


def altered(table: pa.Table, name: str, mask: pa.Array, by: float) -> pa.Table:
    column = pc.if_else(mask, pc.add(table[name], by), table[name])
    return table.set_column(table.column_names.index(name), name, column)


def test_numpy_agrees_with_the_snapshot_in_every_stratum(table: pa.Table, tmp_path: Path) -> None:
    found = check_parity(*snapshot(table, tmp_path), seed=1)
    assert found.agrees
    assert found.worst_difference < 1e-12
    for name in ("imputed", "after_closure", "after_gap", "short_history", parity.ORDINARY):
        assert found.rows_by_stratum[name] > 0, name


@pytest.mark.parametrize("seed", range(5))
def test_at_least_a_thousand_rows_are_compared_or_all_there_are(
    table: pa.Table, tmp_path: Path, seed: int
) -> None:
    """Panels of a few origins reach 56 days back each and hold fewer rows of so few series."""
    for rows in (table, table.filter(pc.equal(table["store_id"], "S1"))):
        training_set, path = snapshot(rows, tmp_path)
        known = int(training_set.has_history.sum())
        found = check_parity(training_set, path, seed=seed)
        assert found.required_rows == min(1_000, known)
        assert found.rows >= found.required_rows
        assert found.rows_by_stratum[parity.ORDINARY] == found.rows
        assert found.agrees


def test_a_thousand_rows_are_reached_where_there_are_more(tmp_path: Path) -> None:
    years = feature_table(write_csv(shop(800, products=("A",)), tmp_path / "raw.csv"))
    found = check_parity(*snapshot(years, tmp_path), seed=1)
    assert found.rows >= found.required_rows == 1_000
    assert found.agrees


@pytest.mark.parametrize(("rows", "required"), [(999, 1_000), (0, 0)])
def test_too_few_rows_are_no_agreement(rows: int, required: int) -> None:
    found = Parity(rows, required, {}, 0.0, "lag_1")
    assert not found.agrees
    assert Parity(1_000, required, {}, 0.0, "lag_1").agrees


@pytest.mark.parametrize("name", ["lag_1", "rolling_mean_7", "rolling_std_7", "week_of_year"])
def test_a_feature_that_sql_computes_otherwise_is_found_and_named(
    table: pa.Table, tmp_path: Path, name: str
) -> None:
    wrong = altered(table, name, pc.equal(table["product_id"], "A"), 1)
    found = check_parity(*snapshot(wrong, tmp_path), seed=1)
    assert not found.agrees
    assert found.worst_feature == name


def test_the_tolerance_is_a_millionth(table: pa.Table, tmp_path: Path) -> None:
    everywhere = table["has_history"]
    slightly = altered(table, "rolling_mean_14", everywhere, 1e-7)
    assert check_parity(*snapshot(slightly, tmp_path), seed=1).agrees
    clearly = altered(table, "rolling_mean_14", everywhere, 1e-3)
    found = check_parity(*snapshot(clearly, tmp_path), seed=1)
    assert not found.agrees
    assert found.worst_difference == pytest.approx(1e-3, rel=1e-3, abs=1e-3)


def test_the_same_seed_draws_the_same_sample(table: pa.Table, tmp_path: Path) -> None:
    world = snapshot(table, tmp_path)
    assert check_parity(*world, seed=3) == check_parity(*world, seed=3)


def test_the_sample_is_bounded(
    table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "SAMPLE_ROWS", 60)
    monkeypatch.setattr(parity, "REQUIRED_ROWS", 40)
    found = check_parity(*snapshot(table, tmp_path), seed=1)
    assert 40 <= found.rows <= 80
    assert found.rows_by_stratum["after_closure"] > 0
