"""A bucket, a ledger and Dagster's memory, and the sensor that looks at them when it is told to."""

from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from scalecast_assets import keys
from scalecast_assets.automation import build_feed_sensor
from scalecast_assets.automation.jobs import REFRESH_DATA
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.warehouse import WarehouseResource
from tests.factories_files import Pipeline

SENSOR = build_feed_sensor(interval_seconds=30, running=True)


@dataclass
class Tick:
    """What one evaluation said."""

    only: list[str] | None
    """The files of the run that it asked for; None: it asked for none."""
    why: str
    seen: dict[str, Any] | None
    """What it observed, if it did."""


@dataclass
class Feed:
    """The sensor over a pipeline whose store may be of either kind."""

    pipeline: Pipeline
    store: ObjectStoreResource
    instance: dg.DagsterInstance
    cursor: str | None = None
    ticks: list[Tick] = field(default_factory=list)

    def tick(self) -> Tick:
        resources = {
            "warehouse": WarehouseResource(url=self.pipeline.url),
            "store": self.store,
        }
        with dg.build_sensor_context(
            self.instance, cursor=self.cursor, resources=resources
        ) as context:
            result = SENSOR(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        tick = Tick(_only(result), _why(result), _seen(result))
        self.ticks.append(tick)
        return tick

    def add_run(
        self, status: dg.DagsterRunStatus, job: str = REFRESH_DATA, **tags: str
    ) -> dg.DagsterRun:
        """A run as Dagster remembers it."""
        run = dagster_run(status, job, **tags)
        self.instance.add_run(run)
        return run

    def materialized(self, *assets: str) -> None:
        for asset in assets:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(asset))


def dagster_run(status: dg.DagsterRunStatus, job: str, **tags: str) -> dg.DagsterRun:
    """A run of any state; ``scalecast_ingest`` becomes the tag ``scalecast/ingest``."""
    location = RegisteredCodeLocationOrigin("scalecast")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job)
    named = {name.replace("_", "/"): value for name, value in tags.items()}
    return dg.DagsterRun(job_name=job, status=status, tags=named, remote_job_origin=origin)


def _only(result: dg.SensorResult) -> list[str] | None:
    requests = result.run_requests or []
    assert len(requests) <= 1, "never two at a time"
    if not requests:
        return None
    config: Any = requests[0].run_config
    only = config["ops"][keys.RAW_DEMAND]["config"]["only"]
    return list(only)


def _why(result: dg.SensorResult) -> str:
    if result.run_requests:
        return result.run_requests[0].tags["scalecast/why"]
    assert isinstance(result.skip_reason, dg.SkipReason)
    return result.skip_reason.skip_message or ""


def _seen(result: dg.SensorResult) -> dict[str, Any] | None:
    events = list(result.asset_events)
    assert len(events) <= 1
    if not events:
        return None
    assert events[0].asset_key == dg.AssetKey(keys.RAW_FILES)
    return {name: value.value for name, value in events[0].metadata.items()}
