"""What schema ``ml`` remembers: which training set is current, and how every comparison ended.

The tables are made in ``migrations/``. The models themselves are in the object store.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row, dict_row

from scalecast_assets.forecasting.snapshot import SnapshotSummary


class NoTrainingSet(LookupError):
    """There is no training set yet."""


@dataclass(frozen=True)
class Promotion:
    """One row of ``ml.promotions``: outcome, the model it concerned and the leaderboard."""

    run_id: str
    outcome: str
    candidate: str
    version: str | None
    previous: str | None
    training_set_sha256: str
    why: str
    leaderboard: list[dict[str, Any]]
    decided_at: datetime | None = None


def record_training_set(
    connection: psycopg.Connection[Any], summary: SnapshotSummary, contract_hash: str, run_id: str
) -> None:
    """Make this training set the current one."""
    connection.execute(
        """
        insert into ml.training_sets (
            sha256, contract_hash, rows, trainable_rows, series, first_day, last_day, run_id
        ) values (
            %(sha256)s, %(contract_hash)s, %(rows)s, %(trainable_rows)s, %(series)s,
            %(first_day)s, %(last_day)s, %(run_id)s
        )
        on conflict (sha256) do update set made_at = clock_timestamp(), run_id = excluded.run_id
        """,
        {**asdict(summary), "contract_hash": contract_hash, "run_id": run_id},
    )


def current_training_set(connection: psycopg.Connection[Any], contract_hash: str) -> str:
    """Return the sha256 of the current training set.

    Raises NoTrainingSet when there is none, or only one under another feature contract.
    """
    row = connection.execute(
        "select sha256, contract_hash from ml.training_sets order by made_at desc limit 1"
    ).fetchone()
    if row is None:
        raise NoTrainingSet("there is no training set yet: materialize training_set")
    if row[1] != contract_hash:
        raise NoTrainingSet(
            f"the current training set is of feature contract {row[1]}, this one is "
            f"{contract_hash}: materialize demand_features and training_set"
        )
    return str(row[0])


def record_promotion(connection: psycopg.Connection[Any], promotion: Promotion) -> None:
    """Append how a comparison ended."""
    values = asdict(promotion) | {"leaderboard": json.dumps(promotion.leaderboard)}
    connection.execute(
        """
        insert into ml.promotions (
            run_id, outcome, candidate, version, previous, training_set_sha256, why, leaderboard
        ) values (
            %(run_id)s, %(outcome)s, %(candidate)s, %(version)s, %(previous)s,
            %(training_set_sha256)s, %(why)s, %(leaderboard)s
        )
        """,
        values,
    )


def promotion_of_run(connection: psycopg.Connection[Any], run_id: str) -> Promotion | None:
    """Return how the comparison of a run ended, or None if it did not get that far."""
    with connection.cursor(row_factory=class_row(Promotion)) as cursor:
        return cursor.execute(
            """
            select run_id, outcome, candidate, version, previous, training_set_sha256, why,
                leaderboard, decided_at
            from ml.promotions where run_id = %s order by decided_at desc limit 1
            """,
            (run_id,),
        ).fetchone()


def published_files(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Return key, sha256 and rows of each file that the warehouse has rows of, as they apply.

    Not among them: files that a replacement, or later files, have left no row of.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select key, sha256, rows from warehouse.file_ledger "
            "where state = 'published' "
            "and file_seq in (select file_seq from warehouse.demand_data) order by file_seq"
        ).fetchall()
