"""``scalecast setup-store --database``, as docker-compose.yml calls it at each start."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import psycopg

from tests.graph.command import SCALECAST

HEAD_OF_1_9 = "6b7fb194ff9c"
"""Before concurrency_limits.using_default_limit, which Dagster 1.10 asks for."""


def run(
    database_url: str, endpoint: str, folder: Path, **more: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(SCALECAST), "setup-store", "--database", "--json"],
        env={n: v for n, v in os.environ.items() if not n.startswith(("SCALECAST_", "AWS_"))}
        | {
            "SCALECAST_HOME": str(folder / "home"),
            "SCALECAST_DATABASE_URL": database_url,
            "SCALECAST_STORE_URL": "s3://set-up",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        | more,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def version(connection: "psycopg.Connection[Any]") -> object:
    return connection.execute("select version_num from dagster.alembic_version").fetchone()


def columns(connection: "psycopg.Connection[Any]") -> set[str]:
    found = connection.execute(
        "select column_name from information_schema.columns "
        "where table_schema = 'dagster' and table_name = 'concurrency_limits'"
    )
    return {name for (name,) in found}


def test_dagsters_tables_of_an_older_release_are_upgraded_and_kept_where_they_are_new(
    database_url: str, moto_endpoint: str, tmp_path: Path
) -> None:
    for _ in range(2):
        done = run(database_url, moto_endpoint, tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Dagster's tables" in [answer["question"] for answer in json.loads(done.stdout)]
    with psycopg.connect(database_url, autocommit=True) as connection:
        current = columns(connection)
        head = version(connection)
        # As that release left them, with a row.
        connection.execute("alter table dagster.concurrency_limits drop using_default_limit")
        connection.execute(
            'insert into dagster.concurrency_limits (concurrency_key, "limit") values (%s, 1)',
            ["x"],
        )
        connection.execute("update dagster.alembic_version set version_num = %s", [HEAD_OF_1_9])
        done = run(database_url, moto_endpoint, tmp_path)
        assert done.returncode == 0, done.stderr
        assert columns(connection) == current
        assert version(connection) == head
        kept = connection.execute(
            "select concurrency_key, using_default_limit from dagster.concurrency_limits"
        )
        assert kept.fetchall() == [("x", False)]


def test_keys_of_another_service_are_an_error_that_says_what_to_write(
    database_url: str, moto_endpoint: str, tmp_path: Path
) -> None:
    done = run(
        database_url,
        moto_endpoint,
        tmp_path,
        STORE_ENDPOINT_URL=moto_endpoint,
        STORE_ACCESS_KEY_ID="the store's own key",
    )
    assert done.returncode == 2
    assert done.stderr.startswith("scalecast: AWS_ACCESS_KEY_ID is set")
    assert "AWS_ENDPOINT_URL= (empty)" in done.stderr
