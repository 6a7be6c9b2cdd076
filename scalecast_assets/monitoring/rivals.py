"""Champion and challenger on the same days: what ``ml.challenger_accuracy`` says of the two."""

from datetime import date
from typing import Any, NamedTuple

import psycopg


class Comparison(NamedTuple):
    """Both on the rows that both had forecast from one origin; ratios None where nothing sold."""

    champion: str
    challenger: str
    first_day: date
    last_day: date
    scored_rows: int
    champion_wape: float | None
    challenger_wape: float | None


_COMPARED = """
select
    min(date), max(date), sum(scored_rows)::bigint,
    sum(champion_absolute_error) / nullif(sum(actual_units), 0),
    sum(challenger_absolute_error) / nullif(sum(actual_units), 0)
from ml.challenger_accuracy
where champion = %s and challenger = %s
having count(*) > 0
"""


def compared(
    connection: psycopg.Connection[Any], champion: str, challenger: str
) -> Comparison | None:
    """Compare the two; None before there is a day whose sales have come."""
    known = connection.execute(
        "select to_regclass('ml.challenger_accuracy') is not null"
    ).fetchone()
    if not known or not known[0]:
        return None
    row = connection.execute(_COMPARED, (champion, challenger)).fetchone()
    return Comparison(champion, challenger, *row) if row else None
