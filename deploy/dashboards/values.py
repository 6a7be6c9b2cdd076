"""What a value looks like: its text by unit, decimals and mapping, its colour by thresholds."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from deploy.dashboards.reading import CannotDrawError

COLORS: Final = {
    "green": "#56a64b",
    "yellow": "#e0b400",
    "orange": "#ff780a",
    "red": "#e02f44",
    "blue": "#3274d9",
    "purple": "#a352cc",
    "text": "#24292e",
    "transparent": "transparent",
}
PALETTE: Final = (
    "#56a64b",
    "#e0b400",
    "#3274d9",
    "#ff780a",
    "#e02f44",
    "#8ab8ff",
    "#a352cc",
    "#705da0",
)

GRAFANAS_THRESHOLDS: Final = {
    "steps": [{"color": "green", "value": None}, {"color": "red", "value": 80}]
}
"""What Grafana takes where a panel says nothing: anything of 80 or more is red."""

_TIMES: Final = (
    (31_536_000, "years"),
    (604_800, "weeks"),
    (86_400, "days"),
    (3_600, "hours"),
    (60, "mins"),
    (1, "s"),
    (1e-3, "ms"),
)
_LARGE: Final = ((1e9, " Bil"), (1e6, " Mil"), (1e3, " K"), (1, ""))
_IN_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def text_of(value: Any, config: Mapping[str, Any]) -> str:
    """Return the value as Grafana would write it."""
    if value is None:
        return str(config.get("noValue", ""))
    if mapped := mapping_of(value, config):
        return str(mapped["text"]) if "text" in mapped else str(value)
    unit, decimals = config.get("unit", "none"), config.get("decimals")
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}" if unit == "time:YYYY-MM-DD" else f"{value:%Y-%m-%d %H:%M:%S}"
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if unit in _IN_SECONDS:
        return _scaled(value * _IN_SECONDS[unit], _TIMES, decimals, " ")
    if unit == "percentunit":
        return f"{_number(value * 100, decimals)}%"
    if unit in ("none", "string"):
        return _number(value, decimals)
    if unit == "short":
        return _scaled(value, _LARGE, decimals)
    if unit == "reqps":
        return f"{_scaled(value, _LARGE, decimals)} req/s"
    if unit.startswith("suffix:"):
        return f"{_number(value, decimals)}{unit.removeprefix('suffix:')}"
    raise CannotDrawError(f"the unit {unit!r} is not known here")


def color_of(value: Any, config: Mapping[str, Any]) -> str:
    """Return the colour of the mapping or of the highest threshold that the value has reached."""
    mapped = mapping_of(value, config)
    if mapped and "color" in mapped:
        return COLORS[mapped["color"]]
    if config.get("color", {}).get("mode") == "fixed":
        return COLORS[config["color"]["fixedColor"]]
    if not isinstance(value, int | float):
        return COLORS["text"]
    steps = config.get("thresholds", GRAFANAS_THRESHOLDS)["steps"]
    reached = [step for step in steps if step["value"] is None or value >= step["value"]]
    return COLORS[reached[-1]["color"]]


def series_color(at: int, config: Mapping[str, Any]) -> str:
    """Return the colour of the series at this place: a fixed one, or the palette's."""
    if config.get("color", {}).get("mode") == "fixed":
        return COLORS[config["color"]["fixedColor"]]
    return PALETTE[at % len(PALETTE)]


def mapping_of(value: Any, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what a value is mapped to, if it is."""
    key = f"{value:g}" if isinstance(value, float) else str(value)
    for mapping in config.get("mappings", ()):
        if mapping["type"] != "value":
            raise CannotDrawError(f"a mapping of the type {mapping['type']!r}")
        if key in mapping["options"]:
            found: Mapping[str, Any] = mapping["options"][key]
            return found
    return None


def _scaled(
    value: float, scale: Sequence[tuple[float, str]], decimals: int | None, between: str = ""
) -> str:
    size, name = next((s for s in scale if abs(value) >= s[0]), scale[-1])
    if value == 0:
        size, name = next(s for s in scale if s[0] == 1)
    return f"{_number(value / size, decimals)}{between}{name}"


def _number(value: float, decimals: int | None) -> str:
    """With three digits that count, unless told otherwise."""
    if decimals is None:
        if value == 0 or float(value).is_integer():
            return f"{value:.0f}"
        decimals = min(max(0, 2 - math.floor(math.log10(abs(value)))), 4)
        return f"{value:.{decimals}f}".rstrip("0").rstrip(".") if decimals else f"{value:.0f}"
    return f"{value:.{decimals}f}"
