"""What ``make run`` is for: from an empty home to a prediction for the sample, by one command."""

import json
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import pytest

from scalecast_assets import keys
from scalecast_assets.resources.embedded_postgres import EmbeddedPostgresError, read_running
from tests.graph.command import Running, Shell, eventually, fetch, free_port

REQUEST = {
    "date": "2024-03-15",
    "store_id": "STORE_001",
    "product_id": "PROD_A",
    "price": 29.99,
    "promotion": True,
}
"""The example of the README."""


@dataclass
class FirstRun:
    home: Path
    running: Running
    said: str

    @property
    def api(self) -> str:
        found = re.search(r"Prediction API +(http://127\.0\.0\.1:\d+)/docs", self.said)
        assert found, self.said
        return found[1]

    def processes(self) -> list[psutil.Process]:
        """Everything it started, Postgres included, which is nobody's child."""
        with psycopg.connect(read_running(self.home).warehouse_url) as connection:
            server = psutil.Process(connection.info.backend_pid).parent()
        assert server is not None
        return [*self.running.descendants(), server]


@pytest.fixture(scope="module")
def first(shell: Shell) -> Iterator[FirstRun]:
    """``scalecast up --with-sample`` in an empty home, as soon as it says that everything is up."""
    ports = {"SCALECAST_UI_PORT": str(free_port()), "SCALECAST_API_PORT": str(free_port())}
    with shell.started("up", "--with-sample", **ports) as running:
        said = ""
        while "Ctrl-C stops everything" not in said:
            said += running.line()
        yield FirstRun(shell.home, running, said)


def test_the_leaderboard_and_what_is_served_are_printed(first: FirstRun) -> None:
    assert "raw/sample_sales.csv: published" in first.said
    for name in (*keys.CANDIDATES, *keys.REFERENCES):
        assert re.search(rf"^ *{name} +\d+\.\d{{3}}", first.said, re.MULTILINE), name
    assert re.search(r"^Promoted: ", first.said, re.MULTILINE)
    assert re.search(r"^Served: \w+ 1\.0\.0", first.said, re.MULTILINE)


def test_the_request_of_the_readme_is_answered(first: FirstRun) -> None:
    eventually(lambda: fetch(f"{first.api}/predict", REQUEST)[0] == 200, "a prediction")
    reply = fetch(f"{first.api}/predict", REQUEST)[1]
    assert reply["prediction"] > 0
    assert reply["model_version"] == "1.0.0"
    assert reply["source"] == "model"


def test_the_welcome_names_this_very_request(first: FirstRun) -> None:
    body = re.search(r"-d '(.*)'", first.said)
    assert body, first.said
    assert json.loads(body[1]) == REQUEST


def test_ctrl_c_ends_all_of_it(first: FirstRun) -> None:
    started = first.processes()
    assert len(started) > 4
    assert first.running.stop(signal.SIGINT) == 0
    eventually(lambda: not any(p.is_running() for p in started), "every process has ended", 5)
    with pytest.raises(EmbeddedPostgresError):
        read_running(first.home)
