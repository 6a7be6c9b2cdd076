"""docker-compose.yml as processes: from a bucket to ``/predict``, behind nginx, under Prometheus.

One host for all of them: whoever kills a process starts it again.
"""

import base64
import re
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import yaml  # type: ignore[import-untyped]

from deploy.dashboards.asking import Sources, last
from deploy.dashboards.reading import read_all
from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.reader_role import READER
from tests.deploy.composed import (
    SIDECARS,
    composed,
    drop,
    reader_url,
    sidecars_are_ready,
    start_all,
    state_until,
    train,
    watch,
)
from tests.deploy.host import Host, status_of
from tests.graph.command import ROOT, eventually, fetch
from tests.graph.small_retailer import LEARNABLE_DAYS, STORES, day_of, write_sales

RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
REQUEST = {
    "date": day_of(LEARNABLE_DAYS),
    "store_id": STORES[0],
    "product_id": "A",
    "price": 2.0,
    "promotion": False,
}
EMPTY_HERE = {
    "Alerts of Prometheus",
    "Reloads, by what and outcome",
    "Shadow: mean difference to the champion, units a day",
}
"""Nothing is wrong here, nothing promoted since Prometheus looks, no version in the shadow."""


@pytest.fixture(scope="module")
def host(
    postgres_server: PostgresServer, moto_endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("one host").rename(
        tmp_path_factory.getbasetemp() / "one-host"  # nginx takes no spaces in its own paths
    )
    with composed(folder, postgres_server, moto_endpoint) as made:
        yield made


@pytest.fixture(scope="module")
def up(host: Host) -> Host:
    """Every ScaleCast process that the file starts, in its order."""
    start_all(host)
    return host


@pytest.fixture(scope="module")
def served(up: Host) -> Host:
    """The host after a file was dropped into the bucket and a model was trained on it."""
    assert fetch(up.url("api-1", "/ready"))[0] == 503
    drop(up, write_sales(up.folder / "sales.csv", range(LEARNABLE_DAYS)))
    eventually(lambda: bool(state_until(up)), f"{up.log('daemon')} {up.log('code')}", 240)
    assert train(up)["promoted"]
    sidecars_are_ready(up)
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
    watch(served)
    return served


@pytest.fixture
def sources(served: Host) -> Iterator[Sources]:
    """What Grafana would ask: Prometheus, and the warehouse as the role of Grafana."""
    with psycopg.connect(reader_url(served), autocommit=True) as warehouse:
        yield Sources(served.url("prometheus", ""), warehouse)


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


def test_every_query_of_dashboards_and_rules_has_an_answer_in_prometheus(
    watched: Host, sources: Sources
) -> None:
    def traffic() -> None:
        for api in SIDECARS:
            assert fetch(watched.url(api, "/predict"), REQUEST)[0] == 200
            assert status_of(watched.url(api, "/nowhere")) == 404

    panels = [panel for board in read_all() for panel in board.panels if panel.targets[0].promql]
    assert len(panels) > 10
    for panel in panels:

        def answers(panel: Any = panel) -> bool:
            traffic()
            return bool(sources.ask(panel, last(timedelta(minutes=2)))) or panel.title in EMPTY_HERE

        eventually(answers, panel.title, 60)
    with urllib.request.urlopen(watched.url("api-1", "/metrics"), timeout=20) as reply:
        exposed = reply.read().decode()
    asked = [target.promql for panel in panels for target in panel.targets]
    for name in re.findall(r"scalecast_\w+", f"{asked} {rules()}"):
        # What is counted may have no value yet; it has to be there.
        assert f"# TYPE {name.removesuffix('_bucket')} " in exposed, name

    def judged() -> dict[str, str]:
        groups = fetch(watched.url("prometheus", "/api/v1/rules"))[1]["data"]["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    expected = {rule["alert"]: "ok" for rule in rules()}
    eventually(lambda: judged() == expected, f"rules: {judged()}", 30)


def test_every_query_of_the_dashboards_runs_in_the_warehouse_as_the_role_that_only_reads(
    served: Host, sources: Sources
) -> None:
    panels = [panel for board in read_all() for panel in board.panels if panel.targets[0].sql]
    assert len(panels) > 10
    assert sources.warehouse.info.user == READER
    found = {panel.title: sources.ask(panel, last(timedelta(days=1))) for panel in panels}
    with_data = {title for title, frames in found.items() if frames}
    assert with_data >= {"Files", "Rows published a day", "How long runs took", "Promotions"}


def test_another_password_of_the_reader_counts_from_the_next_start_on(served: Host) -> None:
    before = reader_url(served)
    served.variables["READER_PASSWORD"] = "another-one-that-somebody-has-made"
    done = served.once("setup")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Role scalecast_reader" in done.stdout
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(before)
    with psycopg.connect(reader_url(served)) as connection:
        assert connection.info.user == READER
