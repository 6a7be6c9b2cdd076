"""Whoever uses an embedded Postgres: this process, others, and what they see of it."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest

from scalecast_assets.resources import postgres_account
from scalecast_assets.resources.embedded_postgres import (
    EmbeddedPostgres,
    PostgresServer,
)
from scalecast_assets.resources.postgres_cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"fsync": "off", "shared_buffers": "16MB", "wal_buffers": "1MB"}
NOBODY = 65534

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def embedded(home: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(home, settings=QUICK)


def cluster(home: Path) -> Cluster:
    return Cluster(postgres_account.cluster_folder(home))


def ask(server: PostgresServer, query: str) -> object:
    with psycopg.connect(server.warehouse_url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def postmaster_pid(home: Path) -> int:
    process = cluster(home).postmaster()
    assert process is not None, "no server runs"
    return int(process.pid)


def start_user(home: Path, then: str, **options: object) -> subprocess.Popen[str]:
    """Another process that uses the server of ``home``; it prints ``up``, then does ``then``."""
    script = f"""
        import sys, time
        from pathlib import Path
        from scalecast_assets.resources.embedded_postgres import *
        with EmbeddedPostgres(Path(sys.argv[1]), settings={QUICK!r}) as server:
            print("up", flush=True)
            {then}
        print("down", flush=True)
    """
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", textwrap.dedent(script), str(home)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finish(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=60)
    return out


def start_as_nobody(home: Path, then: str = "pass") -> subprocess.Popen[str]:
    """``start_user`` as an ordinary user, by an interpreter that this user can reach."""
    account = postgres_account.Account("nobody", NOBODY, NOBODY)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [Path(sys.executable).resolve(), Path("/usr/bin") / version]
    libraries = Path(psycopg.__file__).parents[1]
    if not (account.can_enter(ROOT) and account.can_enter(libraries)):
        pytest.skip(f"the account nobody can reach neither {ROOT} nor its libraries")
    for python in candidates:
        if python.exists() and account.can_enter(python.parent):
            break
    else:
        pytest.skip(f"the account nobody can reach none of {candidates}")
    path = os.pathsep.join([str(ROOT), str(libraries)])
    script = f"""
        import sys, os
        from pathlib import Path
        from scalecast_assets.resources.embedded_postgres import *
        try:
            with EmbeddedPostgres(Path(sys.argv[1]), settings={QUICK!r}) as server:
                print("up as", os.getuid(), flush=True)
                {then}
        except EmbeddedPostgresError as error:
            print(error)
    """
    return subprocess.Popen(
        [str(python), "-c", textwrap.dedent(script), str(home)],
        env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]},
        cwd="/",
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
