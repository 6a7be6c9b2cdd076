"""Continues a series that a caller sends: a history of its own, asked about like the server's.

The quantities become the state of one series in one store that was open every day, and the same
code as for ``/forecast`` does the rest. What the model should know and was not told is taken from
what the server knows, and the answer says what was taken.
"""

import datetime
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from scalecast_assets.contract.cold_start import ColdStart
from scalecast_assets.contract.intervals import LEVELS
from scalecast_assets.contract.panel import Panel
from scalecast_assets.contract.panel_rows import PanelRows, build_panel
from serving.answers import EPOCH, Answers
from serving.batch import UNKNOWN
from serving.coming import Asked, answer, asked_for
from serving.errors import ApiError, problem
from serving.forecaster import Forecaster
from serving.intervals import Intervals
from serving.schemas_many import ForecastRequest
from serving.timeseries import DAILY, UNIVARIATE, TimeSeriesInput

QUANTILES: Final = {
    round((50 + side * level / 2) / 100, 3): (tail, level)
    for level in LEVELS
    for tail, side in enumerate((-1, 1))
}
"""What an interval's ends are quantiles of: lower (0) or upper (1) end, and level."""

SENT: str = "sent"
"""The id of a store or product that the caller did not name; the model knows no such code."""


class Continued(NamedTuple):
    """The answers for the coming days, their first instant, and the price taken for granted."""

    answers: Answers
    start: str
    price: float
    intervals: Intervals
    series: int

    def quantile(self, at: float) -> list[float]:
        """Return this quantile of every day, one of ``QUANTILES``; the model must have a table."""
        tail, level = QUANTILES[at]
        one = self.answers
        bounds = self.intervals.around(
            np.array(self.series), one.prediction, one.horizon, one.source, level
        )
        assert bounds is not None
        return [float(value) for value in bounds[tail]]


def continued(
    forecaster: Forecaster, given: TimeSeriesInput, horizon: int, where: str
) -> Continued:
    """Forecast the ``horizon`` days after the last one of the series.

    Raises:
        ApiError: 422 naming the field; ``where`` names the input.
    """
    _check(given, horizon, where)
    price = given.price or _last_price(forecaster.state.panel, given)
    teller, first = (forecaster, None) if not given.series else _teller_of(forecaster, given, price)
    request = ForecastRequest(
        store_id=given.store_id or SENT, product_id=given.product_id or SENT, horizon=horizon
    )
    asked = _with_plan(asked_for(teller.state.panel, request), given, price)
    start = first or _midnight(int(asked.until[0]) + 1)
    return Continued(answer(teller, asked), start, price, teller.intervals, int(asked.series[0]))


def _check(given: TimeSeriesInput, horizon: int, where: str) -> None:
    def refuse(field: str, value: object, rule: str) -> ApiError:
        return ApiError(422, problem(f"{where}.{field}", value, rule))

    if given.type != UNIVARIATE:
        raise refuse("type", given.type, f"must be {UNIVARIATE}: the model forecasts one quantity")
    if given.frequency not in DAILY:
        raise refuse("frequency", given.frequency.value, "must be D: the model forecasts days")
    if given.promotion is not None and len(given.promotion) != horizon:
        rule = f"must have one value for each of the {horizon} days"
        raise refuse("promotion", len(given.promotion), rule)
    if given.series and given.start_timestamp is None:
        raise refuse("start_timestamp", None, "must be given: the model looks at weekdays")
    if not given.series and (given.store_id is None or given.product_id is None):
        rule = "must have quantities, unless store_id and product_id name a history of the server"
        raise refuse("series", "[]", rule)


def _last_price(panel: Panel, given: TimeSeriesInput) -> float:
    """Return the last price of the series, else of its product, else of everything: a median."""
    one = panel.find(given.store_id or "", given.product_id or "")
    product = panel.product_index.get(given.product_id or "")
    known = panel.last_price[np.isfinite(panel.last_price)]
    if one is not None and np.isfinite(panel.last_price[one]):
        return float(panel.last_price[one])
    if product is not None:
        of_product = panel.last_price[panel.series_product == product]
        of_product = of_product[np.isfinite(of_product)]
        known = of_product if of_product.size else known
    return float(np.median(known))


def _teller_of(
    forecaster: Forecaster, given: TimeSeriesInput, price: float
) -> tuple[Forecaster, str]:
    """Make a forecaster that knows this series alone; and the instant of its first forecast."""
    assert given.start_timestamp is not None
    begin = datetime.datetime.fromisoformat(given.start_timestamp)
    n = len(given.series)
    first_day = begin.date().toordinal() - EPOCH
    state = forecaster.state
    panel = build_panel(
        PanelRows(
            series=np.zeros(n, np.int64),
            day=np.arange(first_day, first_day + n, dtype=np.int32),
            quantity=np.array(given.series, np.float64),
            price=np.full(n, price),
            promotion=np.zeros(n, np.bool_),
        ),
        stores=[given.store_id or SENT],
        products=[given.product_id or SENT],
        series_store=np.zeros(1, np.int64),
        series_product=np.zeros(1, np.int64),
        calendar=state.panel.calendar,
    )
    until = datetime.date.fromordinal(panel.end_day + EPOCH)
    own = replace(state, panel=panel, cold_start=ColdStart.of(panel), data_until=until)
    after = (begin + datetime.timedelta(days=n)).isoformat()
    if given.start_timestamp.endswith("Z"):
        after = after.removesuffix("+00:00") + "Z"
    return Forecaster(forecaster.model, own), after


def _with_plan(asked: Asked, given: TimeSeriesInput, price: float) -> Asked:
    asked.price[:] = price if given.price or asked.series[0] == UNKNOWN else np.nan
    if given.promotion is not None:
        asked.promotion[:] = given.promotion
    return asked


def _midnight(day: int) -> str:
    return f"{datetime.date.fromordinal(day + EPOCH)}T00:00:00Z"
