"""The way back from a backup.

Everything is verified before anything is touched. Objects come first, then the database, then the
pointers: a sidecar never sees one whose model is not there. Broken off, it is started again.

What was made since the backup goes. Files that were delivered since stay: to the restored ledger
they are new, so they are loaded again. Nothing is touched that is not ours.
"""

import os
from pathlib import Path

import psycopg

from scalecast_assets.backup import database
from scalecast_assets.backup.archive import (
    DAGSTER_DUMP,
    DATABASE_DUMP,
    Archive,
    BackupError,
    KeptObject,
    Manifest,
)
from scalecast_assets.backup.making import POINTERS, Counted, Say, databases
from scalecast_assets.contract.layout import MADE_PREFIXES, RAW_PREFIX
from scalecast_assets.contract.store import DirectoryStore, ObjectStore
from scalecast_assets.ingest.merge import is_empty
from scalecast_assets.migrations.upgrade import check_known
from scalecast_assets.resources.configured import store_of
from scalecast_assets.runtime import Runtime, prepare_databases


def verified(folder: Path) -> Manifest:
    """Return the manifest of a backup of which every byte is as it was.

    Raises:
        BackupError: it is none, is damaged, or is of a newer ScaleCast (``SchemaTooNew``).
    """
    archive = Archive(folder)
    manifest = archive.read()
    check_known(manifest.schema, f"The backup {folder}")
    damage = list(archive.damage(manifest))
    if damage:
        more = f" and {len(damage) - 1} more" if len(damage) > 1 else ""
        raise BackupError(
            f"{folder} is damaged, nothing was changed: {damage[0]}{more}. Take another copy of it"
        )
    return manifest


def restore(
    runtime: Runtime, folder: Path, manifest: Manifest, *, force: bool, say: Say, counted: Counted
) -> None:
    """Make database and store what the backup holds.

    Raises:
        BackupError: something is there already and ``force`` is not given, or somebody is at it.
    """
    store = store_of(runtime.settings)
    archive = Archive(folder)
    places = databases(runtime)
    _check_dumps(manifest, set(places))
    address, schemas = places[DATABASE_DUMP]
    with psycopg.connect(address.url(), autocommit=True) as connection:
        database.refuse_others(connection)
        if not force:
            _refuse_to_overwrite(connection, store, runtime)
        _put_objects(store, archive, manifest, counted)
        say(f"{DATABASE_DUMP}: {', '.join(schemas)} to {address}")
        database.drop(connection, schemas)
    database.restore(address, folder / DATABASE_DUMP)
    if DAGSTER_DUMP in places:
        storage, _ = places[DAGSTER_DUMP]
        say(f"{DAGSTER_DUMP} to {storage}")
        database.restore(storage, folder / DAGSTER_DUMP, clean=True)
    prepare_databases(runtime.settings, address)
    for kept in manifest.objects:
        if kept.key in POINTERS:
            store.put(kept.key, archive.object_path(kept.sha256).read_bytes())
    wanted = {kept.key for kept in manifest.objects}
    for prefix in MADE_PREFIXES:
        store.delete_many([info.key for info in store.list(prefix) if info.key not in wanted])


def _check_dumps(manifest: Manifest, wanted: set[str]) -> None:
    found = {kept.name for kept in manifest.dumps}
    if found != wanted:
        raise BackupError(
            f"the backup holds {', '.join(sorted(found))}, these settings expect "
            f"{', '.join(sorted(wanted))}: set SCALECAST_DAGSTER_DATABASE_URL as it was"
        )


def _refuse_to_overwrite(
    connection: "psycopg.Connection[tuple[object, ...]]", store: ObjectStore, runtime: Runtime
) -> None:
    table = connection.execute("select to_regclass('warehouse.demand_data')").fetchone()
    full = table is not None and table[0] is not None and not is_empty(connection)
    if full or next(iter(store.list()), None) is not None:
        place = "the warehouse" if full else runtime.settings.resolved_store_url
        raise BackupError(
            f"{place} is not empty, and would be replaced by the backup. Say --force to mean it; "
            "to be safe, scalecast backup DIR first"
        )


def _put_objects(
    store: ObjectStore, archive: Archive, manifest: Manifest, counted: Counted
) -> None:
    """Upload what is no pointer, the oldest first: that is the order in which raw files count.

    A raw file that is there stays: it is the same, or was delivered anew.
    """
    there = {info.key for info in store.list(RAW_PREFIX)} | set(POINTERS)
    objects = [kept for kept in manifest.objects if kept.key not in there]
    objects.sort(key=lambda kept: (kept.last_modified, kept.key))
    for number, kept in enumerate(objects, start=1):
        store.upload(archive.object_path(kept.sha256), kept.key)
        _date_back(store, kept)
        counted(number, len(objects))


def _date_back(store: ObjectStore, kept: KeptObject) -> None:
    """A file in a folder gets its time back; in a bucket, its place in the order must do."""
    if isinstance(store, DirectoryStore):
        os.utime(store.root / kept.key, (kept.last_modified, kept.last_modified))
