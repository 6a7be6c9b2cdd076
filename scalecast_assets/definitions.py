"""The whole graph at a glance: assets, checks, jobs and resources, put together from settings.

``build_definitions(settings, **overrides)`` replaces resources by name, for tests. ``defs`` is what
Dagster loads; it reads the environment when it is called, not at import.
"""

import os
from collections.abc import Set
from typing import Any

import dagster as dg

from scalecast_assets.alerting.freshness import expect_fresh
from scalecast_assets.alerting.sensor import build_alert_sensor
from scalecast_assets.assets.comparison import build_comparison_asset
from scalecast_assets.assets.dbt import build_dbt_assets, dbt_resource
from scalecast_assets.assets.dbt_manifest import DBT_PROJECT
from scalecast_assets.assets.ingestion import RawFormat, demand_data, raw_demand, raw_files
from scalecast_assets.assets.monitoring import build_monitoring_assets
from scalecast_assets.assets.promotion import build_promotion_assets
from scalecast_assets.assets.training import build_training_assets
from scalecast_assets.automation import (
    build_feed_sensor,
    build_jobs,
    build_retraining,
    killed_runs,
)
from scalecast_assets.checks.expectations import raw_demand_suite
from scalecast_assets.checks.gates import MODEL_GATES, build_model_gates
from scalecast_assets.checks.world import build_world_checks
from scalecast_assets.maintenance import build_rebuild_job, build_retention
from scalecast_assets.resources.configured import alert_channels, store_resource
from scalecast_assets.resources.pipeline import PipelineResource
from scalecast_assets.resources.warehouse import WarehouseResource
from scalecast_assets.runtime import attached
from scalecast_assets.settings import PREFIX, Settings, variable


def build_definitions(settings: Settings, **overrides: Any) -> dg.Definitions:
    """Put the graph together; ``overrides`` replace resources by name.

    Nothing connects: the database is the one that SCALECAST_DATABASE_URL names when a run begins.
    """
    features = build_dbt_assets(DBT_PROJECT, settings.home, list(demand_data.check_keys))
    feature_gates = sorted(features.check_keys)
    retrain_requests, schedules = build_retraining(settings.retrain_cron)
    graph = dg.Definitions(
        assets=[
            raw_files,
            raw_demand,
            expect_fresh(demand_data, settings.stale_feed_hours),
            features,
            *build_training_assets(feature_gates),
            build_comparison_asset(),
            *build_promotion_assets(feature_gates),
            *build_monitoring_assets(feature_gates),
        ],
        asset_checks=[
            raw_demand_suite,
            build_model_gates(),
            *build_world_checks(
                drift_threshold=settings.drift_threshold,
                live_error_ratio=settings.live_error_ratio,
            ),
        ],
        jobs=[*build_jobs(), build_rebuild_job()],
        schedules=[*schedules, build_retention(settings, lambda: checks_of(graph))],
        sensors=[
            killed_runs,
            build_feed_sensor(
                interval_seconds=settings.sensor_seconds, running=settings.ingest_on_arrival
            ),
            retrain_requests,
            build_alert_sensor(
                breakers={
                    "demand_data": sorted(demand_data.check_keys),
                    "features": feature_gates,
                },
                model_gates=MODEL_GATES,
                stale_feed_hours=settings.stale_feed_hours,
                announce_cleared=settings.alert_cleared,
            ),
        ],
        # Two cores: the steps themselves use them, so they run one after the other in one process.
        executor=dg.in_process_executor,
        resources=build_resources(settings) | overrides,
    )
    return graph


def checks_of(graph: dg.Definitions) -> Set[dg.AssetCheckKey]:
    """Return every check of the graph, those of dbt's tests included."""
    return graph.resolve_asset_graph().asset_check_keys


def build_resources(settings: Settings) -> dict[str, Any]:
    """Return the resources that the settings describe; the UI shows them, so without secrets."""
    spool = settings.home / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    return {
        "warehouse": WarehouseResource(
            url=dg.EnvVar(variable("database_url")), max_run_hours=settings.max_run_hours
        ),
        "store": store_resource(settings),
        "pipeline": PipelineResource.from_settings(settings),
        "raw_format": RawFormat(
            renames={theirs: ours for ours, theirs in settings.columns.items()},
            spool_dir=str(spool),
        ),
        "dbt": dbt_resource(DBT_PROJECT),
        "alert_channels": alert_channels(settings),
    }


@dg.definitions
def defs() -> dg.Definitions:
    """Build the graph from the environment, for ``workspace.yaml`` and the ``dagster`` command.

    Raises:
        SettingsError: no database is named and none runs in the home.
    """
    settings = Settings.load()
    # Loaded by hand, nobody has told dbt and the resources yet where the database is.
    found = attached(settings).environment
    os.environ.update({name: found[name] for name in found if name.startswith(PREFIX)})
    return build_definitions(settings)
