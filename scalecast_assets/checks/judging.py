"""Judging files that landed: what Great Expectations says of all, then a closer look at the broken.

Nothing is written. The expectations are in ``rule_suite.py``, the lines that break a rule in
``ingest/rules.py``; the verdict's effects, and how Dagster shows it, are ``expectations.py``'s.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql

from scalecast_assets.checks.rule_suite import ask
from scalecast_assets.ingest import rules
from scalecast_assets.ingest.ledger import LedgerFile
from scalecast_assets.ingest.rules import RULES, Rule
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.ingest.verdict import BadLine, look_closer


@dataclass
class Judgement:
    """What was found about one rule: faults by file_seq, and the first of them."""

    rule: Rule
    counts: dict[int, int] = field(default_factory=dict)
    sample: list[BadLine] = field(default_factory=list)
    error: str | None = None
    """Why it could not be judged: a rule that only warns, or a blocking one over some file."""

    @property
    def passed(self) -> bool:
        return not self.counts and self.error is None


@dataclass
class Verdict:
    """The judgement of every rule over the files that wait, and the reports on the refused ones."""

    files: list[LedgerFile]
    judgements: list[Judgement]
    reports: dict[int, str] = field(default_factory=dict)
    """Keys of the reports on refused files, by file_seq."""
    pages: dict[int, str] = field(default_factory=dict)
    """Addresses of the pages on refused files, by file_seq."""
    unjudged: dict[int, str] = field(default_factory=dict)
    """What the judging of a file failed with each time, by file_seq; such a file is refused."""
    unreported: dict[int, str] = field(default_factory=dict)
    """Why a refused file is not in quarantine/, by file_seq."""
    seconds: dict[str, float] = field(default_factory=dict)


def judge_files(
    conn: Connection,
    sqlalchemy_url: str,
    files: Sequence[LedgerFile],
    data_docs: Path | None = None,
) -> Verdict:
    """Judge these landed files and write nothing; the caller holds the lock of the verdict.

    ``data_docs``, if named, becomes the folder of Great Expectations' own pages.
    """
    verdict = Verdict(list(files), [Judgement(rule) for rule in RULES])
    if not files:
        return verdict
    conn.execute("set work_mem = '256MB'")
    conn.execute("set enable_mergejoin = off")
    _put_on_trial(conn, files)
    started = time.perf_counter()
    answers = ask(sqlalchemy_url, [f.file_seq for f in files], verdict.seconds, data_docs)
    verdict.seconds["great_expectations"] = time.perf_counter() - started
    for judgement in verdict.judgements:
        name = judgement.rule.name
        judgement.error = answers.failed.get(name)
        if name in answers.broken:
            try:
                _look_closer(conn, judgement, files)
            except Exception as error:
                if judgement.rule.blocking:
                    raise
                judgement.error = f"{type(error).__name__}: {error}"
    return verdict


def judge_or_single_out(
    conn: Connection, sqlalchemy_url: str, files: Sequence[LedgerFile]
) -> Verdict:
    """Judge the files; those over which Great Expectations raises are found, and refused for it.

    Otherwise one of them would hold up all others for ever. Raises what the judging raised if that
    is nobody's fault: if it raises without a row, too, or over no file twice.
    """
    try:
        return judge_files(conn, sqlalchemy_url, files)
    except Exception:
        unjudged = {}
        for file in _suspects(conn, sqlalchemy_url, files):
            _judge_nothing(conn, sqlalchemy_url)
            try:
                judge_files(conn, sqlalchemy_url, [file])
            except Exception as error:
                unjudged[file.file_seq] = f"{type(error).__name__}: {error}"
        _judge_nothing(conn, sqlalchemy_url)
        if not unjudged:
            raise
    verdict = judge_files(conn, sqlalchemy_url, [f for f in files if f.file_seq not in unjudged])
    verdict.files, verdict.unjudged = list(files), unjudged
    for judgement in verdict.judgements:
        if judgement.rule.blocking:
            names = ", ".join(file.key for file in files if file.file_seq in unjudged)
            judgement.error = judgement.error or f"{names} makes Great Expectations raise"
    return verdict


def _suspects(
    conn: Connection, sqlalchemy_url: str, files: Sequence[LedgerFile]
) -> list[LedgerFile]:
    """The files over which judging raises, by halves: there may be hundreds."""
    if len(files) < 2:
        return list(files)
    found = []
    for half in (files[: len(files) // 2], files[len(files) // 2 :]):
        try:
            judge_files(conn, sqlalchemy_url, half)
        except Exception:
            found += _suspects(conn, sqlalchemy_url, half)
    return found


def _judge_nothing(conn: Connection, sqlalchemy_url: str) -> None:
    """Raise if judging raises, though no file is there that could be at fault."""
    nobody = LedgerFile("", 0, "", 0, 0, 0, "landed", None, "", None, None)
    judge_files(conn, sqlalchemy_url, [nobody])


def _put_on_trial(conn: Connection, files: Sequence[LedgerFile]) -> None:
    """Show the files as two views: of a query, Great Expectations would fetch every row at once."""
    seqs = sql.SQL(", ").join(sql.Literal(file.file_seq) for file in files)
    for table in ("demand_rows", "rejected_lines"):
        conn.execute(
            sql.SQL("create or replace view {} as select * from {} where file_seq in ({})").format(
                sql.Identifier("landing", f"{table}_on_trial"),
                sql.Identifier("landing", table),
                seqs,
            )
        )


def _look_closer(conn: Connection, judgement: Judgement, files: Sequence[LedgerFile]) -> None:
    judgement.counts, judgement.sample = look_closer(conn, judgement.rule, files)
    name = judgement.rule.name
    if not judgement.counts and name != rules.KEY_IS_UNIQUE:
        raise RuntimeError(
            f"{name}: Great Expectations found it broken, the query of its bad lines found none;"
            " the two must agree, so no file is let through"
        )
