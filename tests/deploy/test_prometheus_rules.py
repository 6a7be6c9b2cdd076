"""Prometheus' configuration, and when each of its alerts fires: played by promtool, no server."""

import subprocess

import pytest

from tests.deploy.programs import program
from tests.graph.command import ROOT

FOLDER = ROOT / "deploy" / "prometheus"


@pytest.mark.parametrize(
    "what",
    [
        # The key's file is there in the container only.
        ("check", "config", "--syntax-only", str(FOLDER / "prometheus.yml")),
        ("check", "rules", str(FOLDER / "rules.yml")),
        ("test", "rules", str(ROOT / "tests" / "deploy" / "rules.test.yml")),
    ],
    ids=lambda what: f"{what[0]} {what[2].rpartition('/')[2]}",
)
def test_promtool_finds_nothing_wrong_and_alerts_fire_as_they_should(what: tuple[str, ...]) -> None:
    done = subprocess.run([program("promtool"), *what], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
