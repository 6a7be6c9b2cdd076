"""The feature assets: ``stg_demand``, ``demand_calendar`` and ``demand_features``, built by dbt.

What they compute is SQL, in ``dbt_project``; its data tests are blocking checks of these assets.
Here dbt is run, and the changed ranges that it caught up with are cleared once its tests passed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
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
from scalecast_assets.checks.guard import require_gates
from scalecast_assets.resources.warehouse import WarehouseResource

OWNERS: Final = ["team:demand-forecasting"]
INCREMENTAL: Final = frozenset({keys.DEMAND_CALENDAR, keys.DEMAND_FEATURES})
"""The models that read ``warehouse.changed_ranges``."""

SOURCE_SUFFIXES: Final = {".sql", ".yml", ".yaml", ".csv"}


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
        name="dbt_features",
        dagster_dbt_translator=FeatureTranslator(),
        pool="dbt",
    )
    def dbt_features(
        context: dg.AssetExecutionContext,
        config: FeatureConfig,
        dbt: DbtCliResource,
        warehouse: WarehouseResource,
    ) -> Iterator[Any]:
        require_gates(context, *gates)
        ranges = waiting_ranges(warehouse)
        target = manifest.parent.parent / f"run-{context.run_id}"
        target.mkdir(parents=True, exist_ok=True)
        _copy_partial_parse(manifest.parent, target)
        try:
            yield from (
                dbt.cli(
                    dbt_arguments(full_refresh=config.full_refresh),
                    context=context,
                    target_path=target,
                )
                .stream()
                .fetch_row_counts()
            )
        finally:
            shutil.rmtree(target, ignore_errors=True)
        if _is_whole(context):
            clear_ranges(warehouse, ranges)
            context.log.info(f"caught up with {len(ranges)} changed ranges")

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


def waiting_ranges(warehouse: WarehouseResource) -> list[int]:
    """Return the ids of the changed ranges that features have not caught up with."""
    with warehouse.connect() as connection:
        found = connection.execute("select range_id from warehouse.changed_ranges order by 1")
        return [range_id for (range_id,) in found]


def clear_ranges(warehouse: WarehouseResource, range_ids: Sequence[int]) -> None:
    """Delete these changed ranges and no other: some may have been published meanwhile."""
    with warehouse.connect() as connection:
        connection.execute(
            "delete from warehouse.changed_ranges where range_id = any(%s)", (list(range_ids),)
        )


def ensure_manifest(project_dir: Path, home: Path) -> Path:
    """Return the path of dbt's manifest, parsed anew if a file of the project is younger.

    Raises:
        RuntimeError: dbt cannot parse the project; with dbt's own words.
    """
    target = home.resolve() / "dbt" / "manifest"
    manifest = target / "manifest.json"
    if manifest.exists() and manifest.stat().st_mtime > _youngest(project_dir):
        return manifest
    target.mkdir(parents=True, exist_ok=True)
    places = {
        "--project-dir": project_dir,
        "--profiles-dir": project_dir,
        "--target-path": target,
        "--log-path": target,
    }
    done = subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", "parse"]
        + [str(part) for place in places.items() for part in place],
        # Parsing opens no connection, so it needs no password.
        env={"SCALECAST_PG_PASSWORD": "", **os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(
            f"dbt cannot parse {project_dir}; correct what it says:\n{done.stdout}{done.stderr}"
        )
    manifest.touch()
    return manifest


def _youngest(project_dir: Path) -> float:
    ours = (path for path in project_dir.rglob("*") if path.suffix in SOURCE_SUFFIXES)
    return max(
        path.stat().st_mtime
        for path in ours
        if path.relative_to(project_dir).parts[0] not in {"target", "logs"}
    )


def _copy_partial_parse(source: Path, target: Path) -> None:
    cache = source / "partial_parse.msgpack"
    if cache.exists():
        shutil.copyfile(cache, target / cache.name)


def _is_whole(context: dg.AssetExecutionContext) -> bool:
    """True if this run built both tables and ran all of their tests."""
    definition = context.assets_def
    return {
        key.path[-1] for key in context.selected_asset_keys
    } >= INCREMENTAL and context.selected_asset_check_keys >= set(definition.check_keys)
