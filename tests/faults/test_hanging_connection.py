"""Connections to Postgres that hang: nothing is published twice, and a stuck run can be killed."""

import time
from collections.abc import Iterator
from dataclasses import replace

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


@pytest.fixture
def network(postgres_server: PostgresServer) -> Iterator[TcpProxy]:
    proxy = TcpProxy(postgres_server.port)
    yield proxy
    proxy.close()


def begin_behind(network: TcpProxy, stage: Stage, held: At) -> Run:
    """A run that reaches Postgres over the network, held at this moment."""
    place = stage.set_up(TWO_FILES)
    behind = replace(place, server=replace(place.server, port=network.port))
    run = behind.begin(TWO_FILES.work, Disturbance(held=held))
    run.wait_until_held()
    return run


def test_a_run_that_hangs_in_the_copy_is_made_good_once_it_is_killed(
    stage: Stage, network: TcpProxy
) -> None:
    undisturbed = stage.undisturbed(TWO_FILES)
    run = begin_behind(network, stage, IN_THE_COPY)
    network.freeze("up", "down")
    run.go_on()
    time.sleep(1)
    assert run.process.is_alive(), "it hangs"
    run.kill()
    network.close()
    assert stage.after_the_fault(TWO_FILES) == undisturbed


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
