"""Where promises go: the same rows in the database, as Parquet and as CSV, once."""

import gzip
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from scalecast_assets.contract.challenger import Challenger, Mode
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.monitoring.coming import BATCH_ROWS, COLUMNS, ComingForecasts
from scalecast_assets.monitoring.handover import hand_over
from scalecast_assets.monitoring.rivals import compared
from scalecast_assets.monitoring.scoring import score_due_days
from scalecast_assets.monitoring.served import Served
from tests.monitoring.promises import (
    DAY,
    HORIZON,
    Promised,
    hand_over_forecasts,
    late_world,
    later_sales,
    promised,
    publish,
    serve,
)
from tests.serving.makers import (
    LAST_DAY,
    make_world,
    renamed,
)


def test_database_parquet_and_csv_hold_the_same_rows(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    coming = ComingForecasts.of(serve(home, late_world(2)), HORIZON)
    handed = hand_over(coming, connection, home, folder)
    assert handed.parquet_key == f"forecasts/{LAST_DAY}/forecasts.parquet"
    assert handed.csv_key == f"forecasts/{LAST_DAY}/forecasts.csv.gz"
    rows = promised(connection)
    assert handed.rows == len(coming) == len(rows)
    table = pq.read_table(io.BytesIO(home.get(handed.parquet_key).body))
    assert table.schema.names == list(Promised._fields)
    assert [Promised(**row) for row in table.to_pylist()] == rows
    text = gzip.decompress(home.get(handed.csv_key).body)
    typed = pyarrow.csv.ConvertOptions(column_types=COLUMNS)
    lines = pyarrow.csv.read_csv(io.BytesIO(text), convert_options=typed)
    assert lines.to_pylist() == table.to_pylist()


def test_the_same_again_leaves_the_same_rows_and_the_same_bytes(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    coming = ComingForecasts.of(serve(home, make_world()), HORIZON)
    handed = hand_over(coming, connection, home, folder)
    keys = (handed.parquet_key, handed.csv_key)
    before, files = promised(connection), [home.get(key).body for key in keys]
    assert hand_over(coming, connection, home, folder) == handed
    assert promised(connection) == before
    assert [home.get(key).body for key in keys] == files
    assert files[1][4:8] == bytes(4)  # a time of day in the CSV's gzip header would change it
    assert list(folder.iterdir()) == []


def test_another_state_of_the_same_origin_replaces_and_another_model_stands_beside(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    served = serve(home, late_world(5))
    hand_over(ComingForecasts.of(served, HORIZON), connection, home, folder)
    late = promised(connection)
    hand_over_forecasts(make_world(), connection, home, folder)
    on_time = promised(connection)
    assert len(on_time) == len(late)
    assert {row.data_until for row in on_time} == {LAST_DAY}
    served = Served(
        renamed(served.manifest, version="1.1.0"), served.encoders, served.predict, served.panel
    )
    hand_over(ComingForecasts.of(served, HORIZON), connection, home, folder)
    rows = promised(connection)
    assert rows[: len(late)] == on_time
    assert {row.model_version for row in rows[len(late) :]} == {"1.1.0"}


class BreaksOff(ComingForecasts):
    """Forecasts whose second batch never comes."""

    def batches(self, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        yield next(super().batches(HORIZON))
        raise RuntimeError("the process was killed")


def test_a_hand_over_that_breaks_off_leaves_what_was_there(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    handed = hand_over_forecasts(late_world(5), connection, home, folder)
    rows, parquet = promised(connection), home.get(handed.parquet_key)
    with pytest.raises(RuntimeError, match="killed"):
        hand_over(BreaksOff.of(serve(home, make_world()), HORIZON), connection, home, folder)
    assert promised(connection) == rows
    assert home.get(handed.parquet_key) == parquet
    hand_over_forecasts(make_world(), connection, home, folder)
    assert {row.data_until for row in promised(connection)} == {LAST_DAY}


def test_forecasts_of_later_origins_are_forgotten_when_sales_were_taken_back(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    later = hand_over_forecasts(make_world(), connection, home, folder)
    publish(connection, later_sales(range(1, 3)))
    assert score_due_days(connection) > 0
    world = make_world()
    for sold in world.sales.values():
        sold.pop(LAST_DAY, None)
    handed = hand_over_forecasts(world, connection, home, folder)
    assert {row.origin for row in promised(connection)} == {LAST_DAY - DAY}
    days = connection.execute("select distinct origin from ml.forecast_days").fetchall()
    assert days == [(LAST_DAY - DAY,)]
    kept = {info.key for info in home.list("forecasts/")}
    assert kept == {handed.csv_key, handed.parquet_key}
    hand_over_forecasts(make_world(), connection, home, folder)
    assert {row.origin for row in promised(connection)} == {LAST_DAY - DAY, LAST_DAY}
    assert home.exists(later.parquet_key)
    assert home.exists(handed.parquet_key)


def both(home: DirectoryStore, mode: Mode) -> tuple[ComingForecasts, ComingForecasts]:
    """The champion's and the challenger's, of which the latter has no intervals."""
    champion = serve(home, late_world(2))
    rival = replace(
        champion,
        manifest=renamed(champion.manifest, version="1.1.0"),
        predict=lambda matrix: np.full(len(matrix), 7.0),
        intervals=None,
    )
    taken = Challenger("1.1.0", "a" * 64, 0.2, mode).series_of(champion.panel)
    answers = taken & (mode == "split")
    return (
        ComingForecasts.of(champion, HORIZON, ~answers),
        ComingForecasts.of(rival, HORIZON, answers),
    )


@pytest.mark.parametrize("mode", ["split", "shadow"])
def test_all_rows_of_a_challenger_are_in_the_database_and_only_served_ones_in_the_bucket(
    connection: Connection, home: DirectoryStore, folder: Path, mode: Mode
) -> None:
    champion, challenger = both(home, mode)
    handed = hand_over(champion, connection, home, folder, challenger)
    rows = promised(connection)
    assert len(rows) == len(champion) + len(challenger)
    names = ", ".join(Promised._fields)
    query = f"select {names} from ml.forecasts where served order by store_id, product_id, date"
    served = connection.execute(query.encode()).fetchall()
    assert handed.rows == len(served) == len(champion)
    by_version = {row[1] for row in served}
    assert by_version == ({"1.0.0", "1.1.0"} if mode == "split" else {"1.0.0"})
    table = pq.read_table(io.BytesIO(home.get(handed.parquet_key).body))
    assert table.schema == COLUMNS
    assert [tuple(row.values()) for row in table.to_pylist()] == served
    query = "select distinct model_version, role from ml.forecast_days order by 1"
    assert connection.execute(query.encode()).fetchall() == [
        ("1.0.0", "champion"),
        ("1.1.0", "challenger"),
    ]
    hand_over(champion, connection, home, folder, challenger)
    assert promised(connection) == rows


def test_when_a_challenge_has_ended_its_rows_stay_and_are_not_served(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    champion, challenger = both(home, "split")
    hand_over(champion, connection, home, folder, challenger)
    before = promised(connection)
    alone = hand_over_forecasts(late_world(2), connection, home, folder)
    assert promised(connection) == before
    left = connection.execute("select distinct model_version from ml.forecasts where served")
    assert left.fetchall() == [("1.0.0",)]
    table = pq.read_table(io.BytesIO(home.get(alone.parquet_key).body))
    assert set(table["model_version"].to_pylist()) == {"1.0.0"}


def test_both_are_scored_on_the_same_days_and_compared(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    champion, challenger = both(home, "shadow")
    assert compared(connection, "1.0.0", "1.1.0") is None
    hand_over(champion, connection, home, folder, challenger)
    assert compared(connection, "1.0.0", "1.1.0") is None
    sold = later_sales(range(1, 4))
    publish(connection, sold)
    score_due_days(connection)
    found = compared(connection, "1.0.0", "1.1.0")
    assert found is not None
    assert (found.scored_rows, found.first_day) == (len(sold), LAST_DAY + DAY)
    twin = {version: 0.0 for version in ("1.0.0", "1.1.0")}
    for row in promised(connection):
        if (row.store_id, row.product_id, row.date) in sold:
            actual = sold[row.store_id, row.product_id, row.date]
            twin[row.model_version] += abs(row.forecast - actual)
    total = sum(sold.values())
    assert found.champion_wape == pytest.approx(twin["1.0.0"] / total)
    assert found.challenger_wape == pytest.approx(twin["1.1.0"] / total)
