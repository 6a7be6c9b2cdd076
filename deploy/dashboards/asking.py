"""The queries of a panel, asked as Grafana asks them: macros replaced, answers as fields.

An answer is a list of frames, a frame a list of fields of one length. A series of Prometheus is a
frame of its own; an answer of Postgres is one frame, and in the format ``time_series`` one field
for each value of its text columns.
"""

import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal

import psycopg
from psycopg import adapters

from deploy.dashboards.reading import CannotDrawError, Panel, Target

Kind = Literal["time", "number", "text"]

SCRAPE_SECONDS: Final = 15
"""Grafana takes it so unless the data source says otherwise, and prometheus.yml says the same."""

_KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(("date", "timestamp", "timestamptz"), "time"),
    **dict.fromkeys(("int2", "int4", "int8", "float4", "float8", "numeric"), "number"),
}

COLUMN_PIXELS: Final = 75
"""Of the 24 columns on a usual screen: how many points Grafana asks for."""


class QueryError(RuntimeError):
    """A query has failed, or its answer is not what its format needs."""


@dataclass
class Field:
    """A column of an answer. Times are aware datetimes."""

    name: str
    kind: Kind
    values: list[Any] = field(default_factory=list)


Frame = list[Field]


@dataclass(frozen=True)
class Range:
    """The time that a dashboard shows."""

    since: datetime
    until: datetime

    def step(self, panel: Panel) -> int:
        """Seconds between two points of the panel."""
        seconds = (self.until - self.since).total_seconds() / (panel.w * COLUMN_PIXELS)
        return max(SCRAPE_SECONDS, panel.interval, math.ceil(seconds))


def last(span: timedelta) -> Range:
    """Return the range that ends now."""
    now = datetime.now(UTC)
    return Range(now - span, now)


@dataclass(frozen=True)
class Sources:
    """Where the two data sources are: an address, and an open connection."""

    prometheus: str
    warehouse: psycopg.Connection[Any]

    def ask(self, panel: Panel, shown: Range) -> list[Frame]:
        """Return the answers to all queries of a panel.

        Raises:
            QueryError: one of them fails; the message has the panel's title.
        """
        frames = []
        for target in panel.targets:
            try:
                asked = self._prometheus if target.promql else self._warehouse
                frames += asked(panel, target, shown)
            except (QueryError, CannotDrawError) as error:
                raise QueryError(f"{panel.title} ({target.ref_id}): {error}") from error
        return [frame for frame in frames if frame and frame[0].values]

    def _prometheus(self, panel: Panel, target: Target, shown: Range) -> list[Frame]:
        step = shown.step(panel)
        asked: dict[str, str | float] = {"query": in_promql(target.promql or "", step)}
        if target.instant:
            asked["time"] = shown.until.timestamp()
            result = self._get("query", asked)
        else:
            until = shown.until.timestamp() // step * step
            since = shown.since.timestamp() // step * step
            result = self._get("query_range", {**asked, "start": since, "end": until, "step": step})
        if target.format == "table":
            return [_labels_as_columns(result)]
        return [_series(target, entry, step) for entry in result]

    def _get(self, path: str, asked: Mapping[str, str | float]) -> list[dict[str, Any]]:
        url = f"{self.prometheus.rstrip('/')}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                return list(json.load(reply)["data"]["result"])
        except urllib.error.HTTPError as error:
            with error:
                raise QueryError(json.load(error).get("error", str(error))) from None
        except (OSError, ValueError) as error:
            raise QueryError(f"{self.prometheus}: {error}") from None

    def _warehouse(self, panel: Panel, target: Target, shown: Range) -> list[Frame]:
        try:
            cursor = self.warehouse.execute(in_sql(target.sql or "", shown).encode())
            rows = cursor.fetchall()
        except psycopg.Error as error:
            raise QueryError(str(error).strip()) from None
        described = cursor.description or []
        columns = list(zip(*rows, strict=True)) or [()] * len(described)
        frame = [
            _column(column.name, column.type_code, values)
            for column, values in zip(described, columns, strict=True)
        ]
        return [frame if target.format == "table" else over_time(frame)]


def in_promql(query: str, step: int) -> str:
    """Replace Grafana's variables. A rate needs four scrapes, so that one may be missed."""
    rate = max(step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)
    query = query.replace("$__rate_interval", f"{rate}s").replace("$__interval", f"{step}s")
    return _whole(query)


def in_sql(query: str, shown: Range) -> str:
    """Replace Grafana's macros, as its data source for Postgres does: up to the first ``)``."""
    times = [f"'{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'" for time in (shown.since, shown.until)]
    within = r"\1 BETWEEN " + " AND ".join(times)
    return _whole(re.sub(r"\$__timeFilter\(([^)]*)\)", within, query))


def _whole(query: str) -> str:
    if found := re.search(r"\$\w+", query):
        raise CannotDrawError(f"{found[0]} is not known here")
    return query


def over_time(frame: Frame) -> Frame:
    """Return rows as one field per series, which needs a column ``time`` in ascending order.

    A column ``metric`` names its series; other text columns are added to the name.
    """
    times = [one for one in frame if one.name == "time" and one.kind == "time"]
    if not times:
        if not any(one.values for one in frame):
            return []
        raise QueryError("a time series needs a column `time` that holds times")
    (time,) = times
    if any(after < before for before, after in zip(time.values, time.values[1:], strict=False)):
        raise QueryError("a time series needs its rows in the order of `time`")
    texts = [one for one in frame if one.kind == "text"]
    numbers = [one for one in frame if one.kind == "number"]
    moments = sorted(set(time.values))
    place = {moment: at for at, moment in enumerate(moments)}
    series: dict[str, Field] = {}
    for at, moment in enumerate(time.values):
        labels = [str(one.values[at]) for one in texts]
        for number in numbers:
            alone = len(numbers) == 1 and [one.name for one in texts] == ["metric"]
            name = labels[0] if alone else " ".join([number.name, *labels])
            empty = Field(name, "number", [None] * len(moments))
            series.setdefault(name, empty).values[place[moment]] = number.values[at]
    return [Field("time", "time", list(moments)), *series.values()]


def _column(name: str, type_code: int, values: Sequence[Any]) -> Field:
    kind = _KINDS.get(adapters.types[type_code].name, "text")
    made: dict[Kind, Callable[[Any], Any]] = {"time": _moment, "number": float, "text": str}
    return Field(name, kind, [None if value is None else made[kind](value) for value in values])


def _moment(value: date) -> datetime:
    """A day, or a time without a zone, is UTC to Grafana."""
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _series(target: Target, entry: Mapping[str, Any], step: int) -> Frame:
    """Return one series, with an empty value where steps are missing: there is no line."""
    found: list[tuple[float, str]] = []
    for at, value in entry.get("values") or [entry["value"]]:
        if found and at - found[-1][0] > 1.5 * step:
            found.append((found[-1][0] + step, "NaN"))
        found.append((at, value))
    if target.legend == "__auto":
        raise QueryError("a query of Prometheus needs a legend here: {{label}}")
    labels = entry["metric"]
    name = re.sub(
        r"\{\{\s*(\w+)\s*\}\}", lambda label: str(labels.get(label[1], "")), target.legend
    )
    return [
        Field("time", "time", [datetime.fromtimestamp(float(at), UTC) for at, _ in found]),
        Field(name, "number", [None if value == "NaN" else float(value) for _, value in found]),
    ]


def _labels_as_columns(result: Sequence[Mapping[str, Any]]) -> Frame:
    names = sorted({name for entry in result for name in entry["metric"]})
    at = [datetime.fromtimestamp(float(entry["value"][0]), UTC) for entry in result]
    texts = [Field(n, "text", [entry["metric"].get(n, "") for entry in result]) for n in names]
    values = [float(entry["value"][1]) for entry in result]
    return [Field("Time", "time", at), *texts, Field("Value", "number", values)]
