"""What ``scalecast status`` says of the feed: what waits in raw/, and who looked there when."""

from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from scalecast_assets.automation.new_raw_files import SENSOR as FEED_SENSOR
from scalecast_assets.automation.retraining import SCHEDULE
from scalecast_assets.automation.retraining import SENSOR as RETRAIN_SENSOR
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.ingest.attempts import read_attempts
from scalecast_assets.ingest.ledger import files_in_state, waiting_objects
from scalecast_assets.ingest.schema import Connection

WATCHED: Final = (FEED_SENSOR, RETRAIN_SENSOR, SCHEDULE)
SHOWN: Final = 5


def read_feed(connection: Connection, store: ObjectStore) -> dict[str, Any]:
    """Read which files nothing is decided on: the whole bucket is listed once."""
    return {
        "in_raw": [info.key for info in waiting_objects(connection, store)],
        "landed": [file.key for file in files_in_state(connection, "landed", "validated")],
        "begun_in_vain": [
            {"key": attempt.key, "attempts": attempt.attempts, "error": attempt.error}
            for attempt in read_attempts(connection)
        ],
    }


def read_ticks() -> list[dict[str, Any]]:
    """Read the last tick of each sensor and schedule that starts runs, of those that ever ticked.

    Needs ``DAGSTER_HOME``.
    """
    found = []
    with dg.DagsterInstance.get() as instance:
        for state in instance.all_instigator_state():
            if state.instigator_name not in WATCHED:
                continue
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
            for tick in ticks:
                found.append(
                    {
                        "name": state.instigator_name,
                        "on": state.is_running,
                        "at": datetime.fromtimestamp(tick.timestamp, UTC).isoformat(),
                        "status": tick.status.value.lower(),
                        "said": tick.skip_reason or "",
                    }
                )
    return sorted(found, key=lambda tick: WATCHED.index(tick["name"]))


def feed_lines(feed: dict[str, Any], ticks: list[dict[str, Any]]) -> list[str]:
    """Say for a person what waits, and when the sensors looked last."""
    lines = [f"Waiting    {_some(feed['in_raw'])} in raw/"] if feed["in_raw"] else []
    if feed["landed"]:
        lines.append(f"Landed     {_some(feed['landed'])}: the next run publishes or refuses them")
    for attempt in feed["begun_in_vain"]:
        why = attempt["error"] or "whoever read it was killed, or is at it"
        lines.append(f"In vain    {attempt['key']}, begun {attempt['attempts']} times: {why}")
    now = datetime.now(UTC)
    for tick in ticks:
        ago = (now - datetime.fromisoformat(tick["at"])).total_seconds()
        said = tick["said"] or {"success": "started a run"}.get(tick["status"], tick["status"])
        off = "" if tick["on"] else " (off)"
        lines.append(f"Sensor     {tick['name']}{off}, {_ago(ago)}: {said[:200]}")
    return lines


def _ago(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {name} ago"
    return f"{max(0.0, seconds):.0f} s ago"


def _some(keys: list[str]) -> str:
    more = len(keys) - SHOWN
    return ", ".join(keys[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
