"""The raw columns, the sixteen features and the hash that names their meaning.

Only names and constants live here. How a feature is computed is in ``features.py`` (numpy) and in
``dbt_project/models/features`` (SQL); the two agree, and ``FEATURE_SEMANTICS`` moves with them.
"""

import hashlib
from typing import Final, Literal

Calendar = Literal["store", "observed"]

RAW_COLUMNS: Final = (
    "date",
    "store_id",
    "product_id",
    "quantity_sold",
    "price",
    "promotion",
)

FEATURES: Final = (
    "day_of_week",
    "month",
    "week_of_year",
    "is_weekend",
    "is_month_start",
    "is_month_end",
    "lag_1",
    "lag_7",
    "lag_14",
    "rolling_mean_7",
    "rolling_std_7",
    "rolling_mean_14",
    "price",
    "promotion",
    "store_id_encoded",
    "product_id_encoded",
)
"""The order of the columns of every ``(n_rows, 16) float32`` matrix, in every model."""

MIN_HISTORY_DAYS: Final = 14
"""Calendar days between a series' first row and a day that may be trained on or scored."""

ACTIVE_DAYS: Final = 56
"""A series stays active, with zero-demand rows on open days, this long after its latest row."""

KEPT_HISTORY_DAYS: Final = 56
"""Days before the latest one for which the sidecar still predicts one step ahead."""

MAX_HORIZON_DAYS: Final = 56
"""The furthest day after the latest one that a forecast is given for."""

UNKNOWN_CODE: Final = 0
"""The code of a store or product that the model has not seen; known codes start at 1."""

MAX_ID_BYTES: Final = 500
"""UTF-8 bytes of a store or product id: longer ones are refused in files and in requests alike.
Ids are part of the warehouse's key; Postgres refuses index entries beyond 2,700 bytes."""

MAX_QUANTITY: Final = 1e9
"""Units per series and day beyond which a quantity is taken for a mistake and refused."""

MAX_PRICE: Final = 1e9
"""A price beyond it is taken for a mistake and refused, in files and in requests alike. It is far
from where float32, the type of all features, ends (3.4e38)."""

FEATURE_SEMANTICS: Final = 1
"""Raised by one whenever the meaning of a feature changes, in SQL and in numpy at once."""


def feature_contract_hash(calendar: Calendar) -> str:
    """Name the meaning of the feature matrix: order, semantics and calendar.

    Two tables, models or bundles with different hashes must never meet.
    """
    text = f"{FEATURE_SEMANTICS}|{calendar}|{','.join(FEATURES)}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
