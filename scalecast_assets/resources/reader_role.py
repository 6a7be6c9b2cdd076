"""The role of Postgres for whoever only looks: dashboards, notebooks, reports.

It reads every table, also those that are made later, and writes nothing. ``scalecast setup-store
--database`` makes it; whoever calls that again with another password gives it that one.
"""

from typing import TYPE_CHECKING, Final

from psycopg import errors, sql

if TYPE_CHECKING:
    from psycopg import Connection

READER: Final = "scalecast_reader"

SETTINGS: Final = {
    "default_transaction_read_only": "on",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
}
"""Of its sessions, unless they say otherwise. That it cannot write is for want of the right."""

CONNECTIONS: Final = 20
"""So that dashboards never take what the pipeline needs."""


class ReaderRoleError(RuntimeError):
    """The role cannot be made by the account that ``SCALECAST_DATABASE_URL`` names."""


def ensure_reader(connection: "Connection", password: str) -> None:
    """Make the role, or give the one that is there this password and these rights.

    ``pg_read_all_data`` covers what is made later: a full refresh of dbt drops tables, and would
    drop what was granted on them.

    Raises:
        ReaderRoleError: the account may not make roles.
    """
    name = sql.Identifier(READER)
    # Never the password itself: statements are logged, and seen by others while they run.
    verifier = connection.pgconn.encrypt_password(
        password.encode(), READER.encode(), b"scram-sha-256"
    ).decode()
    may = sql.SQL(
        "login nosuperuser nocreatedb nocreaterole noreplication connection limit {} password {}"
    ).format(CONNECTIONS, verifier)
    try:
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(hashtext('scalecast_reader'))")
            there = connection.execute("select 1 from pg_roles where rolname = %s", (READER,))
            verb = sql.SQL("alter role" if there.fetchone() else "create role")
            connection.execute(sql.SQL("{} {} {}").format(verb, name, may))
            connection.execute(sql.SQL("grant pg_read_all_data to {}").format(name))
            for setting, value in SETTINGS.items():
                connection.execute(
                    sql.SQL("alter role {} set {} = {}").format(
                        name, sql.Identifier(setting), value
                    )
                )
    except errors.InsufficientPrivilege as error:
        raise ReaderRoleError(
            f"The role {READER} cannot be made: {error.diag.message_primary}. Give the account of "
            "SCALECAST_DATABASE_URL the right to (createrole, and admin of pg_read_all_data), or "
            "make the role yourself and unset SCALECAST_READER_PASSWORD"
        ) from None
