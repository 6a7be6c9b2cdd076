"""Random histories of a warehouse, and dbt run on it by hand: what tests of the models share.

Many stores in one database are many histories per dbt call. What ingestion would write is written
here directly: rows, codes and changed ranges, in one transaction; or it is written by ingestion
itself, from files.
"""

import gc
import hashlib
import os
import random
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import psycopg
from dbt.cli.main import dbtRunner, dbtRunnerResult

from scalecast_assets.ingest.withdrawal import withdraw
from tests.factories_files import Pipeline

DBT_PROJECT = Path(__file__).parents[2] / "dbt_project"
BEGIN = date(2023, 12, 1)
COMMANDS_BEGIN = 2e9
FAR_FUTURE = "2030-01-01 00:00:00"
Key = tuple[str, str, date]
Cells = tuple[float, float, bool]


@dataclass
class Dbt:
    """dbt on one database, inside this process: a process of its own takes 3 s to get going."""

    url: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, as_of: str = FAR_FUTURE) -> dict[str, str]:
        """Return the status of each node by name; fails the test if dbt does."""
        done = self.attempt(*arguments, as_of=as_of)
        results = getattr(done.result, "results", [])
        said = [f"{r.node.name}: {r.message}" for r in results if r.message]
        assert done.success, f"{done.exception}\n" + "\n".join(said)
        return {result.node.name: str(result.status) for result in results}

    def attempt(self, *arguments: str, as_of: str = FAR_FUTURE) -> dbtRunnerResult:
        """Return what dbt returns, success or not."""
        variables = ("--vars", f"{{as_of: '{as_of}'}}")
        with _environment(hand_environment(self.url) | self.environment), _warnings_of_dbt():
            return dbtRunner(manifest=_manifest(self.url)).invoke(
                [*arguments, *variables, *_places(self.folder), "--quiet"]
            )


def hand_environment(url: str) -> dict[str, str]:
    """Return the variables by which profiles.yml finds a database."""
    parts = urlsplit(url)
    return {
        "SCALECAST_PG_HOST": str(parts.hostname),
        "SCALECAST_PG_PORT": str(parts.port),
        "SCALECAST_PG_USER": str(parts.username),
        "SCALECAST_PG_PASSWORD": str(parts.password or ""),
        "SCALECAST_PG_DATABASE": parts.path.lstrip("/"),
    }


@cache
def _manifest(url: str) -> Any:
    """Parse the project: 2 s, and the database's name is in it, but nothing else that changes."""
    with tempfile.TemporaryDirectory() as folder, _environment(hand_environment(url)):
        done = dbtRunner().invoke(["parse", *_places(Path(folder)), "--quiet"])
    assert done.success, done.exception
    return done.result


def _places(folder: Path) -> list[str]:
    places = ("--project-dir", DBT_PROJECT, "--profiles-dir", DBT_PROJECT)
    return [*map(str, places), "--target-path", f"{folder}/target", "--log-path", f"{folder}/logs"]


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _warnings_of_dbt() -> Iterator[None]:
    """dbt leaves files and thread pools to the garbage collector, which then warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            gc.collect()


def features(connection: psycopg.Connection[Any]) -> dict[Key, dict[str, Any]]:
    """Every row of ``demand_features`` by its key."""
    return _table(connection, "demand_features", ("store_id", "product_id", "date"))


def calendar(connection: psycopg.Connection[Any]) -> dict[Any, dict[str, Any]]:
    """Every row of ``demand_calendar`` by its key."""
    return _table(connection, "demand_calendar", ("store_id", "date"))


def _table(
    connection: psycopg.Connection[Any], name: str, key: tuple[str, ...]
) -> dict[Any, dict[str, Any]]:
    cursor = connection.execute(f"select * from features.{name}")
    names = [column.name for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor]
    found = {tuple(row[column] for column in key): row for row in rows}
    assert len(found) == len(rows), f"{name}: two rows of one key"
    return found


class HasRows(Protocol):
    """What is published, in memory."""

    rows: dict[Key, Cells]


class Warehouse:
    """What is published: the rows in the database, and the same in memory."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.rows: dict[Key, Cells] = {}

    def change(self, upserts: dict[Key, Cells], deletes: set[Key] = frozenset()) -> None:  # type: ignore[assignment]
        """Publish: rows, codes and one changed range per store, committed together."""
        touched = [*upserts, *deletes]
        for key in deletes:
            self.rows.pop(key)
        self.rows.update(upserts)
        with self.connection.transaction(), self.connection.cursor() as cursor:
            for kind, place in (("store", 0), ("product", 1)):
                cursor.executemany(
                    "insert into warehouse.id_codes select %s, %s, "
                    "coalesce(max(code), 0) + 1 from warehouse.id_codes where kind = %s "
                    "on conflict (kind, id) do nothing",
                    [(kind, id_, kind) for id_ in sorted({str(key[place]) for key in upserts})],
                )
            cursor.executemany(
                "delete from warehouse.demand_data "
                "where store_id = %s and product_id = %s and date = %s",
                sorted(deletes),
            )
            cursor.executemany(
                "insert into warehouse.demand_data values (%s, %s, %s, %s, %s, %s, 1) "
                "on conflict on constraint demand_data_pkey do update set "
                "quantity_sold = excluded.quantity_sold, price = excluded.price, "
                "promotion = excluded.promotion",
                [(day, store, product, *cells) for (store, product, day), cells in upserts.items()],
            )
            for store in sorted({key[0] for key in touched}):
                since = min(key[2] for key in touched if key[0] == store)
                cursor.execute(
                    "insert into warehouse.changed_ranges (store_id, from_date, file_seq) "
                    "values (%s, %s, 1)",
                    (store, since),
                )

    def caught_up(self) -> None:
        """What the Dagster asset does when dbt's tests have passed."""
        self.connection.execute("delete from warehouse.changed_ranges")
        self.connection.commit()


class FileWarehouse:
    """What is published from files, by ingestion; and in memory what they must come to, naively.

    ``order`` is a place in the order of files: when a dropped file was last modified, or the count
    of the commands for one that a command names, which is later than all that was dropped.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.rows: dict[Key, Cells] = {}
        self._content: dict[str, dict[Key, Cells]] = {}
        self._counted: list[tuple[float, str]] = []
        self._replacements: list[tuple[float, set[str]]] = []
        self._commands = COMMANDS_BEGIN

    def put(self, rows: dict[Key, Cells], modified: float | None = None) -> str:
        """Write a raw file; one with a time is taken by the next command that names none."""
        lines = [
            f"{day},{store},{product},{quantity!r},{price!r},{promotion}"
            for (store, product, day), (quantity, price, promotion) in rows.items()
        ]
        key = f"raw/{len(self._content):03}.csv"
        self.pipeline.put(key, *lines, modified=modified)
        self._content[key] = rows
        if modified is not None:
            self._count(modified, key)
        return key

    def publish(self, *keys: str, again: bool = False, replace: bool = False) -> None:
        """Land, judge and publish, and expect what a person would."""
        for key in keys:
            self._commands += 1
            self._count(self._commands, key)
        if replace:
            self._replacements.append((self._commands - len(keys) + 1, set(keys)))
        self.pipeline.run(*keys, again=again, replace=replace)
        self._recount()

    def withdraw(self, key: str) -> None:
        """Withdraw a published file, and expect what would be if it had never been there."""
        digest = hashlib.sha256(self.pipeline.store.get(key).body).hexdigest()
        withdraw(self.pipeline.conn, self.pipeline.store, digest)
        self._counted = [counted for counted in self._counted if counted[1] != key]
        self._replacements = [(order, keys - {key}) for order, keys in self._replacements]
        self._recount()

    def _count(self, order: float, key: str) -> None:
        self._counted.append((order, key))

    def _recount(self) -> None:
        since = max((order for order, keys in self._replacements if keys), default=0.0)
        self.rows = {}
        for order, key in sorted(self._counted):
            if order >= since:
                self.rows |= self._content[key]

    def published(self) -> dict[Key, Cells]:
        """Read what is in the warehouse."""
        found = self.pipeline.conn.execute(
            "select store_id, product_id, date, quantity_sold, price, promotion"
            " from warehouse.demand_data"
        )
        return {(store, product, day): tuple(cells) for store, product, day, *cells in found}


def random_cells(chance: random.Random) -> Cells:
    """Quantities from nothing to 1e9, whole and fractional."""
    quantity = chance.choice(
        [0.0, float(chance.randrange(50)), chance.uniform(0, 9), chance.uniform(0.9e9, 1e9)]
    )
    return quantity, round(chance.uniform(0.5, 30), 2), chance.random() < 0.2


def random_store(chance: random.Random, store: str, n_days: int) -> dict[Key, Cells]:
    """One store with closures up to months long, and series that are new, sparse or gone."""
    shut = {weekday for weekday in range(7) if chance.random() < 0.2}
    start, length = chance.randrange(n_days), chance.choice([0, 5, 20, 80])
    closed = {d for d in range(n_days) if d % 7 in shut or start <= d < start + length}
    rows = {}
    for product in range(3):
        rate = chance.choice([0.02, 0.4, 1.0])
        first, last = sorted(chance.sample(range(n_days), 2))
        for d in range(first, n_days if chance.random() < 0.6 else last):
            if d not in closed and chance.random() < rate:
                rows[store, f"P{product}", BEGIN + timedelta(days=d)] = random_cells(chance)
    return rows


def random_change(
    chance: random.Random, warehouse: HasRows, stores: list[str], n_days: int
) -> tuple[dict[Key, Cells], set[Key]]:
    """Per store one of: nothing, a next day, corrections, late rows, a lost tail, a lost store."""
    upserts: dict[Key, Cells] = {}
    deletes: set[Key] = set()
    for store in stores:
        own = sorted((key for key in warehouse.rows if key[0] == store), key=lambda key: key[2])
        if not own:
            upserts |= random_store(chance, store, n_days)
            continue
        last = own[-1][2]
        kind = chance.choice(["nothing", "next", "correct", "late", "tail", "series", "store"])
        if kind == "next":
            day = last + timedelta(days=chance.choice([1, 1, 1, 3, 60]))
            upserts |= {(store, f"P{p}", day): random_cells(chance) for p in range(4)}
        elif kind == "correct":
            upserts |= {key: random_cells(chance) for key in chance.sample(own, min(3, len(own)))}
        elif kind == "late":
            day = BEGIN + timedelta(days=chance.randrange(-20, n_days))
            upserts[store, f"P{chance.randrange(4)}", day] = random_cells(chance)
        elif kind == "tail":
            since = chance.choice(own)[2]
            deletes |= {key for key in own if key[2] >= since}
        elif kind == "series":
            deletes |= {key for key in own if key[1] == chance.choice(own)[1]}
        elif kind == "store" and chance.random() < 0.5:
            deletes |= set(own)
    return upserts, deletes
