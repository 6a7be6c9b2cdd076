"""Causes that check records know: an open breaker, and a promotion that a model gate refused.

The rules of raw data are not among them: their verdict is one per file (``files.py``). That nothing
below an open breaker runs is ``checks/guard.py``'s work.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from scalecast_assets import keys
from scalecast_assets.alerting.cause import Cause, Look
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.resources.check_records import latest_evaluation

Gates = Sequence[dg.AssetCheckKey]


@dataclass(frozen=True)
class Refusal:
    """A gate that did not pass when it was evaluated last."""

    gate: dg.AssetCheckKey
    description: str
    run_id: str
    at: datetime

    def __str__(self) -> str:
        reason = f": {self.description}" if self.description else ""
        return f"{name_of(self.gate)} did not pass{reason}"


def name_of(gate: dg.AssetCheckKey) -> str:
    """The gate as people and ``checks/guard.py`` name it."""
    return f"{gate.asset_key.to_user_string()}.{gate.name}"


def refusals(instance: dg.DagsterInstance, gates: Gates) -> list[Refusal]:
    """The gates whose latest evaluation that ended did not pass; warnings are none."""
    found = []
    for gate in gates:
        ended = latest_evaluation(instance, gate)
        if ended is None:
            continue
        judged = ended.evaluation
        if not judged.passed and judged.severity is dg.AssetCheckSeverity.ERROR:
            at = datetime.fromtimestamp(ended.timestamp, UTC)
            found.append(Refusal(gate, _reason(judged), ended.run_id, at))
    return found


def _reason(judged: dg.AssetCheckEvaluation) -> str:
    """The check's own words; a dbt test has none, but counts."""
    rows = judged.metadata.get("dagster_dbt/failed_row_count")
    return judged.description or (f"{rows.value} rows" if rows else "")


def open_breakers(
    instance: dg.DagsterInstance, conn: Connection, breakers: Mapping[str, Gates]
) -> Callable[[Look], Iterator[Cause]]:
    """Find each breaker of which a gate did not pass; a breaker is the gates of one thing."""

    def find(_: Look) -> Iterator[Cause]:
        for breaker, gates in breakers.items():
            if refused := refusals(instance, gates):
                yield _breaker(breaker, refused, conn)

    return find


def _breaker(breaker: str, refused: Sequence[Refusal], conn: Connection) -> Cause:
    files = conn.execute(
        "select key from warehouse.file_ledger where run_id = any(%s) order by file_seq limit 20",
        ([one.run_id for one in refused],),
    ).fetchall()
    return Cause(
        kind="breaker_open",
        subject=breaker,
        headline=f"Breaker open: {_names(refused)}",
        what="; ".join(map(str, refused)),
        to_do="Nothing below runs until this passes. Read the check in the Dagster UI, correct "
        "the data or the SQL, and start the job refresh_data.",
        since=min(one.at for one in refused),
        files=tuple(key for (key,) in files),
        run_id=refused[0].run_id,
    )


def refused_promotion(
    instance: dg.DagsterInstance, gates: Gates
) -> Callable[[Look], Iterator[Cause]]:
    """Find the model that the gates refuse now; a model is named by its training set."""

    def find(_: Look) -> Iterator[Cause]:
        if refused := refusals(instance, gates):
            yield _promotion(_training_set(instance, min(one.at for one in refused)), refused)

    return find


def _promotion(trained_on: str, refused: Sequence[Refusal]) -> Cause:
    return Cause(
        kind="promotion_refused",
        subject=trained_on,
        headline=f"Promotion refused: {_names(refused)}",
        what=f"{'; '.join(map(str, refused))}. The model stands on training set {trained_on}.",
        to_do="The model in service stays; nothing is urgent. Read the gates of model_comparison "
        "in the Dagster UI, correct the cause and start the job retrain.",
        since=min(one.at for one in refused),
        run_id=refused[0].run_id,
    )


def _names(refused: Sequence[Refusal]) -> str:
    return ", ".join(name_of(one.gate) for one in refused)


def _training_set(instance: dg.DagsterInstance, at: datetime) -> str:
    """The first digits of the training set that was the latest then.

    Asked of Dagster, which keeps every materialization; ``ml.training_sets`` forgets the earlier
    time of one that is made again.
    """
    made = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(keys.TRAINING_SET), before_timestamp=at.timestamp()),
        limit=1,
    ).records
    materialization = made[0].asset_materialization if made else None
    if materialization is None or "sha256" not in materialization.metadata:
        return "unknown"
    return str(materialization.metadata["sha256"].value)[:12]
