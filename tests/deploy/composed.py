"""The whole of docker-compose.yml brought up on a ``Host``, step by step.

For the tests of it, and for ``pictures.py``, which lets the same retailer live there for weeks.
"""

import json
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psycopg
import yaml  # type: ignore[import-untyped]

from scalecast_assets.commands.init_env import write_env
from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from scalecast_assets.resources.reader_role import READER
from tests.deploy.host import Host
from tests.deploy.proxy import PROXY_PORTS
from tests.graph.command import ROOT, eventually, fetch, free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SIDECARS = ("api-1", "api-2")
DATABASE = "composed"


@contextmanager
def composed(folder: Path, postgres: PostgresServer, store: str) -> Iterator[Host]:
    """A host with a ``.env`` and a database of its own; what runs on it ends with the block."""
    variables = variables_of(folder)
    create_database(postgres, DATABASE)
    account = f"scalecast:{variables['POSTGRES_PASSWORD']}@postgres:5432/scalecast"
    given = postgres.url(DATABASE).removeprefix("postgresql://")
    names = ["code", "webserver", "webserver-read-only", *SIDECARS, "prometheus"]
    names += [f"{proxy} {server}" for proxy in ("proxy", "proxy-tls") for server in PROXY_PORTS]
    ports = {name: free_port() for name in names}
    ports |= dict.fromkeys(SIDECARS, ports[SIDECARS[0]])
    with ExitStack() as stack:
        yield Host(folder, variables, {account: given, "http://store:7070": store}, ports, stack)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {DATABASE} with (force)".encode())


def variables_of(folder: Path) -> dict[str, str]:
    """What ``scalecast init-env`` writes, read as compose does."""
    write_env(folder / ".env.compose")
    lines = (folder / ".env.compose").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and line[0] != "#")


def start_all(host: Host) -> None:
    """Every ScaleCast process that the file starts, in its order."""
    done = host.once("setup")
    assert done.returncode == 0, done.stdout + done.stderr
    for service in ("code", "webserver", "webserver-read-only", "daemon", *SIDECARS):
        host.start(service)
    for service in ("webserver", "webserver-read-only"):
        eventually(
            lambda name=service: fetch(host.url(name, "/server_info"))[0] == 200,  # type: ignore[misc]
            f"{service}: {host.log(service)}",
            120,
        )


def bucket_of(host: Host) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=host.addresses["http://store:7070"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )


def drop(host: Host, file: Path) -> None:
    """Put a file where the sensor looks."""
    bucket_of(host).upload_file(str(file), "scalecast", f"raw/{file.name}")


def state_until(host: Host) -> str:
    """The last day of the history that is served; empty while there is none."""
    bucket = bucket_of(host)
    key = "serving/state.json"
    found = bucket.list_objects_v2(Bucket="scalecast", Prefix=key).get("Contents", [])
    if not found:
        return ""
    return str(
        json.loads(bucket.get_object(Bucket="scalecast", Key=key)["Body"].read())["data_until"]
    )


def train(host: Host) -> dict[str, Any]:
    """Retrain by hand; returns how it ended, as the command prints it."""
    trained = host.once("code", "retrain", "--json")
    assert trained.returncode == 0, trained.stderr
    outcome: dict[str, Any] = json.loads(trained.stdout)
    return outcome


def sidecars_are_ready(host: Host) -> None:
    for api in SIDECARS:
        eventually(lambda name=api: fetch(host.url(name, "/ready"))[0] == 200, api, 60)  # type: ignore[misc]


def watch(host: Host) -> None:
    """Start Prometheus and wait until it has seen both sidecars more than once."""
    host.start_prometheus()

    def both_are_seen() -> bool:
        found = query(host, 'min_over_time(up{job="sidecar"}[3s]) * count_over_time(up[3s]) >= 2')
        return {entry["metric"]["instance"] for entry in found} == {
            host.address(api) for api in SIDECARS
        }

    eventually(both_are_seen, f"Prometheus: {host.log('prometheus')}", 60)


def query(host: Host, expression: str) -> list[dict[str, Any]]:
    """What Prometheus answers now; nothing while it does not answer yet."""
    asked = urllib.parse.urlencode({"query": expression})
    status, reply = fetch(host.url("prometheus", f"/api/v1/query?{asked}"))
    assert status in (0, 200, 503), (expression, reply)
    return reply["data"]["result"] if status == 200 else []


def reader_url(host: Host) -> str:
    """The warehouse's address with what deploy/grafana/datasources says of name and password."""
    given = yaml.safe_load((ROOT / "deploy/grafana/datasources/datasources.yml").read_text())
    (warehouse,) = [one for one in given["datasources"] if one["uid"] == "warehouse"]
    assert warehouse["user"] == READER
    password = host.variables[warehouse["secureJsonData"]["password"].removeprefix("$")]
    address = host.environment("code")["SCALECAST_DATABASE_URL"].partition("@")[2]
    return f"postgresql://{READER}:{password}@{address}"
