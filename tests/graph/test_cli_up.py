"""``scalecast up``: what it starts answers, works together, and is gone when it is told to stop."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from scalecast_assets import keys
from scalecast_assets.resources.embedded_postgres import EmbeddedPostgresError, read_running
from tests.graph.command import (
    SCALECAST,
    Completed,
    Running,
    Shell,
    eventually,
    fetch,
    free_port,
    taken_port,
)
from tests.graph.small_retailer import LEARNABLE_DAYS, STORES, day_of, write_sales

REQUEST = {
    "date": day_of(LEARNABLE_DAYS),
    "store_id": STORES[0],
    "product_id": "A",
    "price": 2.0,
    "promotion": False,
}
ASSETS = """
{ assetNodes { assetKey { path } groupName description owners { ... on TeamAssetOwner { team } } } }
"""
SHOWN = """
{ instance { info }
  workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError {
    ... on RepositoryLocation { repositories { allTopLevelResourceDetails {
      name configuredValues { key value } configFields { name defaultValueAsJson }
} } } } } } } }
"""
AWS_SECRET = "wJalrXUtnFEMI-K7MDENG"
CORE = {
    keys.RAW_FILES, keys.RAW_DEMAND, keys.DEMAND_DATA, keys.STG_DEMAND, keys.DEMAND_CALENDAR,
    keys.DEMAND_FEATURES, keys.TRAINING_SET, *keys.CANDIDATES, keys.MODEL_COMPARISON,
    keys.PROMOTED_MODEL, keys.SERVING_STATE,
}  # fmt: skip


@dataclass
class Up:
    shell: Shell
    running: Running
    ui: str
    api: str

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(read_running(self.shell.home).warehouse_url) as connection:
            return connection.execute(sql.encode()).fetchall()

    def processes(self) -> list[psutil.Process]:
        """Everything it started, Postgres included, which is nobody's child."""
        url = read_running(self.shell.home).warehouse_url
        with psycopg.connect(url) as connection:
            server = psutil.Process(connection.info.backend_pid).parent()
            assert server is not None
            return [*self.running.descendants(), server, *server.children()]

    def is_silent(self) -> bool:
        return fetch(f"{self.ui}/server_info")[0] == fetch(f"{self.api}/health")[0] == 0


def start(shell: Shell, stack: ExitStack, model: str | None) -> Up:
    more = {"SCALECAST_POLL_SECONDS": "0.3", "AWS_SECRET_ACCESS_KEY": AWS_SECRET}
    running = stack.enter_context(shell.started("up", "--json", **more))
    facts = json.loads(running.line())
    assert facts["home"] == str(shell.home)
    assert facts["model"] == model
    return Up(shell, running, facts["ui"], facts["api"])


@pytest.fixture(scope="module")
def up(shell: Shell) -> Iterator[Up]:
    """Started in an empty home, while the usual ports are somebody else's."""
    with ExitStack() as stack:
        for port in (3000, 8000):
            with suppress(OSError):  # then it really is somebody else's
                stack.enter_context(taken_port(port))
        yield start(shell, stack, model=None)


@pytest.fixture(scope="module")
def ran(up: Up) -> Completed:
    """``scalecast run`` beside it."""
    file = write_sales(up.shell.folder / "first.csv", range(LEARNABLE_DAYS))
    return up.shell.scalecast("run", "--json", "--csv", file)


@pytest.fixture(scope="module")
def by_hand(up: Up, ran: Completed) -> Completed:
    """``dagster asset materialize`` with what ``scalecast env`` prints."""
    variables = up.shell.scalecast("env", "--json").json
    return up.shell.command(
        str(SCALECAST.with_name("dagster")),
        "asset",
        "materialize",
        "--select",
        "*",
        "-m",
        "scalecast_assets.definitions",
        **variables,
    )


def test_ui_and_api_answer_on_the_next_free_ports(up: Up) -> None:
    assert up.ui.removeprefix("http://127.0.0.1:") not in ("3000", "8000")
    assert up.api.removeprefix("http://127.0.0.1:") not in ("3000", "8000")
    status, info = fetch(f"{up.ui}/server_info")
    assert status == 200
    assert info["dagster_version"]
    assert fetch(f"{up.api}/health")[0] == 200


def test_the_ui_shows_the_graph_with_groups_descriptions_and_owners(up: Up) -> None:
    status, reply = fetch(f"{up.ui}/graphql", {"query": ASSETS})
    assert status == 200
    nodes = {"/".join(node["assetKey"]["path"]): node for node in reply["data"]["assetNodes"]}
    assert set(nodes) >= CORE
    for name in CORE:
        assert nodes[name]["groupName"] != "default", name
        assert nodes[name]["description"], name
        assert nodes[name]["owners"], name


def test_a_page_of_somebody_else_gets_nothing_from_the_ui(up: Up) -> None:
    def status(method: str, path: str, **headers: str) -> int:
        body = {"query": "{ __typename }"} if method == "POST" else None
        return httpx.request(method, f"{up.ui}{path}", json=body, headers=headers).status_code

    assert status("POST", "/graphql", Origin=up.ui) == 200
    assert status("POST", "/graphql", Origin="https://elsewhere.example") == 403
    assert status("POST", "/graphql", Host="elsewhere.example") == 403
    assert status("GET", "/graphql?query={__typename}") == 403


def test_the_ui_shows_neither_the_databases_password_nor_the_stores(up: Up) -> None:
    status, reply = fetch(f"{up.ui}/graphql", {"query": SHOWN})
    assert status == 200
    assert "errors" not in reply
    shown = json.dumps(reply)
    assert '"warehouse"' in shown
    assert "SCALECAST_DATABASE_URL" in shown
    assert read_running(up.shell.home).password not in shown
    assert AWS_SECRET not in shown


def test_a_second_one_in_the_same_home_says_where_the_first_answers(up: Up) -> None:
    second = up.shell.scalecast("up")
    assert second.code == 2
    assert str(up.shell.home) in second.err
    assert up.ui in second.err
    assert fetch(f"{up.ui}/server_info")[0] == 200


def test_a_run_beside_it_works_and_leaves_postgres_up(up: Up, ran: Completed) -> None:
    assert ran.code == 0, ran.err
    assert ran.json["champion"]["version"] == "1.0.0"
    assert up.query("select count(*) from warehouse.demand_data")[0][0] > 1000


def test_the_api_serves_the_new_model_without_a_restart(up: Up, ran: Completed) -> None:
    eventually(lambda: fetch(f"{up.api}/predict", REQUEST)[0] == 200, "a prediction")
    assert fetch(f"{up.api}/predict", REQUEST)[1]["model_version"] == "1.0.0"


def test_dagster_by_hand_gives_the_same_training_set_and_leaderboard(
    up: Up, ran: Completed, by_hand: Completed
) -> None:
    assert by_hand.code == 0, by_hand.out + by_hand.err
    assert len(up.query("select sha256 from ml.training_sets")) == 1
    first, second = up.query(
        "select run_id, outcome, training_set_sha256, leaderboard from ml.promotions "
        "order by decided_at"
    )
    assert first[0] == ran.json["runs"][0]["run_id"]
    assert (first[1], second[1]) == ("promoted", "unchanged")
    assert first[2] == second[2]

    def scores(board: list[dict[str, Any]]) -> dict[str, float]:
        return {row["name"]: row["mae"] for row in board if row["name"] != keys.CHAMPION}

    assert scores(first[3]) == scores(second[3])


def test_ctrl_c_stops_everything_it_started(up: Up, by_hand: Completed) -> None:
    started = up.processes()
    assert len(started) > 5
    assert up.running.stop(signal.SIGINT) == 0
    eventually(lambda: not any(p.is_running() for p in started), "every process has ended", 5)
    assert up.is_silent()
    with pytest.raises(EmbeddedPostgresError):
        read_running(up.shell.home)


def test_a_supervisors_sigterm_does_too_and_it_starts_again_over_existing_state(
    up: Up, by_hand: Completed
) -> None:
    with ExitStack() as stack:
        again = start(up.shell, stack, model="1.0.0")
        eventually(lambda: fetch(f"{again.api}/predict", REQUEST)[0] == 200, "a prediction")
        started = again.processes()
        again.running.stop(signal.SIGTERM)
        eventually(lambda: not any(p.is_running() for p in started), "every process has ended", 5)
        assert again.is_silent()


@pytest.mark.parametrize("name", ["SCALECAST_UI_PORT", "SCALECAST_API_PORT"])
def test_a_port_that_was_asked_for_and_is_taken_is_named(
    tmp_path: Path, postgres_url: str, name: str
) -> None:
    shell = Shell(tmp_path / "home", tmp_path, {"SCALECAST_DATABASE_URL": postgres_url})
    with taken_port() as port:
        answer = shell.scalecast("up", **{name: str(port)})
    assert answer.code == 2
    assert f"{name}: port {port} is taken" in answer.err


def test_serve_needs_no_postgres_and_says_that_there_is_no_model(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home", tmp_path)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with shell.started("serve", "--json", SCALECAST_API_PORT=str(port)) as running:
        assert json.loads(running.line()) == {"api": url}
        assert fetch(f"{url}/health")[1] == {"status": "healthy", "model_loaded": False}
        status, reply = fetch(f"{url}/predict", REQUEST)
        children = running.descendants()
        assert running.stop(signal.SIGINT) == 0
    assert status == 503
    assert "scalecast run" in json.dumps(reply)
    assert not (tmp_path / "home" / "postgres").exists()
    assert not any(child.is_running() for child in children)


def test_a_service_that_ends_takes_the_others_with_it_and_is_named(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home", tmp_path)
    with shell.started("serve", SCALECAST_API_PORT=str(free_port())) as running:
        running.line()
        (child,) = running.descendants()
        child.kill()
        assert running.process.wait(20) == 1
        assert running.process.stdout is not None
        assert "prediction-api ended with exit code" in running.process.stdout.read()
