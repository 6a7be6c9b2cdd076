"""Postgres to a file and back, by its own ``pg_dump`` and ``pg_restore``.

Those of the embedded Postgres also serve other servers of its release or an older one; for a newer
server they are looked for on the PATH. A password never stands on a command line.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from scalecast_assets.backup.archive import BackupError
from scalecast_assets.resources.postgres_account import (
    POSTGRES_MAJOR,
    EmbeddedPostgresError,
    installed_binaries,
)
from scalecast_assets.resources.postgres_address import PostgresAddress

_LOCK_SECONDS: Final = 10
_SEARCH_PATH: Final = re.compile(r"search_path=(\w+)")


def schema_of(address: PostgresAddress) -> str:
    """Return the schema that an address's options name, as Dagster's storage may have one."""
    found = _SEARCH_PATH.search(address.options.get("options", ""))
    return found[1] if found else "public"


def dump(address: PostgresAddress, schemas: Sequence[str], target: Path) -> None:
    """Write the schemas, as they are at one moment, to a file in pg_dump's custom format."""
    _run(
        address,
        *("pg_dump", "--format=custom", "--no-owner", "--no-privileges"),
        *(f"--schema={name}" for name in schemas),
        f"--file={target}",
    )


def restore(address: PostgresAddress, source: Path, *, clean: bool = False) -> None:
    """Make what a dump holds, all of it or nothing; with ``clean`` what is there goes before."""
    _run(
        address,
        *("pg_restore", "--single-transaction", "--exit-on-error"),
        *("--no-owner", "--no-privileges"),
        *(("--clean", "--if-exists") if clean else ()),
        str(source),
    )


def refuse_others(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Raise ``BackupError`` if anybody else is connected to the database."""
    others = connection.execute(
        "select coalesce(nullif(application_name, ''), usename) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
        " and backend_type = 'client backend' order by 1"
    ).fetchall()
    if others:
        names = ", ".join(sorted({str(name) for (name,) in others}))
        raise BackupError(
            f"the database is in use by {len(others)} other connections ({names}). Stop "
            "scalecast up, the containers and dashboards first; nothing was changed"
        )


def drop(connection: psycopg.Connection[tuple[object, ...]], schemas: Sequence[str]) -> None:
    """Remove the schemas with all that is in them."""
    with connection.transaction():
        connection.execute(f"set local lock_timeout = '{_LOCK_SECONDS}s'".encode())
        connection.execute("set local client_min_messages = warning")
        for name in schemas:
            connection.execute(
                sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(name))
            )


def _run(address: PostgresAddress, program: str, *arguments: str) -> None:
    command = [_program(program, _major(address)), *arguments]
    database = "--dbname=" + replace(address, password="").url()
    # Messages in English; no PG… of a shell may lead elsewhere.
    clean = {name: v for name, v in os.environ.items() if not name.startswith(("PG", "LC_"))}
    done = subprocess.run(
        [*command, database],
        env={**clean, "LC_ALL": "C", "PGPASSWORD": address.password},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[:1000]
        raise BackupError(f"{program} failed at {address}: {said or f'exit {done.returncode}'}")


def _major(address: PostgresAddress) -> int:
    try:
        with psycopg.connect(address.url()) as connection:
            return connection.info.server_version // 10_000
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        if address.password:
            said = said.replace(address.password, "…")
        raise BackupError(f"the Postgres at {address} cannot be used ({said})") from None


def _program(name: str, server: int) -> str:
    """Return a program that knows the server's release."""
    if server <= int(POSTGRES_MAJOR):
        with suppress(EmbeddedPostgresError):
            return str(installed_binaries() / name)
    found = shutil.which(name)
    if found and _version_of(found) >= server:
        return found
    raise BackupError(
        f"the server is Postgres {server}, which needs {name} {server} or later on the PATH: "
        f"install the package postgresql-client-{server}"
    )


def _version_of(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"(\d+)", said.stdout)
    return int(found[1]) if found else 0
