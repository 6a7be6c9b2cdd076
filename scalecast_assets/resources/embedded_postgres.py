"""The Postgres that ScaleCast brings along: started, shared between processes and stopped here.

One cluster per home, on a loopback port of its own, with a password and the database
``scalecast`` (the warehouse, and Dagster's storage in a schema). Any number of processes may use
it at once; the first starts it, the last stops it, and a killed one is forgotten because its file
lock dies with it. The cluster itself is in ``postgres_cluster.py``; which account runs it, and
where root puts the files, is in ``postgres_account.py``. Whoever sets ``SCALECAST_DATABASE_URL``
needs nothing of this.
"""

import contextlib
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from scalecast_assets.resources.postgres_account import (
    EmbeddedPostgresError,
    cluster_folder,
    forget_vanished_homes,
)
from scalecast_assets.resources.postgres_cluster import (
    HOST,
    USER,
    WAREHOUSE_DATABASE,
    Cluster,
    PostgresServer,
    answers,
    create_database,
    write_privately,
)

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "PostgresServer", "read_running"]


class EmbeddedPostgres:
    """One user's hold on the Postgres of ``home``; a context manager that yields its address."""

    def __init__(
        self,
        home: Path,
        *,
        settings: Mapping[str, str] | None = None,
        binaries: Path | None = None,
    ) -> None:
        """Name the home; nothing happens before ``start``.

        ``settings`` go over those of ``postgres_cluster.SETTINGS`` (when this hold starts the
        server); ``binaries`` takes the place of the ``bin`` folder in the wheel.
        """
        self.home = Path(home).absolute()
        self._settings = dict(settings or {})
        self._binaries = binaries
        self._folder = self.home / "postgres"
        self._hold: IO[str] | None = None
        self._cluster: Cluster | None = None

    def __enter__(self) -> PostgresServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> PostgresServer:
        """Join the running server or start it, creating the cluster if there is none.

        Raises ``EmbeddedPostgresError`` when that is impossible, saying what to do.
        """
        if self._hold is not None:
            return read_running(self.home)
        try:
            self._prepare_folder()
            self._hold = _open_lock(self._folder / "users.lock")
            with _exclusively(self._folder):
                server = self._start()
                fcntl.flock(self._hold, fcntl.LOCK_SH)
                return server
        except BaseException as error:
            with contextlib.suppress(OSError, EmbeddedPostgresError):
                self.stop()
            if isinstance(error, OSError):
                raise EmbeddedPostgresError(
                    f"Cannot keep a database under {self._folder}: {error}. Free some space or "
                    "correct the permissions, set SCALECAST_HOME to a folder you can write to, or "
                    "set SCALECAST_DATABASE_URL to a server of your own."
                ) from error
            raise

    def stop(self) -> None:
        """Let go of the server; the last one to do so stops it. Does nothing if not started."""
        if self._hold is None:
            return
        try:
            with _exclusively(self._folder):
                fcntl.flock(self._hold, fcntl.LOCK_UN)
                if self._cluster is not None and _is_unused(self._hold):
                    self._cluster.stop()
        finally:
            self._release()

    def _release(self) -> None:
        if self._hold is not None:
            self._hold.close()
        self._hold = None

    def _prepare_folder(self) -> None:
        for folder in (self.home, self._folder):
            if not folder.exists():
                folder.mkdir(parents=True, exist_ok=True)
                _adopt(folder)
        probe = self._folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()

    def _keep(self, name: str, text: str) -> None:
        write_privately(self._folder / name, text)
        _adopt(self._folder / name)

    def _start(self) -> PostgresServer:
        if os.geteuid() == 0:
            forget_vanished_homes(lambda folder: Cluster(folder, binaries=self._binaries).stop())
        cluster = Cluster(cluster_folder(self.home), self._settings, self._binaries)
        self._cluster = cluster
        cluster.check_owner()
        known = _read_server(self._folder)
        if cluster.postmaster() is not None and known is not None and cluster.wait_for(known):
            return known
        self._refuse_another_machine()
        server = PostgresServer(HOST, known.port if known else 0, USER, self._password(cluster))
        cluster.stop()
        cluster.create(server.password)
        server = cluster.start(server)
        create_database(server, WAREHOUSE_DATABASE)
        facts = {"host": server.host, "port": server.port, "machine": socket.gethostname()}
        self._keep("server.json", json.dumps(facts))
        return server

    def _refuse_another_machine(self) -> None:
        """A home shared between containers must not get two servers: they cannot see each other."""
        assert self._hold is not None
        facts = _read_json(self._folder / "server.json")
        machine = str(facts.get("machine", socket.gethostname()))
        if machine != socket.gethostname() and not _is_unused(self._hold):
            raise EmbeddedPostgresError(
                f"{self.home} is in use by ScaleCast on '{machine}' (another container?). Stop it "
                "there first, or give this one another SCALECAST_HOME."
            )

    def _password(self, cluster: Cluster) -> str:
        path = self._folder / "password"
        if path.exists():
            return path.read_text().strip()
        if cluster.exists():
            raise EmbeddedPostgresError(
                f"The database in {cluster.data} is there, but its password file {path} is not. "
                f"Put the file back, or delete {self._folder} to begin with an empty database."
            )
        password = secrets.token_urlsafe(24)
        self._keep(path.name, password)
        return password


def read_running(home: Path) -> PostgresServer:
    """The address of the server of ``home``, which another process has started.

    Raises ``EmbeddedPostgresError`` if none runs.
    """
    server = _read_server(Path(home).absolute() / "postgres")
    if server is not None and answers(server) is None:
        return server
    raise EmbeddedPostgresError(
        f"The embedded Postgres of {home} is not running. It runs while 'scalecast up' or "
        "'scalecast run' does; start one of them, or set SCALECAST_DATABASE_URL to a server of "
        "your own."
    )


def _open_lock(path: Path) -> IO[str]:
    stream = path.open("a+")
    _adopt(path)
    return stream


@contextlib.contextmanager
def _exclusively(folder: Path) -> Iterator[None]:
    """Starting, joining and leaving happen one at a time per home."""
    with _open_lock(folder / "change.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_unused(hold: IO[str]) -> bool:
    """Say whether no process holds the server; a killed one does not."""
    try:
        fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(hold, fcntl.LOCK_UN)
    return True


def _adopt(path: Path) -> None:
    """What root creates in somebody's folder belongs to that somebody, who comes back later."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _read_server(folder: Path) -> PostgresServer | None:
    """The address last written by whoever started the server, running or not."""
    facts = _read_json(folder / "server.json")
    try:
        password = (folder / "password").read_text().strip()
        return PostgresServer(str(facts["host"]), int(facts["port"]), USER, password)
    except (FileNotFoundError, KeyError, ValueError):
        return None
