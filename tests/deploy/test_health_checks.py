"""Every health check that is a command of ours: well while the process is up, not well without it.

Each is run as the engine does: with the container's environment, not that of its process.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from tests.deploy.compose import MADE, SERVICES, filled_in
from tests.deploy.host import Host
from tests.graph.command import ROOT, eventually, free_port

DAGSTER = {"code": "4266", "webserver": "3000", "webserver-read-only": "3002"}
OURS = [*DAGSTER, "daemon", "api-1"]


@pytest.fixture(scope="module")
def host(
    postgres_server: PostgresServer, moto_endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    """What has such a check, set up and not started."""
    create_database(postgres_server, "checked")
    given = postgres_server.url("checked").removeprefix("postgresql://")
    here = {
        f"scalecast:{MADE['POSTGRES_PASSWORD']}@postgres:5432/scalecast": given,
        "http://store:7070": moto_endpoint,
    }
    with ExitStack() as stack:
        ports = {name: free_port() for name in OURS}
        variables = MADE | {"READER_PASSWORD": "of these tests alone"}
        host = Host(Path(tmp_path_factory.mktemp("checked")), variables, here, ports, stack)
        done = host.once("setup")
        assert done.returncode == 0, done.stdout + done.stderr
        yield host
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute("drop database checked with (force)")


def health_check(host: Host, service: str) -> list[str]:
    """The command that the engine runs, for the ports of this machine."""
    if "healthcheck" in SERVICES[service]:
        kind, *words = [filled_in(w, {}) for w in SERVICES[service]["healthcheck"]["test"]]
        words = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
    else:
        text = (ROOT / "deploy" / "serving.Dockerfile").read_text()
        found = re.search(r"HEALTHCHECK [^\n]*\n\s*CMD (\[.*\])", text)
        assert found
        words = json.loads(found[1])
        words = [word.replace("127.0.0.1:8000", host.address(service)) for word in words]
    port = DAGSTER.get(service, "nowhere")
    return [re.sub(rf"\b{port}\b", str(host.ports[service]), word) for word in words]


def is_well(host: Host, service: str) -> bool:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        health_check(host, service),
        env=host.environment(service) | {"PATH": path},
        cwd=host.folder,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0


def test_every_command_of_ours_is_among_these() -> None:
    built = {name for name, service in SERVICES.items() if "build" in service}
    assert built == {*OURS, "api-2", "setup"}
    assert "healthcheck" not in SERVICES["setup"]


def test_a_container_is_well_while_its_process_lives(host: Host) -> None:
    def wellness() -> dict[str, bool]:
        return {service: is_well(host, service) for service in OURS}

    assert wellness() == dict.fromkeys(OURS, False)
    for service in OURS:
        host.start(service)
    for service in OURS:
        eventually(lambda name=service: is_well(host, name), f"{service}: {host.log(service)}", 120)  # type: ignore[misc]
    for service in reversed(OURS):
        host.kill(service)
    with psycopg.connect(host.environment("code")["SCALECAST_DATABASE_URL"]) as connection:
        # As if it had been away for six minutes.
        moved = connection.execute(
            r"""update dagster.daemon_heartbeats
            set body = regexp_replace(body, '"timestamp": [0-9.]+', '"timestamp": ' || %s)""",
            [str(time.time() - 360)],
        )
        assert moved.rowcount > 0
    assert wellness() == dict.fromkeys(OURS, False)
