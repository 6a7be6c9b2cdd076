"""Cold start and rolling once more, straight from their definitions: one series, one day at a time.

It stands on ``naive_features`` and shares no code with the contract room.
"""

from collections.abc import Callable
from copy import deepcopy
from statistics import fmean

from scalecast_assets.contract.columns import Calendar
from tests.unit.naive_features import History, Sale, Series, final_rows, naive_features

Model = Callable[[list[float]], float]
Plan = dict[tuple[Series, int], float]


def naive_cold_start(history: History, key: Series, calendar: Calendar) -> tuple[float, str]:
    """Average 28 days of the series, else of its product, its store, of everything."""
    store, product = key
    end = max(day for rows in history.sales.values() for day in rows)
    rows = [(k, day, sale.quantity) for k, day, sale, _ in final_rows(history, calendar)]
    opened = history.open_days(store)
    if calendar == "store" and key in history.sales:
        began = min(history.sales[key])
        days = [d for d in opened if d > opened[-1] - 28 and d >= began]
        own = [history.quantity(key, d) for d in days]
    else:
        own = [q for k, d, q in rows if k == key and d > opened[-1] - 28]
    pools = {
        "series_mean": own,
        "product_mean": [q for k, d, q in rows if k[1] == product and d > end - 28],
        "store_mean": [q for k, d, q in rows if k[0] == store and d > opened[-1] - 28],
        "global_mean": [q for _, d, q in rows if d > end - 28],
    }
    return next((fmean(pool), source) for source, pool in pools.items() if pool)


def naive_unseen(
    history: History, store: str, product: str, day: int, calendar: Calendar
) -> tuple[float, str]:
    """Answer for a pair that never met: a mean, at the store's level and on its weekday."""
    end = max(d for rows in history.sales.values() for d in rows)
    rows = [(k, d, sale.quantity) for k, d, sale, _ in final_rows(history, calendar)]
    late = [(k, q) for k, d, q in rows if d > end - 28]
    opened = history.open_days(store)
    here = [(d, q) for k, d, q in rows if k[0] == store and d > opened[-1] - 28]
    mean = fmean([q for _, q in here])
    that_weekday = [q for d, q in here if d % 7 == day % 7]
    share = fmean(that_weekday) / mean if that_weekday and mean > 0 else 1.0
    share = (len(that_weekday) * share + 20) / (len(that_weekday) + 20)
    of_product = [q for k, q in late if k[1] == product]
    if not of_product:
        return mean * share, "store_mean"
    sold = usual = n = 0.0
    for key in {k for k, _ in late if k[0] == store}:
        own = [q for k, q in late if k == key]
        elsewhere = [q for k, q in late if k[1] == key[1] and k[0] != store]
        if elsewhere:
            sold, usual, n = sold + sum(own), usual + fmean(elsewhere) * len(own), n + 1
    level = sold / usual if usual > 0 else 1.0
    return fmean(of_product) * (n * level + 10) / (n + 10) * share, "product_at_store"


def naive_roll(
    history: History,
    origin: int,
    horizon: int,
    model: Model,
    calendar: Calendar,
    price: Plan,
    promotion: Plan,
) -> dict[tuple[Series, int], tuple[float, str, bool]]:
    """Forecast every series of a history that ends by the origin: value, source, counts as open.

    ``model`` is asked with price and promotion behind the first twelve features.
    """
    answers = {}
    means = {key: naive_cold_start(history, key, calendar) for key in history.series}
    for store in sorted({store for store, _ in history.series}):
        keys = [key for key in history.series if key[0] == store]
        known = History({key: deepcopy(history.sales[key]) for key in keys})
        opened = known.open_days(store)
        until = opened[-1]
        weekdays = {d % 7 for d in opened if d > until - 28}
        for day in range(until + 1, origin + horizon + 1):
            is_open = day % 7 in weekdays and day <= until + 56
            today = {}
            for key in keys:
                row, has_history = naive_features(known, key, day, calendar)
                last_price = history.sales[key][max(history.sales[key])].price
                row += [price.get((key, day), last_price), promotion.get((key, day), 0.0)]
                answer = means[key]
                if has_history and day <= until + 56:
                    answer = max(model(row), 0.0), "model"
                today[key] = answer[0]
                if day > origin:
                    answers[key, day] = (*answer, is_open)
            if is_open:
                for key in keys:
                    known.sales[key][day] = Sale(today[key], 1.0, False)
    return answers
