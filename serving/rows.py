"""From the bytes of a batch to columns, quickly when all is well and exactly when it is not.

The quick way lets pydantic check plain rows in one go and believes nothing that it cannot check;
whenever it is not sure, the strict model of a single request looks at the rows one by one and names
what is wrong.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Annotated, Final, NamedTuple

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from scalecast_assets.contract.columns import MAX_ID_BYTES, MAX_PRICE
from scalecast_assets.contract.intervals import DEFAULT_LEVEL
from serving.answers import EPOCH
from serving.batch import Questions
from serving.bodies import refuse_crowds, refuse_duplicates
from serving.errors import ApiError, problem, problems_of
from serving.schemas import PredictRequest, Problem
from serving.schemas_many import MAX_ROWS, BatchRequest

_Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_BYTES)]
_STRICT: Final = ConfigDict(strict=True, extra="forbid")
FIELDS: Final = list(PredictRequest.model_fields)


@with_config(_STRICT)
class _Row(TypedDict):
    date: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    store_id: _Id
    product_id: _Id
    price: Annotated[float, Field(gt=0, le=MAX_PRICE, allow_inf_nan=False)]
    promotion: bool


@with_config(_STRICT)
class _Rows(TypedDict):
    rows: Annotated[list[_Row], Field(min_length=1, max_length=MAX_ROWS)]


_BODY: Final = TypeAdapter(_Rows)
_LINES: Final = TypeAdapter(list[_Row])


class Asked(NamedTuple):
    """The rows that can be asked, which of the body's they are, and what is wrong with the rest."""

    questions: Questions
    rows: list[int]
    refused: dict[int, list[Problem]]


def from_json(body: bytes) -> Questions:
    """Read ``{"rows": […]}``.

    Raises:
        ApiError: 422 naming the first row that breaks a rule, by its index from 0; 413.
    """
    refuse_crowds(body)
    try:
        rows = _BODY.validate_json(body)["rows"]
        if body.count(b'"') == PredictRequest.plain_quotes * len(rows) + 2:
            return _columns(rows)
    except (ValidationError, ValueError):
        pass  # what exactly is wrong, the strict model says
    try:
        asked = BatchRequest.model_validate_json(body).rows
    except ValidationError as error:
        in_a_row = len(error.errors()[0]["loc"]) > 2
        known = FIELDS if in_a_row else list(BatchRequest.model_fields)
        raise ApiError(422, *problems_of(error, known)) from None
    refuse_duplicates(body)
    return questions_of(asked)


def from_lines(body: bytes) -> Asked:
    """Read one JSON object a line; empty lines count for nothing.

    Raises:
        ApiError: 422 if there is no line, or there are too many; 413.
    """
    lines = [line for line in body.split(b"\n") if line.strip(b" \t\r")]
    if not 0 < len(lines) <= MAX_ROWS:
        rule = f"must have 1 to {MAX_ROWS} lines"
        raise ApiError(422, problem("body", None, rule, found=f"{len(lines)} lines"))
    refuse_crowds(body, lines)
    quick = _quick_lines(lines)
    if quick is not None:
        return Asked(quick, list(range(len(lines))), {})
    kept: list[PredictRequest] = []
    rows: list[int] = []
    refused: dict[int, list[Problem]] = {}
    for number, line in enumerate(lines):
        try:
            one = PredictRequest.model_validate_json(line)
            if line.count(b'"') != PredictRequest.plain_quotes:
                refuse_duplicates(line)
        except ValidationError as error:
            refused[number] = problems_of(error, FIELDS)
        except ApiError as error:
            refused[number] = list(error.problems)
        else:
            kept.append(one)
            rows.append(number)
    return Asked(questions_of(kept), rows, refused)


def questions_of(asked: Sequence[PredictRequest]) -> Questions:
    """Turn requests into columns."""
    return Questions(
        day=np.array([one.date.toordinal() - EPOCH for one in asked], np.int64),
        store_id=[one.store_id for one in asked],
        product_id=[one.product_id for one in asked],
        price=np.array([one.price for one in asked], np.float64),
        promotion=np.array([one.promotion for one in asked], np.bool_),
        level=np.array([one.level for one in asked], np.int64),
    )


def _quick_lines(lines: list[bytes]) -> Questions | None:
    """Read all lines as one list, if each is surely one plain object; else None."""
    quotes = PredictRequest.plain_quotes
    for line in lines:
        if line[:1] != b"{" or line.count(b'"') != quotes or line.count(b"}") != 1:
            return None
    try:
        rows = _LINES.validate_json(b"[" + b",".join(lines) + b"]")
        return _columns(rows) if len(rows) == len(lines) else None
    except (ValidationError, ValueError):
        return None


def _columns(rows: list[_Row]) -> Questions:
    """Turn checked rows into columns; raises ValueError for what the check could not see."""
    dates = [row["date"] for row in rows]
    days = {text: date.fromisoformat(text).toordinal() - EPOCH for text in set(dates)}
    stores = [row["store_id"] for row in rows]
    products = [row["product_id"] for row in rows]
    _check_bytes({*stores, *products})
    return Questions(
        day=np.array([days[text] for text in dates], np.int64),
        store_id=stores,
        product_id=products,
        price=np.array([row["price"] for row in rows], np.float64),
        promotion=np.array([row["promotion"] for row in rows], np.bool_),
        level=np.full(len(rows), DEFAULT_LEVEL),
    )


def _check_bytes(ids: Iterable[str]) -> None:
    if any(len(one) * 4 > MAX_ID_BYTES and len(one.encode()) > MAX_ID_BYTES for one in ids):
        raise ValueError("an id is too long in UTF-8")
