"""What tests of every room share: a real Postgres, a real S3 endpoint, and a quiet environment.

Makers of raw files are in ``factories_files.py``; what only one room needs is in its conftest.
"""

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from scalecast_assets.ingest.schema import ensure_schema
from scalecast_assets.resources.embedded_postgres import EmbeddedPostgres, PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Before any of these libraries is imported.
os.environ.update(
    DAGSTER_DISABLE_TELEMETRY="yes",
    DBT_SEND_ANONYMOUS_USAGE_STATS="false",
    DO_NOT_TRACK="1",
    GX_ANALYTICS_ENABLED="false",
)

# A shell's background job ignores Ctrl-C, and so would each process that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TEMPLATE = "scalecast_template"


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees the settings it makes, not those of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("SCALECAST_") and name != "SCALECAST_BENCH_DATA":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One embedded Postgres per test process, in a home that the server's account can enter.

    Or the server that TEST_POSTGRES_URL names, for one test process: CI's Postgres 15.
    """
    if named := os.environ.get("TEST_POSTGRES_URL"):
        there = urlsplit(named)
        assert there.hostname
        assert there.username
        assert there.password
        yield PostgresServer(there.hostname, there.port or 5432, there.username, there.password)
        return
    home = Path(tempfile.mkdtemp(prefix="scalecast-tests-"))
    home.chmod(0o755)
    quick = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB"}
    try:
        with EmbeddedPostgres(home, settings=quick) as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of the server's own ``scalecast`` database, shared by the whole session."""
    return postgres_server.warehouse_url


@pytest.fixture(scope="session")
def template_database(postgres_server: PostgresServer) -> str:
    """The name of a database with ScaleCast's schema in it and no rows, to be copied."""
    create_database(postgres_server, TEMPLATE)
    with psycopg.connect(postgres_server.url(TEMPLATE)) as connection:
        ensure_schema(connection)
    return TEMPLATE


@pytest.fixture
def database_url(postgres_server: PostgresServer, template_database: str) -> Iterator[str]:
    """The URL of a fresh database with ScaleCast's schema, dropped after the test."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    create_database(postgres_server, name, template=template_database)
    yield postgres_server.url(name)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """The URL of an S3 endpoint that speaks HTTP, on a free port."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws_environment(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard ``AWS_*`` variables point at the endpoint; nobody's real account is in reach."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def s3_client(aws_environment: None) -> "Iterator[S3Client]":
    """A boto3 client of the endpoint."""
    import boto3

    client = boto3.client("s3")
    yield client
    client.close()


@pytest.fixture
def s3_bucket(s3_client: "S3Client") -> str:
    """The name of a fresh, empty bucket."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def bench_data() -> Path:
    """The folder of the real sales files, which the repository does not carry."""
    folder = os.environ.get("SCALECAST_BENCH_DATA")
    if not folder:
        pytest.skip("set SCALECAST_BENCH_DATA to the folder with the real sales files to run this")
    path = Path(folder)
    assert path.is_dir(), f"SCALECAST_BENCH_DATA names {path}, which is not a folder"
    return path
