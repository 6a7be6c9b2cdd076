"""A real Postgres with the tables of monitoring, an empty store, and scratch space."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.ingest.schema import Connection, ensure_schema


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A database with the tables of monitoring, and those of dbt as far as they are read."""
    with psycopg.connect(database_url, autocommit=True, prepare_threshold=None) as opened:
        ensure_schema(opened)
        opened.execute(
            """
            create schema features;
            create table features.demand_calendar (
                store_id text collate "C", date date, is_final boolean
            );
            create table features.demand_features (
                store_id text collate "C", product_id text collate "C", date date,
                quantity_sold float8, price float8, promotion int, has_history boolean,
                primary key (store_id, date, product_id)
            );
            """
        )
        yield opened


@pytest.fixture
def home(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return scratch
