"""``forecasts`` and ``live_accuracy``: what is promised after each load, and what came of it.

Rows, joins and tables are in ``scalecast_assets/monitoring``, formulas in
``forecasting/live_accuracy.py``. Whether the world has changed is judged in ``checks/world.py``.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from scalecast_assets import keys
from scalecast_assets.assets.comparison import iso
from scalecast_assets.assets.training import OWNERS
from scalecast_assets.checks.guard import require_gates, require_tested_features
from scalecast_assets.contract.bundle import Manifest
from scalecast_assets.contract.challenger import SPLIT
from scalecast_assets.contract.pointers import read_serving
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.forecasting.live_accuracy import Accuracy, ScoredDays
from scalecast_assets.ingest.schema import MONITORING_LOCK, Connection, ensure_schema, locked
from scalecast_assets.monitoring.coming import ComingForecasts
from scalecast_assets.monitoring.handover import HandedOver, hand_over
from scalecast_assets.monitoring.rivals import compared
from scalecast_assets.monitoring.scoring import read_scored_days, score_due_days
from scalecast_assets.monitoring.served import (
    NothingServed,
    Served,
    promised_wape,
    served_manifest,
)
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.pipeline import PipelineResource
from scalecast_assets.resources.turns import wait_for_refresh
from scalecast_assets.resources.warehouse import WarehouseResource


def build_monitoring_assets(feature_gates: Sequence[dg.AssetCheckKey]) -> list[dg.AssetsDefinition]:
    """Return ``forecasts``, and ``live_accuracy`` behind the gates of the features."""
    return [_forecasts_asset(), _live_accuracy_asset(feature_gates)]


def _forecasts_asset() -> dg.AssetsDefinition:
    @dg.asset(
        name=keys.FORECASTS,
        # The state makes forecasts new, and so does the model: what is served is both.
        deps=[keys.SERVING_STATE, keys.PROMOTED_MODEL],
        group_name=keys.GROUP_MONITORING,
        owners=OWNERS,
        kinds={"onnx", "postgres", "parquet"},
        description=(
            "What the served model promises for each of the coming days, every active series: "
            "`ml.forecasts`, and `forecasts/<origin>/` in the bucket as Parquet and CSV. One row "
            "per origin, model version, store, product and day; a challenger's are in the table, "
            "too, and in the files for the series that it answers for."
        ),
    )
    def forecasts(
        context: dg.AssetExecutionContext,
        warehouse: WarehouseResource,
        store: ObjectStoreResource,
        pipeline: PipelineResource,
    ) -> dg.MaterializeResult[None]:
        # Under the lock the pointers are read, too: who writes last has seen the newest.
        with warehouse.connect() as connection, locked(connection, MONITORING_LOCK):
            ensure_schema(connection)
            try:
                served = Served.read(store.store())
            except NothingServed as nothing:
                context.log.info(f"nothing is forecast: {nothing}")
                return dg.MaterializeResult(metadata={"dagster/row_count": 0, "why": str(nothing)})
            coming, beside = _both(context, served, store.store(), pipeline.horizon_days)
            folder = pipeline.folder("cache/forecasts")
            handed = hand_over(coming, connection, store.store(), folder, beside)
        about = _about_forecasts(coming, handed, store.store())
        if beside is not None:
            about |= {"challenger": beside.model_version, "challenger_rows": len(beside)}
        return dg.MaterializeResult(metadata=about)

    return forecasts


def _both(
    context: dg.AssetExecutionContext, served: Served, store: ObjectStore, horizon_days: int
) -> tuple[ComingForecasts, ComingForecasts | None]:
    """Forecast with the champion, and with the challenger if there is one that can be read.

    In the shadow the challenger answers for no series, though it forecasts all.
    """
    entry = served.challenger
    try:
        rival = served.rival(store)
        if rival is None or entry is None:
            return ComingForecasts.of(served, horizon_days), None
        taken = entry.series_of(served.panel) & (entry.mode == SPLIT)
        beside = ComingForecasts.of(rival, horizon_days, taken)
    except Exception as error:  # its graph may fail in any way; the champion must go on
        context.log.warning(f"the champion forecasts alone, its challenger cannot: {error}")
        return ComingForecasts.of(served, horizon_days), None
    return ComingForecasts.of(served, horizon_days, ~taken), beside


def _about_forecasts(
    coming: ComingForecasts, handed: HandedOver, store: ObjectStore
) -> dict[str, Any]:
    return {
        "dagster/row_count": handed.rows,
        "dagster/relation_identifier": "ml.forecasts",
        "series": len(coming.series),
        "inactive_series": coming.panel.n_series - len(coming.series),
        "origin": iso(coming.origin_day),
        "horizon_days": coming.reached.shape[1],
        "version": coming.model_version,
        "rows_by_source": coming.by_source,
        "parquet": store.url_of(handed.parquet_key),
        "csv": store.url_of(handed.csv_key),
    }


def _live_accuracy_asset(feature_gates: Sequence[dg.AssetCheckKey]) -> dg.AssetsDefinition:
    @dg.asset(
        name=keys.LIVE_ACCURACY,
        deps=[keys.DEMAND_FEATURES, keys.FORECASTS],
        group_name=keys.GROUP_MONITORING,
        owners=OWNERS,
        kinds={"postgres"},
        description=(
            "How far off the promised forecasts were, on days that were open and are final: "
            "`ml.forecast_days` as sums, `ml.live_accuracy` as WAPE and bias by day and store, "
            "each beside the seasonal naive of the same rows."
        ),
    )
    def live_accuracy(
        context: dg.AssetExecutionContext,
        warehouse: WarehouseResource,
        store: ObjectStoreResource,
        pipeline: PipelineResource,
    ) -> dg.MaterializeResult[None]:
        with warehouse.connect() as connection:
            wait_for_refresh(context.instance, context.run.run_id, connection, context.log.info)
        require_gates(context, *feature_gates)
        with warehouse.connect() as connection, locked(connection, MONITORING_LOCK):
            require_tested_features(connection, pipeline.calendar_mode)
            ensure_schema(connection)
            store_days = score_due_days(connection)
            try:
                manifest = served_manifest(store.store())
            except NothingServed as nothing:
                context.log.info(str(nothing))
                return dg.MaterializeResult(
                    metadata={"rows": 0, "store_days_scored": store_days, "why": str(nothing)}
                )
            scored = read_scored_days(connection, manifest.version, pipeline.horizon_days)
            beside = _about_challenger(connection, store.store(), manifest.version)
        return dg.MaterializeResult(
            metadata={
                "store_days_scored": store_days,
                **_about_accuracy(scored, manifest),
                **beside,
            }
        )

    return live_accuracy


def _about_accuracy(scored: ScoredDays, manifest: Manifest) -> dict[str, Any]:
    overall = scored.overall()
    figures = _figures(overall) | {"promised_wape": promised_wape(manifest)}
    return {
        "rows": overall.rows,
        "version": manifest.version,
        **{name: value for name, value in figures.items() if value is not None},
        "by_day": _table("day", scored.by_day()),
        "by_horizon": _table("horizon", scored.by_horizon()),
    }


def _about_challenger(connection: Connection, store: ObjectStore, champion: str) -> dict[str, Any]:
    """How the challenger did beside the champion, on all days that both had forecast."""
    held = read_serving(store)
    entry = held.pointer.challenger if held else None
    if entry is None:
        return {}
    found = compared(connection, champion, entry.version)
    figures = {
        "challenger": entry.version,
        "rows_of_both": found.scored_rows if found else 0,
        "challenger_wape": found.challenger_wape if found else None,
        "champion_wape": found.champion_wape if found else None,
    }
    return {name: value for name, value in figures.items() if value is not None}


def _table(label: str, accuracy: dict[Any, Accuracy]) -> dg.TableMetadataValue:
    figures = ("wape", "bias", "naive_wape", "naive_bias")
    columns = [dg.TableColumn(label), dg.TableColumn("rows", "int")]
    columns += [dg.TableColumn(name, "float") for name in figures]
    return dg.MetadataValue.table(
        [
            dg.TableRecord({label: str(one), "rows": found.rows, **_figures(found)})
            for one, found in accuracy.items()
        ],
        schema=dg.TableSchema(columns),
    )


def _figures(accuracy: Accuracy) -> dict[str, float | None]:
    return {name: value for name, value in accuracy._asdict().items() if name != "rows"}
