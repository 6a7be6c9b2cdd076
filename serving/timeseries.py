"""KServe's time-series forecast protocol, spoken for demand per day.

The protocol's client sends the series that it wants to see continued. The model is asked with
exactly what was sent: quantities of consecutive days, the last of them the day before the first
forecast. Extra fields, which the protocol admits, say what else the model looks at: ``store_id``
and ``product_id`` (their codes, and the last price), ``price`` and ``promotion``. An empty series
with both ids stands for the history that the server itself keeps. What the protocol has and we do
not (several variables, other frequencies) is refused by name.
"""

import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

from scalecast_assets.contract.columns import MAX_HORIZON_DAYS, MAX_PRICE, MAX_QUANTITY
from serving.schemas import Identifier, Reply

MAX_SERIES: Final = 1_000
MAX_POINTS: Final = 3_660
UNIVARIATE: Final = "univariate_time_series"

EXAMPLES: Final[dict[str, Any]] = {
    "own_history": {
        "summary": "Continue what the server knows",
        "value": {
            "model": "scalecast",
            "inputs": [
                {
                    "type": UNIVARIATE,
                    "name": "PROD_A in STORE_001",
                    "series": [],
                    "frequency": "D",
                    "store_id": "STORE_001",
                    "product_id": "PROD_A",
                }
            ],
            "options": {"horizon": 7},
        },
    },
    "sent_history": {
        "summary": "Continue what is sent",
        "value": {
            "model": "scalecast",
            "inputs": [
                {
                    "type": UNIVARIATE,
                    "name": "somebody's sales",
                    "series": [12, 14, 11, 9, 15, 22, 25, 13, 12, 10, 11, 16, 24, 27, 14, 12],
                    "frequency": "D",
                    "start_timestamp": "2024-03-01T00:00:00Z",
                    "price": 9.99,
                }
            ],
            "options": {"horizon": 4},
            "metadata": {"request_id": "your own"},
        },
    },
}


class Frequency(StrEnum):
    """The protocol's; only days can be forecast."""

    SECOND = "second"
    S = "S"
    MINUTE = "minute"
    T = "T"
    HOUR = "hour"
    H = "H"
    DAY = "day"
    D = "D"
    WEEK = "week"
    W = "W"
    MONTH = "month"
    M = "M"
    QUARTER = "quarter"
    Q = "Q"
    YEAR = "year"
    Y = "Y"


DAILY: Final = (Frequency.DAY, Frequency.D)

_OPEN: Final = ConfigDict(strict=True, extra="allow", frozen=True)


def _instant(value: str) -> str:
    try:
        found = datetime.datetime.fromisoformat(value)
    except ValueError:
        found = datetime.datetime.min
    if not 1900 <= found.year <= 9000:
        message = "must be an instant in ISO 8601, as 2024-03-01T00:00:00Z"
        raise PydanticCustomError("iso_instant", message)
    return value


Quantity = Annotated[float, Field(ge=0, le=MAX_QUANTITY, allow_inf_nan=False)]
Price = Annotated[float, Field(gt=0, le=MAX_PRICE, allow_inf_nan=False)]


class TimeSeriesInput(BaseModel):
    """One series to continue."""

    model_config = _OPEN

    type: Literal["univariate_time_series", "multivariate_time_series"]
    name: str = Field(max_length=1_000)
    series: Annotated[list[Quantity], Field(max_length=MAX_POINTS, fail_fast=True)] = Field(
        description="Quantities of consecutive days; empty: the server's own history of the ids."
    )
    frequency: Frequency = Field(description="Of day or D.")
    start_timestamp: Annotated[str, Field(max_length=40), AfterValidator(_instant)] | None = Field(
        default=None, description="Of the first quantity; needed where there is one."
    )
    store_id: Identifier | None = Field(default=None, description="Ours, not the protocol's.")
    product_id: Identifier | None = Field(default=None, description="Ours, not the protocol's.")
    price: Price | None = Field(
        default=None, description="Ours: on the days to forecast. Default: the last one known."
    )
    promotion: Annotated[list[bool], Field(max_length=MAX_HORIZON_DAYS, fail_fast=True)] | None = (
        Field(default=None, description="Ours: for each of the days to forecast. Default: none.")
    )


class ForecastOptions(BaseModel):
    """How far."""

    model_config = _OPEN

    horizon: int = Field(ge=1, le=MAX_HORIZON_DAYS)
    quantiles: Annotated[list[float], Field(fail_fast=True)] | None = None


class TimeSeriesRequest(BaseModel):
    """The protocol's ForecastRequest."""

    model_config = _OPEN

    model: str = Field(max_length=200, description="`scalecast`, or a version that answers.")
    inputs: Annotated[
        list[TimeSeriesInput], Field(min_length=1, max_length=MAX_SERIES, fail_fast=True)
    ]
    options: ForecastOptions
    metadata: dict[str, JsonValue] | None = None


class ProtocolError(Reply):
    """The protocol's Error."""

    code: str | None = None
    message: str
    param: str | None = None
    type: str


class ProtocolErrorReply(Reply):
    """The protocol's ErrorResponse."""

    error: ProtocolError


class TimeSeriesForecast(Reply):
    """The continuation of one series."""

    type: Literal["univariate_time_series"] = UNIVARIATE
    name: str
    mean_forecast: list[float]
    frequency: Frequency
    start_timestamp: str
    quantiles: dict[str, list[float]] | None = None
    source: list[str] = Field(description="Ours: where each number comes from.")
    price: float = Field(description="Ours: the price that was taken for granted.")
    model_version: str = Field(description="Ours: the version that answered.")


class ForecastOutput(Reply):
    """The forecast of one input."""

    type: Literal["time_series_forecast"] = "time_series_forecast"
    id: str
    status: Literal["completed"] = "completed"
    content: list[TimeSeriesForecast]
    error: ProtocolError | None = None


class TimeSeriesReply(Reply):
    """The protocol's ForecastResponse."""

    id: str
    created_at: int = Field(description="Seconds since 1970-01-01.")
    status: Literal["completed"] = "completed"
    error: ProtocolError | None = None
    model: str
    model_version: str = Field(
        description="Ours: the version that answered; the champion's where several series may "
        "be answered by different ones, each of which says so."
    )
    outputs: list[ForecastOutput]
