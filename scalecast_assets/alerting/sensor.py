"""The sensor ``alerts``: one look every half minute at everything that may be wrong.

It is level-triggered: each look finds all causes that are there now. One that was missed, because
the daemon was down or the look was killed, is found by the next. How a look goes is in
``watch.py``, how causes are found in ``files.py``, ``gates.py``, ``runs.py`` and ``ticks.py``.
"""

from collections.abc import Mapping
from typing import Final

import dagster as dg

from scalecast_assets import keys
from scalecast_assets.alerting.cause import Finder
from scalecast_assets.alerting.files import refused_files, stale_feed, stuck_files
from scalecast_assets.alerting.gates import Gates, open_breakers, refused_promotion
from scalecast_assets.alerting.runs import RunHistory, failed_runs
from scalecast_assets.alerting.ticks import failing_sensors
from scalecast_assets.alerting.watch import Seen, look
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.resources.alerts import AlertChannels
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.warehouse import WarehouseResource

SENSOR: Final = "alerts"
INTERVAL_SECONDS: Final = 30


class LookedInVain(Exception):
    """Some of what may be wrong could not be looked at; the alerts on the rest are sent."""


def build_alert_sensor(
    *,
    breakers: Mapping[str, Gates],
    model_gates: Gates,
    stale_feed_hours: float,
    announce_cleared: bool = False,
) -> dg.SensorDefinition:
    """Return the sensor; it needs ``warehouse``, ``store`` and ``alert_channels``.

    Args:
        breakers: blocking checks of the data, by the name of what they stand in front of.
        model_gates: the blocking checks that a promotion waits for.
        stale_feed_hours: without a published file for so long the feed is stale; 0: never.
        announce_cleared: send a second message when the cause of a delivered alert is gone.
    """
    gates = [*model_gates, *(gate for of_one in breakers.values() for gate in of_one)]
    history = RunHistory(gates, judged_by_file=[keys.RAW_DEMAND])

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells each refused file, open breaker, refused promotion, failed run, stale "
        "feed and failing sensor once to every configured channel.",
    )
    def alerts(
        context: dg.SensorEvaluationContext,
        warehouse: WarehouseResource,
        store: ObjectStoreResource,
        alert_channels: dg.ResourceParam[AlertChannels],
    ) -> dg.SkipReason:
        bucket, instance, repository = store.store(), context.instance, context.repository_def

        def finders(conn: Connection) -> list[Finder]:
            return [
                Finder(("file_refused",), refused_files(conn, bucket)),
                Finder(("file_not_loaded",), stuck_files(conn)),
                Finder(("feed_stale",), stale_feed(conn, stale_feed_hours)),
                Finder(("breaker_open",), open_breakers(instance, conn, breakers)),
                Finder(("promotion_refused",), refused_promotion(instance, model_gates)),
                Finder(("run_failed",), failed_runs(instance, conn, history)),
                Finder(("sensor_failing",), failing_sensors(instance, names_of(repository))),
            ]

        seen = look(
            warehouse.connect, finders, bucket, alert_channels, announce_cleared=announce_cleared
        )
        return _conclude(context, seen)

    return alerts


def names_of(repository: dg.RepositoryDefinition | None) -> list[str] | None:
    """The sensors and schedules that the code has; None where a context does not say."""
    if repository is None:
        return None
    sensors, schedules = repository.sensor_defs, repository.schedule_defs
    return [*(sensor.name for sensor in sensors), *(schedule.name for schedule in schedules)]


def _conclude(context: dg.SensorEvaluationContext, seen: Seen) -> dg.SkipReason:
    problems = [f"{r.channel}: {problem}" for r in seen.reports for problem in r.problems]
    for problem in problems:
        context.log.warning(problem)
    if seen.problems:
        raise LookedInVain("; ".join(seen.problems))
    return dg.SkipReason("; ".join([str(seen), *problems]))
