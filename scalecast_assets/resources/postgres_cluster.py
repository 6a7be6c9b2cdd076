"""One Postgres cluster: its files, its settings and its server process.

Nothing here counts users or remembers anything between processes; that is in
``embedded_postgres.py``. The account that runs the server is in ``postgres_account.py``.
"""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import psycopg
from psycopg import sql

from scalecast_assets.resources.postgres_account import (
    POSTGRES_MAJOR,
    EmbeddedPostgresError,
    binaries_for,
    choose_account,
)

WAREHOUSE_DATABASE: Final = "scalecast"
USER: Final = "scalecast"
HOST: Final = "127.0.0.1"

_START_SECONDS: Final = 600  # crash recovery reads up to max_wal_size of log
_STOP_SECONDS: Final = 60
_PORTS: Final = range(20_000, 32_000)  # below the kernel's own range for outgoing connections
_LOG_BYTES_KEPT: Final = 10_000_000

# For bulk loads beside model training on two cores and 8 GB. Commits stay synchronous: the ledger
# promises that what it calls published is on disk. No Unix socket: its path may not exceed 107
# bytes, and homes may be longer.
SETTINGS: Final = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "150",
    "max_locks_per_transaction": "512",  # landing has one partition per file
    "shared_buffers": "512MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "effective_cache_size": "2GB",
    "effective_io_concurrency": "64",
    "random_page_cost": "1.1",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "wal_buffers": "64MB",
    "checkpoint_timeout": "15min",
    "synchronous_commit": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
}


@dataclass(frozen=True)
class PostgresServer:
    """How to reach a running server, as URLs or in libpq's parts."""

    host: str
    port: int
    user: str
    password: str

    def __repr__(self) -> str:
        return f"PostgresServer({self.user}@{self.host}:{self.port})"

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    @property
    def warehouse_url(self) -> str:
        return self.url(WAREHOUSE_DATABASE)


class Cluster:
    """The files and the server process of one cluster, without any counting of users."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        binaries: Path | None = None,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.account = choose_account(self.data)
        self._settings = SETTINGS | dict(settings or {})
        self._binaries = binaries

    def exists(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    def postmaster(self) -> psutil.Process | None:
        """The live server process, told from a stranger with a recycled pid by its folder."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return process if Path(process.cwd()) == self.data.resolve() else None
        except (OSError, ValueError, IndexError, psutil.Error):
            return None

    def create(self, password: str) -> None:
        """Run initdb, beside and then renamed, so that a kill in the middle leaves nothing half."""
        if self.data.exists():
            self._check_version()
            return
        self.folder.mkdir(exist_ok=True, mode=0o700)
        self.account.own(self.folder)
        fresh = self.folder / "data.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        secret = self.folder / "initdb.password"
        write_privately(secret, password)
        self.account.own(secret)
        try:
            done = self._run(
                *("initdb", "-D", fresh.name, "-U", USER, f"--pwfile={secret.name}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
                *(("--no-sync",) if self._settings.get("fsync") == "off" else ()),
            )
        finally:
            secret.unlink()
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise EmbeddedPostgresError(
                f"Could not create the database in {self.folder} as account "
                f"'{self.account.name}': {_last_lines(done.stdout)}{_advice(done.stdout)}"
            )
        with (fresh / "postgresql.conf").open("a") as config:
            config.write("include 'scalecast.conf'\n")
        fresh.rename(self.data)

    def check_owner(self) -> None:
        """Refuse data that the account of the server cannot open, if there are any."""
        owner = self.data.stat().st_uid if self.data.exists() else self.account.uid
        if owner != self.account.uid:
            raise EmbeddedPostgresError(
                f"{self.data} belongs to uid {owner}, but the database has to run as "
                f"'{self.account.name}' (uid {self.account.uid}). Work as its owner, set "
                "SCALECAST_HOME to a home of your own, or hand it over (sudo chown -R)."
            )

    def _check_version(self) -> None:
        version = self.data / "PG_VERSION"
        found = version.read_text().strip() if version.exists() else "none"
        if found != POSTGRES_MAJOR:
            raise EmbeddedPostgresError(
                f"{self.data} was made by Postgres {found}; ScaleCast brings Postgres "
                f"{POSTGRES_MAJOR}. Move the data over with that version's pg_dump, or delete "
                f"{self.folder.parent} to begin with an empty database."
            )

    def start(self, server: PostgresServer) -> PostgresServer:
        """Start the server, on its remembered port if that is free; return its address."""
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES_KEPT:
            self.log.replace(self.log.with_suffix(".log.1"))
        deadline = time.monotonic() + 20
        tripped = False
        while True:
            port = server.port if _is_free(server.port) else _free_port()
            server = PostgresServer(server.host, port, server.user, server.password)
            self._configure(port)
            begin = self.log.stat().st_size if self.log.exists() else 0
            done = self._run(
                *("pg_ctl", "start", "-w", "-t", str(_START_SECONDS)),
                *("-D", self.data.name, "-l", self.log.name),
            )
            if done.returncode == 0:
                if not self.wait_for(server):
                    raise EmbeddedPostgresError(
                        f"Postgres in {self.data} started and ended at once. Its log is {self.log}."
                    )
                return server
            said = self._log_since(begin) or done.stdout
            # Another process took the port, or the children of a killed server still linger.
            passing = "Address already in use" in said or "is still in use" in said
            # A server process that outlived its killed server has dropped an unlogged table: the
            # first recovery trips over what is left of its file, the second does not (16.14).
            if "could not create file" in said and "File exists" in said and not tripped:
                tripped = True
                continue
            if not passing or time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"Postgres in {self.data} did not start: {_last_lines(said)}{_advice(said)} "
                    f"Its log is {self.log}."
                )
            time.sleep(0.3)

    def stop(self) -> None:
        """Stop the server if it runs: politely for a minute, then at once (it recovers later)."""
        for mode in ("fast", "immediate"):
            process = self.postmaster()
            if process is None:
                break
            self._run(
                *("pg_ctl", "stop", "-w", "-t", str(_STOP_SECONDS), "-m", mode),
                *("-D", self.data.name),
            )
        else:
            if (process := self.postmaster()) is not None:
                raise EmbeddedPostgresError(
                    f"Postgres in {self.data} (pid {process.pid}) does not stop; see {self.log}."
                )
        self._clear_leftovers()

    def _clear_leftovers(self) -> None:
        """After a kill: end orphaned server processes, and drop a pid file that names a stranger.

        Postgres looks after a pid file whose process is dead, but respects one whose pid was
        recycled (after a reboot, say) for ever.
        """
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        data = self.data.resolve()
        for process in psutil.process_iter():
            with contextlib.suppress(OSError, psutil.Error):
                if process.name().startswith("postgres") and Path(process.cwd()) == data:
                    process.kill()
        with contextlib.suppress(OSError, ValueError, IndexError):
            if psutil.pid_exists(int(pid_file.read_text().splitlines()[0])):
                pid_file.unlink()

    def wait_for(self, server: PostgresServer) -> bool:
        """Wait until the server answers; false when it has ended, killed perhaps, meanwhile."""
        deadline = time.monotonic() + _START_SECONDS
        while (reason := answers(server)) is not None:
            if self.postmaster() is None:
                return False
            if "password" in reason or time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"Postgres in {self.data} does not answer on port {server.port}: {reason} "
                    f"Its log is {self.log}."
                )
            time.sleep(0.1)
        return True

    def _configure(self, port: int) -> None:
        settings = self._settings | {"port": str(port)}
        with contextlib.suppress(OSError):
            shared = os.statvfs("/dev/shm")
            if shared.f_blocks * shared.f_frsize < 2**30:  # Docker grants 64 MB: too few to sort in
                settings["dynamic_shared_memory_type"] = "mmap"
        lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
        path = self.data / "scalecast.conf"
        write_privately(path, "".join(lines))
        self.account.own(path)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program of Postgres from the cluster's folder, with names relative to it."""
        command: list[str | Path] = [binaries_for(self.account, self._binaries) / program]
        command += arguments
        return self.account.run(command, cwd=self.folder)

    def _log_since(self, begin: int) -> str:
        if not self.log.exists():
            return ""
        with self.log.open("rb") as stream:
            stream.seek(begin)
            return stream.read().decode(errors="replace")


def answers(server: PostgresServer) -> str | None:
    """Return ``None`` if the server lets us in, otherwise its reason for not doing so."""
    try:
        psycopg.connect(server.url("postgres"), connect_timeout=5).close()
    except psycopg.OperationalError as error:
        return str(error).strip() or type(error).__name__
    return None


def create_database(server: PostgresServer, name: str, *, template: str = "template0") -> None:
    """Create the database ``name`` unless it exists."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
            return
        statement = sql.SQL("create database {} template {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def write_privately(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    fresh.replace(path)


def _is_free(port: int) -> bool:
    if port == 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    for port in random.sample(_PORTS, 200):
        if _is_free(port):
            return port
    raise EmbeddedPostgresError(
        f"No free port for Postgres: 200 ports tried between {_PORTS.start} and {_PORTS.stop} on "
        f"{HOST} are all taken."
    )


def _last_lines(text: str, count: int = 4) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-count:]) or "it said nothing."


def _advice(text: str) -> str:
    if "No space left on device" in text:
        return " The disk is full: free about 1 GB, or set SCALECAST_HOME to a larger volume."
    if "Read-only file system" in text:
        return " The file system is read-only: set SCALECAST_HOME to a folder you can write to."
    if "hared memory" in text or "Cannot allocate memory" in text:
        return " Postgres needs about 1 GB of memory: free some, or raise the container's limit."
    return ""
