"""What is promised: the sidecar's answers, beside the seasonal naive, of every active series."""

from pathlib import Path

import pyarrow as pa
import pytest

from scalecast_assets.contract.columns import MAX_HORIZON_DAYS, Calendar
from scalecast_assets.contract.pointers import ServingPointer
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.monitoring.coming import WITH_SERVED, ComingForecasts
from scalecast_assets.monitoring.handover import hand_over
from scalecast_assets.monitoring.served import NothingServed, Served, promised_wape
from serving.forecaster import Forecaster, Question
from serving.model import load_model
from serving.state import load_state
from tests.monitoring.promises import (
    CLOSED_ON_SUNDAYS,
    DAY,
    HORIZON,
    LATE,
    YOUNG,
    hand_over_forecasts,
    late_world,
    promised,
    serve,
)
from tests.serving.makers import (
    LAST_DAY,
    linear_graph,
    make_world,
    point_at,
    renamed,
    set_up,
    write_bundle,
    write_state,
)


@pytest.mark.parametrize("calendar", ["store", "observed"])
@pytest.mark.parametrize("days_late", [0, 9])
def test_every_row_is_what_the_sidecar_answers_for_that_day(
    connection: Connection, home: DirectoryStore, folder: Path, calendar: Calendar, days_late: int
) -> None:
    world = late_world(days_late)
    served = serve(home, world, calendar)
    hand_over(ComingForecasts.of(served, HORIZON), connection, home, folder)
    sidecar = Forecaster(
        load_model(home, home.get("serving/model.json").body),
        load_state(home, home.get("serving/state.json").body),
    )
    rows = promised(connection)
    assert {(row.store_id, row.product_id) for row in rows} == set(world.sales)
    assert len(rows) == len(world.sales) * HORIZON
    for row in rows:
        answer = sidecar.answer(
            Question(row.date, row.store_id, row.product_id, row.price, row.promotion)
        )
        assert row.forecast == pytest.approx(answer.prediction, rel=1e-6)
        assert row.lower == pytest.approx(answer.interval.lower, rel=1e-6, abs=1e-6)
        assert row.upper == pytest.approx(answer.interval.upper, rel=1e-6)
        assert (row.source, row.store_open) == (answer.source, answer.store_open)
        assert row.data_until == answer.data_until
        assert row.date == row.origin + row.horizon * DAY
    assert {row.origin for row in rows} == {LAST_DAY}
    assert {row.horizon for row in rows} == set(range(1, HORIZON + 1))
    assert {row.source for row in rows} == {"model", "series_mean"}
    assert {row.data_until for row in rows if row.store_id == LATE} == {LAST_DAY - days_late * DAY}
    assert {row.store_id for row in rows if not row.store_open} == {CLOSED_ON_SUNDAYS}


def test_a_model_without_intervals_promises_no_bounds(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    served = serve(home, make_world(), with_intervals=False)
    hand_over(ComingForecasts.of(served, HORIZON), connection, home, folder)
    assert {(row.lower, row.upper) for row in promised(connection)} == {(None, None)}


def test_beside_each_forecast_stands_the_same_weekday_last_week_known_at_the_origin(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    world = make_world()
    hand_over_forecasts(world, connection, home, folder)
    old_enough = [row for row in promised(connection) if (row[2:4]) != YOUNG and row.store_open]
    assert len(old_enough) == 2 * 12 + 3 * 14
    for row in old_enough:
        weeks = -(-row.horizon // 7)
        known = world.sales[row.store_id, row.product_id]
        assert row.seasonal_naive == known[row.date - weeks * 7 * DAY]


def test_what_the_sidecar_would_refuse_as_too_far_ahead_is_not_promised(
    home: DirectoryStore,
) -> None:
    coming = ComingForecasts.of(serve(home, late_world(50)), HORIZON)
    rows = pa.Table.from_batches(coming.batches())
    until = LAST_DAY - 50 * DAY
    dates = {
        d
        for d, s in zip(*(rows[n].to_pylist() for n in ("date", "store_id")), strict=True)
        if s == LATE
    }
    assert dates == {LAST_DAY + at * DAY for at in range(1, 7)}
    assert max(dates) == until + MAX_HORIZON_DAYS * DAY
    assert len(coming) == rows.num_rows == 3 * HORIZON + 3 * 6


@pytest.mark.parametrize("calendar", ["store", "observed"])
def test_a_series_without_a_row_for_56_days_is_not_forecast_any_more(
    home: DirectoryStore, calendar: Calendar
) -> None:
    world = make_world()
    latest = {("STORE_002", "PROD_A"): 56, ("STORE_002", "PROD_D"): 57}
    for pair, days_ago in latest.items():
        sold = world.sales[pair]
        for day in [day for day in sold if day > LAST_DAY - days_ago * DAY]:
            del sold[day]
        if calendar == "store":  # as dbt does: zeros on open days, for 56 days
            for at in range(days_ago):
                day = LAST_DAY - at * DAY
                if day <= LAST_DAY - days_ago * DAY + 56 * DAY:
                    sold[day] = 0.0
            world.sales[pair] = dict(sorted(sold.items()))
    coming = ComingForecasts.of(serve(home, world, calendar), HORIZON)
    forecast = [pair for at, pair in enumerate(sorted(world.sales)) if at in coming.series]
    assert set(world.sales) - set(forecast) == {("STORE_002", "PROD_D")}
    assert len(coming) == len(forecast) * HORIZON


def test_rows_come_in_batches_of_bounded_size(home: DirectoryStore) -> None:
    coming = ComingForecasts.of(serve(home, make_world()), HORIZON)
    batches = list(coming.batches(batch_rows=2 * HORIZON))
    assert [batch.num_rows for batch in batches] == [2 * HORIZON] * 3
    assert pa.Table.from_batches(batches).equals(pa.Table.from_batches(coming.batches()))
    assert batches[0].schema == WITH_SERVED


def test_without_model_state_or_a_common_contract_nothing_is_served(home: DirectoryStore) -> None:
    world = make_world()
    with pytest.raises(NothingServed, match="no model is served yet"):
        Served.read(home)
    point_at(home, "1.0.0", write_bundle(home, "1.0.0", linear_graph(), world.encoders))
    with pytest.raises(NothingServed, match="no serving state yet"):
        Served.read(home)
    write_state(home, world.panel("observed"))
    with pytest.raises(NothingServed, match="feature contract"):
        Served.read(home)


def test_the_promise_is_the_holdouts_wape_of_what_is_served(home: DirectoryStore) -> None:
    set_up(home, make_world())
    manifest = Served.read(home).manifest
    assert promised_wape(manifest) is None
    board = ({"name": "naive_baseline", "wape": 0.5}, {"name": "xgboost", "wape": 0.25})
    assert promised_wape(renamed(manifest, leaderboard=board)) == 0.25
    assert ServingPointer.parse(home.get("serving/model.json").body).version == manifest.version
