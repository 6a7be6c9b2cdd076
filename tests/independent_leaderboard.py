"""Recompute part of the leaderboard from the raw CSV, sharing no code with the project.

    python tests/independent_leaderboard.py FILE.csv --horizon 14 [--leaderboard run.json]

One plain function computes the sixteen features of one series on one day, straight from the
design's table; pandas reads the file, numpy solves the least squares. ``run.json`` is the output of
``scalecast run --json`` on the same file in an empty home. Exit code 1: a figure differs by more
than 1e-6 of its size (1e-4 for the linear regression, whose solution depends on the solver).

Assumed besides the table: codes are given in the order of the ids' code points, starting at 1, and
every day of the file is final.
"""

import argparse
import datetime as dt
import json
import math
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

ACTIVE_DAYS = 56
FURTHEST_DAYS = 56
NAMES = ("naive_baseline", "mean_baseline", "linear_regression")
METRICS = ("mae", "rmse", "mape", "r2", "wape", "rmsse", "bias", "one_step_mae")
LAG_1, ROLLING_MEAN_7 = 6, 9
Predict = Callable[[list[float]], float]


@dataclass
class Series:
    """One (store, product): what it sold on which day, at which price."""

    store: str
    product: str
    codes: tuple[int, int]
    quantity: dict[int, float] = field(default_factory=dict)
    price: dict[int, float] = field(default_factory=dict)
    promotion: dict[int, bool] = field(default_factory=dict)
    first: int = 0


@dataclass
class Row:
    """One row of the feature table."""

    series: int
    day: int
    quantity: float
    price: float
    promotion: bool
    features: list[float]


def read(path: Path) -> tuple[list[Series], dict[str, list[int]]]:
    """Return the series of the file, and each store's open days in order."""
    text = {"store_id": str, "product_id": str, "promotion": str}
    table = pd.read_csv(path, dtype=text, keep_default_na=False)
    table["day"] = [dt.date.fromisoformat(d).toordinal() for d in table["date"].astype(str)]
    table["quantity_sold"] = table["quantity_sold"].astype(float)
    table["price"] = table["price"].astype(float)
    table["promotion"] = table["promotion"].str.lower().isin(["true", "1", "yes", "t"])
    store_code = {name: n for n, name in enumerate(sorted(set(table["store_id"])), 1)}
    product_code = {name: n for n, name in enumerate(sorted(set(table["product_id"])), 1)}
    open_days = {str(s): sorted(set(g)) for s, g in table.groupby("store_id")["day"]}
    series = []
    for key, rows in table.groupby(["store_id", "product_id"], sort=True):
        store, product = (str(part) for part in key)
        one = Series(store, product, (store_code[store], product_code[product]))
        for day, quantity, price, promotion in zip(
            rows["day"], rows["quantity_sold"], rows["price"], rows["promotion"], strict=True
        ):
            one.quantity[day], one.price[day], one.promotion[day] = quantity, price, promotion
        one.first = min(one.quantity)
        series.append(one)
    return series, open_days


def has_history(open_days: list[int], first: int, day: int) -> bool:
    """Tell whether a row of that day may be trained on or scored."""
    any_open = bisect_left(open_days, day) > bisect_left(open_days, day - 14)
    return day - first >= 14 and any_open


def features(
    open_days: list[int], sold: dict[int, float], day: int, price: float, promo: bool,
    codes: tuple[int, int],
) -> list[float]:  # fmt: skip
    """Return the sixteen features of one series on one day, from the days before it."""

    def lag(k: int) -> float:
        return sold.get(open_days[bisect_right(open_days, day - k) - 1], 0.0)

    def window(k: int) -> list[float]:
        between = open_days[bisect_left(open_days, day - k) : bisect_left(open_days, day)]
        return [sold.get(d, 0.0) for d in between]

    date = dt.date.fromordinal(day)
    week, fortnight = window(7), window(14)
    mean_14 = sum(fortnight) / len(fortnight)
    mean_7 = sum(week) / len(week) if week else mean_14
    std_7 = float(np.std(week, ddof=1)) if len(week) > 1 else 0.0
    return [
        float(date.weekday()),
        float(date.month),
        float(date.isocalendar().week),
        float(date.weekday() >= 5),
        float(date.day == 1),
        float((date + dt.timedelta(days=1)).day == 1),
        lag(1), lag(7), lag(14),
        mean_7, std_7, mean_14,
        price, float(promo),
        float(codes[0]), float(codes[1]),
    ]  # fmt: skip


def feature_rows(series: list[Series], open_days: dict[str, list[int]]) -> list[list[Row]]:
    """Return each series' rows with history; fills in the price of its zero-demand rows."""
    table = []
    for number, one in enumerate(series):
        days = open_days[one.store]
        rows, latest = [], one.first
        for day in days[bisect_left(days, one.first) :]:
            latest = day if day in one.quantity else latest
            if day - latest > ACTIVE_DAYS:
                continue
            price = one.price[latest]
            promo = one.promotion.get(day, False)
            quantity = one.quantity.get(day, 0.0)
            values: list[float] = []
            if has_history(days, one.first, day):
                values = features(days, one.quantity, day, price, promo, one.codes)
            rows.append(Row(number, day, quantity, price, promo, values))
        table.append(rows)
    return table


def least_squares(rows: list[Row]) -> Predict:
    """Fit ordinary least squares with an intercept; the prediction is clipped at zero."""
    matrix = np.array([row.features for row in rows], dtype=np.float32).astype(float)
    target = np.array([row.quantity for row in rows])
    mean = matrix.mean(axis=0)
    weights = np.linalg.lstsq(matrix - mean, target - target.mean(), rcond=None)[0]

    def predict(values: list[float]) -> float:
        return max(
            0.0, float((np.array(values, dtype=np.float32) - mean) @ weights + target.mean())
        )

    return predict


def roll_forward(
    one: Series, rows: list[Row], open_days: list[int], origin: int, horizon: int, predict: Predict
) -> dict[int, float]:
    """Forecast one series day by day on its own forecasts, from its store's last day on.

    A day counts as open if the store was open on that weekday in its last four weeks; a closed day
    is answered but not fed back. A day with a row has that row's price and promotion.
    """
    days = open_days[: bisect_right(open_days, origin)]
    start = days[-1]
    weekdays = {d % 7 for d in days if d > start - 28}
    sold = {d: q for d, q in one.quantity.items() if d <= origin}
    last_price = one.price[max(sold)]
    planned = {row.day: (row.price, row.promotion) for row in rows if row.day > origin}
    recent = [one.quantity.get(d, 0.0) for d in days if d > start - 28 and d >= one.first]
    own_mean = sum(recent) / len(recent)
    answers: dict[int, float] = {}
    for day in range(start + 1, origin + horizon + 1):
        price, promo = planned.get(day, (last_price, False))
        answers[day] = own_mean
        if has_history(days, one.first, day) and day - start <= FURTHEST_DAYS:
            answers[day] = predict(features(days, sold, day, price, promo, one.codes))
        if day % 7 in weekdays:
            days = [*days, day]
            sold[day] = answers[day]
    return answers


def metrics(
    scored: list[Row], answers: list[float], scale: dict[int, float]
) -> dict[str, float | None]:
    """Return the leaderboard's figures of aligned rows and forecasts."""
    actual = np.array([row.quantity for row in scored])
    error = np.array(answers) - actual
    sold = actual > 0
    per_series = pd.Series(error**2).groupby([row.series for row in scored]).mean()
    squares = {int(str(number)): value for number, value in per_series.items()}
    ratios = [math.sqrt(v / scale[s]) for s, v in squares.items() if scale.get(s, 0) > 0]
    spread = float(((actual - actual.mean()) ** 2).sum())
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "mape": float((np.abs(error[sold]) / actual[sold]).mean()) if sold.any() else None,
        "r2": 1 - float((error**2).sum()) / spread if spread else None,
        "wape": float(np.abs(error).sum() / actual.sum()) if actual.sum() else None,
        "rmsse": float(np.mean(ratios)) if ratios else None,
        "bias": float(error.mean()),
    }


def leaderboard(path: Path, horizon: int) -> dict[str, dict[str, float | None]]:
    """Return the figures of naive, mean and linear regression on the file's last days."""
    series, open_days = read(path)
    table = feature_rows(series, open_days)
    origin = max(rows[-1].day for rows in table) - horizon
    usable = [row for rows in table for row in rows if row.features]
    scored = [r for r in usable if r.day > origin and series[r.series].first <= origin]
    models: dict[str, Predict] = {
        "naive_baseline": lambda values: values[LAG_1],
        "mean_baseline": lambda values: values[ROLLING_MEAN_7],
        "linear_regression": least_squares([r for r in usable if r.day <= origin]),
    }
    scale = {}
    for number, rows in enumerate(table):
        past = [row.quantity for row in rows if row.day <= origin]
        if len(past) > 1:
            scale[number] = float((np.diff(past) ** 2).mean())
    board = {}
    for name, predict in models.items():
        answers = {
            number: roll_forward(one, table[number], open_days[one.store], origin, horizon, predict)
            for number, one in enumerate(series)
            if one.first <= origin
        }
        board[name] = metrics(scored, [answers[r.series][r.day] for r in scored], scale)
        one_step = [abs(predict(r.features) - r.quantity) for r in scored]
        board[name]["one_step_mae"] = float(np.mean(one_step))
    return board


def differences(
    ours: dict[str, dict[str, float | None]], theirs: list[dict[str, float | None]]
) -> list[str]:
    """Return a line for every figure that differs from the run's leaderboard."""
    found = {row["name"]: row for row in theirs}
    lines = []
    for name, figures in ours.items():
        tolerance = 1e-4 if name == "linear_regression" else 1e-6
        for metric in METRICS:
            mine, other = figures[metric], found.get(name, {}).get(metric)  # type: ignore[call-overload]
            if mine is None and other is None:
                continue
            if (
                mine is None
                or other is None
                or not math.isclose(mine, other, rel_tol=tolerance, abs_tol=tolerance)
            ):
                lines.append(f"{name}.{metric}: independent {mine}, leaderboard {other}")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Print the figures; compare them with a run's if one is given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--horizon", type=int, default=14)
    parser.add_argument("--leaderboard", type=Path, help="output of scalecast run --json")
    options = parser.parse_args(argv)
    board = leaderboard(options.file, options.horizon)
    print(pd.DataFrame(board).T.to_string(float_format="{:.6f}".format))
    if options.leaderboard is None:
        return 0
    different = differences(board, json.loads(options.leaderboard.read_text())["leaderboard"])
    print("\n".join(different) or "every figure agrees with the leaderboard")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
