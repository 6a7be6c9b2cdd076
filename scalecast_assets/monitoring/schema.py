"""The tables of monitoring, made in ``migrations/``, and the lock under which they are written."""

from typing import Final

from scalecast_assets.ingest.schema import Connection, ensure_schema

MONITORING_LOCK: Final = "scalecast.monitoring"


def ensure_monitoring(connection: Connection) -> None:
    """Create or upgrade what is missing; safe to call from several processes at once."""
    ensure_schema(connection)
