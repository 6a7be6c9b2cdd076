"""The feature assets in Dagster: dbt's tests stop what is below, and the backlog is never lost."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from scalecast_assets import keys
from scalecast_assets.assets.dbt import build_dbt_assets, dbt_arguments, dbt_resource
from scalecast_assets.assets.dbt_manifest import KEPT, DbtProjectError, ensure_manifest
from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from scalecast_assets.resources.warehouse import WarehouseResource
from tests.dbt.warehouse_histories import (
    BEGIN,
    DBT_PROJECT,
    Cells,
    Key,
    Warehouse,
    hand_environment,
)

# dbt warns about things of its own.
pytestmark = pytest.mark.filterwarnings("default")

DATABASE = "dbt_assets"
GATE = dg.AssetCheckKey(dg.AssetKey("demand_data"), "published_rows_reconcile")


@dg.asset(deps=[keys.DEMAND_FEATURES])
def below() -> None:
    """Stands for the training set."""


@dg.asset_check(asset=keys.DEMAND_DATA, name=GATE.name, blocking=True)
def gate() -> dg.AssetCheckResult:
    """Stands for the gates of the ingestion."""
    return dg.AssetCheckResult(passed=True)


@dg.asset
def demand_data() -> None:
    """Stands for the ingestion."""


class Features:
    """The feature assets on a fresh database, between stand-ins of their neighbours."""

    def __init__(self, url: str, home: Path, instance: dg.DagsterInstance) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self.warehouse = Warehouse(self.connection)
        self.instance = instance
        self.home = home
        self.assets = build_dbt_assets(DBT_PROJECT, home, [GATE])
        self._resources = {
            "warehouse": WarehouseResource(url=url),
            "dbt": dbt_resource(DBT_PROJECT),
        }

    def run(
        self, selection: dg.AssetSelection | None = None, **config: Any
    ) -> dg.ExecuteInProcessResult:
        definitions = dg.Definitions(
            assets=[demand_data, self.assets, below],
            asset_checks=[gate],
            jobs=[dg.define_asset_job("job", selection or dg.AssetSelection.all())],
            resources=self._resources,
        )
        return definitions.resolve_job_def("job").execute_in_process(
            run_config={"ops": {"dbt_features": {"config": config}}},
            instance=self.instance,
            raise_on_error=False,
        )

    def backlog(self) -> list[tuple[Any, ...]]:
        return self.connection.execute(
            "select store_id, from_date from warehouse.changed_ranges order by range_id"
        ).fetchall()


@pytest.fixture
def own_database(postgres_server: PostgresServer, template_database: str) -> Iterator[str]:
    """The URL of a fresh database of always the same name: dbt parses anew for another."""
    create_database(postgres_server, DATABASE, template=template_database)
    yield postgres_server.url(DATABASE)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {DATABASE} with (force)")


@pytest.fixture(scope="module")
def parsed(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the project is parsed already: that takes seconds."""
    home = tmp_path_factory.mktemp("parsed")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in hand_environment(postgres_server.url(DATABASE)).items():
            patch.setenv(name, value)
        ensure_manifest(DBT_PROJECT, home)
    return home


@pytest.fixture
def features(
    own_database: str, parsed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Features]:
    for name, value in hand_environment(own_database).items():
        monkeypatch.setenv(name, value)
    shutil.copytree(parsed, tmp_path, dirs_exist_ok=True)
    with dg.DagsterInstance.ephemeral() as instance:
        features = Features(own_database, tmp_path, instance)
        yield features
        features.connection.close()


def days(store: str, first: int, last: int) -> dict[Key, Cells]:
    return {(store, "P", BEGIN + timedelta(days=d)): (1.0, 2.0, False) for d in range(first, last)}


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """The metadata of each materialization, by asset."""
    return {
        event.asset_key.to_user_string(): {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }


def failed_checks(result: dg.ExecuteInProcessResult) -> set[str]:
    return {e.check_name for e in result.get_asset_check_evaluations() if not e.passed}


def break_features(features: Features) -> None:
    """Make every later build leave a quantity that no feature may have."""
    features.connection.execute(
        "create function spoil() returns trigger language plpgsql "
        "as $$begin new.quantity_sold = -1; return new; end$$"
    )
    features.connection.execute(
        "create trigger spoil before insert on features.demand_features "
        "for each row execute function spoil()"
    )


def test_a_build_says_what_it_rebuilt_and_clears_the_backlog(features: Features) -> None:
    features.warehouse.change(days("S", 0, 20) | days("R", 0, 5))
    first = features.run()
    assert first.success
    assert set(materialized(first)) == {
        keys.DEMAND_DATA,
        keys.STG_DEMAND,
        keys.DEMAND_CALENDAR,
        keys.DEMAND_FEATURES,
        "below",
    }
    checks = {e.check_name for e in first.get_asset_check_evaluations()}
    assert checks == {key.name for key in features.assets.check_keys} | {GATE.name}
    assert all(spec.blocking for spec in features.assets.check_specs)
    built = materialized(first)[keys.DEMAND_FEATURES]
    assert built["dagster/row_count"] == built["rows_rebuilt"] == 25
    assert (built["rebuilt"], built["contract"]) == (
        "everything",
        "feature semantics 1, calendar store",
    )
    assert features.backlog() == []

    features.warehouse.change(days("S", 18, 21))
    built = materialized(features.run())[keys.DEMAND_FEATURES]
    assert (built["dagster/row_count"], built["rows_rebuilt"]) == (26, 3)
    assert (built["rebuilt"], built["stores_changed"]) == ("the changed days", 1)
    assert built["changed_from"] == str(BEGIN + timedelta(days=18))
    assert features.backlog() == []

    built = materialized(features.run())[keys.DEMAND_FEATURES]
    assert (built["rows_rebuilt"], built["changed_from"]) == (0, "nothing changed")
    built = materialized(features.run(full_refresh=True))[keys.DEMAND_FEATURES]
    assert (built["rows_rebuilt"], built["rebuilt"]) == (26, "everything")
    assert [path.name for path in (features.home / "dbt").iterdir()] == ["manifest"]


def test_a_failed_dbt_test_stops_what_is_below_and_keeps_the_backlog(features: Features) -> None:
    features.warehouse.change(days("S", 0, 3))
    assert features.run().success
    break_features(features)
    features.warehouse.change(days("S", 2, 4))
    waiting = features.backlog()
    result = features.run()
    assert not result.success
    assert failed_checks(result) == {"features_are_complete_and_in_range"}
    assert "below" not in materialized(result)
    assert features.backlog() == waiting != []
    assert [path.name for path in (features.home / "dbt").iterdir()] == ["manifest"]

    features.connection.execute("drop trigger spoil on features.demand_features")
    mended = features.run()
    assert mended.success
    assert "below" in materialized(mended)
    assert features.backlog() == []


def test_only_the_ranges_seen_before_the_build_are_cleared(features: Features) -> None:
    """A file is published as soon as dbt has begun: features are not known to have it."""
    features.warehouse.change(days("S", 0, 3))
    features.connection.execute(
        "create function late() returns event_trigger language plpgsql as $$begin "
        "insert into warehouse.changed_ranges (store_id, from_date, file_seq) "
        "values ('LATE', '2024-01-01', 2); end$$"
    )
    features.connection.execute(
        "create event trigger late on ddl_command_end when tag in ('CREATE VIEW') "
        "execute function late()"
    )
    assert features.run().success
    assert {store for store, _ in features.backlog()} == {"LATE"}


def test_a_part_of_the_models_or_without_its_tests_clears_nothing(features: Features) -> None:
    features.warehouse.change(days("S", 0, 3))
    assert features.run().success
    features.warehouse.change(days("S", 2, 4))
    waiting = features.backlog()
    calendar_alone = dg.AssetSelection.assets(keys.STG_DEMAND, keys.DEMAND_CALENDAR)
    assert features.run(calendar_alone).success
    assert features.backlog() == waiting
    untested = dg.AssetSelection.assets(
        keys.STG_DEMAND, keys.DEMAND_CALENDAR, keys.DEMAND_FEATURES
    ).without_checks()
    assert features.run(untested).success
    assert features.backlog() == waiting
    assert features.run().success
    assert features.backlog() == []


def test_nothing_is_built_unless_the_ingestions_gates_passed(features: Features) -> None:
    features.warehouse.change(days("S", 0, 3))
    result = features.run(dg.AssetSelection.assets(*features.assets.keys))
    assert not result.success
    assert materialized(result) == {}
    (failure,) = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    assert "published_rows_reconcile has not been evaluated" in str(failure.event_specific_data)
    found = features.connection.execute("select to_regclass('features.stg_demand')").fetchone()
    assert found == (None,)


def test_the_assets_are_named_grouped_and_described(features: Features) -> None:
    specs = {spec.key.to_user_string(): spec for spec in features.assets.specs}
    assert set(specs) == {keys.STG_DEMAND, keys.DEMAND_CALENDAR, keys.DEMAND_FEATURES}
    assert specs[keys.STG_DEMAND].deps == [dg.AssetDep(keys.DEMAND_DATA)]
    for spec in specs.values():
        assert spec.group_name == keys.GROUP_FEATURES
        assert spec.kinds == {"dbt", "postgres"}
        assert spec.owners
        assert spec.description
        assert "One row per (" in spec.description


def test_unit_tests_are_left_to_make_test() -> None:
    usual = dbt_arguments(full_refresh=False)
    assert usual[:3] == ["build", "--exclude-resource-type", "unit_test"]
    assert dbt_arguments(full_refresh=True) == [*usual, "--full-refresh"]


def test_a_project_that_changed_is_parsed_anew_and_one_that_did_not_is_not(
    parsed: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(DBT_PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    shutil.copytree(parsed, tmp_path / "home")
    manifest = ensure_manifest(project, tmp_path / "home")
    first = manifest.stat().st_mtime_ns
    assert ensure_manifest(project, tmp_path / "home").stat().st_mtime_ns == first
    broken = project / "models" / "staging" / "broken.sql"
    broken.write_text("select * from {{ ref('nowhere') }}")
    with pytest.raises(DbtProjectError, match="nowhere"):
        ensure_manifest(project, tmp_path / "home")
    assert manifest.stat().st_mtime_ns == first, "what was parsed before is still there, whole"
    assert {path.name for path in manifest.parent.iterdir()} == {".lock", *KEPT}
