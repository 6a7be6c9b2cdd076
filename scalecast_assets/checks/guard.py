"""The breaker across runs: an asset starts only if every gate above it passed.

A blocking check is a step order inside one run and guards no later one, so each consumer asserts
its own upstream gates here first. The checks themselves are in ``expectations.py``, ``gates.py``
and dbt. This is the one place that touches Dagster's check records.
"""

from collections.abc import Sequence
from typing import Final

import dagster as dg

LOOK_BACK: Final = 100
"""Evaluations of a gate to look through for one that ended; runs that broke off leave none."""


def require_gates(context: dg.AssetExecutionContext, *keys: dg.AssetCheckKey) -> None:
    """Refuse to go on unless each gate passed for the latest materialization of its asset.

    Raises:
        dagster.Failure: naming the gates that failed, were never run, or passed for older data.
    """
    problems = [
        f"{key.asset_key.to_user_string()}.{key.name} {problem}"
        for key in keys
        if (problem := _problem(context.instance, key))
    ]
    if problems:
        raise dg.Failure(
            f"The breaker is open: {'; '.join(sorted(problems))}. Materialize "
            f"{_names(keys)} together with its checks, and correct what they report.",
            allow_retries=False,
        )


def _problem(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> str | None:
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=LOOK_BACK)
    record = next((found for found in history if found.status.value != "PLANNED"), None)
    if record is None or record.evaluation is None:
        return "has not been evaluated"
    if not record.evaluation.passed:
        return "has not passed"
    target = record.evaluation.target_materialization_data
    latest = instance.get_latest_materialization_event(key.asset_key)
    if latest is not None and (target is None or target.timestamp < latest.timestamp):
        return "passed for an older materialization only"
    return None


def _names(keys: Sequence[dg.AssetCheckKey]) -> str:
    return ", ".join(sorted({key.asset_key.to_user_string() for key in keys}))
