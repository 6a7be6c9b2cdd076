"""The warehouse: a Postgres database, as a resource of assets and checks.

Starting the embedded server is ``embedded_postgres.py``'s; the tables are ``ingest/schema.sql``'s.
"""

from typing import Final

import dagster as dg
import psycopg

from scalecast_assets.ingest.schema import Connection

_SCHEMES: Final = ("postgresql://", "postgres://")


class WarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens connections to the warehouse; holds none."""

    url: str

    def connect(self) -> Connection:
        """A new connection in autocommit mode; use it as a context manager."""
        # Prepared plans break when a temporary table is made anew with the same name.
        return psycopg.connect(
            self.url, autocommit=True, prepare_threshold=None, application_name="scalecast"
        )

    @property
    def sqlalchemy_url(self) -> str:
        """The same database for SQLAlchemy, with the driver that Dagster brings."""
        for scheme in _SCHEMES:
            if self.url.startswith(scheme):
                return "postgresql+psycopg2://" + self.url.removeprefix(scheme)
        raise ValueError("the warehouse's URL: expected one that starts with postgresql://")
