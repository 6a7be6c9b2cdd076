"""Backups of a bucket and a server of one's own, made while others publish, and brought back."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from scalecast_assets.backup import database, making
from scalecast_assets.backup.archive import Archive, BackupError, Manifest
from scalecast_assets.backup.restoring import restore, verified
from scalecast_assets.contract.layout import STATE_POINTER
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.migrations.upgrade import SchemaTooNew
from scalecast_assets.resources.configured import store_of
from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from scalecast_assets.runtime import running
from scalecast_assets.settings import Settings
from tests.migrations.record import ROWS, dump

OBJECTS = {
    "raw/ü (1).csv": b"rows",
    "archive/sha256/ab/x": b"rows",
    f"raw/{'long' * 60}.csv": b"more rows",
    "models/1.0.0/model.onnx": b"\0" * 100_000,
    STATE_POINTER: b'{"state": 1}',
}


@pytest.fixture
def dagster_url(postgres_server: PostgresServer) -> Iterator[str]:
    name = f"dagster_{uuid.uuid4().hex[:12]}"
    create_database(postgres_server, name)
    yield postgres_server.url(name)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def settings(database_url: str, dagster_url: str, s3_bucket: str, tmp_path: Path) -> Settings:
    """A bucket with objects, a database with rows, and Dagster's storage in one of its own."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(ROWS)
    with psycopg.connect(dagster_url, autocommit=True) as connection:
        connection.execute("create table runs as select 7 as run_id")
    settings = Settings(
        home=tmp_path / "home",
        database_url=database_url,
        dagster_database_url=dagster_url,
        store_url=f"s3://{s3_bucket}/a prefix",
    )
    for key, body in OBJECTS.items():
        store_of(settings).put(key, body)
    return settings


def make(settings: Settings, folder: Path) -> Manifest:
    with running(settings) as runtime:
        return making.make(
            runtime, folder, force=False, say=lambda text: None, counted=lambda done, of: None
        )


def bring_back(settings: Settings, folder: Path, *, force: bool) -> None:
    with running(settings, prepare=False) as runtime:
        restore(
            runtime,
            folder,
            verified(folder),
            force=force,
            say=lambda text: None,
            counted=lambda done, of: None,
        )


def objects(store: ObjectStore) -> dict[str, bytes]:
    return {info.key: store.get(info.key).body for info in store.list()}


def test_bucket_and_databases_come_back_as_they_were_and_no_file_delivered_since_is_lost(
    settings: Settings, database_url: str, dagster_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    before = dump(database_url)
    manifest = make(settings, folder)
    assert [kept.name for kept in manifest.dumps] == ["database.dump", "dagster.dump"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("delete from warehouse.demand_data; drop schema ml cascade")
    with psycopg.connect(dagster_url, autocommit=True) as connection:
        connection.execute("update runs set run_id = 8")
    store = store_of(settings)
    store.delete("models/1.0.0/model.onnx")
    store.put(STATE_POINTER, b'{"state": 2}')
    store.put("models/1.1.0/model.onnx", b"made since")
    since = {
        "raw/later.csv": b"delivered since",
        "raw/ü (1).csv": b"delivered anew",
        "archive/sha256/cd/y": b"later",
        "somebody else's/photo.jpg": b"not ours",
    }
    for key, body in since.items():
        store.put(key, body)
    with pytest.raises(BackupError, match="is not empty, and would be replaced"):
        bring_back(settings, folder, force=False)
    bring_back(settings, folder, force=True)
    assert dump(database_url) == before
    assert objects(store) == OBJECTS | since
    with psycopg.connect(dagster_url) as connection:
        assert connection.execute("select run_id from runs").fetchall() == [(7,)]


def test_a_pointer_that_moves_has_the_dump_made_anew(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dumped = []
    real = database.dump

    def meanwhile(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        dumped.append(arguments)
        if len(dumped) == 1:
            store_of(settings).put(STATE_POINTER, b'{"state": 2}')

    monkeypatch.setattr(database, "dump", meanwhile)
    manifest = make(settings, tmp_path / "kept")
    assert len(dumped) == 4, "two databases, twice"
    pointer = next(kept for kept in manifest.objects if kept.key == STATE_POINTER)
    kept = Archive(tmp_path / "kept").object_path(pointer.sha256)
    assert kept.read_bytes() == b'{"state": 2}'


def test_while_models_are_published_all_the_time_there_is_no_backup(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*arguments: object) -> None:
        store_of(settings).put(STATE_POINTER, uuid.uuid4().bytes)

    monkeypatch.setattr(database, "dump", meanwhile)
    with pytest.raises(BackupError, match="during each of 3 dumps"):
        make(settings, tmp_path / "kept")
    with pytest.raises(BackupError, match="broken off"):
        verified(tmp_path / "kept")


def test_a_backup_of_a_newer_release_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "HEAD", "0999")
    make(settings, tmp_path / "kept")
    with pytest.raises(SchemaTooNew, match=r"The backup .* has schema 0999"):
        verified(tmp_path / "kept")


def test_a_dump_that_fails_names_the_program_and_no_password(
    settings: Settings, database_url: str, tmp_path: Path
) -> None:
    from scalecast_assets.resources.postgres_address import PostgresAddress

    address = PostgresAddress.parse(database_url)
    with pytest.raises(BackupError, match=r"pg_dump failed at 127\.0\.0\.1") as raised:
        database.dump(address, ["no_such_schema"], tmp_path / "x.dump")
    assert address.password not in str(raised.value)


def test_a_server_newer_than_ours_needs_its_own_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match="install the package postgresql-client-18"):
        database._program("pg_dump", 18)
    own = tmp_path / "pg_dump"
    own.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 18.4'\n")
    own.chmod(0o755)
    assert database._program("pg_dump", 18) == str(own)
