"""The feature assets: ``stg_demand``, ``demand_calendar`` and ``demand_features``, built by dbt.

What they compute is SQL, in ``dbt_project``; its data tests are blocking checks of these assets.
Here dbt is run, and the changed ranges that it caught up with are cleared once its tests passed.
"""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dagster as dg
from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliResource,
    DbtProject,
    dbt_assets,
)

from scalecast_assets import keys
from scalecast_assets.assets.dbt_manifest import ensure_manifest
from scalecast_assets.checks.guard import require_gates
from scalecast_assets.ingest.schema import Connection, locked
from scalecast_assets.resources.changed_ranges import (
    Backlog,
    clear_backlog,
    describe_build,
    read_backlog,
    table_identity,
)
from scalecast_assets.resources.turns import DBT_STEP, FEATURES_LOCK, ingest_is_over
from scalecast_assets.resources.warehouse import WarehouseResource

OWNERS: Final = ["team:demand-forecasting"]
INCREMENTAL: Final = frozenset({keys.DEMAND_CALENDAR, keys.DEMAND_FEATURES})
"""The models that read ``warehouse.changed_ranges``."""


class FeatureConfig(dg.Config):  # type: ignore[misc, unused-ignore]
    """How the features are built."""

    full_refresh: bool = False
    """Rebuild both tables from the start; the rows come out the same."""


class FeatureTranslator(DagsterDbtTranslator):
    """A model's asset is named as the model; the rest says where it belongs and whose it is."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        """Return dbt's own spec with our key, group, owners and kinds."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        if not unique_id.startswith("model."):
            return spec
        return spec.replace_attributes(
            key=dg.AssetKey(unique_id.rsplit(".", 1)[-1]),
            group_name=keys.GROUP_FEATURES,
            owners=OWNERS,
            kinds={"dbt", "postgres"},
        )


def build_dbt_assets(
    project_dir: Path, home: Path, gates: Sequence[dg.AssetCheckKey] = ()
) -> dg.AssetsDefinition:
    """Return the three feature assets with dbt's data tests as their blocking checks.

    They refuse to run unless each of ``gates`` passed for the latest ``demand_data``. Needs the
    resources ``dbt`` (``dbt_resource``) and ``warehouse``. Everything dbt writes is under ``home``.
    """
    manifest = ensure_manifest(project_dir, home)

    @dbt_assets(
        manifest=manifest,
        name=DBT_STEP,
        dagster_dbt_translator=FeatureTranslator(),
    )
    def dbt_features(
        context: dg.AssetExecutionContext,
        config: FeatureConfig,
        dbt: DbtCliResource,
        warehouse: WarehouseResource,
    ) -> Iterator[Any]:
        require_gates(context, *gates)
        arguments = dbt_arguments(full_refresh=config.full_refresh)
        done: set[str | None] = set()
        with (
            warehouse.connect() as connection,
            locked(connection, FEATURES_LOCK),
            _target_folder(manifest, context.run.run_id) as target,
        ):
            backlog = read_backlog(connection)
            before = {table: table_identity(connection, table) for table in INCREMENTAL}
            for event in dbt.cli(arguments, context=context, target_path=target).stream():
                done.add(_what_is_done(event))
                yield _with_evidence(event, connection, backlog, before)
            # Of the whole definition: the context's holds only what was selected.
            if not done >= INCREMENTAL | {key.name for key in dbt_features.check_keys}:
                return
            clear_backlog(connection, backlog)
        context.log.info(f"caught up with {len(backlog.range_ids)} changed ranges")
        ingest_is_over(context.instance, context.run)

    return dbt_features


def dbt_resource(project_dir: Path) -> DbtCliResource:
    """Return the dbt command line of this environment, on ``project_dir``."""
    executable = Path(sys.executable).with_name("dbt")
    return DbtCliResource(
        project_dir=str(project_dir),
        profiles_dir=str(project_dir),
        dbt_executable=str(executable) if executable.exists() else "dbt",
    )


def dbt_arguments(*, full_refresh: bool) -> list[str]:
    """Return what dbt is asked: models and data tests; its unit tests are for ``make test``."""
    build = ["build", "--exclude-resource-type", "unit_test"]
    return [*build, "--full-refresh"] if full_refresh else build


@contextmanager
def _target_folder(manifest: Path, run_id: str) -> Iterator[Path]:
    """A folder for what one dbt call writes, removed after it; those of killed runs go first."""
    target = manifest.parent.parent / f"run-{run_id}"
    for left in target.parent.glob("run-*"):
        shutil.rmtree(left, ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    parsed = manifest.parent / "partial_parse.msgpack"
    if parsed.exists():
        shutil.copyfile(parsed, target / parsed.name)
    try:
        yield target
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _with_evidence(
    event: Any, connection: Connection, backlog: Backlog, before: Mapping[str, int | None]
) -> Any:
    """A table's materialization says what was rebuilt; other events pass as they are."""
    table = event.output_name if isinstance(event, dg.Output) else None
    if table not in INCREMENTAL:
        return event
    anew = table_identity(connection, table) != before[table]
    evidence = describe_build(connection, table, backlog, from_the_start=anew)
    return event.with_metadata({**event.metadata, **evidence})


def _what_is_done(event: Any) -> str | None:
    """Name the model that was built or the check that passed, as a part of having caught up."""
    if isinstance(event, dg.AssetCheckResult):
        return event.check_name if event.passed else None
    return event.output_name if isinstance(event, dg.Output) else None
