"""What docker-compose.yml starts, started as processes: from a bucket to ``/predict``.

There is no container engine here. Each ScaleCast command of the file runs with the environment that
the file gives it; host names of containers become addresses on loopback, Postgres and the S3
endpoint are real. Images, volumes and limits are not tested.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
import psycopg
import pytest
import yaml  # type: ignore[import-untyped]

from scalecast_assets.commands.init_env import write_env
from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from tests.graph.command import ROOT, SCALECAST, eventually, fetch, free_port
from tests.graph.small_retailer import LEARNABLE_DAYS, SMALL_BUDGETS, STORES, day_of, write_sales

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SIDECAR = [sys.executable, "-m", "serving"]
REQUEST = {
    "date": day_of(LEARNABLE_DAYS),
    "store_id": STORES[0],
    "product_id": "A",
    "price": 2.0,
    "promotion": False,
}


def filled_in(text: str, variables: dict[str, str]) -> str:
    """Interpolate as compose does: ``${NAME:-default}`` and ``${NAME:?error}``."""

    def value(found: re.Match[str]) -> str:
        name, how, rest = found.groups()
        given = variables.get(name)
        assert given or how == ":-", f"{name}: {rest}"
        return given or rest

    return re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", value, text)


@dataclass
class Host:
    """One machine on which everything listens on loopback."""

    folder: Path
    variables: dict[str, str]
    addresses: dict[str, str]
    """``host:port`` of containers, and where they are here."""
    ports: dict[str, int]
    stack: ExitStack

    def environment(self, service: str) -> dict[str, str]:
        given = COMPOSE["services"][service]["environment"]
        found = {name: filled_in(value, self.variables) for name, value in given.items()}
        for there, here in self.addresses.items():
            found = {name: value.replace(there, here) for name, value in found.items()}
        if "SCALECAST_CODE_HOST" in found:
            found |= {"SCALECAST_CODE_HOST": "127.0.0.1"}
            found |= {"SCALECAST_CODE_PORT": str(self.ports["code"])}
        clean = {n: v for n, v in os.environ.items() if not n.startswith(("SCALECAST_", "AWS_"))}
        return {
            **clean,
            **found,
            "SCALECAST_HOME": str(self.folder / "home"),
            "SCALECAST_FIT_ROWS": SMALL_BUDGETS,
            "SCALECAST_TUNE_ROWS": "random_forest=400",
            "SCALECAST_SENSOR_SECONDS": "5",
        }

    def command(self, service: str) -> list[str]:
        """The service's command line, listening here instead of on every address."""
        given = COMPOSE["services"][service].get("command")
        if given is None:
            return [*SIDECAR, "--host", "127.0.0.1", "--port", str(self.ports[service])]
        words = [str(SCALECAST), *given]
        if "--port" in words:
            words[words.index("--port") + 1] = str(self.ports[service])
            words[words.index("--host") + 1] = "127.0.0.1"
        return words

    def once(self, service: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCALECAST), *words] if words else self.command(service),
            env=self.environment(service),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def start(self, service: str) -> None:
        log = self.stack.enter_context((self.folder / f"{service}.log").open("wb"))
        process = subprocess.Popen(
            self.command(service),
            env=self.environment(service),
            cwd=self.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.stack.callback(process.wait, 60)
        self.stack.callback(process.terminate)

    def url(self, service: str, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}{path}"

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text(errors="replace")[-3000:]


@pytest.fixture(scope="module")
def host(
    postgres_server: PostgresServer, moto_endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("one host")
    write_env(folder / ".env.compose")
    lines = (folder / ".env.compose").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines if line and line[0] != "#")
    create_database(postgres_server, "composed")
    given = postgres_server.url("composed").removeprefix("postgresql://")
    account = f"scalecast:{variables['POSTGRES_PASSWORD']}@postgres:5432/scalecast"
    names = ("code", "webserver", "webserver-read-only", "api-1", "api-2")
    with ExitStack() as stack:
        yield Host(
            folder,
            variables,
            {account: given, "http://store:7070": moto_endpoint},
            {name: free_port() for name in names},
            stack,
        )
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute("drop database composed with (force)")


@pytest.fixture(scope="module")
def up(host: Host) -> Host:
    """Everything that the file starts, in its order."""
    done = host.once("setup")
    assert done.returncode == 0, done.stdout + done.stderr
    for service in ("code", "webserver", "webserver-read-only", "daemon", "api-1", "api-2"):
        host.start(service)
    for service in ("webserver", "webserver-read-only"):
        eventually(
            lambda name=service: fetch(host.url(name, "/server_info"))[0] == 200,  # type: ignore[misc]
            f"{service}: {host.log(service)}",
            120,
        )
    return host


def test_a_file_in_the_bucket_becomes_an_answer_of_both_sidecars(up: Host) -> None:
    assert fetch(up.url("api-1", "/ready"))[0] == 503
    bucket = boto3.client(
        "s3",
        endpoint_url=up.addresses["http://store:7070"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    sales = write_sales(up.folder / "sales.csv", range(LEARNABLE_DAYS))
    bucket.upload_file(str(sales), "scalecast", "raw/sales.csv")

    def state_is_there() -> bool:
        found = bucket.list_objects_v2(Bucket="scalecast", Prefix="serving/").get("Contents", [])
        return "serving/state.json" in [entry["Key"] for entry in found]

    eventually(state_is_there, f"the state: {up.log('daemon')} {up.log('code')}", 240)
    trained = up.once("code", "retrain", "--json")
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["promoted"]
    for api in ("api-1", "api-2"):
        eventually(lambda name=api: fetch(up.url(name, "/ready"))[0] == 200, api, 60)  # type: ignore[misc]
        status, answer = fetch(up.url(api, "/predict"), REQUEST)
        assert (status, answer["source"], answer["model_version"]) == (200, "model", "1.0.0")


def test_one_ui_can_change_things_and_the_other_cannot(up: Host) -> None:
    query = {"query": "{ permissions { permission value } }"}
    may = {}
    for service in ("webserver", "webserver-read-only"):
        status, reply = fetch(up.url(service, "/graphql"), query)
        assert status == 200
        found = {one["permission"]: one["value"] for one in reply["data"]["permissions"]}
        may[service] = found["launch_pipeline_execution"]
    assert may == {"webserver": True, "webserver-read-only": False}


def test_what_steps_print_is_kept_in_the_bucket(up: Host) -> None:
    config = yaml.safe_load((up.folder / "home" / "dagster" / "dagster.yaml").read_text())
    assert config["compute_logs"]["class"] == "S3ComputeLogManager"
    assert config["compute_logs"]["config"]["bucket"] == "scalecast"


def test_every_metric_of_dashboards_and_rules_is_one_that_the_sidecar_has(up: Host) -> None:
    with urlopen(up.url("api-1", "/metrics"), timeout=10) as reply:
        known = set(re.findall(r"^# TYPE (\w+)", reply.read().decode(), re.MULTILINE))
    asked = (ROOT / "deploy" / "prometheus" / "rules.yml").read_text()
    asked += (ROOT / "deploy" / "grafana" / "dashboards" / "serving.json").read_text()
    names = {re.sub(r"_(bucket|total)$", "", n) for n in re.findall(r"scalecast_\w+", asked)}
    known = {re.sub(r"_total$", "", name) for name in known}
    assert names
    assert names - known == set()


def test_every_query_of_the_dashboards_runs_in_the_warehouse(up: Host) -> None:
    ran = 0
    url = up.environment("code")["SCALECAST_DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        for file in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"):
            for panel in json.loads(file.read_text())["panels"]:
                for target in panel["targets"]:
                    if "rawSql" in target:
                        sql = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 > now() - interval '30 d'",
                                     target["rawSql"])  # fmt: skip
                        connection.execute(sql.encode())
                        ran += 1
    assert ran > 10
