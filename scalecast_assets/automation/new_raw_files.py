"""The sensor ``new_raw_files``: what waits under raw/ starts a refresh, one at a time.

It is level-triggered: each tick compares the whole bucket with the whole ledger, so nothing is
missed while the daemon is down, and what a killed run left is taken up. What it sees is read in
``feed.py``, what it does is decided in ``decision.py``; that no effect happens twice is the
ledger's merit. It also observes the external asset `raw_files`, when something has changed.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

import dagster as dg

from scalecast_assets import keys
from scalecast_assets.automation.decision import Decision, Seen, Waiting, decide, sort_out
from scalecast_assets.automation.feed import Bucket, look
from scalecast_assets.automation.jobs import REFRESH_DATA
from scalecast_assets.contract.objects import ObjectInfo
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.turns import INGEST_TAG, UNDER_WAY
from scalecast_assets.resources.warehouse import WarehouseResource

SENSOR: Final = "new_raw_files"
SHOWN: Final = 20
"""Names that an observation lists; of more, the number."""

NOT_TRIED_AGAIN: Final = {"dagster/max_retries": "0"}
"""By Dagster: the next ticks do that, with what waits then."""


@dataclass(frozen=True)
class Cursor:
    """What was there at an earlier tick; without it nothing is lost but the comparison."""

    observed: str = ""
    """Checksum of what the last observation said."""
    started_on: str = ""
    """Checksum of the listing on which the last run was started."""
    arriving: dict[str, str] = field(default_factory=dict)
    """Etags of the files that were still being written at the last tick."""

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Read what ``str`` has written; anything else is an empty cursor."""
        try:
            return cls(**json.loads(text or "{}"))
        except (TypeError, ValueError):
            return cls()

    def __str__(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def build_feed_sensor(*, interval_seconds: int, running: bool) -> dg.SensorDefinition:
    """Return the sensor; it needs the resources ``warehouse`` and ``store``.

    Args:
        running: whether it runs unless somebody stops it, or only when somebody starts it.
    """

    states = dg.DefaultSensorStatus

    @dg.sensor(
        name=SENSOR,
        job_name=REFRESH_DATA,
        minimum_interval_seconds=interval_seconds,
        default_status=states.RUNNING if running else states.STOPPED,
        description="Compares raw/ with the ledger and starts a refresh of the data for the files "
        "on which nothing is decided, the oldest first, one run at a time.",
    )
    def new_raw_files(
        context: dg.SensorEvaluationContext,
        warehouse: WarehouseResource,
        store: ObjectStoreResource,
    ) -> dg.SensorResult:
        before = Cursor.read(context.cursor)
        objects = store.store()
        bucket = Bucket.read(objects)
        listing = checksum([[info.key, info.etag] for info in bucket.files])
        with warehouse.connect() as conn:
            seen = look(
                conn,
                context.instance,
                objects,
                bucket,
                arriving=before.arriving,
                something_new=listing != before.started_on,
            )
        waiting = sort_out(seen)
        decision = decide(seen, waiting)
        observation = observe(seen, waiting)
        observed = checksum([listing, {n: str(v.value) for n, v in observation.metadata.items()}])
        starts = decision.only is not None
        after = Cursor(
            observed=observed,
            started_on=listing if starts else before.started_on,
            arriving={info.key: info.etag for info in waiting.arriving},
        )
        return dg.SensorResult(
            run_requests=[run_request(decision)] if starts else None,
            skip_reason=None if starts else decision.why,
            asset_events=[observation] if observed != before.observed else [],
            cursor=str(after),
        )

    return new_raw_files


def run_request(decision: Decision) -> dg.RunRequest:
    """One refresh of the data. Without a run key, which would forbid to try the same again."""
    assert decision.only is not None
    return dg.RunRequest(
        run_config={"ops": {keys.RAW_DEMAND: {"config": {"only": list(decision.only)}}}},
        tags={**NOT_TRIED_AGAIN, INGEST_TAG: UNDER_WAY, "scalecast/why": decision.why[:250]},
    )


def observe(seen: Seen, waiting: Waiting) -> dg.AssetObservation:
    """What lies in the bucket, and what of it waits for what."""
    newest = seen.files[-1] if seen.files else None
    metadata: dict[str, Any] = {
        "files": len(seen.files),
        "bytes": sum(info.size for info in seen.files),
        "waiting": len(waiting.all),
        "waiting_files": _names(waiting.all),
        "still_being_written": _names(waiting.arriving),
        "begun_in_vain": [
            f"{attempt.key}: {attempt.attempts} times{f', {attempt.error}' * bool(attempt.error)}"
            for attempt in seen.attempts[:SHOWN]
        ],
        "ignored": len(seen.others),
        "ignored_objects": list(seen.others[:SHOWN]),
    }
    if newest:
        metadata["newest_file"] = newest.key
        metadata["newest_modified"] = dg.MetadataValue.timestamp(newest.last_modified)
    return dg.AssetObservation(
        keys.RAW_FILES,
        description="No CSV files, and ignored: see ignored_objects." if seen.others else None,
        metadata=metadata,
    )


def checksum(value: Any) -> str:
    """A short name for anything that JSON can write."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _names(files: tuple[ObjectInfo, ...]) -> list[str]:
    return [info.key for info in files[:SHOWN]]
