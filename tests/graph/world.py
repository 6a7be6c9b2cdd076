"""A finished pipeline in this process: the graph was run once, and tests alter copies of it."""

import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from scalecast_assets import keys
from scalecast_assets.contract.bundle import read_manifest
from scalecast_assets.contract.pointers import Held, ServingPointer, read_serving
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.definitions import build_definitions
from scalecast_assets.forecasting import artefact
from scalecast_assets.promotion.publishing import publish_bundle
from scalecast_assets.promotion.switching import promote
from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from scalecast_assets.runtime import Runtime
from scalecast_assets.settings import Settings

BUDGETS = {keys.RANDOM_FOREST: 400, keys.PYTORCH_NN: 300}


@dataclass
class World:
    """A home, a database and Dagster's memory of what was run in them."""

    home: Path
    database: str
    database_url: str
    instance: dg.DagsterInstance
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        return Settings(
            home=self.home,
            database_url=self.database_url,
            fit_rows=BUDGETS,
            tune_rows={keys.RANDOM_FOREST: BUDGETS[keys.RANDOM_FOREST]},
            **self.more,
        )

    @property
    def store(self) -> DirectoryStore:
        return DirectoryStore(self.home / "store")

    @property
    def pointer(self) -> ServingPointer | None:
        held = self.held
        return held.pointer if held else None

    @property
    def held(self) -> Held[ServingPointer] | None:
        return read_serving(self.store)

    @property
    def versions(self) -> list[str]:
        return sorted(path.name for path in (self.home / "store" / "models").iterdir())

    @property
    def training_set(self) -> str:
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(
                "select sha256 from ml.training_sets order by made_at desc limit 1"
            ).fetchone()
        assert row is not None
        return str(row[0])

    def execute(self, sql: str) -> int:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(sql.encode()).rowcount

    @property
    def environment(self) -> Mapping[str, str]:
        return Runtime(
            self.settings, self.database_url, self.database_url, self.home / "dagster"
        ).environment

    def run(self, *assets: str) -> dg.ExecuteInProcessResult:
        """Materialize these assets with their checks; none named: "Materialize all"."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            definitions = build_definitions(self.settings)
            job = definitions.resolve_implicit_global_asset_job_def()
            return job.execute_in_process(
                instance=self.instance,
                asset_selection=[dg.AssetKey(name) for name in assets] or None,
                raise_on_error=False,
            )

    def serve_weak_champion(self) -> str:
        """A colleague serves the naive baseline, fitted on this training set; its version."""
        held = read_serving(self.store)
        assert held is not None
        manifest, _ = read_manifest(self.store, held.pointer.version)
        folder = artefact.folder_of(manifest.training_set, keys.NAIVE_BASELINE)
        naive = artefact.load(self.store, folder)
        fields = {
            name: value
            for name, value in vars(manifest).items()
            if name not in ("version", "files", "created_at")
        }
        fields |= {"candidate": keys.NAIVE_BASELINE, "params": naive.params}
        fields["raw_files"] = [vars(file) for file in manifest.raw_files]
        files = {
            "model.onnx": artefact.load_file(self.store, folder, naive, "model.onnx"),
            "encoders.json": self.store.get(f"models/{held.pointer.version}/encoders.json").body,
        }
        version = publish_bundle(self.store, files, fields).version
        promote(self.store, version, held)
        return version


@contextmanager
def remembering(home: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's memory as files of the home: what a copy's runs leave there is no other world's."""
    memory = home / "memory"
    memory.mkdir(parents=True, exist_ok=True)
    with dg.DagsterInstance.local_temp(str(memory)) as instance:
        yield instance


@contextmanager
def copy_of(world: World, server: PostgresServer, folder: Path) -> Iterator[World]:
    """A world that began as a copy of another and can be broken without harm."""
    name = f"world_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        # Engines that Great Expectations has left open; a template must have no other session.
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
            (world.database,),
        )
    create_database(server, name, template=world.database)
    home = folder / "home"
    shutil.copytree(world.home, home)
    with remembering(home) as instance:
        yield World(home, name, server.url(name), instance)
    drop_database(server, name)


def drop_database(server: PostgresServer, name: str) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f'drop database if exists "{name}" with (force)'.encode())


def failed_checks(result: dg.ExecuteInProcessResult) -> set[str]:
    """Names of the checks that did not pass, warnings left out."""
    return {
        found.check_name
        for found in result.get_asset_check_evaluations()
        if not found.passed and found.severity is dg.AssetCheckSeverity.ERROR
    }


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Why each failed step failed, with every cause."""
    found = {}
    for event in result.all_events:
        if event.is_step_failure and event.step_key:
            data = event.step_failure_data
            user = data.user_failure_data
            text = data.error.to_string() if data.error else ""
            found[event.step_key] = f"{user.description if user else ''}\n{text}"
    return found


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Metadata of each asset that was materialized."""
    return {
        event.asset_key.to_user_string(): {
            name: value.records if isinstance(value, dg.TableMetadataValue) else value.value
            for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }
