"""Making a backup while everything goes on.

The dump is of one moment. Objects are never changed under their key, and the database names none
before it is there; so objects are copied after it. What moves are the two pointers: while they do,
the dump is made anew.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Final

from scalecast_assets.backup import database
from scalecast_assets.backup.archive import (
    DAGSTER_DUMP,
    DATABASE_DUMP,
    Archive,
    BackupError,
    KeptObject,
    Manifest,
    new_archive,
)
from scalecast_assets.contract.layout import MODEL_POINTER, STATE_POINTER
from scalecast_assets.contract.pointers import read_serving
from scalecast_assets.contract.store import ObjectNotFound, ObjectStore
from scalecast_assets.migrations.upgrade import HEAD
from scalecast_assets.resources.configured import store_of
from scalecast_assets.resources.postgres_address import (
    HANDED_ON,
    PATIENCE,
    PSYCOPG2,
    PostgresAddress,
)
from scalecast_assets.runtime import DAGSTER_SCHEMA, Runtime

POINTERS: Final = (MODEL_POINTER, STATE_POINTER)
SCHEMAS: Final = ("landing", "warehouse", "features", "ml")
_TRIES: Final = 3

Say = Callable[[str], None]
Counted = Callable[[int, int], None]
"""Told of each object: how many are done, and how many there are."""


def databases(runtime: Runtime) -> dict[str, tuple[PostgresAddress, tuple[str, ...]]]:
    """Return what is dumped: file, address and schemas."""
    warehouse = PostgresAddress.parse(runtime.database_url)
    if runtime.settings.dagster_database_url is None:
        return {DATABASE_DUMP: (warehouse, (*SCHEMAS, DAGSTER_SCHEMA))}
    url = runtime.dagster_database_url.replace(PSYCOPG2, "", 1)
    storage = PostgresAddress.parse(url, (*HANDED_ON, *PATIENCE, "options"))
    own = (database.schema_of(storage),)
    return {DATABASE_DUMP: (warehouse, SCHEMAS), DAGSTER_DUMP: (storage, own)}


def make(runtime: Runtime, folder: Path, *, force: bool, say: Say, counted: Counted) -> Manifest:
    """Copy database and store into a new folder.

    Raises:
        BackupError: the folder holds something, a dump fails, or models are published all the time.
    """
    store = store_of(runtime.settings)
    archive = new_archive(folder, force=force)
    pointers = _dump_while_nothing_moves(runtime, store, archive, say)
    objects = list(_keep_objects(store, archive, pointers, counted))
    served = read_serving(store)
    manifest = Manifest(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        release=version("scalecast-pipeline"),
        schema=HEAD,
        served=served.pointer.version if served else None,
        dumps=[archive.describe(name) for name in databases(runtime)],
        objects=objects,
    )
    archive.finish(manifest)
    return manifest


def _dump_while_nothing_moves(
    runtime: Runtime, store: ObjectStore, archive: Archive, say: Say
) -> dict[str, bytes]:
    for _ in range(_TRIES):
        before = _pointers(store)
        for name, (address, schemas) in databases(runtime).items():
            say(f"{name}: {', '.join(schemas)} of {address}")
            database.dump(address, schemas, archive.fresh(name))
        if _pointers(store) == before:
            return before
        say("a model or its state was published meanwhile: once more")
    raise BackupError(
        f"a model or its state was published during each of {_TRIES} dumps; try again when no run "
        "is under way"
    )


def _pointers(store: ObjectStore) -> dict[str, bytes]:
    found = {}
    for key in POINTERS:
        with suppress(ObjectNotFound):
            found[key] = store.get(key).body
    return found


def _keep_objects(
    store: ObjectStore, archive: Archive, pointers: Mapping[str, bytes], counted: Counted
) -> "list[KeptObject]":
    listed = list(store.list())
    kept = []
    for number, info in enumerate(listed, start=1):
        try:
            if info.key in POINTERS:
                if info.key not in pointers:
                    continue  # The first model, published after the dump.
                sha256, size = archive.keep(BytesIO(pointers[info.key]))
            else:
                with store.open(info.key) as source:
                    sha256, size = archive.keep(source)
        except ObjectNotFound:
            continue  # Purged meanwhile: nothing needed it.
        kept.append(KeptObject(info.key, sha256, size, info.last_modified.timestamp()))
        counted(number, len(listed))
    return kept
