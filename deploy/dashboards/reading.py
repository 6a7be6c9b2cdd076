"""Dashboards as Grafana's JSON has them. What this tool would not draw is refused, not left out."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

GRAFANA: Final = Path(__file__).resolve().parents[1] / "grafana"

KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "defaults": frozenset({"unit", "decimals", "min", "max", "thresholds", "mappings", "noValue"})
    | {"color", "custom", "displayName"},
    "custom": frozenset({"drawStyle", "fillOpacity", "stacking", "showPoints", "pointSize"})
    | {"thresholdsStyle", "width", "hidden", "cellOptions", "lineWidth", "spanNulls"},
    "options": frozenset({"reduceOptions", "textMode", "colorMode", "graphMode", "legend"})
    | {"xField", "wideLayout"},
}
"""Properties that ``drawing`` and ``page`` heed."""

TYPES: Final = frozenset({"stat", "timeseries", "barchart", "table"})
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class CannotDrawError(ValueError):
    """A dashboard has something that this tool does not know."""


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    ref_id: str
    uid: str
    """Of the data source."""
    promql: str | None
    sql: str | None
    legend: str
    instant: bool
    format: str
    """``time_series`` or ``table``."""


@dataclass(frozen=True)
class Panel:
    """One panel; ``x``, ``y``, ``w``, ``h`` in cells of a grid that is 24 wide."""

    id: int
    title: str
    type: str
    description: str
    x: int
    y: int
    w: int
    h: int
    targets: tuple[Target, ...]
    interval: int
    """Seconds between two points, at least; 0: as many as fit."""
    options: Mapping[str, Any]
    defaults: Mapping[str, Any]
    overrides: tuple[Mapping[str, Any], ...]

    def config(self, name: str) -> dict[str, Any]:
        """Return what holds for a field of this name: the defaults, then each override in turn."""
        found = {**self.defaults, "custom": dict(self.defaults.get("custom", {}))}
        for override in self.overrides:
            if not _matches(override["matcher"], name):
                continue
            for given in override["properties"]:
                room, _, inner = given["id"].partition(".")
                if inner:
                    found[room][inner] = given["value"]
                else:
                    found[room] = given["value"]
        return found


@dataclass(frozen=True)
class Dashboard:
    """One dashboard and the time that it shows."""

    uid: str
    title: str
    description: str
    since: timedelta
    panels: tuple[Panel, ...]
    document: Mapping[str, Any]


def read_all(folder: Path = GRAFANA / "dashboards") -> list[Dashboard]:
    """Read every dashboard of a folder."""
    return [read(json.loads(file.read_text("utf-8"))) for file in sorted(folder.glob("*.json"))]


def read(document: Mapping[str, Any]) -> Dashboard:
    """Read one dashboard.

    Raises:
        CannotDrawError: naming the panel and what is unknown in it.
    """
    return Dashboard(
        uid=document["uid"],
        title=document["title"],
        description=document["description"],
        since=_duration(document["time"]["from"].removeprefix("now-")),
        panels=tuple(_panel(panel) for panel in document["panels"]),
        document=document,
    )


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"(\d+)([smhdw])", text)
    if found is None:
        raise CannotDrawError(f"{text!r} is no time that is known here; expected '6h' or the like")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _panel(panel: Mapping[str, Any]) -> Panel:
    config = panel["fieldConfig"]
    unknown = sorted(_unknown(panel))
    if panel["type"] not in TYPES or unknown:
        raise CannotDrawError(f"{panel['title']!r}: {', '.join(unknown) or panel['type']}")
    return Panel(
        id=panel["id"],
        title=panel["title"],
        type=panel["type"],
        description=panel.get("description", ""),
        **panel["gridPos"],
        targets=tuple(_target(target) for target in panel["targets"]),
        interval=int(_duration(panel.get("interval", "0s")).total_seconds()),
        options=panel.get("options", {}),
        defaults=config["defaults"],
        overrides=tuple(config["overrides"]),
    )


def _target(target: Mapping[str, Any]) -> Target:
    return Target(
        ref_id=target["refId"],
        uid=target["datasource"]["uid"],
        promql=target.get("expr"),
        sql=target.get("rawSql"),
        legend=target.get("legendFormat", "__auto"),
        instant=target.get("instant", False),
        format=target.get("format", "time_series"),
    )


def _unknown(panel: Mapping[str, Any]) -> Iterator[str]:
    config = panel["fieldConfig"]
    given: dict[str, set[str]] = {
        "defaults": set(config["defaults"]),
        "custom": set(config["defaults"].get("custom", {})),
        "options": set(panel.get("options", {})),
    }
    for override in config["overrides"]:
        if override["matcher"]["id"] not in ("byName", "byRegexp"):
            yield f"matcher {override['matcher']['id']}"
        for given_property in override["properties"]:
            room, _, inner = given_property["id"].partition(".")
            given["custom" if inner else "defaults"].add(inner or room)
    for room, names in given.items():
        yield from (f"{room}.{name}" for name in names - KNOWN[room])
    yield from (name for name in ("transformations", "repeat", "links") if panel.get(name))


def _matches(matcher: Mapping[str, str], name: str) -> bool:
    if matcher["id"] == "byName":
        return matcher["options"] == name
    return re.search(matcher["options"].strip("/"), name) is not None
