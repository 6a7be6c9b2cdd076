"""Reproduce the published table on online_retail_demand.csv, beside an honest split in time.

    SCALECAST_BENCH_DATA=<folder with the file> python -m benchmarks.published_table

The table, and the script behind it, are public: github.com/bodhana23/scalecast. Documented there:
rows as they come (our ``calendar: observed``), sorted by store, product and date; rows without
lag_14 dropped; store and product numbered from 0 among the rows that are left; the columns in the
order of ``COLUMNS`` (trees draw and break ties by position: with week_of_year third instead of
sixth, the forest's MAE is 80.40); a random 80/20 split; grid searches with cv=3 on the absolute
error. The features come from ``scalecast_assets.contract``, the very code that serves. The sixth
published model, a network without a seed, has no figures to repeat to the digit and is left out.

The same models on a split in time follow, fitted before ``CUT``; the searches keep their cv=3.
Under both splits the constant, the training median, stands beside them.

Every figure must agree in its last printed digit. One needs help: the published R² of the 7-day
mean is -0.074 and ours -0.0735 (-0.07348). That it was rounded twice, to four digits and then to
three, is an inference: the script prints R² with four digits, the table has three. The output says
where it was needed. Exit code 1 when a published figure is not reproduced, 2 without the data.
"""

import csv
import datetime as dt
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.contract.features import features
from scalecast_assets.contract.panel_rows import PanelRows, build_panel

Floats = npt.NDArray[np.float64]
Figures = tuple[float, float, float, float]

FILE = "online_retail_demand.csv"
SEED = 42
CUT = dt.date(2011, 10, 19)
PUBLISHED: Mapping[str, Figures] = {
    "naive": (115.06, 322.69, 382.9, -0.975),
    "7-day mean": (97.96, 237.91, 405.4, -0.074),
    "linear regression": (92.47, 227.20, 436.7, 0.021),
    "random forest": (81.15, 226.00, 332.6, 0.031),
    "XGBoost": (79.38, 244.07, 270.6, -0.130),
}
"""MAE, RMSE, MAPE in percent, R²."""

COLUMNS = (
    "day_of_week",
    "month",
    "is_weekend",
    "is_month_start",
    "is_month_end",
    "week_of_year",
    "store_id_encoded",
    "product_id_encoded",
    "price",
    "promotion",
    "lag_1",
    "lag_7",
    "lag_14",
    "rolling_mean_7",
    "rolling_std_7",
    "rolling_mean_14",
)
"""The order of the published matrix; ours is ``FEATURES``."""

NAMES = ("MAE", "RMSE", "MAPE", "R²")
DIGITS = (2, 2, 1, 3)
"""Digits after the point in the published table."""


@dataclass(frozen=True)
class Table:
    """The rows that are left after the drop: ``(n, 16)`` in order of ``COLUMNS``, targets, days."""

    matrix: Floats
    target: Floats
    day: npt.NDArray[np.int64]


def load(path: Path) -> Table:
    """Read the CSV and compute the sixteen features over observed rows."""
    with path.open(newline="", encoding="utf-8") as lines:
        raw = sorted(
            csv.DictReader(lines), key=lambda r: (r["store_id"], r["product_id"], r["date"])
        )
    stores, products = (sorted({row[name] for row in raw}) for name in ("store_id", "product_id"))
    pairs = sorted({(row["store_id"], row["product_id"]) for row in raw})
    number = {pair: n for n, pair in enumerate(pairs)}
    series = np.array([number[row["store_id"], row["product_id"]] for row in raw], dtype=np.int64)
    day = np.array([row["date"] for row in raw], dtype="datetime64[D]").astype(np.int64)
    price = np.array([float(row["price"]) for row in raw])
    promotion = np.array([row["promotion"] == "True" for row in raw])
    quantity = np.array([float(row["quantity_sold"]) for row in raw])
    panel = build_panel(
        PanelRows(series, day, quantity, price, promotion),
        stores=stores,
        products=products,
        series_store=np.array([stores.index(store) for store, _ in pairs]),
        series_product=np.array([products.index(product) for _, product in pairs]),
        calendar="observed",
        kept_days=int(day.max() - day.min()) + 30,
    )
    store, product = panel.series_store[series], panel.series_product[series]
    matrix, left = features(panel, series, day, price, promotion, store, product)
    matrix, store, product = matrix[left], store[left], product[left]
    matrix[:, FEATURES.index("store_id_encoded")] = np.unique(store, return_inverse=True)[1]
    matrix[:, FEATURES.index("product_id_encoded")] = np.unique(product, return_inverse=True)[1]
    matrix = matrix[:, [FEATURES.index(name) for name in COLUMNS]]
    return Table(matrix, quantity[left], day[left])


def figures(actual: Floats, forecast: Floats) -> Figures:
    """Return MAE, RMSE, MAPE (over |actual| + 1e-10, in percent) and R² as published."""
    error = forecast - actual
    squares = float(np.square(actual - actual.mean()).sum())
    return (
        float(np.abs(error).mean()),
        float(np.sqrt(np.square(error).mean())),
        float((np.abs(error) / (np.abs(actual) + 1e-10)).mean() * 100),
        1 - float(np.square(error).sum()) / squares,
    )


def models() -> dict[str, Any]:
    """Return the three learned models of the published recipe, with their grids."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import GridSearchCV
    from xgboost import XGBRegressor

    forest = {"n_estimators": [50, 100], "max_depth": [10, 20, None]}
    boosting = {"n_estimators": [50, 100], "max_depth": [3, 5], "learning_rate": [0.01, 0.1]}
    search = {"cv": 3, "scoring": "neg_mean_absolute_error", "n_jobs": -1}
    return {
        "linear regression": LinearRegression(),
        "random forest": GridSearchCV(RandomForestRegressor(random_state=SEED), forest, **search),
        "XGBoost": GridSearchCV(XGBRegressor(random_state=SEED, n_jobs=1), boosting, **search),
    }


def measure(
    table: Table, train: npt.NDArray[np.intp], test: npt.NDArray[np.intp]
) -> dict[str, Figures]:
    """Fit on the rows ``train`` and return every model's figures on the rows ``test``."""
    matrix, actual = table.matrix[test], table.target[test]
    found = {
        "naive": figures(actual, matrix[:, COLUMNS.index("lag_1")]),
        "7-day mean": figures(actual, matrix[:, COLUMNS.index("rolling_mean_7")]),
    }
    for name, model in models().items():
        model.fit(table.matrix[train], table.target[train])
        found[name] = figures(actual, np.asarray(model.predict(matrix), dtype=np.float64))
    median = float(np.median(table.target[train]))
    found["constant (training median)"] = figures(actual, np.full(len(actual), median))
    return found


def show(title: str, found: Mapping[str, Figures], r2_digits: int = 4) -> None:
    """Print one table."""
    print(f"\n{title}\n| model | {' | '.join(NAMES)} |\n|---|--:|--:|--:|--:|")
    for name, (mae, rmse, mape, r2) in found.items():
        print(f"| {name} | {mae:.2f} | {rmse:.2f} | {mape:.1f} % | {r2:.{r2_digits}f} |")


def rounded(figure: float, *digits: int) -> Decimal:
    """Round half away from zero to each of ``digits`` after the point in turn."""
    number = Decimal(figure)
    for places in digits:
        number = number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return number


def compare(found: Mapping[str, Figures]) -> tuple[list[str], list[str]]:
    """Return the published figures that are missed, and those met only by rounding R² twice."""
    missed: list[str] = []
    twice: list[str] = []
    for model, published in PUBLISHED.items():
        for name, digits, theirs, ours in zip(NAMES, DIGITS, published, found[model], strict=True):
            expected = rounded(theirs, digits)
            if rounded(ours, digits) == expected:
                continue
            by_way_of_four = name == "R²" and rounded(ours, 4, digits) == expected
            line = f"{model}, {name}: published {expected}, here {ours:.5f}"
            (twice if by_way_of_four else missed).append(line)
    return missed, twice


def main() -> int:
    """Measure both splits, compare the random one with the published table."""
    from sklearn.model_selection import train_test_split

    folder = os.environ.get("SCALECAST_BENCH_DATA")
    if not folder or not (Path(folder) / FILE).is_file():
        print(f"set SCALECAST_BENCH_DATA to the folder that holds {FILE}", file=sys.stderr)
        return 2
    table = load(Path(folder) / FILE)
    train, test = train_test_split(np.arange(len(table.day)), test_size=0.2, random_state=SEED)
    random = measure(table, train, test)
    show("Published", PUBLISHED, r2_digits=3)
    show("Reproduced: random 80/20 split", random)
    cut = (CUT - dt.date(1970, 1, 1)).days
    before, after = np.flatnonzero(table.day < cut), np.flatnonzero(table.day >= cut)
    show(f"Honest: fitted before {CUT}, scored from then on", measure(table, before, after))
    missed, twice = compare(random)
    print()
    for line in twice:
        print(f"Agrees only if rounded twice, an inference: {line}")
    for line in missed:
        print(f"NOT REPRODUCED: {line}")
    total = len(PUBLISHED) * len(NAMES)
    exact = total - len(missed) - len(twice)
    print(f"Of {total} published figures {exact} are reproduced to the last digit.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
