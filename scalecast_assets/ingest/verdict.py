"""Write the verdict on landed files: the ledger's state, and the quarantine of what is refused.

Who judges is ``checks/expectations.py``. Here are the counts per file and rule behind a judgement,
the report that names every bad line, and the change of state.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg import sql

from scalecast_assets.contract.layout import archive_key, quarantine_key, shortened
from scalecast_assets.contract.objects import ObjectStore
from scalecast_assets.ingest.ledger import LedgerFile
from scalecast_assets.ingest.refusal import listed, read_refusal, still_served, write_report
from scalecast_assets.ingest.refusal_page import Companions, render
from scalecast_assets.ingest.replacements import give_up
from scalecast_assets.ingest.rules import Rule, bad_lines
from scalecast_assets.ingest.schema import Connection

REPORT_NAME: Final = "report.csv"
PAGE_NAME: Final = "report.html"

UNJUDGED: Final = "it could not be judged"
"""How the reason begins of a file that is refused for what the judging itself failed with."""


@dataclass(frozen=True)
class BadLine:
    """One line of a sample: where, what, why."""

    file: str
    file_seq: int
    line: int
    column: str
    value: str
    reason: str


def look_closer(
    conn: Connection, rule: Rule, files: Sequence[LedgerFile], limit: int = 20
) -> tuple[dict[int, int], list[BadLine]]:
    """How many lines of each file break the rule, by file_seq, and the first of them.

    The sample has each file's first line, and the first ``limit`` lines of all.
    """
    with conn.transaction():
        conn.execute(
            sql.SQL("create temporary table bad_lines on commit drop as {}").format(
                bad_lines(rule, [file.file_seq for file in files])
            )
        )
        counts = conn.execute(
            "select file_seq, count(*) from bad_lines group by file_seq", prepare=False
        )
        sample = conn.execute(
            "select file_seq, line_no, column_name, value, reason from (select *,"
            " row_number() over (order by file_seq, line_no, column_name) as nth,"
            " row_number() over (partition by file_seq order by line_no, column_name) as of_file"
            " from bad_lines) numbered where nth <= %s or of_file = 1 order by nth",
            (limit,),
            prepare=False,
        )
        keys = {file.file_seq: file.key for file in files}
        return dict(counts.fetchall()), [BadLine(keys[row[0]], *row) for row in sample]


def quarantine_folder(key: str, sha256: str) -> str:
    """The folder of a refused file, below ``quarantine/``: its name, short, and its checksum."""
    return f"{shortened(Path(key).name)}-{sha256[:8]}"


def report_key(file: LedgerFile) -> str:
    """Where the report on a refused file is."""
    return quarantine_key(quarantine_folder(file.key, file.sha256), REPORT_NAME)


def page_key(file: LedgerFile) -> str:
    """Where the page on a refused file is, for people."""
    return page_key_of(file.key, file.sha256)


def page_key_of(key: str, sha256: str) -> str:
    """The same, for whoever has no row of the ledger."""
    return quarantine_key(quarantine_folder(key, sha256), PAGE_NAME)


def quarantine(conn: Connection, store: ObjectStore, file: LedgerFile) -> str:
    """Copy the refused file aside, with a CSV of every bad line and a page; returns the CSV's key.

    The page comes last: where it is, the other two are.
    """
    copy = _copy_name(file)
    folder = quarantine_folder(file.key, file.sha256)
    store.copy(archive_key(file.sha256), quarantine_key(folder, copy))
    with tempfile.NamedTemporaryFile(prefix="report-") as report, listed(conn, file):
        write_report(conn, report)
        report.flush()
        store.upload(report.name, report_key(file))
        refusal = read_refusal(conn, file, still_served(conn, store))
    page = render(refusal, Companions(REPORT_NAME, copy))
    store.put(page_key(file), page.encode())
    return report_key(file)


def _copy_name(file: LedgerFile) -> str:
    """The file's own name where that is short, and not the report's (a page's name is no CSV's)."""
    name = Path(file.key).name
    short = shortened(name)
    if short != name:
        suffix = name[-len(".csv.gz") :] if name.lower().endswith(".gz") else name[-len(".csv") :]
        return f"{short}-{file.sha256[:8]}{suffix}"
    return f"refused-{name}" if name.lower() == REPORT_NAME else name


def decide(conn: Connection, files: Sequence[LedgerFile], refused: Mapping[int, str]) -> None:
    """Set the states of the judged files, in one transaction.

    If none is refused (``refused`` maps file_seq to the reason), all are validated. Otherwise each
    of the others stays what it is: ``landed`` waits for a run in which nothing is refused, and
    ``validated`` is what another run is about to publish. But the replacement that a bad file is of
    is given up, because half a replacement would delete what nobody meant to.

    Where the bytes of a refused file were published before, that row of the ledger stays, because
    their rows do.
    """
    accepted = [] if refused else [file.file_seq for file in files]
    with conn.transaction():
        for file_seq, reason in sorted(refused.items()):
            conn.execute(
                "update warehouse.file_ledger set state = 'refused', reason = %s,"
                " decided_at = now() where file_seq = %s and state in ('landed', 'validated')",
                (reason, file_seq),
            )
        conn.execute(
            "delete from warehouse.file_ledger o using warehouse.file_ledger n"
            " where n.file_seq = any(%s) and n.state = 'refused'"
            " and o.sha256 = n.sha256 and o.state = 'refused' and o.file_seq < n.file_seq",
            (list(refused),),
        )
        for file in files:
            if file.file_seq in refused and file.replace_run:
                reason = f"waits: {file.key}, of the same replacement of everything, is refused"
                give_up(conn, file.replace_run, reason)
        conn.execute(
            "update warehouse.file_ledger set state = 'validated', reason = null,"
            " decided_at = now() where file_seq = any(%s) and state = 'landed'",
            (accepted,),
        )
