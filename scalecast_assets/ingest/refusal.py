"""What is wrong with a refused file: the CSV of every bad line, and the facts for its page.

All bad lines are put into one temporary table, from which both are written; what the page tells is
bounded, however bad the file is. How the page looks is in ``refusal_page.py``; the verdict itself
is written in ``verdict.py``.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Final, LiteralString

from psycopg import sql

from scalecast_assets.contract.bundle import BundleError
from scalecast_assets.contract.columns import RAW_COLUMNS
from scalecast_assets.contract.objects import ObjectStore, StoreError
from scalecast_assets.contract.pointers import read_serving, read_state_pointer
from scalecast_assets.ingest.ledger import LedgerFile
from scalecast_assets.ingest.lines import UNLISTED
from scalecast_assets.ingest.rules import RULES, bad_lines
from scalecast_assets.ingest.schema import Connection

REPORT_COLUMNS: Final = ("line", "column", "value", "rule", "reason")

LOOKED_AT: Final = 1000
"""Lines of each rule, from the first, in which the page looks for what they have in common."""

Row = tuple[Any, ...]


@dataclass(frozen=True)
class RuleCount:
    """How many lines of a file break a rule, and which are the first and the last of them."""

    rule: str
    lines: int
    first_line: int
    last_line: int


@dataclass(frozen=True)
class StillServed:
    """What is in use while a file is refused; None where there is nothing yet or it is unknown."""

    model_version: str | None = None
    data_until: str | None = None
    last_file: str | None = None
    last_published: datetime | None = None


@dataclass(frozen=True)
class Refusal:
    """The facts about a refused file, or about one on trial that would be.

    ``faults`` are the first ``LOOKED_AT`` lines of each rule as (line, column, value, rule,
    reason); ``landed`` those of them that could be taken apart, as (line, *RAW_COLUMNS*), with None
    for each cell that could not be read; ``unreadable`` the text of such cells as (line, column,
    value). ``varied`` are the columns that hold more than one value in the file.
    """

    file: LedgerFile
    at: datetime
    bad_lines: int
    unlisted: int
    counts: Sequence[RuleCount]
    faults: Sequence[Row]
    landed: Sequence[Row]
    unreadable: Sequence[Row]
    varied: frozenset[str]
    served: StillServed | None


@contextmanager
def listed(conn: Connection, file: LedgerFile) -> Iterator[None]:
    """Hold every line of the landed file that breaks a blocking rule in ``refused_lines``."""
    bad = sql.SQL(" union all ").join(
        sql.SQL("({})").format(bad_lines(rule, [file.file_seq])) for rule in RULES if rule.blocking
    )
    with conn.transaction():
        conn.execute(
            sql.SQL("create temporary table refused_lines on commit drop as {}").format(bad)
        )
        yield


# Programs that open a CSV as a spreadsheet run what begins like this as a formula.
_FORMULA: Final[LiteralString] = (
    "case when {0} ~ '^[=+@\\t\\r-]' and {0} !~ '^[+-]?[0-9.,]*$' then '''' || {0} else {0} end"
)


def write_report(conn: Connection, report: IO[bytes]) -> None:
    """Write ``refused_lines`` as a CSV.

    A cell that a spreadsheet would run as a formula has an apostrophe before it.
    """
    column, value = (_FORMULA.format(name) for name in ("column_name", "value"))
    statement = (
        f"copy (select line_no, {column}, {value}, rule, reason from refused_lines"
        " order by line_no, rule) to stdout (format csv)"
    )
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(REPORT_COLUMNS)
    report.write(header.getvalue().encode())
    with conn.cursor().copy(statement) as copy:
        for piece in copy:
            report.write(piece)


def read_refusal(conn: Connection, file: LedgerFile, served: StillServed | None) -> Refusal:
    """Gather what the page tells from ``refused_lines``."""
    counts = _counts(conn)
    faults = [row for count in counts for row in _first_faults(conn, count.rule)]
    told = {
        "unlisted": UNLISTED,
        "seq": file.file_seq,
        "columns": list(RAW_COLUMNS),
        "lines": sorted({row[0] for row in faults}),
    }
    listed_faults = _number(
        conn,
        "select count(*) from landing.rejected_lines where file_seq = %(seq)s"
        " and reason not like %(unlisted)s",
        told,
    )
    bad = _number(
        conn,
        "select count(*) from (select distinct line_no from refused_lines"
        " where reason not like %(unlisted)s) once",
        told,
    )
    landed = conn.execute(
        "select line_no, date::text, store_id, product_id, quantity_sold, price, promotion"
        " from landing.demand_rows"
        " where file_seq = %(seq)s and line_no = any(%(lines)s::bigint[])",
        told,
    ).fetchall()
    unreadable = conn.execute(
        "select line_no, column_name, value from refused_lines"
        " where line_no = any(%(lines)s::bigint[]) and column_name = any(%(columns)s)",
        told,
    ).fetchall()
    return Refusal(
        file=file,
        at=datetime.now(UTC),
        bad_lines=bad,
        unlisted=file.rejected - listed_faults,
        counts=counts,
        faults=faults,
        landed=landed,
        unreadable=unreadable,
        varied=_varied(conn, file),
        served=served,
    )


def _counts(conn: Connection) -> list[RuleCount]:
    """Of each broken rule, in the order of the rules.

    Only the header's line may have several faults of one rule, and then that rule no other line.
    """
    rows = conn.execute(
        "select rule, case when min(line_no) = max(line_no) then 1 else count(*) end,"
        " min(line_no), max(line_no) from refused_lines where reason not like %s group by rule",
        (UNLISTED,),
    ).fetchall()
    order = [rule.name for rule in RULES]
    return sorted((RuleCount(*row) for row in rows), key=lambda count: order.index(count.rule))


def _first_faults(conn: Connection, rule: str) -> list[Row]:
    """The first faults of one rule: 13 such queries are a tenth of one sort of six million."""
    return conn.execute(
        "select line_no, column_name, value, rule, reason from refused_lines"
        " where rule = %s and reason not like %s order by line_no, column_name limit %s",
        (rule, UNLISTED, LOOKED_AT),
    ).fetchall()


def _number(conn: Connection, query: LiteralString, told: dict[str, Any]) -> int:
    row = conn.execute(query, told).fetchone()
    return int(row[0]) if row else 0


def _varied(conn: Connection, file: LedgerFile) -> frozenset[str]:
    row = conn.execute(
        "select min(date) < max(date), min(store_id) < max(store_id),"
        " min(product_id) < max(product_id) from landing.demand_rows where file_seq = %s",
        (file.file_seq,),
    ).fetchone()
    names = ("date", "store_id", "product_id")
    return frozenset(name for name, varies in zip(names, row or (), strict=True) if varies)


def still_served(conn: Connection, store: ObjectStore) -> StillServed:
    """What ScaleCast answers with for as long as a file is refused."""
    last = conn.execute(
        "select key, published_at from warehouse.file_ledger where published_at is not null"
        " order by published_at desc limit 1"
    ).fetchone()
    try:
        model, state = read_serving(store), read_state_pointer(store)
    except (StoreError, BundleError):  # The page is about a file; what ails the store has alerts.
        model = state = None
    return StillServed(
        model.pointer.version if model else None,
        state.pointer.data_until if state else None,
        *(last or (None, None)),
    )
