"""Requests and replies about many days at once: batches, forecasts, histories, with examples."""

import datetime
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, model_validator
from pydantic_core import PydanticCustomError

from scalecast_assets.contract.columns import KEPT_HISTORY_DAYS, MAX_HORIZON_DAYS, MAX_PRICE
from scalecast_assets.contract.intervals import DEFAULT_LEVEL
from serving.schemas import (
    PREDICT_EXAMPLES,
    Identifier,
    IsoDay,
    Level,
    PredictReply,
    PredictRequest,
    Reply,
)

MAX_ROWS: Final = 10_000
MAX_PLAN: Final = 10_000
DEFAULT_HORIZON: Final = 14

BATCH_EXAMPLES: Final[dict[str, Any]] = {
    "three_rows": {
        "summary": "A promotion, two weeks ahead, and a product that was never sold",
        "value": {"rows": [example["value"] for example in PREDICT_EXAMPLES.values()]},
    }
}

BATCH_LINES: Final = (
    '{"date": "2024-03-15", "store_id": "STORE_001", "product_id": "PROD_A", '
    '"price": 29.99, "promotion": true}\n'
    '{"date": "2024-03-16", "store_id": "STORE_001", "product_id": "PROD_A", '
    '"price": 29.99, "promotion": false}\n'
)

FORECAST_EXAMPLES: Final[dict[str, Any]] = {
    "one_series": {
        "summary": "The coming week of one product in one store",
        "value": {"store_id": "STORE_001", "product_id": "PROD_A", "horizon": 7},
    },
    "planned_promotion": {
        "summary": "With a promotion and a price that are planned",
        "value": {
            "store_id": "STORE_001",
            "product_id": "PROD_A",
            "horizon": 14,
            "plan": [
                {"date": "2024-03-20", "price": 19.99, "promotion": True},
                {"date": "2024-03-21", "price": 19.99, "promotion": True},
            ],
        },
    },
    "whole_store": {
        "summary": "All that a store sells, tomorrow and the day after",
        "value": {"store_id": "STORE_001", "horizon": 2},
    },
    "whole_product": {
        "summary": "One product in all stores; the price changes in one of them",
        "value": {
            "product_id": "PROD_A",
            "horizon": 3,
            "plan": [{"date": "2024-03-16", "store_id": "STORE_001", "price": 24.99}],
        },
    },
}


class BatchRequest(BaseModel):
    """Questions as `POST /predict` takes them, many at once."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    rows: Annotated[list[PredictRequest], Field(min_length=1, max_length=MAX_ROWS), FailFast()]


class BatchReply(Reply):
    """The answers, in the order of the rows."""

    model_version: str
    predictions: list[PredictReply]


class PlannedDay(BaseModel):
    """What is planned for one day: a price, a promotion, or both."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    date: IsoDay
    price: float | None = Field(
        default=None, gt=0, le=MAX_PRICE, allow_inf_nan=False, description="Default: the last one."
    )
    promotion: bool | None = Field(default=None, description="Default: none.")
    store_id: Identifier | None = Field(default=None, description="Only in this store.")
    product_id: Identifier | None = Field(default=None, description="Only for this product.")

    @model_validator(mode="after")
    def _plans_something(self) -> Self:
        if self.price is None and self.promotion is None:
            raise PydanticCustomError("empty_plan", "must have a price or a promotion")
        return self


class ForecastRequest(BaseModel):
    """The coming days of one series, or of a whole store or product: leave out one of the ids."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    store_id: Identifier | None = None
    product_id: Identifier | None = None
    horizon: int = Field(
        default=DEFAULT_HORIZON,
        ge=1,
        le=MAX_HORIZON_DAYS,
        description="Days after the store's latest one.",
    )
    plan: Annotated[list[PlannedDay], Field(max_length=MAX_PLAN), FailFast()] = Field(
        default=[],
        description="Prices and promotions that are known in advance. On the other days the price "
        "is the last one and there is no promotion. A planned day moves the days after it, too: "
        "what is sold then is their history. Of two entries for a day the later one counts.",
    )
    level: Level = DEFAULT_LEVEL

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.store_id is None and self.product_id is None:
            raise PydanticCustomError("no_id", "must have a store_id, a product_id, or both")
        return self


class ForecastDay(Reply):
    """One day of a forecast: the fields of `POST /predict`, and what was taken for granted."""

    date: datetime.date
    price: float | None = Field(description="Planned, or the last one; null if none is known.")
    promotion: bool
    prediction: float = Field(ge=0)
    model_version: str
    source: str
    horizon: int
    data_until: datetime.date
    store_open: bool | None
    lower: float | None = Field(ge=0)
    upper: float | None = Field(ge=0)
    level: int | None


class SeriesForecast(Reply):
    """The coming days of one product in one store."""

    store_id: str
    product_id: str
    model_version: str
    days: list[ForecastDay]


class ForecastReply(Reply):
    """The series that were asked for, by store and product."""

    model_version: str
    series: list[SeriesForecast]


class HistoryQuery(BaseModel):
    """Which series, and how much of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store_id: Identifier = Field(examples=["STORE_001"])
    product_id: Identifier = Field(examples=["PROD_A"])
    days: int = Field(
        default=KEPT_HISTORY_DAYS,
        examples=[14],
        ge=1,
        le=KEPT_HISTORY_DAYS + 14,
        description="Calendar days up to the store's latest one.",
    )


class HistoryDay(Reply):
    """What was sold on a day; days on which the store was closed are left out."""

    date: datetime.date
    quantity_sold: float
    price: float | None
    promotion: bool


class HistoryReply(Reply):
    """What forecasts of this series start from."""

    store_id: str
    product_id: str
    first_date: datetime.date = Field(description="The day of its first row ever.")
    data_until: datetime.date = Field(description="The store's latest day.")
    last_price: float
    is_active: bool = Field(description="Whether it had a row in the last 56 days.")
    mean_28_days: float | None = Field(description="Units per open day, over the last 28.")
    store_known_to_model: bool = Field(description="False: it joined after the model was trained.")
    product_known_to_model: bool
    open_weekdays: list[bool] = Field(
        description="Monday to Sunday: on which the store is expected to open."
    )
    days: list[HistoryDay]
