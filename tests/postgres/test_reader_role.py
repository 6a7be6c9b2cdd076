"""The role that dashboards read with: it reads all there is and will be, and changes nothing."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.reader_role import READER, ReaderRoleError, ensure_reader
from tests.dbt.warehouse_histories import Dbt, Warehouse, random_store

PASSWORD = "made for this test alone"


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        ensure_reader(connection, PASSWORD)
        yield connection


def as_reader(owner: psycopg.Connection[Any], password: str = PASSWORD) -> psycopg.Connection[Any]:
    given = owner.info
    return psycopg.connect(
        host=given.host, port=given.port, dbname=given.dbname, user=READER, password=password,
        autocommit=True,
    )  # fmt: skip


def test_it_reads_and_is_refused_whatever_would_change_something(
    owner: psycopg.Connection[Any],
) -> None:
    with as_reader(owner) as reader:
        assert reader.execute("select count(*) from warehouse.file_ledger").fetchone() == (0,)
        for statement in (
            "insert into warehouse.id_codes values ('store', 'S', 1)",
            "update ml.alerts set cleared_at = now()",
            "delete from ml.alerts",
            "truncate ml.alerts",
            "create table ml.mine (x int)",
            "create table public.mine (x int)",
            "create schema mine",
            "drop table ml.alerts cascade",
            "alter role scalecast_reader superuser",
            "copy ml.alerts to program 'true'",
        ):
            with pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
                reader.execute(statement.encode())
        # By its rights, not by the setting alone, which a session may change.
        reader.execute("set default_transaction_read_only = off")
        for statement in (
            "insert into warehouse.id_codes values ('store', 'S', 1)",
            "create table ml.mine (x int)",
            "create table public.mine (x int)",
            "drop table ml.alerts cascade",
            "create role another",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                reader.execute(statement.encode())


def test_it_waits_for_no_query_for_ever_and_leaves_connections_to_the_others(
    owner: psycopg.Connection[Any],
) -> None:
    with as_reader(owner) as reader:
        assert reader.execute("show statement_timeout").fetchone() == ("30s",)
        assert reader.execute("show default_transaction_read_only").fetchone() == ("on",)
    found = owner.execute(
        "select rolconnlimit, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls "
        "from pg_roles where rolname = %s",
        (READER,),
    ).fetchone()
    assert found == (20, False, False, False, False, False)


def test_another_password_takes_the_place_of_the_first(owner: psycopg.Connection[Any]) -> None:
    ensure_reader(owner, "another one, made later")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        as_reader(owner)
    with as_reader(owner, "another one, made later") as reader:
        assert reader.execute("select current_user").fetchone() == (READER,)


def test_postgres_is_told_no_password_that_it_could_log(owner: psycopg.Connection[Any]) -> None:
    sent: list[str] = []

    class Noting(psycopg.Cursor[Any]):
        def execute(self, query: Any, *given: Any, **more: Any) -> Any:
            sent.append(query.as_string(owner) if isinstance(query, sql.Composable) else query)
            return super().execute(query, *given, **more)

    owner.cursor_factory = Noting
    ensure_reader(owner, PASSWORD)
    said = "\n".join(sent)
    assert "SCRAM-SHA-256$" in said
    assert PASSWORD not in said


def test_what_dbt_makes_anew_can_be_read_at_once(
    owner: psycopg.Connection[Any], database_url: str, tmp_path: Path
) -> None:
    warehouse, dbt = Warehouse(owner), Dbt(database_url, tmp_path)
    warehouse.change(random_store(random.Random(1), "S1", 40))
    with as_reader(owner) as reader:
        for _ in range(2):
            dbt("run", "--full-refresh")
            counted = reader.execute("select count(*) from features.demand_features").fetchone()
            assert counted is not None
            assert counted[0] > 0


def test_an_account_that_may_not_make_roles_is_told_what_to_do(
    owner: psycopg.Connection[Any], postgres_server: PostgresServer
) -> None:
    owner.execute("create role humble login password 'humble'")
    try:
        with (
            psycopg.connect(
                host=postgres_server.host, port=postgres_server.port, dbname=owner.info.dbname,
                user="humble", password="humble",
            ) as humble,
            pytest.raises(ReaderRoleError, match=r"createrole.*unset SCALECAST_READER_PASSWORD"),
        ):  # fmt: skip
            ensure_reader(humble, PASSWORD)
    finally:
        owner.execute("drop role humble")
