"""The data breaker: Great Expectations over what landed, as one named asset check per rule.

What the rules are called and which lines break them is in ``ingest/rules.py``; the verdict is
written to the ledger by ``ingest/verdict.py``. Great Expectations runs in Postgres (SQL engine)
over all files of the run at once, for yes or no; only a broken rule is looked at file by file. It
is imported inside the step, because importing it takes seconds.
"""

import importlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import dagster as dg
from psycopg import sql

from scalecast_assets import keys
from scalecast_assets.contract.columns import MAX_QUANTITY
from scalecast_assets.contract.objects import ObjectStore
from scalecast_assets.ingest import lines, rules
from scalecast_assets.ingest.ledger import LedgerFile, files_in_state
from scalecast_assets.ingest.rules import RULES, Rule
from scalecast_assets.ingest.schema import VERDICT_LOCK, Connection, ensure_schema, locked
from scalecast_assets.ingest.verdict import (
    BadLine,
    decide,
    look_closer,
    quarantine,
)
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.warehouse import WarehouseResource

_SESSION: Final = "-c work_mem=256MB -c enable_mergejoin=off"
"""Hashes and sorts in memory; the planner overrates merging with the few series that stand out."""

_STRUCTURE: Final = (lines.COLUMNS_ARE_COMPLETE, lines.LINES_ARE_WELL_FORMED, lines.FILE_HAS_ROWS)


@dataclass
class Judgement:
    """What was found about one rule: faults by file_seq, and the first of them."""

    rule: Rule
    counts: dict[int, int] = field(default_factory=dict)
    sample: list[BadLine] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.counts


@dataclass
class Verdict:
    """The judgement of every rule over the files that wait, and the reports on the refused ones."""

    files: list[LedgerFile]
    judgements: list[Judgement]
    reports: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def judge(conn: Connection, store: ObjectStore, sqlalchemy_url: str) -> Verdict:
    """Judge every landed file, write the verdict to the ledger and quarantine what is refused.

    Without a file everything passes and nothing is written.
    """
    ensure_schema(conn)
    with locked(conn, VERDICT_LOCK):
        waiting = files_in_state(conn, "landed", "validated")
        verdict = judge_files(
            conn,
            sqlalchemy_url,
            [f for f in waiting if f.replace_run is None or f.replace_size is not None],
        )
        _write(conn, store, verdict)
    return verdict


def judge_files(conn: Connection, sqlalchemy_url: str, files: Sequence[LedgerFile]) -> Verdict:
    """Judge these landed files and write nothing; the caller holds the lock of the verdict."""
    verdict = Verdict(list(files), [Judgement(rule) for rule in RULES])
    if not files:
        return verdict
    conn.execute("set work_mem = '256MB'")
    conn.execute("set enable_mergejoin = off")
    _put_on_trial(conn, files)
    started = time.perf_counter()
    broken = _broken_rules(sqlalchemy_url, [f.file_seq for f in files], verdict.seconds)
    verdict.seconds["great_expectations"] = time.perf_counter() - started
    for judgement in verdict.judgements:
        if judgement.rule.name in broken:
            _look_closer(conn, judgement, files)
    return verdict


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


def _write(conn: Connection, store: ObjectStore, verdict: Verdict) -> None:
    blocking = [j for j in verdict.judgements if j.rule.blocking and not j.passed]
    refused: dict[int, str] = {}
    for file in verdict.files:
        broken = [judgement for judgement in blocking if file.file_seq in judgement.counts]
        if broken:
            refused[file.file_seq] = "; ".join(_in_words(judgement, file) for judgement in broken)
            verdict.reports[file.key] = quarantine(conn, store, file)
    decide(conn, verdict.files, refused)


def _in_words(judgement: Judgement, file: LedgerFile) -> str:
    count = judgement.counts[file.file_seq]
    words = f"{judgement.rule.name}: {count:,} line{'s' if count > 1 else ''}"
    first = next((line for line in judgement.sample if line.file == file.key), None)
    if first is None:
        return words
    return f"{words}, first line {first.line}, {first.column} {first.value!r}: {first.reason}"


def _broken_rules(url: str, file_seqs: Sequence[int], seconds: dict[str, float]) -> set[str]:
    """The names of the rules that Great Expectations finds broken in any of the files."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    started = time.perf_counter()
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    seconds["import"] = time.perf_counter() - started
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    sources: Any = context.data_sources
    source = sources.add_postgres(
        "landing", connection_string=url, kwargs={"connect_args": {"options": _SESSION}}
    )
    broken: set[str] = set()
    for table, expectations in (
        ("rejected_lines", _expectations_of_lines()),
        ("demand_rows", _expectations_of_rows(file_seqs)),
    ):
        asset = source.add_table_asset(table, table_name=f"{table}_on_trial", schema_name="landing")
        batch = asset.add_batch_definition_whole_table("all")
        suite = context.suites.add(gx.ExpectationSuite(table, expectations=expectations))
        validation = gx.ValidationDefinition(name=table, data=batch, suite=suite)
        result = context.validation_definitions.add(validation).run(result_format="BOOLEAN_ONLY")
        answers: dict[str, Any] = {_check_of(r): r for r in result.results}
        expected = {e.meta["check"] for e in expectations}
        if set(answers) != expected:
            raise RuntimeError(f"no answer about {sorted(expected - set(answers))}; run again")
        for name, answer in answers.items():
            if any(_raised(answer.exception_info)):
                raise RuntimeError(
                    f"{name}: Great Expectations failed: {str(answer.exception_info)[-1000:]}"
                )
        broken |= {name for name, answer in answers.items() if not answer.success}
    return broken


def _check_of(result: Any) -> str:
    return str(result.expectation_config.meta["check"])


def _raised(info: Any) -> Iterator[bool]:
    """Great Expectations gives exceptions flat, or nested by metric."""
    if isinstance(info, dict):
        yield bool(info.get("raised_exception"))
        for value in info.values():
            yield from _raised(value)


def _of(rule: str) -> dict[str, Any]:
    severity = next("critical" if r.blocking else "warning" for r in RULES if r.name == rule)
    return {"meta": {"check": rule}, "severity": severity}


def _expectation_classes() -> Any:
    """The stock expectations, which their package does not export to type checkers."""
    return importlib.import_module("great_expectations.expectations")


def _expectations_of_lines() -> list[Any]:
    gxe = _expectation_classes()
    return [
        gxe.ExpectColumnValuesToNotBeInSet(column="rule", value_set=[rule], **_of(rule))
        for rule in _STRUCTURE
    ]


def _expectations_of_rows(file_seqs: Sequence[int]) -> list[Any]:
    from scalecast_assets.checks.query_expectation import ExpectQueryToFindNothing

    gxe = _expectation_classes()

    def nothing(query: str, rule: str) -> Any:
        return ExpectQueryToFindNothing(unexpected_rows_query=query, **_of(rule))

    def present(column: str, rule: str) -> Any:
        return gxe.ExpectColumnValuesToNotBeNull(column=column, **_of(rule))

    def between(column: str, rule: str, **limits: Any) -> Any:
        return gxe.ExpectColumnValuesToBeBetween(column=column, **limits, **_of(rule))

    tomorrow = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1)
    return [
        present("date", lines.DATE_IS_A_DAY),
        between(
            "date",
            rules.DATE_IS_PLAUSIBLE,
            min_value=datetime.fromisoformat(rules.EARLIEST_DAY),
            max_value=tomorrow.replace(hour=0, minute=0, second=0, microsecond=0),
        ),
        present("store_id", lines.STORE_ID_IS_PRESENT),
        present("product_id", lines.PRODUCT_ID_IS_PRESENT),
        present("quantity_sold", lines.QUANTITY_IS_A_NUMBER),
        between(
            "quantity_sold", rules.QUANTITY_IS_NOT_NEGATIVE, min_value=0, max_value=MAX_QUANTITY
        ),
        present("price", lines.PRICE_IS_A_NUMBER),
        between("price", rules.PRICE_IS_POSITIVE, min_value=0, strict_min=True),
        present("promotion", lines.PROMOTION_IS_TRUE_OR_FALSE),
        nothing(rules.KEYS_ARE_FEWER_THAN_ROWS, rules.KEY_IS_UNIQUE),
        nothing(_implausible(file_seqs), rules.QUANTITY_IS_PLAUSIBLE),
    ]


def _implausible(file_seqs: Sequence[int]) -> str:
    rule = next(rule for rule in RULES if rule.name == rules.QUANTITY_IS_PLAUSIBLE)
    return rules.bad_lines(rule, file_seqs, sql.SQL("{batch}")).as_string(None)


def check_result(judgement: Judgement, verdict: Verdict) -> dg.AssetCheckResult:
    """One rule's judgement as Dagster shows it."""
    rule = judgement.rule
    metadata: dict[str, Any] = {
        "files": len(verdict.files),
        "rows": sum(file.rows for file in verdict.files),
        "unexpected": sum(judgement.counts.values()),
    }
    if judgement.sample:
        metadata["first_bad_lines"] = dg.MetadataValue.table(
            [dg.TableRecord(dict(vars(line))) for line in judgement.sample]
        )
    reports = [r for key, r in verdict.reports.items() if rule.blocking and judgement.counts]
    if reports:
        metadata["quarantine_reports"] = dg.MetadataValue.json(reports)
    return dg.AssetCheckResult(
        asset_key=keys.RAW_DEMAND,
        check_name=rule.name,
        passed=judgement.passed,
        severity=dg.AssetCheckSeverity.ERROR if rule.blocking else dg.AssetCheckSeverity.WARN,
        description=_sentence(judgement, verdict),
        metadata=metadata,
    )


def _sentence(judgement: Judgement, verdict: Verdict) -> str:
    if judgement.passed:
        return f"{judgement.rule.description} Holds in {len(verdict.files)} files."
    names = {file.file_seq: file.key for file in verdict.files}
    where = ", ".join(f"{names[seq]} ({n:,} lines)" for seq, n in judgement.counts.items())
    return f"{judgement.rule.description} Broken in {where}."


@dg.multi_asset_check(
    name="raw_demand_suite",
    specs=[
        dg.AssetCheckSpec(
            rule.name,
            asset=keys.RAW_DEMAND,
            description=rule.description,
            blocking=rule.blocking,
        )
        for rule in RULES
    ],
)
def raw_demand_suite(
    context: dg.AssetCheckExecutionContext,
    warehouse: WarehouseResource,
    store: ObjectStoreResource,
) -> Iterator[dg.AssetCheckResult]:
    """Judge what landed; a file that breaks a blocking rule is refused as a whole."""
    with warehouse.connect() as conn:
        verdict = judge(conn, store.store(), warehouse.sqlalchemy_url)
    for judgement in verdict.judgements:
        if not judgement.passed:
            context.log.warning(_sentence(judgement, verdict))
        yield check_result(judgement, verdict)
    for key, report in verdict.reports.items():
        context.log.error(f"{key} is refused; every bad line is named in {report}")
