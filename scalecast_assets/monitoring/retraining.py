"""What monitoring concludes, kept in schema ``ml``: measured drift, and requests to retrain.

A cause asks once about one model. The sensor in ``automation/retraining.py`` starts a run for what
waits; whichever run trains takes it, and a comparison that has ended clears what it has answered.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import class_row

from scalecast_assets.contract.bundle import Manifest
from scalecast_assets.forecasting.drift import Drift
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.monitoring.comparable_rows import NewDays

Cause = Literal["drift", "live_error"]
Asker = Literal["schedule", "person"]


@dataclass(frozen=True)
class RetrainRequest:
    """One row of ``ml.retrain_requests`` that nobody has taken yet."""

    request_id: int
    cause: Cause | Asker
    model_version: str
    """The one it is about; empty where it is about none."""
    reason: str
    evidence: dict[str, Any]
    run_id: str
    requested_at: datetime


def record_drift(
    connection: Connection, drift: Drift, days: NewDays, manifest: Manifest, threshold: float
) -> None:
    """Write the index of every feature for the last of the new days; again replaces."""
    common = asdict(drift) | {
        "data_since": days.since,
        "data_until": days.until,
        "model_version": manifest.version,
        "training_set_sha256": manifest.training_set,
        "threshold": threshold,
    }
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            """
            insert into ml.drift (
                data_until, model_version, feature, psi, chance, threshold, mean, reference_mean,
                data_since, rows, reference_rows, unmatched_rows, training_set_sha256
            ) values (
                %(data_until)s, %(model_version)s, %(feature)s, %(psi)s, %(chance)s, %(threshold)s,
                %(mean)s, %(reference_mean)s, %(data_since)s, %(rows)s, %(reference_rows)s,
                %(unmatched_rows)s, %(training_set_sha256)s
            )
            on conflict (data_until, model_version, feature) do update set
                psi = excluded.psi,
                chance = excluded.chance,
                threshold = excluded.threshold,
                mean = excluded.mean,
                reference_mean = excluded.reference_mean,
                data_since = excluded.data_since,
                rows = excluded.rows,
                reference_rows = excluded.reference_rows,
                unmatched_rows = excluded.unmatched_rows,
                training_set_sha256 = excluded.training_set_sha256
            """,
            [{**common, **feature._asdict()} for feature in drift.features],
        )


def request_retraining(
    connection: Connection,
    cause: Cause,
    model_version: str,
    *,
    reason: str,
    evidence: Mapping[str, Any],
    run_id: str,
) -> bool:
    """Ask for a new model; return whether this is new: a cause asks once about one model."""
    asked = connection.execute(
        """
        insert into ml.retrain_requests (cause, model_version, reason, evidence, run_id)
        values (%s, %s, %s, %s, %s)
        on conflict do nothing
        """,
        (cause, model_version, reason, json.dumps(evidence), run_id),
    )
    return asked.rowcount == 1


def ask_on(connection: Connection, asker: Asker, reason: str) -> bool:
    """Ask for a new model whatever is served; False if the same asker's last request waits yet."""
    asked = connection.execute(
        "insert into ml.retrain_requests (cause, model_version, reason, evidence, run_id)"
        " values (%s, '', %s, '{}', '') on conflict do nothing",
        (asker, reason),
    )
    return asked.rowcount == 1


def take_requests(connection: Connection, run_id: str) -> list[RetrainRequest]:
    """Take every request that waits for the run; returns those that it got."""
    return [
        request
        for request in waiting_requests(connection)
        if take_request(connection, request.request_id, run_id)
    ]


def waiting_requests(connection: Connection) -> list[RetrainRequest]:
    """Return the requests that nobody has taken, the oldest first."""
    with connection.cursor(row_factory=class_row(RetrainRequest)) as cursor:
        return cursor.execute(
            """
            select request_id, cause, model_version, reason, evidence, run_id, requested_at
            from ml.retrain_requests where taken_at is null order by request_id
            """
        ).fetchall()


def take_request(connection: Connection, request_id: int, run_id: str) -> bool:
    """Note that a run retrains for this request; False if another one took it before."""
    taken = connection.execute(
        "update ml.retrain_requests set taken_at = clock_timestamp(), taken_by = %s"
        " where request_id = %s and taken_at is null",
        (run_id, request_id),
    )
    return taken.rowcount == 1


def settle_requests(
    connection: Connection, *, training_set: str, served_version: str | None, run_id: str
) -> int:
    """Clear the requests that a comparison has answered, whoever started it; returns how many.

    Promoted or kept, a model that learnt from what there was when the request was made has been
    tried. A request about a model that is not served any more asks for nothing. One that came after
    the training set was taken waits on.
    """
    return connection.execute(
        """
        update ml.retrain_requests set taken_at = clock_timestamp(), taken_by = %(run)s
        where taken_at is null and (
            model_version is distinct from %(version)s
            or requested_at <= (
                select made_at from ml.training_sets where sha256 = %(training_set)s
            )
        )
        """,
        {"run": run_id, "version": served_version, "training_set": training_set},
    ).rowcount
