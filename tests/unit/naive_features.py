"""The features once more, straight from their definitions: slow loops over days, no numpy.

A ``History`` is raw rows as they come from files. ``final_rows`` makes of it what
``demand_features`` holds; ``naive_features`` computes one row of features from days before a day.
Both calendars. It shares no code with the contract room.
"""

import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import nan
from statistics import fmean, stdev

import numpy as np

from scalecast_assets.contract.columns import Calendar
from scalecast_assets.contract.panel import Panel
from scalecast_assets.contract.panel_rows import PanelRows, build_panel

EPOCH = date(1970, 1, 1)
Series = tuple[str, str]


@dataclass(frozen=True)
class Sale:
    """What a raw row says besides its key."""

    quantity: float
    price: float
    promotion: bool


@dataclass
class History:
    """Raw rows: (store, product) → day → sale."""

    sales: dict[Series, dict[int, Sale]] = field(default_factory=dict)

    @property
    def series(self) -> list[Series]:
        """All series, in canonical order."""
        return sorted(self.sales)

    def open_days(self, store: str) -> list[int]:
        """The days on which the store has any row."""
        return sorted({day for (s, _), rows in self.sales.items() if s == store for day in rows})

    def before(self, day: int) -> "History":
        """The rows of days before ``day``; series without one vanish."""
        kept = {
            key: {at: sale for at, sale in rows.items() if at < day}
            for key, rows in self.sales.items()
        }
        return History({key: rows for key, rows in kept.items() if rows})

    def quantity(self, key: Series, day: int) -> float:
        """What the series sold on an open day: nothing, where it has no row."""
        sale = self.sales[key].get(day)
        return sale.quantity if sale else 0.0


def random_history(
    seed: int, *, n_stores: int = 3, n_products: int = 4, n_days: int = 150
) -> History:
    """Make stores with weekly and long closures, and series that are new, sparse or gone."""
    chance = random.Random(seed)
    begin = 19_000 + chance.randrange(400)
    history = History()
    for s in range(n_stores):
        store = f"S{s}"
        shut = {w for w in range(7) if chance.random() < 0.15}
        closed = {d for d in range(n_days) if (begin + d) % 7 in shut or chance.random() < 0.05}
        if chance.random() < 0.6:
            start = chance.randrange(n_days)
            closed |= set(range(start, start + chance.choice([5, 16, 25, 40])))
        last = n_days - chance.choice([0, 0, 0, 1, 3, 20])
        for p in range(n_products):
            rate = chance.choice([0.03, 0.3, 0.9, 1.0])
            first = chance.choice([0, 0, 5, n_days // 2, n_days - 20, n_days - 10])
            gone = chance.choice([last, last, last, n_days // 3, n_days - 15])
            silent = chance.randrange(n_days)
            rows = {
                begin + d: Sale(
                    chance.choice([0.0, float(chance.randrange(40)), chance.uniform(0, 9)]),
                    round(chance.uniform(0.5, 30), 2),
                    chance.random() < 0.2,
                )
                for d in range(first, min(gone, last))
                if d not in closed
                and chance.random() < rate
                and not silent <= d < silent + chance.choice([0, 70])
            }
            if rows:
                history.sales[store, f"P{p}"] = rows
    return history if history.sales else random_history(seed + 1)


def final_rows(history: History, calendar: Calendar) -> list[tuple[Series, int, Sale, bool]]:
    """List (series, day, sale, is_imputed): an active series has a row on every open day."""
    rows = []
    for key in history.series:
        own = history.sales[key]
        latest, price = -1, 0.0
        for day in history.open_days(key[0]) if calendar == "store" else sorted(own):
            if day in own:
                latest, price = day, own[day].price
                rows.append((key, day, own[day], False))
            elif latest >= 0 and day - latest <= 56:
                rows.append((key, day, Sale(0.0, price, False), True))
    return rows


def panel_of(
    history: History,
    calendar: Calendar = "store",
    *,
    origin_day: int | None = None,
    kept_days: int = 400,
) -> Panel:
    """Build the panel of a history, by default long enough for every day of it."""
    keys = history.series
    stores = sorted({store for store, _ in keys})
    products = sorted({product for _, product in keys})
    number = {key: i for i, key in enumerate(keys)}
    rows = final_rows(history, calendar)
    return build_panel(
        PanelRows(
            series=np.array([number[key] for key, _, _, _ in rows], np.int32),
            day=np.array([day for _, day, _, _ in rows], np.int32),
            quantity=np.array([sale.quantity for _, _, sale, _ in rows]),
            price=np.array([sale.price for _, _, sale, _ in rows]),
            promotion=np.array([sale.promotion for _, _, sale, _ in rows]),
        ),
        stores=stores,
        products=products,
        series_store=np.array([stores.index(store) for store, _ in keys]),
        series_product=np.array([products.index(product) for _, product in keys]),
        calendar=calendar,
        origin_day=origin_day,
        kept_days=kept_days,
    )


def naive_calendar(day: int) -> list[float]:
    """day_of_week … is_month_end."""
    on = EPOCH + timedelta(days=day)
    return [
        on.weekday(),
        on.month,
        on.isocalendar().week,
        on.weekday() in (5, 6),
        on.day == 1,
        (on + timedelta(days=1)).month != on.month,
    ]


def naive_features(
    history: History, key: Series, day: int, calendar: Calendar
) -> tuple[list[float], bool]:
    """Compute day_of_week … rolling_mean_14 (NaN: not defined) and has_history."""
    demand = _by_rows if calendar == "observed" else _by_days
    values, has_history = demand(history, key, day)
    return [*naive_calendar(day), *values], has_history


def _by_days(history: History, key: Series, day: int) -> tuple[list[float], bool]:
    opened = [d for d in history.open_days(key[0]) if d < day]
    first = min(history.sales[key])

    def lag(k: int) -> float:
        reached = [d for d in opened if d <= day - k]
        if not reached or reached[-1] < first:
            return nan
        return history.quantity(key, reached[-1])

    def window(k: int) -> list[float]:
        return [history.quantity(key, d) for d in opened if d >= max(day - k, first)]

    fortnight = window(14)
    return (
        [lag(1), lag(7), lag(14), *_rolling(window(7), fortnight)],
        day - first >= 14 and len(fortnight) > 0,
    )


def _by_rows(history: History, key: Series, day: int) -> tuple[list[float], bool]:
    rows = [sale.quantity for at, sale in sorted(history.sales[key].items()) if at < day]
    lags = [rows[-k] if len(rows) >= k else nan for k in (1, 7, 14)]
    return [*lags, *_rolling(rows[-7:], rows[-14:])], len(rows) >= 14


def _rolling(week: list[float], fortnight: list[float]) -> list[float]:
    mean_14 = fmean(fortnight) if fortnight else nan
    return [
        fmean(week) if week else mean_14,
        stdev(week) if len(week) > 1 else 0.0,
        mean_14,
    ]
