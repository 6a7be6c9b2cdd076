"""``kill -9`` of what ``scalecast up`` keeps up: it says so, and up again goes on where it was.

A run that is queued before or after must end as an undisturbed run of the same job does.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from tests.faults.deliveries import SECOND, THIRD
from tests.faults.fingerprint import fingerprint
from tests.faults.place import Place
from tests.faults.run_process import Work
from tests.faults.stage import Scene, Stage, assert_nobody_waits_for_the_dead
from tests.graph.command import Running, Shell, eventually, fetch

# Dagster warns about things of its own.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.slow_faults]

REFRESH = Scene("loaded", Work(job="refresh_data"), (SECOND, THIRD))
LAUNCH = """
mutation($job: String!) { launchRun(executionParams: {
  selector: {repositoryLocationName: "scalecast", repositoryName: "__repository__", jobName: $job}
  runConfigData: {}
}) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
SERVICES = {
    "dagster-code": " api grpc ",
    "dagster-daemon": "dagster-daemon",
    "dagster-ui": "commands.webserver",
    "prediction-api": "serving",
}
"""What ``up`` calls them, and what is in their command lines."""

UP_SECONDS = 300
_WHO_LIVES = """
select client_port from pg_locks join pg_stat_activity using (pid)
where locktype = 'advisory'
    and (classid::bigint << 32 | objid::bigint) = hashtextextended(%(name)s, 0)
"""


@dataclass
class Up:
    """``scalecast up`` in the place."""

    running: Running
    ui: str
    api: str

    def child(self, name: str) -> psutil.Process:
        """The direct child with this in its command line."""
        children = psutil.Process(self.running.process.pid).children()
        (found,) = [child for child in children if name in " ".join(child.cmdline())]
        return found

    def launch(self, job: str) -> str:
        """Queue a run in the UI; returns its id."""
        body = {"query": LAUNCH, "variables": {"job": job}}
        _, reply = fetch(f"{self.ui}/graphql", body)
        launched = reply["data"]["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def start(stage: Stage, stack: ExitStack) -> Callable[[], Up]:
    def start() -> Up:
        place = stage.place
        alone = {
            "SCALECAST_DATABASE_URL": place.database_url,
            "SCALECAST_INGEST_ON_ARRIVAL": "false",  # only these tests start runs
        }
        shell = Shell(place.home, place.folder, alone)
        running = stack.enter_context(shell.started("up", "--json"))
        facts = json.loads(running.line())
        return Up(running, facts["ui"], facts["api"])

    return start


def status(place: Place, run_id: str) -> str:
    found = place.query("select status from dagster.runs where run_id = %(id)s", {"id": run_id})
    return str(found[0][0])


def assert_it_ends_well(stage: Stage, undisturbed: dict[str, Any], run_id: str) -> None:
    place = stage.place
    ends = ("SUCCESS", "FAILURE", "CANCELED")
    eventually(lambda: status(place, run_id) in ends, "the run has ended", UP_SECONDS)
    assert status(place, run_id) == "SUCCESS"
    assert fingerprint(place) == undisturbed


def test_a_daemon_killed_between_tick_and_run_begins_the_run_when_it_is_up_again(
    stage: Stage, start: Callable[[], Up]
) -> None:
    undisturbed = stage.undisturbed(REFRESH)
    place = stage.set_up(REFRESH)
    up = start()
    daemon = up.child(SERVICES["dagster-daemon"])
    daemon.suspend()
    run_id = up.launch("refresh_data")
    assert status(place, run_id) == "QUEUED"
    daemon.kill()
    assert up.running.process.wait(60) == 1
    start()
    assert_it_ends_well(stage, undisturbed, run_id)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_is_killed_is_named_and_takes_the_others_along(
    stage: Stage, start: Callable[[], Up], name: str
) -> None:
    stage.be_in(REFRESH.state)
    up = start()
    children = [up.child(of_it) for of_it in SERVICES.values()]
    up.child(SERVICES[name]).kill()
    assert up.running.process.wait(60) == 1
    assert up.running.process.stdout is not None
    assert f"{name} ended with exit code -9" in up.running.process.stdout.read()
    assert not any(child.is_running() for child in children)


def test_up_that_is_killed_takes_its_children_along_and_up_again_goes_on(
    stage: Stage, start: Callable[[], Up]
) -> None:
    undisturbed = stage.undisturbed(REFRESH)
    stage.set_up(REFRESH)
    up = start()
    children = [up.child(name) for name in SERVICES.values()]
    up.running.process.kill()
    again = start()
    eventually(lambda: not any(c.is_running() for c in children), "its children have ended", 60)
    assert_it_ends_well(stage, undisturbed, again.launch("refresh_data"))


def test_a_run_of_the_daemon_that_is_killed_keeps_nobody_waiting(
    stage: Stage, start: Callable[[], Up]
) -> None:
    undisturbed = stage.undisturbed(REFRESH)
    place = stage.set_up(REFRESH)
    up = start()
    run_id = up.launch("refresh_data")
    begun = "select count(*) from warehouse.file_ledger where key = 'raw/second.csv'"
    eventually(lambda: place.query(begun) == [(1,)], "it has landed a file", UP_SECONDS)
    the_process_of(run_id, place, up).kill()
    after = up.launch("refresh_data")
    assert_it_ends_well(stage, undisturbed, after)
    assert status(place, run_id) == "FAILURE"
    assert_nobody_waits_for_the_dead(place)


def the_process_of(run_id: str, place: Place, up: Up) -> psutil.Process:
    """The process whose connection holds the lock of the run's name."""
    ((port,),) = place.query(_WHO_LIVES, {"name": f"scalecast.run.{run_id}"})
    (found,) = [
        process
        for process in up.running.descendants()
        if any(used.laddr.port == port for used in process.net_connections("tcp") if used.laddr)
    ]
    return found


def test_of_two_that_are_started_at_once_one_is_up_and_the_other_says_so(
    stage: Stage, stack: ExitStack
) -> None:
    place = stage.be_in("loaded")
    shell = Shell(place.home, place.folder, {"SCALECAST_DATABASE_URL": place.database_url})
    both = [stack.enter_context(shell.started("up", "--json")) for _ in range(2)]
    eventually(
        lambda: any(one.process.poll() is not None for one in both), "one gives way", UP_SECONDS
    )
    (up,) = [one for one in both if one.process.poll() is None]
    (other,) = [one for one in both if one is not up]
    assert other.process.returncode == 2
    assert other.process.stderr is not None
    assert "is up already" in other.process.stderr.read()
    assert fetch(f"{json.loads(up.line())['ui']}/server_info")[0] == 200
