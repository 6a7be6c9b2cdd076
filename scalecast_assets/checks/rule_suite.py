"""The rules as Great Expectations: which of them are broken, yes or no, over all files at once.

Great Expectations runs in Postgres (SQL engine), and is imported inside the step, because importing
it takes seconds. Which lines break a rule is SQL of ``ingest/rules.py``; what follows from a broken
rule is in ``expectations.py``.
"""

import importlib
import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg import sql

from scalecast_assets.contract.columns import MAX_QUANTITY
from scalecast_assets.ingest import lines, rules
from scalecast_assets.ingest.rules import RULES

_SESSION: Final = "-c work_mem=256MB -c enable_mergejoin=off"
"""Hashes and sorts in memory; the planner overrates merging with the few series that stand out."""

_STRUCTURE: Final = (lines.COLUMNS_ARE_COMPLETE, lines.LINES_ARE_WELL_FORMED, lines.FILE_HAS_ROWS)


def broken_rules(url: str, file_seqs: Sequence[int], seconds: dict[str, float]) -> set[str]:
    """The names of the rules that Great Expectations finds broken in any of the files.

    It reads the views ``landing.*_on_trial``. How long its import took is added to ``seconds``.
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
