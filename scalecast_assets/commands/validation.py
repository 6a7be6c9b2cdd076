"""``scalecast validate``: the breaker over one file, with nothing kept.

What the rules are is in ``ingest/rules.py`` and ``checks/expectations.py``; here they are asked,
and the answer is put into words.
"""

from pathlib import Path
from typing import Any, Final

from rich.markup import escape

from scalecast_assets.checks.judging import Judgement, Verdict, judge_files
from scalecast_assets.commands.counting import Counter
from scalecast_assets.commands.terminal import console_for, hung
from scalecast_assets.ingest.refusal import listed, read_refusal, write_report
from scalecast_assets.ingest.refusal_page import Companions, render
from scalecast_assets.ingest.schema import VERDICT_LOCK, Connection, locked
from scalecast_assets.ingest.trial import Trial, on_trial
from scalecast_assets.ingest.wording import counted
from scalecast_assets.resources.warehouse import WarehouseResource
from scalecast_assets.runtime import Runtime

Facts = dict[str, Any]

SHOWN: Final = 5
"""Bad lines of a rule that are printed; the report has all."""

PAGES: Final = (".html", ".htm")
"""How a report is named that is a page."""


def validate(
    runtime: Runtime, path: Path, report: Path | None, data_docs: Path | None = None
) -> Facts:
    """Judge one file as a run would, against the warehouse as it stands.

    ``report``, if named, becomes a CSV of every line that breaks a blocking rule, or, named .html,
    the page on them. ``data_docs``, if named, becomes the folder of Great Expectations' own pages.
    """
    warehouse = WarehouseResource(url=runtime.database_url)
    renames = {theirs: ours for ours, theirs in runtime.settings.columns.items()}
    with (
        Counter("rows") as counter,
        warehouse.connect() as conn,
        on_trial(conn, path, renames, counter.share) as trial,
    ):
        with locked(conn, VERDICT_LOCK):
            verdict = judge_files(conn, warehouse.sqlalchemy_url, [trial.file], data_docs)
        if report is not None:
            _write_report(conn, trial, report)
        docs = data_docs / "index.html" if data_docs else None
        return _facts(trial, verdict) | {
            "report": str(report) if report else None,
            "data_docs": str(docs) if docs else None,
        }


def _write_report(conn: Connection, trial: Trial, report: Path) -> None:
    with report.open("wb") as opened, listed(conn, trial.file):
        if report.suffix.lower() in PAGES:
            page = render(read_refusal(conn, trial.file, served=None), Companions())
            opened.write(page.encode())
        else:
            write_report(conn, opened)


def _facts(trial: Trial, verdict: Verdict) -> Facts:
    rules = [_rule(judgement) for judgement in verdict.judgements]
    known = trial.known
    return {
        "file": trial.file.key,
        "sha256": trial.file.sha256,
        "rows": trial.file.rows,
        "accepted": all(rule["passed"] for rule in rules if rule["blocking"]),
        "warnings": list(trial.warnings),
        "known_as": {"key": known.key, "state": known.state} if known else None,
        "rules": rules,
    }


def _rule(judgement: Judgement) -> Facts:
    return {
        "name": judgement.rule.name,
        "description": judgement.rule.description,
        "blocking": judgement.rule.blocking,
        "passed": judgement.passed,
        "unexpected": sum(judgement.counts.values()),
        "error": judgement.error,
        "first_bad_lines": [
            {"line": bad.line, "column": bad.column, "value": bad.value, "reason": bad.reason}
            for bad in judgement.sample
        ],
    }


def print_validation(facts: Facts) -> None:
    """Print ``validate`` for a person: the rules, the first lines that break each, the verdict."""
    console = console_for()
    for rule in facts["rules"]:
        name = f"{rule['name']:<30} "
        about = hung(rule["description"], console, first=4 + len(name), indent=6)
        console.print(f"  {_mark(rule)} {name}[dim]{escape(about)}[/]")
        if rule["error"]:
            error = hung(f"could not be judged: {rule['error']}", console, first=6, indent=6)
            console.print(f"      {error}", markup=False)
        for bad in rule["first_bad_lines"][:SHOWN]:
            where = f"line {bad['line']:,}" + (f", {bad['column']}" if bad["column"] else "")
            said = f"{where}: {bad['value']!r}: {bad['reason']}"
            console.print(f"      {hung(said, console, first=6, indent=6)}", markup=False)
        if (more := rule["unexpected"] - len(rule["first_bad_lines"][:SHOWN])) > 0:
            console.print(f"      and {more:,} more")
    for warning in facts["warnings"]:
        console.print(f"  [yellow]![/] {escape(hung(warning, console, first=4, indent=4))}")
    if known := facts["known_as"]:
        console.print(f"  These bytes are known: {known['key']}, {known['state']}.", markup=False)
    verdict = "would be accepted" if facts["accepted"] else "would be refused as a whole"
    console.print(f"{facts['file']}: {counted(facts['rows'], 'row')}, {verdict}.", markup=False)
    if facts["report"] and not facts["accepted"]:
        console.print(f"The bad lines: {facts['report']}", markup=False)
    if facts["data_docs"]:
        console.print(f"Great Expectations' pages: {facts['data_docs']}", markup=False)


def _mark(rule: Facts) -> str:
    if rule["passed"]:
        return "[green]✓[/]"
    return "[red]✗[/]" if rule["blocking"] else "[yellow]![/]"
