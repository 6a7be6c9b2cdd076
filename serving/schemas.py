"""What goes over the wire: requests, replies and errors, strictly typed, with examples that run.

Numbers are JSON numbers, ``promotion`` is a JSON boolean, unknown fields are refused: a field that
is silently ignored is a forecast made for another question.
"""

import datetime
import re
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

from scalecast_assets.contract.cold_start import Source
from scalecast_assets.contract.columns import MAX_ID_BYTES, MAX_PRICE
from scalecast_assets.contract.intervals import DEFAULT_LEVEL

ISO_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Level = Annotated[
    Literal[50, 80, 90, 95],
    Field(description="Per cent of the days that are to lie between `lower` and `upper`."),
]

PREDICT_EXAMPLES: Final[dict[str, Any]] = {
    "promotion": {
        "summary": "STORE_001 sells PROD_A on promotion",
        "value": {
            "date": "2024-03-15",
            "store_id": "STORE_001",
            "product_id": "PROD_A",
            "price": 29.99,
            "promotion": True,
        },
    },
    "two_weeks_ahead": {
        "summary": "Two weeks ahead, rolled forward day by day",
        "value": {
            "date": "2024-03-28",
            "store_id": "STORE_001",
            "product_id": "PROD_A",
            "price": 29.99,
            "promotion": False,
        },
    },
    "wide_interval": {
        "summary": "With the interval that 95 % of the days lie in",
        "value": {
            "date": "2024-03-15",
            "store_id": "STORE_001",
            "product_id": "PROD_A",
            "price": 29.99,
            "promotion": False,
            "level": 95,
        },
    },
    "new_product": {
        "summary": "A product that was never sold: the cold-start answer",
        "value": {
            "date": "2024-03-15",
            "store_id": "STORE_001",
            "product_id": "PROD_NEW",
            "price": 9.5,
            "promotion": False,
        },
    },
}


def _iso_day(value: object) -> datetime.date:
    if isinstance(value, str) and ISO_DAY.fullmatch(value):
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            pass
    raise PydanticCustomError("iso_day", "must be an existing day written YYYY-MM-DD")


def _short_enough(value: str) -> str:
    """The limit is in bytes, as for raw files; the length in characters is checked before."""
    if len(value.encode()) > MAX_ID_BYTES:
        raise PydanticCustomError(
            "id_too_long", "must have at most {limit} bytes in UTF-8", {"limit": MAX_ID_BYTES}
        )
    return value


IsoDay = Annotated[datetime.date, BeforeValidator(_iso_day)]
Identifier = Annotated[
    str, Field(min_length=1, max_length=MAX_ID_BYTES), AfterValidator(_short_enough)
]


class PredictRequest(BaseModel):
    """The demand for one product in one store on one day."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    plain_quotes: ClassVar[int] = 16
    """Of five names and three texts. A body with no more of them has no name twice."""

    date: IsoDay = Field(
        description="The day to forecast, `YYYY-MM-DD`: from 55 days before the latest day known "
        "to 56 days after it."
    )
    store_id: Identifier = Field(description="As in the raw files: text, `0012` is not `12`.")
    product_id: Identifier = Field(description="As in the raw files.")
    price: float = Field(
        gt=0, le=MAX_PRICE, allow_inf_nan=False, description="The price on that day."
    )
    promotion: bool = Field(description="Whether the product is promoted on that day.")
    level: Level = DEFAULT_LEVEL


class Reply(BaseModel):
    """What every answer has in common."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class PredictReply(Reply):
    """A forecast, and what it stands on."""

    prediction: float = Field(ge=0, description="Units expected to be sold that day.")
    model_version: str = Field(description="The version that answered, as under `models/`.")
    source: Source = Field(
        description="`model`, or the mean that answers where there is too little history: the "
        "series' own over 28 days, else its product's, its store's, everything's. "
        "`product_at_store`: never sold here, so what other stores sell of it, brought to the "
        "level and the weekdays of this store."
    )
    horizon: int = Field(
        ge=1,
        description="Days ahead of the history that was used: 1 is one step ahead, more means "
        "that the days between were forecast first.",
    )
    data_until: datetime.date = Field(description="The store's latest day in the history.")
    store_open: bool | None = Field(
        description="Whether the store was, or by its weekdays is expected to be, open that day; "
        "null for a store never seen."
    )
    lower: float | None = Field(
        ge=0, description="Lower end of the interval, units; null if the model has no intervals."
    )
    upper: float | None = Field(
        ge=0, description="Upper end of the interval, units; null if the model has no intervals."
    )
    level: int | None = Field(
        description="Per cent of the days expected from `lower` to `upper`; null without them."
    )


class HealthReply(Reply):
    """The process is alive; a model may or may not be in."""

    status: Literal["healthy"] = "healthy"
    model_loaded: bool
    stale: Literal[True] | None = Field(
        default=None, description="There, and true, while the store cannot confirm what answers."
    )


class ReadyReply(Reply):
    """A verified model and a history that fits it are in."""

    status: Literal["ready"] = "ready"
    model_version: str
    challenger: str | None = Field(
        default=None, description="There while a version is served beside it: which one."
    )
    data_until: datetime.date
    stale: Literal[True] | None = Field(
        default=None, description="There, and true, while the store cannot confirm what answers."
    )
    stale_since: datetime.datetime | None = Field(
        default=None, description="When the store last did; every answer has it as X-Stale-Since."
    )
    stale_because: str | None = Field(default=None, description="What is wrong with the store.")


class StateReply(Reply):
    """The history that forecasts start from."""

    sha256: str
    data_until: datetime.date
    stores: int
    products: int
    series: int


class ChallengerReply(Reply):
    """The version that is served beside the champion."""

    model_version: str
    manifest_sha256: str
    mode: Literal["split", "shadow"] = Field(
        description="`split`: it answers for its share of the series, always the same ones. "
        "`shadow`: the champion answers, and the two are only compared."
    )
    share: float = Field(gt=0, le=1, description="Of the series.")
    candidate: str
    mae: float | None = Field(description="On the holdout, when it was compared; units per day.")
    loaded_at: datetime.datetime


class ModelReply(Reply):
    """The model that answers now, where it comes from and how it did."""

    model_version: str
    previous: str | None = Field(description="What was served before, where a rollback leads.")
    manifest_sha256: str
    loaded_at: datetime.datetime
    features: list[str] = Field(description="What the model is asked with, in this order.")
    metrics: list[dict[str, JsonValue]] = Field(
        description="The leaderboard it won: all candidates and baselines on the same days."
    )
    manifest: JsonValue = Field(
        description="The bundle's manifest: candidate, features, cutoffs, metrics of all "
        "candidates beside the baselines, training set, raw files, library versions, run."
    )
    state: StateReply | None
    stale_since: datetime.datetime | None = Field(
        description="Since when the store could not confirm that this is what to serve; null: it "
        "does."
    )
    challenger: ChallengerReply | None = Field(
        description="What is served beside it; null without a challenger."
    )
    challenger_problem: str | None = Field(
        description="Why the challenger that is to be served is not; null if nothing is wrong."
    )


class VersionReply(Reply):
    """One kept version."""

    version: str
    candidate: str
    created_at: str
    fit_cutoff: datetime.date = Field(description="The last day that it was fitted on.")
    mae: float | None = Field(description="On the holdout, when it was compared; units per day.")
    is_served: bool
    is_challenger: bool = Field(description="Whether it is served beside the champion.")


class VersionsReply(Reply):
    """The versions that are kept, newest first; `scalecast rollback VERSION` serves one again."""

    versions: list[VersionReply]
    as_of: datetime.datetime | None = Field(
        description="When the store was last listed; null: not yet, only the served one is known."
    )
    stale_because: str | None = Field(
        description="Why the store could not be listed again since then; null if it could."
    )


class Problem(BaseModel):
    """One field that breaks one rule."""

    field: str
    value: JsonValue
    rule: str
    message: str


class ErrorReply(BaseModel):
    """Every error of this API."""

    detail: list[Problem]
