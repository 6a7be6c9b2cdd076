"""The tables of monitoring: explained, left alone once made, and asked for a new model once."""

from typing import Any

import numpy as np
import psycopg
import pytest

from scalecast_assets.ingest.schema import Connection, ensure_schema
from scalecast_assets.monitoring.retraining import (
    request_retraining,
    settle_requests,
    take_request,
    waiting_requests,
)

TABLES = ("forecasts", "forecast_days", "drift", "retrain_requests")


def test_a_cause_asks_once_about_one_model_until_somebody_takes_it(connection: Connection) -> None:
    def ask(cause: Any, version: str) -> bool:
        return request_retraining(
            connection, cause, version, reason="prices", evidence={"price": 0.7}, run_id="run"
        )

    assert ask("drift", "1.0.0")
    assert not ask("drift", "1.0.0")
    assert ask("live_error", "1.0.0")
    assert ask("drift", "1.1.0")
    waiting = waiting_requests(connection)
    assert [(one.cause, one.model_version) for one in waiting] == [
        ("drift", "1.0.0"), ("live_error", "1.0.0"), ("drift", "1.1.0"),
    ]  # fmt: skip
    assert waiting[0].evidence == {"price": 0.7}
    assert take_request(connection, waiting[0].request_id, "a run")
    assert not take_request(connection, waiting[0].request_id, "another run")
    assert waiting_requests(connection) == waiting[1:]
    assert not ask("drift", "1.0.0")


def test_a_comparison_clears_what_it_has_answered_and_what_is_about_no_served_model(
    connection: Connection,
) -> None:
    def ask(cause: Any, version: str) -> None:
        request_retraining(connection, cause, version, reason="r", evidence={}, run_id="run")

    def settle(version: str, run_id: str) -> int:
        return settle_requests(
            connection, training_set="ab" * 32, served_version=version, run_id=run_id
        )

    ask("drift", "1.0.0")
    ask("live_error", "1.0.0")
    assert settle("1.0.0", "before any training set") == 0
    connection.execute(
        "insert into ml.training_sets (sha256, contract_hash, rows, trainable_rows, series,"
        " first_day, last_day, run_id) values (%s, 'c', 1, 1, 1, '2024-01-01', '2024-01-01', 'r')",
        ("ab" * 32,),
    )
    assert settle("1.0.0", "a run that kept") == 2
    assert waiting_requests(connection) == []
    takers = connection.execute("select distinct taken_by from ml.retrain_requests").fetchall()
    assert takers == [("a run that kept",)]
    ask("drift", "1.1.0")
    assert settle("1.1.0", "a run on older data") == 0, "it knew nothing of what has moved"
    assert len(waiting_requests(connection)) == 1
    assert settle("1.2.0", "a run that promoted") == 1
    assert settle("1.2.0", "again") == 0


def test_every_table_and_column_is_explained(connection: Connection) -> None:
    unexplained = connection.execute(
        """
        select c.relname, a.attname
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum >= 0 and not a.attisdropped
        where c.oid = any(%s::regclass[]) and col_description(c.oid, a.attnum) is null
        union all
        select c.relname, null from pg_class c
        where c.oid = any(%s::regclass[]) and obj_description(c.oid, 'pg_class') is null
        """,
        ([f"ml.{name}" for name in (*TABLES, "live_accuracy", "challenger_accuracy")],) * 2,
    ).fetchall()
    assert unexplained == []


def test_tables_that_are_there_are_not_touched_again(
    connection: Connection, database_url: str
) -> None:
    with psycopg.connect(database_url) as dashboard:
        dashboard.execute("select * from ml.live_accuracy")
        connection.execute("set lock_timeout = '2s'")
        ensure_schema(connection)
        dashboard.rollback()
    assert connection.execute("select count(*) from ml.live_accuracy").fetchone() == (0,)


def test_a_table_from_before_forecasts_had_intervals_gets_their_columns(
    connection: Connection,
) -> None:
    connection.execute("alter table ml.forecasts drop column lower, drop column upper")
    connection.execute("drop table warehouse.schema_version")
    ensure_schema(connection)
    ensure_schema(connection)
    insert = (
        "insert into ml.forecasts (origin, model_version, store_id, product_id, date, horizon,"
        " forecast, seasonal_naive, source, store_open, price, promotion, data_until, lower, upper)"
        " select '2024-01-01', '1.0.0', 'S', 'P', '2024-01-02', 1, 5, 0, 'model', true, 1, false,"
        " '2024-01-01', %s, %s"
    )
    for lower, upper in ((6, 7), (-1, 7), (3, 4), (3, float(np.inf))):
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(insert, (lower, upper))
    connection.execute(insert, (3, 7))


def test_tables_from_before_there_were_challengers_hold_what_was_served(
    connection: Connection,
) -> None:
    connection.execute("drop view ml.challenger_accuracy")
    connection.execute("alter table ml.forecasts drop column served")
    connection.execute("alter table ml.forecast_days drop column role")
    connection.execute(
        "insert into ml.forecast_days (origin, model_version, store_id, date, horizon, store_open,"
        " forecast_rows, forecast_units) values"
        " ('2024-01-01', '1.0.0', 'S', '2024-01-02', 1, true, 1, 5)"
    )
    connection.execute("drop table warehouse.schema_version")  # from before there were numbers
    ensure_schema(connection)
    assert connection.execute("select role from ml.forecast_days").fetchall() == [("champion",)]
    assert connection.execute("select * from ml.challenger_accuracy").fetchall() == []
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("update ml.forecast_days set role = 'guest'")


def test_numbers_are_told_apart_from_no_number_by_the_database(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            "insert into ml.forecasts select '2024-01-01', '1.0.0', 'S', 'P', '2024-01-02', 1,"
            " %s, 0, 'model', true, 1, false, '2024-01-01'",
            (float(np.inf),),
        )
