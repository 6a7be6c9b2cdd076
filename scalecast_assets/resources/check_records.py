"""What Dagster remembers of an asset check: the one place that reads its check records.

Who may go on because of them is decided in ``checks/guard.py``; who is told, in ``alerting``.
"""

from dataclasses import dataclass
from typing import Final

import dagster as dg

LOOK_BACK: Final = 100
"""Evaluations of a check to look through for one that ended; runs that broke off leave none."""


@dataclass(frozen=True)
class Ended:
    """An evaluation that ended: what was found, by which run, and when (seconds since 1970)."""

    evaluation: dg.AssetCheckEvaluation
    run_id: str
    timestamp: float


def latest_evaluation(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> Ended | None:
    """Return the evaluation of the check that ended last; None if none ever did.

    The history is in the order in which runs were made, and a queued run may be overtaken.
    """
    history = instance.event_log_storage.get_asset_check_execution_history(check, limit=LOOK_BACK)
    ended = [
        Ended(found.evaluation, found.run_id, found.event.timestamp)
        for found in history
        if found.status.value != "PLANNED" and found.evaluation and found.event
    ]
    return max(ended, key=lambda one: one.timestamp, default=None)
