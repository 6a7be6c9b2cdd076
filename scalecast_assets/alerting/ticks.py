"""Causes that ticks know: a sensor or schedule whose latest evaluation failed.

This package's own sensor is among them: its failure is told at its next tick.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, Final

import dagster as dg

from scalecast_assets.alerting.cause import Cause, Look
from scalecast_assets.alerting.runs import innermost

LOOK_BACK: Final = 100
"""Ticks to look through for the first of the failures in a row."""


def failing_sensors(
    instance: dg.DagsterInstance, names: Sequence[str] | None = None
) -> Callable[[Look], Iterator[Cause]]:
    """Find each sensor and schedule that is on and fails. ``names``: those the code still has."""

    def find(look: Look) -> Iterator[Cause]:
        for state in instance.all_instigator_state():
            if not state.is_running or (names is not None and state.instigator_name not in names):
                continue
            ticks = instance.get_ticks(
                state.instigator_origin_id, state.selector_id, limit=LOOK_BACK
            )
            failed = _failed_in_a_row(ticks)
            if failed:
                yield _cause(state.instigator_type.value.lower(), state.instigator_name, failed)

    return find


def _failed_in_a_row(ticks: Sequence[Any]) -> list[Any]:
    """The latest ticks that failed, of those that ended; the newest first."""
    ended = (tick for tick in ticks if tick.status.value != "STARTED")
    return list(takewhile(lambda tick: tick.status.value == "FAILURE", ended))


def _cause(what: str, name: str, failed: Sequence[Any]) -> Cause:
    error = innermost(failed[0].error) if failed[0].error else "the tick failed"
    return Cause(
        kind="sensor_failing",
        subject=name,
        headline=f"{what.capitalize()} fails: {name}",
        what=f"The {what} {name} failed when it was evaluated: {error}",
        to_do=f"Until it works, nothing that {name} watches for is noticed; it is tried again by "
        "itself. Read its latest tick under Automation in the Dagster UI and correct the cause.",
        since=datetime.fromtimestamp(failed[-1].timestamp, UTC),
    )
