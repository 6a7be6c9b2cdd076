"""The breaker across runs: an asset starts only if every gate above it passed.

A blocking check is a step order inside one run and guards no later one, so each consumer asserts
its own upstream gates here first; and since anybody may run dbt by hand, also what the warehouse
itself says of the feature tables. The checks themselves are in ``expectations.py``, ``gates.py``
and dbt; Dagster's records of them are read in ``resources/check_records.py``.
"""

from collections.abc import Sequence

import dagster as dg

from scalecast_assets import keys as names
from scalecast_assets.contract.columns import Calendar
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.resources.changed_ranges import (
    built_contract,
    feature_contract,
    read_backlog,
)
from scalecast_assets.resources.check_records import latest_evaluation


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


def require_tested_features(connection: Connection, calendar: Calendar) -> None:
    """Refuse a feature table of another contract, or one that dbt's tests have not passed on.

    Changed ranges are cleared only when the tests have passed: while one waits, the table is older
    than the data, or was built by hand and nobody tested it.

    Raises:
        dagster.Failure: saying what was expected, what was found, and what to materialize.
    """
    built, expected = built_contract(connection, names.DEMAND_FEATURES), feature_contract(calendar)
    if built != expected:
        raise dg.Failure(
            f"{names.DEMAND_FEATURES}: expected {expected!r}, found {built or 'no contract'!r}. "
            f"Two contracts never meet: run dbt (materialize {names.DEMAND_FEATURES}).",
            allow_retries=False,
        )
    waiting = len(read_backlog(connection).range_ids)
    if waiting:
        raise dg.Failure(
            f"{names.DEMAND_FEATURES}: dbt's tests have not passed on what is in it: {waiting} "
            f"changed ranges wait. Materialize {names.STG_DEMAND}, {names.DEMAND_CALENDAR} and "
            f"{names.DEMAND_FEATURES} with their checks.",
            allow_retries=False,
        )


def _problem(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> str | None:
    found = latest_evaluation(instance, key)
    if found is None:
        return "has not been evaluated"
    if not found.evaluation.passed:
        return "has not passed"
    target = found.evaluation.target_materialization_data
    latest = instance.get_latest_materialization_event(key.asset_key)
    if latest is not None and (target is None or target.timestamp < latest.timestamp):
        return "passed for an older materialization only"
    return None


def _names(keys: Sequence[dg.AssetCheckKey]) -> str:
    return ", ".join(sorted({key.asset_key.to_user_string() for key in keys}))
