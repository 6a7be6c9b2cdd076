"""The warehouse: a Postgres database, as a resource of assets and checks.

Starting the embedded server is ``embedded_postgres.py``'s; the tables are ``migrations/``'s;
that runs wait for each other is decided in ``turns.py``, that a stuck one ends in ``lifeline.py``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import dagster as dg
import psycopg

from scalecast_assets.ingest.schema import Connection
from scalecast_assets.resources.lifeline import Lifeline, end_run
from scalecast_assets.resources.postgres_address import PSYCOPG2, PostgresAddress
from scalecast_assets.resources.turns import take_turn


class WarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens connections to the warehouse; holds none but the one by which its run has a turn."""

    url: str
    """The database. Given as ``dg.EnvVar``, so that the UI, which shows it, shows no password."""

    max_run_hours: float = 0
    """A run ends itself when it takes longer, from its turn on; 0: never."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Self]:
        """Have the run's turn for as long as the run's process lasts."""
        run, instance, log = context.run, context.instance, context.log
        if run is None or instance is None or log is None:
            yield self
            return
        lifeline = Lifeline(self.url, lambda why: end_run(run, instance, why))
        with lifeline.held(), self.connect() as connection:
            take_turn(run, instance, connection, log.info)
            lifeline.limit(self.max_run_hours)
            yield self

    def connect(self) -> Connection:
        """A new connection in autocommit mode; use it as a context manager."""
        # Prepared plans break when a temporary table is made anew with the same name.
        return psycopg.connect(
            self.url, autocommit=True, prepare_threshold=None, application_name="scalecast"
        )

    @property
    def sqlalchemy_url(self) -> str:
        """The same database for SQLAlchemy, with the driver that Dagster brings."""
        return PostgresAddress.parse(self.url).url(PSYCOPG2)
