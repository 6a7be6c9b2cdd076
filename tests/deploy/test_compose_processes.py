"""docker-compose.yml as processes: from a bucket to ``/predict``, behind nginx, under Prometheus.

One host for all of them: whoever kills a process starts it again.
"""

import base64
import json
import re
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import psycopg
import pytest
import yaml  # type: ignore[import-untyped]

from scalecast_assets.commands.init_env import write_env
from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from tests.deploy.host import Host, status_of
from tests.deploy.programs import program
from tests.deploy.proxy import PROXY_PORTS
from tests.graph.command import ROOT, eventually, fetch, free_port
from tests.graph.small_retailer import LEARNABLE_DAYS, STORES, day_of, write_sales

DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
REQUEST = {
    "date": day_of(LEARNABLE_DAYS),
    "store_id": STORES[0],
    "product_id": "A",
    "price": 2.0,
    "promotion": False,
}


@pytest.fixture(scope="module")
def host(
    postgres_server: PostgresServer, moto_endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("one host").rename(
        tmp_path_factory.getbasetemp() / "one-host"  # nginx takes no spaces in its own paths
    )
    write_env(folder / ".env.compose")
    lines = (folder / ".env.compose").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines if line and line[0] != "#")
    create_database(postgres_server, "composed")
    given = postgres_server.url("composed").removeprefix("postgresql://")
    account = f"scalecast:{variables['POSTGRES_PASSWORD']}@postgres:5432/scalecast"
    names = ["code", "webserver", "webserver-read-only", "api-1", "api-2", "prometheus"]
    names += [f"{proxy} {server}" for proxy in ("proxy", "proxy-tls") for server in PROXY_PORTS]
    ports = {name: free_port() for name in names}
    ports["api-2"] = ports["api-1"]
    with ExitStack() as stack:
        addresses = {account: given, "http://store:7070": moto_endpoint}
        yield Host(folder, variables, addresses, ports, stack)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute("drop database composed with (force)")


@pytest.fixture(scope="module")
def up(host: Host) -> Host:
    """Every ScaleCast process that the file starts, in its order."""
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


@pytest.fixture(scope="module")
def served(up: Host) -> Host:
    """The host after a file was dropped into the bucket and a model was trained on it."""
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
    print(f"from the first process to two ready sidecars: {time.monotonic() - up.began:.0f} s")
    return up


@pytest.fixture(scope="module")
def proxied(served: Host) -> Host:
    """The host with nginx before it."""
    served.start_proxy()
    healthy = served.url("proxy healthy", "/")
    eventually(lambda: status_of(healthy) == 204, f"nginx: {served.log('proxy')}", 30)
    return served


@pytest.fixture(scope="module")
def watched(served: Host) -> Host:
    """The host with Prometheus, which has seen both sidecars more than once."""
    up = served
    up.start_prometheus()

    def both_are_seen() -> bool:
        found = query(up, 'min_over_time(up{job="sidecar"}[3s]) * count_over_time(up[3s]) >= 2')
        return {entry["metric"]["instance"] for entry in found} == {
            up.address(api) for api in ("api-1", "api-2")
        }

    eventually(both_are_seen, f"Prometheus: {up.log('prometheus')}", 60)
    return up


def query(host: Host, expression: str) -> list[dict[str, Any]]:
    """What Prometheus answers now; nothing while it does not answer yet."""
    asked = urllib.parse.urlencode({"query": expression})
    status, reply = fetch(host.url("prometheus", f"/api/v1/query?{asked}"))
    assert status in (0, 200, 503), (expression, reply)
    return reply["data"]["result"] if status == 200 else []


def targets(of: str) -> Iterator[str]:
    """Every query of the dashboards in one language: ``expr`` or ``rawSql``."""
    for file in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            yield from (target[of] for target in panel["targets"] if of in target)


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def password_of(host: Host) -> str:
    """The operator's, which only the comment in ``.env`` knows."""
    found = re.search(
        r'name "operator", password (\S+)', (host.folder / ".env.compose").read_text()
    )
    assert found
    return found[1]


def basic(name: str, password: str) -> str:
    return base64.b64encode(f"{name}:{password}".encode()).decode()


def test_a_file_in_the_bucket_becomes_an_answer_of_both_sidecars(served: Host) -> None:
    for api in ("api-1", "api-2"):
        status, answer = fetch(served.url(api, "/predict"), REQUEST)
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


def test_the_ui_that_can_change_things_asks_for_the_password_that_init_env_made(
    proxied: Host,
) -> None:
    ui, right = proxied.url("proxy operators", "/server_info"), password_of(proxied)
    assert status_of(ui) == 401
    assert status_of(ui, basic("operator", "operator")) == 401
    assert status_of(ui, basic("somebody", right)) == 401
    assert status_of(ui, basic("operator", right)) == 200
    assert status_of(proxied.url("proxy operators", "/graphql"), None, b"{}") == 401


def test_the_ui_to_look_at_asks_for_nothing_and_changes_nothing(proxied: Host) -> None:
    query = {"query": "{ permissions { value permission } }"}
    status, reply = fetch(proxied.url("proxy onlookers", "/graphql"), query)
    assert status == 200
    found = {one["permission"] for one in reply["data"]["permissions"] if one["value"]}
    assert found == set()


def test_forecasts_go_on_through_the_proxy_while_one_sidecar_is_away(proxied: Host) -> None:
    predict = proxied.url("proxy forecasts", "/predict")
    assert fetch(predict, REQUEST)[1]["source"] == "model"
    proxied.kill("api-1")
    try:
        assert [fetch(predict, REQUEST)[0] for _ in range(20)] == [200] * 20
    finally:
        proxied.start("api-1")
    eventually(lambda: fetch(proxied.url("api-1", "/ready"))[0] == 200, "api-1 again", 60)


def test_the_proxy_keeps_metrics_and_large_bodies_to_itself(proxied: Host) -> None:
    assert status_of(proxied.url("proxy forecasts", "/metrics")) == 404
    assert status_of(proxied.url("api-1", "/metrics")) == 200
    too_much = b" " * (17 * 1024 * 1024)
    assert status_of(proxied.url("proxy forecasts", "/batch"), None, too_much) in (0, 413)


def test_with_a_certificate_every_server_speaks_tls_only(served: Host) -> None:
    folder = served.folder / "proxy-tls" / "tls"
    folder.mkdir(parents=True)
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    keys = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *name, *keys],
        check=True,
        capture_output=True,
    )
    ours = (ROOT / "deploy" / "tls.conf").read_text().replace("/etc/nginx/tls/", f"{folder}/")
    (folder / "tls.conf").write_text(ours)
    overriding = yaml.safe_load((ROOT / "docker-compose.tls.yml").read_text())
    given = overriding["services"]["proxy"]["environment"]["LISTEN_WITH"]
    served.start_proxy("proxy-tls", listen_with=given)
    healthy = served.url("proxy-tls healthy", "/")
    eventually(lambda: status_of(healthy) == 204, f"nginx: {served.log('proxy-tls')}", 30)
    trusting = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
    for server, expected in {"forecasts": 200, "operators": 401, "onlookers": 200}.items():
        path = "/health" if server == "forecasts" else "/server_info"
        plain = served.url(f"proxy-tls {server}", path)
        assert status_of(plain) == 400  # "The plain HTTP request was sent to HTTPS port"
        try:
            secure = plain.replace("http://", "https://")
            with urllib.request.urlopen(secure, timeout=20, context=trusting) as reply:
                found = reply.status
                assert "max-age" in reply.headers["Strict-Transport-Security"]
        except urllib.error.HTTPError as error:
            with error:
                found = error.code
        assert found == expected, server


def test_promtool_finds_nothing_wrong_and_alerts_fire_as_they_should() -> None:
    promtool, folder = program("promtool"), RULES.parent
    for what in (
        # The key's file is there in the container only.
        ("check", "config", "--syntax-only", str(folder / "prometheus.yml")),
        ("check", "rules", str(RULES)),
        ("test", "rules", str(ROOT / "tests" / "deploy" / "rules.test.yml")),
    ):
        done = subprocess.run([promtool, *what], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_query_of_dashboards_and_rules_has_an_answer_in_prometheus(watched: Host) -> None:
    def answers(expression: str) -> bool:
        for api in ("api-1", "api-2"):
            assert fetch(watched.url(api, "/predict"), REQUEST)[0] == 200
            assert status_of(watched.url(api, "/nowhere")) == 404
        return bool(query(watched, expression))

    asked = list(targets("expr"))
    assert len(asked) > 10
    with urllib.request.urlopen(watched.url("api-1", "/metrics"), timeout=20) as reply:
        exposed = reply.read().decode()
    for expression in asked:
        if "scalecast_shadow_" in expression:  # No version is in the shadow here.
            names = set(re.findall(r"scalecast_\w+", expression))
            assert all(f"# TYPE {name} " in exposed for name in names), expression
            query(watched, expression)
            continue
        eventually(lambda e=expression: answers(e), expression, 60)  # type: ignore[misc]
    for rule in rules():
        # There are no refusals here and no errors: what they are counted in has to be there.
        for counted in re.findall(r"scalecast_\w+|\bup\b", rule["expr"]):
            eventually(lambda e=counted: answers(e), rule["alert"], 60)  # type: ignore[misc]

    def judged() -> dict[str, str]:
        groups = fetch(watched.url("prometheus", "/api/v1/rules"))[1]["data"]["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    expected = {rule["alert"]: "ok" for rule in rules()}
    eventually(lambda: judged() == expected, f"rules: {judged()}", 30)


def test_every_query_of_the_dashboards_runs_in_the_warehouse(served: Host) -> None:
    asked = list(targets("rawSql"))
    assert len(asked) > 10
    url = served.environment("code")["SCALECAST_DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        for sql in asked:
            within = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 > now() - interval '9 years'", sql)
            assert "$__" not in within, sql
            cursor = connection.execute(within.encode())
            assert cursor.description is not None
            cursor.fetchall()
