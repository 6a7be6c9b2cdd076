"""Jobs of looking after what is there: what follows a withdrawal, and the daily purge.

What sets data and training in motion is in ``automation/``; what is purged, and why not more, is in
``retention/``.
"""

from collections.abc import Callable, Set
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from scalecast_assets import keys
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.warehouse import WarehouseResource
from scalecast_assets.retention.policy import Policy
from scalecast_assets.retention.purge import Places, Report, purge
from scalecast_assets.settings import Settings

REBUILD: Final = "rebuild_data"
DAILY: Final = "40 3 * * *"
"""When the purge runs, by UTC."""

_ROWS_SHOWN: Final = 1000


class RetentionConfig(dg.Config):
    """How the purge is run."""

    dry_run: bool = False
    """Only list what would go."""


def policy_of(settings: Settings) -> Policy:
    """What the settings say about keeping."""
    return Policy(
        models=settings.keep_models,
        training_sets_days=settings.keep_training_sets_days,
        states_days=settings.keep_states_days,
        forecasts_days=settings.keep_forecasts_days,
        quarantine_days=settings.keep_quarantine_days,
        logs_days=settings.keep_logs_days,
        alerts_days=settings.keep_alerts_days,
        runs_days=settings.keep_runs_days,
    )


def build_rebuild_job() -> Any:
    """Return the job; Dagster does not export the type of one that is not resolved yet."""
    return dg.define_asset_job(
        REBUILD,
        dg.AssetSelection.assets(
            keys.DEMAND_DATA,
            keys.STG_DEMAND,
            keys.DEMAND_CALENDAR,
            keys.DEMAND_FEATURES,
            keys.SERVING_STATE,
            keys.FORECASTS,
            keys.LIVE_ACCURACY,
        ),
        description="Features, state and forecasts of the warehouse as it is; takes no file.",
    )


def build_retention(
    settings: Settings, known_checks: Callable[[], Set[dg.AssetCheckKey]]
) -> dg.ScheduleDefinition:
    """Return the job ``retention`` on its daily schedule, which runs unless somebody stops it.

    ``known_checks`` tells every check of the graph, once there is one: a purge started by hand
    knows only its own job.
    """
    policy, home = policy_of(settings), settings.home

    @dg.op(description="Remove what nothing needs and is older than the settings keep.")
    def remove_what_is_old(
        context: dg.OpExecutionContext,
        config: RetentionConfig,
        warehouse: WarehouseResource,
        store: ObjectStoreResource,
    ) -> None:
        with warehouse.connect() as conn:
            places = Places(conn, store.store(), home, context.instance, known_checks())
            report = purge(
                places,
                policy,
                now=datetime.now(UTC),
                dry_run=config.dry_run,
                say=context.log.info,
            )
        context.add_output_metadata(_metadata(report))
        if report.failed:
            failed = "; ".join(f"{name}: {why}" for name, why in report.failed.items())
            raise dg.Failure(f"Not everything was removed: {failed}. The next purge tries again.")

    @dg.job(
        executor_def=dg.in_process_executor,
        description="Purge old models, snapshots, states, forecasts, quarantine, alerts, logs and"
        " runs.",
    )
    def retention() -> None:
        remove_what_is_old()

    return dg.ScheduleDefinition(
        name="daily_retention",
        job=retention,
        cron_schedule=DAILY,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


def _metadata(report: Report) -> dict[str, Any]:
    columns = ("area", "name", "items", "bytes", "why")
    shown = report.removed[:_ROWS_SHOWN]
    return {
        "removed": len(report.removed),
        "bytes": report.bytes,
        "notes": report.notes,
        "things": dg.MetadataValue.table(
            [dg.TableRecord({name: getattr(one, name) for name in columns}) for one in shown],
            schema=dg.TableSchema(
                [
                    dg.TableColumn(name, "int" if name in ("items", "bytes") else "string")
                    for name in columns
                ]
            ),
        ),
    }
