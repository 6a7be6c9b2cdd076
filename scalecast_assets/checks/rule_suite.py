"""The rules as Great Expectations: which of them are broken, yes or no, over all files at once.

Great Expectations runs in Postgres (SQL engine), and is imported inside the step, because importing
it takes seconds. Which lines break a rule is SQL of ``ingest/rules.py``; what follows from a broken
rule is in ``expectations.py``.
"""

import importlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from psycopg import sql

from scalecast_assets.checks.data_docs import build
from scalecast_assets.contract.columns import MAX_PRICE, MAX_QUANTITY
from scalecast_assets.ingest import lines, rules
from scalecast_assets.ingest.rules import RULES

_SESSION: Final = "-c search_path=landing -c work_mem=256MB -c enable_mergejoin=off"
"""Hashes and sorts in memory; the planner overrates merging with the few series that stand out."""

_STRUCTURE: Final = (lines.COLUMNS_ARE_COMPLETE, lines.LINES_ARE_WELL_FORMED, lines.FILE_HAS_ROWS)


@dataclass
class Answers:
    """What Great Expectations said of the files: the rules broken in any, by name.

    ``failed`` are rules that only warn and could not be asked, with the error. They never stand in
    the way of a verdict: a file that they choke on would wait, and hold up all others, for ever.
    """

    broken: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)


def ask(
    url: str, file_seqs: Sequence[int], seconds: dict[str, float], data_docs: Path | None = None
) -> Answers:
    """Ask which rules are broken; raises ``RuntimeError`` if a blocking one cannot be asked.

    It reads the views ``landing.*_on_trial``. How long its import took is added to ``seconds``.
    If ``data_docs`` names a folder, Great Expectations also counts, and writes its pages there.
    """
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
    answers = Answers()
    for name, table, expectations in (
        ("lines", "rejected_lines", _expectations_of_lines()),
        ("rows", "demand_rows", _expectations_of_rows()),
        ("warnings", "demand_rows", _expectations_that_warn(file_seqs)),
    ):
        asset = source.add_table_asset(name, table_name=f"{table}_on_trial")
        batch = asset.add_batch_definition_whole_table("all")
        suite = context.suites.add(gx.ExpectationSuite(name, expectations=expectations))
        validation = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        try:
            result = context.validation_definitions.add(validation).run(
                result_format="SUMMARY" if data_docs else "BOOLEAN_ONLY"
            )
            answers.broken |= _broken({_check_of(r): r for r in result.results}, expectations)
        except Exception as error:
            if name != "warnings":
                raise
            reason = f"{type(error).__name__}: {error}"
            answers.failed |= {e.meta["check"]: reason for e in expectations}
    if data_docs:
        build(context, data_docs)
    return answers


def _broken(answers: Mapping[str, Any], expectations: Sequence[Any]) -> set[str]:
    """The rules whose answer is no; raises ``RuntimeError`` if one has none."""
    expected = {e.meta["check"] for e in expectations}
    if set(answers) != expected:
        raise RuntimeError(f"no answer about {sorted(expected - set(answers))}; run again")
    for name, answer in answers.items():
        if any(_raised(answer.exception_info)):
            raise RuntimeError(
                f"{name}: Great Expectations failed: {str(answer.exception_info)[-1000:]}"
            )
    return {name for name, answer in answers.items() if not answer.success}


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


def _nothing(query: str, rule: str) -> Any:
    from scalecast_assets.checks.query_expectation import ExpectQueryToFindNothing

    return ExpectQueryToFindNothing(unexpected_rows_query=query, **_of(rule))


def _expectations_of_rows() -> list[Any]:
    gxe = _expectation_classes()

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
        between(
            "price", rules.PRICE_IS_POSITIVE, min_value=0, strict_min=True, max_value=MAX_PRICE
        ),
        present("promotion", lines.PROMOTION_IS_TRUE_OR_FALSE),
        _nothing(rules.KEYS_ARE_FEWER_THAN_ROWS, rules.KEY_IS_UNIQUE),
    ]


def _expectations_that_warn(file_seqs: Sequence[int]) -> list[Any]:
    """The rules that block nothing, each of which is a query of its own."""
    return [
        _nothing(rules.bad_lines(rule, file_seqs, sql.SQL("{batch}")).as_string(None), rule.name)
        for rule in RULES
        if not rule.blocking
    ]
