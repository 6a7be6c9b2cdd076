"""An expectation about a whole query. Importing this imports Great Expectations (seconds)."""

from typing import Any

from great_expectations.expectations.core.unexpected_rows_expectation import (
    UnexpectedRowsExpectation,
)


class ExpectQueryToFindNothing(UnexpectedRowsExpectation):
    """Expect that the query finds no row, asking once (the stock expectation runs it twice)."""

    metric_dependencies = ("unexpected_rows_query.row_count",)

    def _validate(self, metrics: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        found = metrics["unexpected_rows_query.row_count"]
        return {"success": found == 0, "result": {"observed_value": found}}
