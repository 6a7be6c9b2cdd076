"""The sidecar's answers computed once more, slowly and plainly, from the sales themselves."""

import datetime
import statistics
from collections.abc import Mapping

from tests.serving.makers import WEIGHTS, World

DAY = datetime.timedelta(1)


def expected_prediction(
    world: World, store: str, product: str, day: datetime.date, price: float, promotion: bool
) -> float:
    """Return what ``WEIGHTS`` must answer for the ``store`` calendar."""
    sold = dict(world.sales[store, product])
    until = max(world.open_days[store])
    weekdays = {d.weekday() for d in world.open_days[store] if d > until - 28 * DAY}
    between = until + DAY
    while between < day:
        if between.weekday() in weekdays:
            sold[between] = predict_one(world, store, product, sold, between, world.price, False)
        between += DAY
    return predict_one(world, store, product, sold, day, price, promotion)


def predict_one(
    world: World,
    store: str,
    product: str,
    sold: Mapping[datetime.date, float],
    day: datetime.date,
    price: float,
    promotion: bool,
) -> float:
    """Predict one day from what was ``sold`` before it (open days only)."""
    week = [sold[d] for d in (day - n * DAY for n in range(1, 8)) if d in sold]
    fortnight = [sold[d] for d in (day - n * DAY for n in range(1, 15)) if d in sold]
    mean_14 = statistics.fmean(fortnight)
    features = {
        "lag_1": sold[max(d for d in sold if d < day)],
        "rolling_mean_7": statistics.fmean(week) if week else mean_14,
        "rolling_mean_14": mean_14,
        "rolling_std_7": statistics.stdev(week) if len(week) > 1 else 0.0,
        "day_of_week": day.weekday(),
        "price": price,
        "promotion": float(promotion),
        "store_id_encoded": world.encoders.stores[store],
        "product_id_encoded": world.encoders.products[product],
    }
    return max(sum(weight * features[name] for name, weight in WEIGHTS.items()), 0.0)
