"""The snapshot's name depends on its rows alone; what is read back is what was written."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.contract.features import features
from scalecast_assets.forecasting.training_rows import TrainingError
from scalecast_assets.forecasting.training_set import (
    TrainingSet,
    canonical_sha256,
    write_snapshot,
)
from tests.unit.snapshot_maker import feature_table, shop, training_set, write_csv


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    return feature_table(write_csv(shop(), tmp_path_factory.mktemp("raw") / "raw.csv"))


def named(table: pa.Table) -> str:
    return canonical_sha256(table.to_batches())


def replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.names.index(name), name, values)


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_the_hash_does_not_know_batch_boundaries(table: pa.Table, size: int) -> None:
    assert canonical_sha256(table.to_batches(max_chunksize=size)) == named(table)


def test_the_hash_does_not_know_how_ids_and_numbers_are_stored(table: pa.Table) -> None:
    encoded = replaced(table, "store_id", table["store_id"].combine_chunks().dictionary_encode())
    narrow = replaced(encoded, "month", table["month"].cast(pa.int16()))
    wide = replaced(narrow, "history_days", table["history_days"].cast(pa.int64()))
    assert named(wide.select(wide.schema.names[::-1])) == named(table)


def test_the_hash_does_not_know_the_writer(table: pa.Table, tmp_path: Path) -> None:
    write_snapshot(table.to_batches(max_chunksize=11), tmp_path / "one")
    pq.write_table(pq.read_table(tmp_path / "one"), tmp_path / "two", compression="none")
    assert (tmp_path / "one").read_bytes() != (tmp_path / "two").read_bytes()
    assert named(pq.read_table(tmp_path / "two")) == named(table)


def test_minus_zero_is_zero_and_null_is_not(table: pa.Table) -> None:
    zeros = pa.array(np.zeros(len(table)))
    with_zeros = replaced(table, "lag_1", zeros)
    assert named(replaced(table, "lag_1", pa.array(-np.zeros(len(table))))) == named(with_zeros)
    nulls = pa.nulls(len(table), pa.float64())
    assert named(replaced(table, "lag_1", nulls)) != named(with_zeros)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quantity_sold", 12345.0),
        ("is_imputed", True),
        ("lag_7", 12345.0),
        ("price", 2.25),
        ("product_id", "Z"),
    ],
)
def test_any_changed_cell_changes_the_hash(table: pa.Table, name: str, value: object) -> None:
    values = [*table[name].to_pylist()[:-1], value]
    assert values != table[name].to_pylist()
    assert named(replaced(table, name, pa.array(values))) != named(table)


def test_the_calendar_is_part_of_the_name(table: pa.Table) -> None:
    assert canonical_sha256(table.to_batches(), "observed") != named(table)


def test_ids_cannot_be_shifted_into_one_another(table: pa.Table) -> None:
    one = table.slice(0, 1)
    ab = replaced(replaced(one, "store_id", pa.array(["ab"])), "product_id", pa.array(["c"]))
    bc = replaced(replaced(one, "store_id", pa.array(["a"])), "product_id", pa.array(["bc"]))
    assert named(ab) != named(bc)


@pytest.mark.parametrize(
    "disorder",
    [
        lambda t: pa.concat_tables([t, t.slice(len(t) - 1)]),
        lambda t: t.take(list(range(len(t)))[::-1]),
        lambda t: pa.concat_tables([t.slice(60), t.slice(0, 60)]),
    ],
    ids=["a row twice", "backwards", "a later store first"],
)
@pytest.mark.parametrize("size", [1, 10_000])
def test_rows_out_of_order_or_twice_are_refused(
    table: pa.Table, disorder: Callable[[pa.Table], pa.Table], size: int, tmp_path: Path
) -> None:
    batches = disorder(table).combine_chunks().to_batches(max_chunksize=size)
    with pytest.raises(TrainingError, match="out of order or twice"):
        write_snapshot(batches, tmp_path / "snapshot")
    assert not (tmp_path / "snapshot").exists()


def test_ids_are_ordered_by_code_point(table: pa.Table) -> None:
    rows = table.slice(0, 3)
    in_order = replaced(rows, "store_id", pa.array(["B", "a", "é"]))
    assert named(in_order)
    with pytest.raises(TrainingError, match="out of order"):
        named(replaced(rows, "store_id", pa.array(["a", "B", "é"])))


def test_a_missing_column_is_named(table: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="lag_7, price missing"):
        write_snapshot(table.drop_columns(["lag_7", "price"]).to_batches(), tmp_path / "s")


def test_no_final_row_is_an_error_that_says_what_to_do(table: pa.Table, tmp_path: Path) -> None:
    none_final = table.append_column("is_final", pa.array([False] * len(table)))
    with pytest.raises(TrainingError, match=r"empty.*load a file"):
        write_snapshot(none_final.to_batches(), tmp_path / "s")


def test_rows_that_are_not_final_are_left_out(table: pa.Table, tmp_path: Path) -> None:
    last = max(table["date"].to_pylist())
    final = pa.array([day < last for day in table["date"].to_pylist()])
    summary = write_snapshot(table.append_column("is_final", final).to_batches(), tmp_path / "s")
    assert summary.last_day == last - dt.timedelta(days=1)
    assert summary.sha256 == named(table.filter(final))


def test_the_summary_counts_what_was_written(table: pa.Table, tmp_path: Path) -> None:
    summary = write_snapshot(table.to_batches(max_chunksize=13), tmp_path / "s")
    history = table["has_history"].to_pylist()
    assert (summary.rows, summary.trainable_rows) == (len(history), sum(history))
    assert summary.short_history_rows == len(history) - sum(history)
    assert (summary.series, summary.stores) == (4, 2)
    assert (summary.first_day, summary.last_day) == (dt.date(2024, 1, 1), dt.date(2024, 3, 10))


def test_what_is_read_is_what_was_written(table: pa.Table, tmp_path: Path) -> None:
    summary = write_snapshot(table.to_batches(max_chunksize=13), tmp_path / "s")
    read = TrainingSet.read(tmp_path / "s")
    assert read.summary == summary
    stores = [read.store_ids[read.series_store[s]] for s in read.series]
    products = [read.product_ids[read.series_product[s]] for s in read.series]
    assert (stores, products) == (table["store_id"].to_pylist(), table["product_id"].to_pylist())
    np.testing.assert_array_equal(read.quantity, table["quantity_sold"].to_numpy())
    np.testing.assert_array_equal(read.has_history, table["has_history"].to_numpy())
    for place, name in enumerate(FEATURES):
        expected = table[name].to_numpy().astype(np.float32)
        np.testing.assert_array_equal(read.features[:, place], expected)
    assert read.features.dtype == np.float32
    assert read.encoders.stores == {"S1": 1, "S2": 2}
    assert read.encoders.products == {"A": 1, "B": 2}


def test_training_rows_are_those_with_history(table: pa.Table, tmp_path: Path) -> None:
    rows = training_set(shop(), tmp_path).rows()
    assert len(rows) == sum(table["has_history"].to_pylist())
    assert np.isfinite(rows.features).all()


def test_a_snapshot_of_another_contract_is_refused(table: pa.Table, tmp_path: Path) -> None:
    pq.write_table(table, tmp_path / "foreign.parquet")
    with pytest.raises(TrainingError, match=r"foreign\.parquet: .* found none"):
        TrainingSet.read(tmp_path / "foreign.parquet")


def test_a_horizon_without_history_before_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holdout of 60 days needs rows with history"):
        training_set(shop(), tmp_path).origin(60)


def test_the_panel_gives_the_features_of_the_snapshot(tmp_path: Path) -> None:
    read = training_set(shop(), tmp_path)
    panel, codes = read.panel(), read.encoders.codes(read.panel())
    late = np.flatnonzero(read.has_history & (read.day > read.last_day - 50))
    series = read.series[late]
    price, promotion = read.features[late, 12], read.features[late, 13] > 0
    matrix, known = features(
        panel, series, read.day[late], price, promotion, codes.store[series], codes.product[series]
    )
    assert known.all()
    np.testing.assert_allclose(matrix, read.features[late], rtol=1e-6)
