"""docker-compose.yml as data: read, and interpolated as compose does."""

import re
from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.graph.command import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

MADE = {
    "POSTGRES_PASSWORD": "p", "READER_PASSWORD": "r", "GRAFANA_PASSWORD": "g", "METRICS_KEY": "m",
    "UI_PASSWORD_SHA": "u", "METRICS_KEY_SHA256": "0" * 64, "STORE_ACCESS_KEY_ID": "own key",
    "STORE_SECRET_ACCESS_KEY": "own secret",
}  # fmt: skip
"""As ``scalecast init-env`` makes them."""

_BEGIN = re.compile(r"\$(?:(\$)|\{(\w+)(:?[-?+]|\}))")


def filled_in(text: str, variables: dict[str, str]) -> str:
    """Interpolate as compose does: ``${NAME:-default}``, ``${NAME:?error}``, one in another.

    Without the colon an empty variable counts as set; ``+`` is for what stands in its place.
    """
    begin = _BEGIN.search(text)
    if begin is None:
        return text
    dollar, name, how = begin.groups()
    before, after = text[: begin.start()], text[begin.end() :]
    if dollar:
        return before + "$" + filled_in(after, variables)
    given = variables.get(name)
    if how == "}":
        return before + (given or "") + filled_in(after, variables)
    end = _closing(after)
    other, after = after[:end], after[end + 1 :]
    is_given = bool(given) if how[0] == ":" else given is not None
    assert is_given or how[-1] != "?", f"{name}: {other}"
    value = filled_in(other, variables) if is_given == (how[-1] == "+") else given or ""
    return before + value + filled_in(after, variables)


def environment_of(service: str, variables: dict[str, str]) -> dict[str, str]:
    """What compose gives the container, out of the variables in ``.env``."""
    given = SERVICES[service].get("environment", {})
    return {name: filled_in(value, variables) for name, value in given.items()}


def _closing(text: str) -> int:
    """Where the brace closes that was opened before the text."""
    depth = 1
    for place, letter in enumerate(text):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth == 0:
            return place
    raise AssertionError(f"no }} in {text!r}")
