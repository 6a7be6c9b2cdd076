"""No secret is in what Dagster writes down of the graph and shows to everybody who sees the UI."""

import json
import os
from pathlib import Path
from unittest.mock import patch

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster_shared.serdes import serialize_value

from scalecast_assets.definitions import build_definitions, defs
from scalecast_assets.resources.configured import store_resource
from scalecast_assets.settings import Settings, SettingsError

PASSWORD = "open sesame"
DATABASE = "postgresql://shop:open%20sesame@db.example/shop"

# Dagster looks at a property of schedules of its own that it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition:DeprecationWarning")

SECRETS = {"AWS_ACCESS_KEY_ID": "AKIAOURS", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A shop on S3 and a Postgres of its own."""
    named = {"SCALECAST_DATABASE_URL": DATABASE, "AWS_ENDPOINT_URL": "https://s3.example"}
    for name, value in {**named, **SECRETS}.items():
        monkeypatch.setenv(name, value)
    return Settings(home=tmp_path, database_url=DATABASE, store_url="s3://shop/prefix")


def test_the_repository_that_the_ui_loads_holds_no_secret(settings: Settings) -> None:
    repository = build_definitions(settings).get_repository_def()
    assert isinstance(repository, dg.RepositoryDefinition)
    shown = serialize_value(RepositorySnap.from_def(repository))
    assert json.loads(shown)
    assert "s3://shop/prefix" in shown, "the resources' values are in it"
    for secret in (PASSWORD, "open%20sesame", *SECRETS.values()):
        assert secret not in shown


def test_loaded_by_hand_the_graph_tells_dbt_and_the_resources_where_the_database_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(settings.home)
    monkeypatch.setenv("SCALECAST_HOME", str(settings.home))
    monkeypatch.setenv("SCALECAST_DATABASE_URL", DATABASE.replace("postgresql:", "postgres:"))
    with patch.dict(os.environ):
        defs()
        assert os.environ["SCALECAST_PG_PASSWORD"] == PASSWORD
        place = DATABASE.replace("e/shop", "e:5432/shop")
        assert os.environ["SCALECAST_DATABASE_URL"].startswith(f"{place}?")


def test_an_endpoint_with_credentials_in_it_is_refused_before_it_is_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://key:sesame@s3.example")
    with pytest.raises(SettingsError, match=r"^AWS_ENDPOINT_URL: .*AWS_SECRET_ACCESS_KEY") as error:
        store_resource(settings)
    assert "sesame" not in str(error.value)
