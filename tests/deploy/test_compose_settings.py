"""What ``.env`` says reaches the containers: each setting of docs/settings.md, and no other way."""

import re
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from scalecast_assets.commands.init_env import write_env
from scalecast_assets.commands.setup_store import refuse_contradiction
from scalecast_assets.settings import Settings as PipelineSettings
from scalecast_assets.settings import variable
from serving.settings import OWN_VARIABLES
from serving.settings import Settings as SidecarSettings
from tests.deploy.compose import MADE, SERVICES, environment_of
from tests.graph.command import ROOT

PIPELINE = ("setup", "code", "webserver", "webserver-read-only", "daemon")
SIDECARS = ("api-1", "api-2")

DECIDED = {
    "SCALECAST_HOME": "the image's, where the volume is",
    "SCALECAST_UI_PORT": "the command line",
    "SCALECAST_API_PORT": "the image's",
    "SCALECAST_API_HOST": "the image's: on every address of the container",
    "SCALECAST_READER_PASSWORD": "READER_PASSWORD, for setup alone and for Grafana",
}
"""Settings that are not taken from ``.env``, and what decides them."""

INSIDE = {
    "SCALECAST_DAGSTER_CONFIG": "/etc/scalecast/dagster.yaml",
    "SCALECAST_API_KEYS_FILE": "/etc/scalecast/api-keys",
}
"""Files of the host, and where they are put."""

OF_PIPELINE = sorted({variable(field) for field in PipelineSettings.model_fields} - set(DECIDED))
OF_SIDECAR = sorted({*OWN_VARIABLES, "SCALECAST_STORE_URL"} - set(DECIDED))


def given(service: str, name: str) -> str:
    return environment_of(service, MADE | {name: "as written"}).get(name, "nothing")


@pytest.mark.parametrize("name", OF_PIPELINE)
def test_a_setting_of_the_pipeline_reaches_each_of_its_containers(name: str) -> None:
    expected = INSIDE.get(name, "as written")
    assert {service: given(service, name) for service in PIPELINE} == dict.fromkeys(
        PIPELINE, expected
    )


@pytest.mark.parametrize("name", OF_SIDECAR)
def test_a_setting_of_the_sidecar_reaches_both(name: str) -> None:
    expected = INSIDE.get(name, "as written")
    if name == "SCALECAST_METRICS_KEYS":
        expected = f"prometheus:{MADE['METRICS_KEY_SHA256']},as written"
    assert [given(service, name) for service in SIDECARS] == [expected] * 2


@pytest.mark.parametrize("name", DECIDED)
def test_what_is_decided_elsewhere_is_not_in_two_places(name: str) -> None:
    services = [service for service in SERVICES if given(service, name) == "as written"]
    assert services == []


@pytest.mark.parametrize(("name", "inside"), INSIDE.items())
def test_a_file_that_a_setting_names_is_where_the_container_looks(name: str, inside: str) -> None:
    services = SIDECARS if name in OWN_VARIABLES else PIPELINE
    for service in services:
        assert f"${{{name}:-/dev/null}}:{inside}:ro" in SERVICES[service]["volumes"]
        assert environment_of(service, MADE)[name] == ""


def test_with_nothing_written_everything_has_its_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Compose passes on what is not set as an empty variable."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment_of("setup", MADE | {"READER_PASSWORD": "r" * 16}).items():
        monkeypatch.setenv(name, value)
    loaded = PipelineSettings.load()
    changed = {
        name
        for name, field in PipelineSettings.model_fields.items()
        if getattr(loaded, name) != field.get_default(call_default_factory=True)
    }
    assert changed == {"home", "database_url", "store_url", "reader_password"}
    sidecar = SidecarSettings.from_environment(environment_of("api-1", MADE))
    assert sidecar == SidecarSettings.from_environment(
        {
            "SCALECAST_STORE_URL": "s3://scalecast",
            "SCALECAST_METRICS_KEYS": f"prometheus:{MADE['METRICS_KEY_SHA256']}",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": "http://store:7070",
        }
    )


def test_grafana_reads_the_warehouse_where_env_says_that_it_is() -> None:
    text = (ROOT / "deploy/grafana/datasources/datasources.yml").read_text()
    expected = {
        "READER_PASSWORD": "r",
        "READER_HOST": "postgres:5432",
        "READER_DATABASE": "scalecast",
        "READER_SSLMODE": "disable",
    }
    assert set(re.findall(r"\$(\w+)", text)) == set(expected)
    elsewhere = dict.fromkeys(expected, "as written")
    for written, found in (({}, expected), (elsewhere, elsewhere)):
        assert environment_of("grafana", MADE | written).items() >= found.items()


BEFORE_STORE_KEYS = """\
# Made by `scalecast init-env`, for docker-compose.yml. Keep it out of version control.
# These passwords go into the volumes when those are first made; a new file does not change them.

POSTGRES_PASSWORD=of-postgres

# The store inside docker-compose.yml. For AWS or another service, set these to its keys.
AWS_ACCESS_KEY_ID=scalecast11112222
AWS_SECRET_ACCESS_KEY=of-the-store
AWS_REGION=us-east-1

GRAFANA_PASSWORD=of-grafana

# Whoever may change things in the Dagster UI: name "operator", password of-the-ui
UI_PASSWORD_SHA={SHA}of-the-ui
"""
"""As ``scalecast init-env`` wrote it while the store here had the names of AWS."""


def test_an_env_of_before_needs_init_env_and_no_work_by_hand(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(BEFORE_STORE_KEYS)
    write_env(file)
    variables = {name: value or "" for name, value in dotenv_values(file).items()}
    given = {service: environment_of(service, variables) for service in SERVICES}
    kept = ("scalecast11112222", "of-the-store")
    store = given["store"]
    assert (store["ROOT_ACCESS_KEY_ID"], store["ROOT_SECRET_ACCESS_KEY"]) == kept
    for service in (*PIPELINE, *SIDECARS):
        environment = given[service]
        assert environment["AWS_ENDPOINT_URL"] == "http://store:7070"
        assert (environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]) == kept
    assert given["postgres"]["POSTGRES_PASSWORD"] == "of-postgres"
    assert given["grafana"]["GF_SECURITY_ADMIN_PASSWORD"] == "of-grafana"
    refuse_contradiction(given["setup"])
