"""docker-compose.yml as data: read, and interpolated as compose does."""

import re
from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.graph.command import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def filled_in(text: str, variables: dict[str, str]) -> str:
    """Interpolate as compose does: ``${NAME:-default}`` and ``${NAME:?error}``."""

    def value(found: re.Match[str]) -> str:
        name, how, rest = found.groups()
        given = variables.get(name)
        assert given or how == ":-", f"{name}: {rest}"
        return given or rest

    return re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", value, text)
