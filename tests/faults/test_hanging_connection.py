"""Connections to Postgres that hang: the run ends by itself, and nothing is published twice."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from scalecast_assets.resources.embedded_postgres import PostgresServer
from tests.faults.proxy import TcpProxy
from tests.faults.run_process import At, Disturbance, Run
from tests.faults.stage import TWO_FILES, Stage
from tests.graph.command import eventually

# Dagster warns about things of its own.
pytestmark = pytest.mark.filterwarnings("default")

IN_THE_COPY = At("psycopg:Copy.write", "after")
MERGED = At("scalecast_assets.ingest.publish:Publication", "after")
LIFELINE = "scalecast_assets.resources.lifeline"
IMPATIENT = (
    "?connect_timeout=2&keepalives_idle=1&keepalives_interval=1&keepalives_count=2"
    "&tcp_user_timeout=3000"
)
"""As a user may write it, too: what the URL says goes before our own."""


@pytest.fixture
def network(postgres_server: PostgresServer) -> Iterator[TcpProxy]:
    proxy = TcpProxy(postgres_server.port)
    yield proxy
    proxy.close()


def begin_behind(network: TcpProxy, stage: Stage, held: At, **altered: Any) -> Run:
    """A run that reaches Postgres over the network, held at this moment."""
    place = stage.set_up(TWO_FILES)
    server = replace(place.server, port=network.port)
    behind = replace(place, server=server, options=IMPATIENT)
    patience = {f"{LIFELINE}:{name}": value for name, value in altered.items()}
    run = behind.begin(TWO_FILES.work, Disturbance(held=held, altered=patience))
    run.wait_until_held()
    return run


@pytest.mark.slow_faults  # Dagster tries its storage again and again
@pytest.mark.skipif(sys.platform != "linux", reason="networks vanish by a filter that Linux has")
def test_a_run_whose_network_is_silently_gone_ends_by_itself(
    stage: Stage, network: TcpProxy
) -> None:
    undisturbed = stage.undisturbed(TWO_FILES)
    run = begin_behind(network, stage, IN_THE_COPY)
    network.vanish()
    run.go_on()
    assert run.wait() == 1
    assert "timeout expired" in run.said
    network.close()
    assert stage.after_the_fault(TWO_FILES) == undisturbed


def test_a_run_ends_itself_when_postgres_is_silent_though_the_network_is_well(
    stage: Stage, network: TcpProxy
) -> None:
    undisturbed = stage.undisturbed(TWO_FILES)
    soon = {"ASK_SECONDS": 0.5, "SILENT_ASKS": 4, "LAST_WORDS_SECONDS": 1}
    run = begin_behind(network, stage, IN_THE_COPY, **soon)
    network.freeze("up", "down")
    run.go_on()
    assert run.wait() == 1
    assert "ended itself: Postgres has not answered for" in run.said
    network.close()
    assert stage.after_the_fault(TWO_FILES) == undisturbed


def test_a_run_that_takes_longer_than_it_may_ends_itself_and_says_so_in_the_ui(
    stage: Stage,
) -> None:
    place = stage.set_up(TWO_FILES)
    held = Disturbance(held=IN_THE_COPY, altered={f"{LIFELINE}:ASK_SECONDS": 0.5})
    run = replace(place, more={"SCALECAST_MAX_RUN_HOURS": "0.0001"}).run(TWO_FILES.work, held)
    assert run.process.exitcode == 1
    assert "ended itself: it took longer than the 0.0001 h" in run.said
    assert place.query("select status from dagster.runs order by id desc limit 1") == [("FAILURE",)]
    events = "select event from dagster.event_logs where event like '%%ended itself%%'"
    assert len(place.query(events)) == 1


def test_a_publication_whose_commit_is_not_answered_is_not_published_again(
    stage: Stage, network: TcpProxy
) -> None:
    undisturbed = stage.undisturbed(TWO_FILES)
    run = begin_behind(network, stage, MERGED)
    network.freeze("down")
    run.go_on()
    waiting = "select count(*) from warehouse.file_ledger where state <> 'published'"
    eventually(lambda: stage.place.query(waiting) == [(0,)], "the commit arrived")
    network.close()
    assert run.wait() != 0
    assert stage.after_the_fault(TWO_FILES) == undisturbed
