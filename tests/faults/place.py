"""Where runs happen: one home, one database and one store, saved and restored as a whole.

The place is always the same folder and the same database's name, because dbt parses its project
anew for another. A saved state is a template database and a folder.
"""

import multiprocessing
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg

from scalecast_assets.contract.store import DirectoryStore, ObjectStore
from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from scalecast_assets.runtime import running
from scalecast_assets.settings import Settings
from tests.faults.run_process import PRELOADED, Disturbance, Run, Work
from tests.graph.command import ROOT

BUDGETS = {"random_forest": 100, "pytorch_nn": 100}
NOTHING = Disturbance()


def fork_server() -> Any:
    """The context that makes processes; the first one starts the server."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED])
    # Python 3.11 does not tell the server of our sys.path.
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    return context


@dataclass
class Place:
    """A home with its database; ``store`` is the home's own unless another is given."""

    server: PostgresServer
    folder: Path
    database: str = "faults"
    store_url: str | None = None
    options: str = ""
    """What stands in the database's URL besides, as ``?connect_timeout=2``."""
    more: dict[str, str] = field(default_factory=dict)
    """Further variables of the runs' environment."""

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def store(self) -> ObjectStore:
        return DirectoryStore(self.home / "store")

    @property
    def database_url(self) -> str:
        return f"{self.server.url(self.database)}{self.options}"

    @property
    def environment(self) -> dict[str, str]:
        settings = Settings(
            home=self.home,
            database_url=self.database_url,
            store_url=self.store_url,
            fit_rows=BUDGETS,
            tune_rows={"random_forest": 100},
        )
        with running(settings) as runtime:
            return {
                **os.environ,
                **runtime.environment,
                "SCALECAST_FIT_ROWS": ",".join(f"{n}={rows}" for n, rows in BUDGETS.items()),
                "SCALECAST_TUNE_ROWS": "random_forest=100",
                **self.more,
            }

    def create(self) -> None:
        self.home.mkdir(parents=True)
        create_database(self.server, self.database)

    def save(self, name: str) -> None:
        """Keep the state under this name."""
        self._replace_database(f"{self.database}_{name}", self.database)
        shutil.copytree(self.home, self.folder / name)

    def restore(self, name: str) -> None:
        """Have the saved state again."""
        self._replace_database(self.database, f"{self.database}_{name}")
        shutil.rmtree(self.home)
        shutil.copytree(self.folder / name, self.home)

    def _replace_database(self, name: str, by: str) -> None:
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (by,)
            )
            connection.execute(f'drop database if exists "{name}" with (force)'.encode())
            connection.execute(f'create database "{name}" template "{by}"'.encode())

    def begin(
        self,
        work: Work,
        disturbance: Disturbance = NOTHING,
        environment: Mapping[str, str] | None = None,
    ) -> Run:
        """Start a run, in the place's own environment if none is given."""
        folder = self.folder / "runs" / uuid.uuid4().hex[:8]
        environment = environment or self.environment
        return Run(fork_server(), environment, work, disturbance, folder)

    def run(self, work: Work, disturbance: Disturbance = NOTHING) -> Run:
        """A run that has ended, however it did."""
        run = self.begin(work, disturbance)
        run.wait()
        return run

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Dagster's memory of the place."""
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            with dg.DagsterInstance.get() as instance:
                yield instance
        finally:
            os.environ.clear()
            os.environ.update(before)

    def query(self, sql: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(sql.encode(), values).fetchall()
