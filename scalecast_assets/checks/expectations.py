"""The data breaker: Great Expectations over what landed, as one named asset check per rule.

How files are judged is in ``judging.py``; what the rules are called and which lines break them, in
``ingest/rules.py``. Here the verdict is brought to the ledger (by ``ingest/verdict.py``), to
quarantine and to Dagster.
"""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

from scalecast_assets import keys
from scalecast_assets.checks.judging import Judgement, Verdict, judge_or_single_out
from scalecast_assets.contract.objects import ObjectStore
from scalecast_assets.ingest.ledger import LedgerFile, files_in_state
from scalecast_assets.ingest.rules import RULES
from scalecast_assets.ingest.schema import VERDICT_LOCK, Connection, ensure_schema, locked
from scalecast_assets.ingest.verdict import (
    UNJUDGED,
    decide,
    page_key,
    quarantine,
)
from scalecast_assets.ingest.wording import counted
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.warehouse import WarehouseResource

MENDED: Final = "the other files are not held up; when that is mended, `scalecast run --again {}`"
FILES_SHOWN: Final = 50
"""Refused files that a check's metadata lists."""


def judge(conn: Connection, store: ObjectStore, sqlalchemy_url: str) -> Verdict:
    """Judge every landed file, write the verdict to the ledger and quarantine what is refused.

    Without a file everything passes and nothing is written.
    """
    ensure_schema(conn)
    with locked(conn, VERDICT_LOCK):
        waiting = files_in_state(conn, "landed", "validated")
        verdict = judge_or_single_out(
            conn,
            sqlalchemy_url,
            [f for f in waiting if f.replace_run is None or f.replace_size is not None],
        )
        _write(conn, store, verdict)
    return verdict


def _write(conn: Connection, store: ObjectStore, verdict: Verdict) -> None:
    blocking = [j for j in verdict.judgements if j.rule.blocking and not j.passed]
    refused: dict[int, str] = {}
    for file in verdict.files:
        broken = [judgement for judgement in blocking if file.file_seq in judgement.counts]
        error = verdict.unjudged.get(file.file_seq)
        if broken or error:
            words = [_in_words(judgement, file) for judgement in broken]
            words += [f"{UNJUDGED} ({error}); {MENDED.format(file.key)}"] if error else []
            words += _set_aside(conn, store, verdict, file)
            refused[file.file_seq] = "; ".join(words)
    decide(conn, verdict.files, refused)


def _set_aside(
    conn: Connection, store: ObjectStore, verdict: Verdict, file: LedgerFile
) -> list[str]:
    """Quarantine a refused file; returns what there is to add to the reason of its refusal."""
    try:
        verdict.reports[file.file_seq] = quarantine(conn, store, file)
        verdict.pages[file.file_seq] = store.url_of(page_key(file))
    except Exception as error:  # whatever it is: without a verdict the file would stop every run
        problem = (
            f"its copy or report in quarantine/ could not be written ({type(error).__name__}:"
            f" {error}); `scalecast validate FILE --report CSV` writes the report anew"
        )
        verdict.unreported[file.file_seq] = problem
        return [problem]
    return []


def _in_words(judgement: Judgement, file: LedgerFile) -> str:
    count = judgement.counts[file.file_seq]
    words = f"{judgement.rule.name}: {counted(count, 'line')}"
    first = next((line for line in judgement.sample if line.file_seq == file.file_seq), None)
    if first is None:
        return words
    return f"{words}, first line {first.line}, {first.column} {first.value!r}: {first.reason}"


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
            [
                dg.TableRecord({n: v for n, v in vars(line).items() if n != "file_seq"})
                for line in judgement.sample
            ]
        )
    if rule.blocking:
        metadata |= _metadata_of_refusals(judgement, verdict)
    return dg.AssetCheckResult(
        asset_key=keys.RAW_DEMAND,
        check_name=rule.name,
        passed=judgement.passed,
        severity=dg.AssetCheckSeverity.ERROR if rule.blocking else dg.AssetCheckSeverity.WARN,
        description=_sentence(judgement, verdict),
        metadata=metadata,
    )


def _metadata_of_refusals(judgement: Judgement, verdict: Verdict) -> dict[str, Any]:
    """Which files the rule refuses, and where the page on each is.

    An address is a path that the UI offers to copy, no link: browsers open no ``file://`` from a
    page of a server and know no ``s3://``, and a signed one would be a key that the log keeps.
    The UI sorts by name: ``explained_on`` stands above the sample.
    """
    metadata: dict[str, Any] = {}
    guilty = {**dict.fromkeys(verdict.unjudged, 0), **judgement.counts}
    refused = [file for file in verdict.files if file.file_seq in guilty]
    if refused:
        metadata["refused_files"] = dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "file": file.key,
                        "bad_lines": guilty[file.file_seq],
                        "page": verdict.pages.get(file.file_seq, ""),
                    }
                )
                for file in refused[:FILES_SHOWN]
            ]
        )
    if pages := [verdict.pages[f.file_seq] for f in refused if f.file_seq in verdict.pages]:
        metadata["explained_on"] = dg.MetadataValue.path(pages[0])
    seqs = list(guilty)
    if reports := [verdict.reports[seq] for seq in seqs if seq in verdict.reports]:
        metadata["quarantine_reports"] = dg.MetadataValue.json(reports)
    if problems := [verdict.unreported[seq] for seq in seqs if seq in verdict.unreported]:
        metadata["quarantine_problems"] = dg.MetadataValue.json(problems)
    return metadata


def _sentence(judgement: Judgement, verdict: Verdict) -> str:
    if judgement.passed:
        return f"{judgement.rule.description} Holds in {counted(len(verdict.files), 'file')}."
    if judgement.error:
        return f"{judgement.rule.description} It could not be judged: {judgement.error}."
    names = {file.file_seq: file.key for file in verdict.files}
    where = ", ".join(f"{names[seq]} ({counted(n, 'line')})" for seq, n in judgement.counts.items())
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
    for file in verdict.files:
        if report := verdict.reports.get(file.file_seq):
            context.log.error(
                f"{file.key} is refused; every bad line is named in {report}, and"
                f" {verdict.pages[file.file_seq]} says what to do"
            )
        if problem := verdict.unreported.get(file.file_seq):
            context.log.error(f"{file.key} is refused; {problem}")
