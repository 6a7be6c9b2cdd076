"""What came of promises: joined with the sales on days that were open and are final."""

import datetime as dt
from pathlib import Path

import pytest

from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.monitoring.scoring import read_scored_days, score_due_days
from tests.monitoring.promises import (
    DAY,
    HORIZON,
    YOUNG,
    hand_over_forecasts,
    later_sales,
    promised,
    publish,
)
from tests.serving.makers import (
    LAST_DAY,
    make_world,
)


def test_days_are_scored_once_open_and_final_against_a_naive_twin(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    hand_over_forecasts(make_world(), connection, home, folder)
    actual = later_sales(range(1, 6))
    publish(connection, actual)
    connection.execute(
        "update features.demand_calendar set is_final = false where date > '2024-03-18'"
    )
    assert score_due_days(connection) == 4 + 3  # four final days; store 1 is closed on Sunday 17th
    rows = [row for row in promised(connection) if row.date <= dt.date(2024, 3, 18)]
    scored = [(row, actual[row[2:5]]) for row in rows if row[2:5] in actual]
    assert len(scored) == 4 * 3 + 3 * 3

    found = read_scored_days(connection, "1.0.0", HORIZON).overall()
    sold = sum(quantity for _, quantity in scored)
    wape = sum(abs(row.forecast - quantity) for row, quantity in scored) / sold
    bias = sum(row.forecast - quantity for row, quantity in scored) / len(scored)
    naive = sum(abs(row.seasonal_naive - quantity) for row, quantity in scored) / sold
    assert found.rows == len(scored)
    assert (found.wape, found.bias, found.naive_wape) == pytest.approx((wape, bias, naive))
    assert score_due_days(connection) == 0


def test_the_view_of_dashboards_says_the_same_by_day_and_store(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    hand_over_forecasts(make_world(), connection, home, folder)
    publish(connection, later_sales(range(1, 6)))
    score_due_days(connection)
    shown = connection.execute(
        "select date, store_id, scored_rows, wape, bias, naive_wape, naive_bias, origins"
        " from ml.live_accuracy order by date, store_id"
    ).fetchall()
    expected = read_scored_days(connection, "1.0.0", HORIZON).by_day_and_store()
    assert [(day, store) for day, store, *_ in shown] == list(expected)
    for (day, store, *figures, origins), accuracy in zip(shown, expected.values(), strict=True):
        assert tuple(map(float, figures)) == pytest.approx(tuple(accuracy))
        assert origins == 1, (day, store)


def test_a_corrected_day_is_scored_again_and_a_withdrawn_one_not_any_more(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    hand_over_forecasts(make_world(), connection, home, folder)
    sales = later_sales(range(1, 4))
    publish(connection, sales)
    assert score_due_days(connection) == 6 - 1
    corrected = next(iter(sales))
    publish(connection, sales | {corrected: sales[corrected] + 100})
    assert score_due_days(connection) == 1
    publish(connection, {key: sold for key, sold in sales.items() if key[2] == LAST_DAY + DAY})
    assert score_due_days(connection) == 4
    scored = connection.execute(
        "select distinct date from ml.forecast_days where scored_rows is not null"
    ).fetchall()
    assert scored == [(LAST_DAY + DAY,)]


def test_every_origin_that_promised_a_day_is_judged_by_its_own_horizon(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    for days_late in (2, 1, 0):
        world = make_world()
        for sold in world.sales.values():
            for at in range(days_late):
                sold.pop(LAST_DAY - at * DAY, None)
        hand_over_forecasts(world, connection, home, folder)
    publish(connection, later_sales(range(1, 2)))
    assert score_due_days(connection) == 3 * 2
    by_horizon = read_scored_days(connection, "1.0.0", HORIZON).by_horizon()
    assert {horizon: found.rows for horizon, found in by_horizon.items()} == {1: 6, 2: 6, 3: 6}
    errors = {found.wape for found in by_horizon.values()}
    assert len(errors) == 3


def test_rows_without_history_are_promised_but_not_scored(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    hand_over_forecasts(make_world(), connection, home, folder)
    publish(connection, later_sales(range(1, 2)))
    connection.execute(
        "update features.demand_features set has_history = false where product_id <> 'PROD_A'"
    )
    score_due_days(connection)
    counted = connection.execute(
        "select forecast_rows, scored_rows from ml.forecast_days where scored_rows is not null"
    ).fetchall()
    assert counted == [(3, 1), (3, 1)]


def test_rows_that_came_at_another_price_or_promotion_are_not_as_planned(
    connection: Connection, home: DirectoryStore, folder: Path
) -> None:
    hand_over_forecasts(make_world(), connection, home, folder)
    publish(connection, later_sales(range(1, 2)))
    connection.execute("update features.demand_features set price = 15 where product_id = 'PROD_A'")
    connection.execute(
        "update features.demand_features set promotion = 1 where product_id = 'PROD_B'"
    )
    score_due_days(connection)
    counted = connection.execute(
        "select store_id, scored_rows, planned_rows from ml.forecast_days"
        " where scored_rows > 0 order by store_id"
    ).fetchall()
    assert counted == [("STORE_001", 3, 1), ("STORE_002", 3, 2)]
    (left,) = (row for row in promised(connection) if row[2:5] == (*YOUNG, LAST_DAY + DAY))
    sold = later_sales(range(1, 2))
    missed = abs(left.forecast - sold[left[2:5]])
    assert connection.execute(
        "select planned_units, planned_absolute_error, shown.planned_wape from ml.forecast_days"
        " inner join ml.live_accuracy as shown using (model_version, store_id, date)"
        " where store_id = 'STORE_001' and forecast_days.scored_rows > 0"
    ).fetchone() == pytest.approx((sold[left[2:5]], missed, missed / sold[left[2:5]]))
