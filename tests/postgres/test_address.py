"""A Postgres URL: what each library is told of it, and what is refused by name."""

from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict

from scalecast_assets import runtime
from scalecast_assets.resources.postgres_address import PATIENCE, PSYCOPG2, PostgresAddress
from scalecast_assets.settings import Settings, SettingsError, variable
from serving.settings import OWN_VARIABLES

ACCOUNT = {"user": "sh@p", "password": "p/s%"}
PLACES: dict[str, dict[str, Any]] = {
    "postgresql://sh%40p:p%2Fs%25@db.example:6000/a%20shop": {
        **ACCOUNT, "host": "db.example", "port": "6000", "dbname": "a shop",
    },
    "postgres://sh%40p:p%2Fs%25@db.example/shop": {
        **ACCOUNT, "host": "db.example", "port": "5432", "dbname": "shop",
    },
    "postgresql+psycopg2://u@[2001:db8::1]:1/shop?sslmode=verify-full&sslrootcert=%2Fca.pem": {
        "user": "u", "host": "2001:db8::1", "port": "1", "dbname": "shop",
        "sslmode": "verify-full", "sslrootcert": "/ca.pem",
    },
    "postgresql://u:p@/shop?host=%2Frun%2Fpg&port=6000": {
        "user": "u", "password": "p", "host": "/run/pg", "port": "6000", "dbname": "shop",
    },
    "postgresql://u:p@elsewhere/shop?host=/run/pg": {
        "user": "u", "password": "p", "host": "/run/pg", "port": "5432", "dbname": "shop",
    },
    "postgresql://%2Frun%2Fpg/shop?user=sh%40p&password=p%2Fs%25&connect_timeout=3": {
        **ACCOUNT, "host": "/run/pg", "port": "5432", "dbname": "shop", "connect_timeout": "3",
    },
    "postgresql:///shop": {"port": "5432", "dbname": "shop"},
}  # fmt: skip
PROFILE = {
    "SCALECAST_PG_HOST": "host",
    "SCALECAST_PG_PORT": "port",
    "SCALECAST_PG_USER": "user",
    "SCALECAST_PG_PASSWORD": "password",
    "SCALECAST_PG_DATABASE": "dbname",
    "SCALECAST_PG_SSLMODE": "sslmode",
    "SCALECAST_PG_SSLROOTCERT": "sslrootcert",
    "SCALECAST_PG_SSLCERT": "sslcert",
    "SCALECAST_PG_SSLKEY": "sslkey",
    "SCALECAST_PG_CONNECT_TIMEOUT": "connect_timeout",
}


@pytest.mark.parametrize("url", PLACES)
def test_libpq_sqlalchemy_and_dbt_are_told_of_the_same_place(url: str, tmp_path: Any) -> None:
    address = PostgresAddress.parse(url)
    assert conninfo_to_dict(address.url()) == PLACES[url]
    made = sqlalchemy.create_engine(address.url(PSYCOPG2))
    _, told = made.dialect.create_connect_args(made.url)
    assert {name: str(value) for name, value in told.items()} == PLACES[url]
    variables = runtime.attached(Settings(home=tmp_path, database_url=url)).environment
    for name, part in PROFILE.items():
        assert variables[name] == PLACES[url].get(part, PATIENCE.get(part, "")), name
    assert PostgresAddress.parse(address.url(PSYCOPG2)) == address


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u:sesame@h/db?channel_binding=require", "'channel_binding' cannot be"),
        ("postgresql://u:sesame@h/db?sslmod=require", "'sslmod' cannot be"),
        ("postgresql://u:sesame@h1,h2/db", "several hosts"),
        ("postgresql://u:sesame@h1:1,h2:2/db", "expected postgresql://"),
        ("postgresql://u:sesame@/db?host=h1,h2", "several hosts"),
        ("postgresql://u:sesame@h", "found no database"),
        ("postgresql://u:sesame@h:port/db", "expected postgresql://"),
        ("postgresql://u:sesame@h:70000/db", "expected postgresql://"),
        ("postgresql://u:ses#ame@h/db", "%40 for an @"),
        ("postgresql://u:1/sesame@h/db", "%40 for an @"),
        ("postgresql://u:sesame@[h/db", "expected postgresql://"),
        ("postgresql+asyncpg://u:sesame@h/db", "expected postgresql://"),
    ],
)
@pytest.mark.parametrize("field", ["database_url", "dagster_database_url"])
def test_what_cannot_be_used_is_named_without_the_password(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, field: str, url: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCALECAST_DATABASE_URL", "postgresql://h/db")
    monkeypatch.setenv(variable(field), url)
    with pytest.raises(SettingsError) as error:
        runtime.attached(Settings.load())
    assert str(error.value).startswith(f"{variable(field)}: ")
    assert words in str(error.value)
    assert "ame" not in str(error.value).replace("name", "")


def test_dagster_has_a_schema_of_the_warehouse_unless_it_has_a_database(tmp_path: Any) -> None:
    patience = urlencode(PATIENCE)
    url = "postgresql://u:p@h:1/db?sslmode=require"
    beside = runtime.attached(Settings(home=tmp_path, database_url=url))
    assert beside.dagster_database_url == (
        f"postgresql+psycopg2://u:p@h:1/db?{patience}&sslmode=require"
        "&options=-csearch_path%3Ddagster"
    )
    other = "postgres://u:p@h:2/dagster?options=-csearch_path%3Dours"
    apart = runtime.attached(Settings(home=tmp_path, database_url=url, dagster_database_url=other))
    assert apart.dagster_database_url == (
        f"postgresql+psycopg2://u:p@h:2/dagster?{patience}&options=-csearch_path%3Dours"
    )


def test_what_child_processes_are_told_is_read_by_them_again(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = runtime.attached(Settings(home=tmp_path, database_url="postgres://u:p@h/db"))
    for name, value in first.environment.items():
        monkeypatch.setenv(name, value)
    again = runtime.attached(Settings.load())
    assert again.environment == first.environment
    assert not set(OWN_VARIABLES) & set(first.environment)


def test_a_search_path_of_ones_own_is_for_dagsters_storage_only() -> None:
    url = "postgresql://u:p@h/db?options=-csearch_path%3Dours"
    with pytest.raises(ValueError, match="'options' cannot be handed on"):
        PostgresAddress.parse(url)


def test_printing_it_shows_no_password() -> None:
    address = PostgresAddress.parse("postgresql://shop:sesame@h:1/db")
    assert "sesame" not in f"{address} {address!r}"
    assert str(address) == "h:1/db"
