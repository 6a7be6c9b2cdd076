"""The settings: what is unknown, malformed or contradictory is an error that names it."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from scalecast_assets import keys, runtime, settings
from scalecast_assets.alerting.cause import NEWS
from scalecast_assets.commands.reporting import settings_table
from scalecast_assets.forecasting.budget import DEFAULT_BUDGETS, Budget
from scalecast_assets.forecasting.candidates import candidate
from scalecast_assets.settings import NEWS_DAYS, Settings, SettingsError
from serving import settings as serving_settings
from tests.unit.test_candidates_fit import make_rows

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_a_variable_everything_is_under_the_home(tmp_path: Path) -> None:
    loaded = Settings.load()
    assert loaded.home == tmp_path / ".scalecast"
    assert loaded.database_url is None
    assert loaded.resolved_store_url == (tmp_path / ".scalecast" / "store").as_uri()
    assert (loaded.calendar, loaded.horizon_days, loaded.seed) == ("store", 14, 42)
    assert (loaded.ui_port, loaded.api_port) == (None, None)


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "SCALECAST_HOME": "~/a shop",
        "SCALECAST_STORE_URL": "s3://bucket/prefix",
        "SCALECAST_CALENDAR": "observed",
        "SCALECAST_COLUMNS": "date=Day, quantity_sold=Units sold",
        "SCALECAST_HORIZON_DAYS": "28",
        "SCALECAST_FIT_ROWS": "random_forest=200000,pytorch_nn=300000",
        "SCALECAST_UI_PORT": "3100",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    loaded = Settings.load()
    assert loaded.home == Path.home() / "a shop"
    assert loaded.resolved_store_url == "s3://bucket/prefix"
    assert loaded.calendar == "observed"
    assert loaded.columns == {"date": "Day", "quantity_sold": "Units sold"}
    assert loaded.horizon_days == 28
    assert loaded.fit_rows == {"random_forest": 200_000, "pytorch_nn": 300_000}
    assert loaded.ui_port == 3100


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Settings.load()
    for field in set(Settings.model_fields) - settings.NEVER_EMPTY:
        monkeypatch.setenv(settings.variable(field), "")
    assert Settings.load() == before


@pytest.mark.parametrize("name", ["SCALECAST_HOEM", "SCALECAST_", "SCALECAST_S3_BUCKET"])
def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=f"^{name} is not a setting"):
        Settings.load()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SCALECAST_HOME", "", "expected a folder"),
        ("SCALECAST_DATABASE_URL", "mysql://host/db", "expected postgresql://"),
        ("SCALECAST_DATABASE_URL", "", "expected postgresql://"),
        ("SCALECAST_STORE_URL", "/just/a/path", "expected s3://"),
        ("SCALECAST_STORE_URL", "gs://bucket", "expected s3://"),
        ("SCALECAST_STORE_URL", "s3://key:sesame@bucket/prefix", "AWS_SECRET_ACCESS_KEY"),
        ("SCALECAST_CALENDAR", "gregorian", "'store' or 'observed'"),
        ("SCALECAST_COLUMNS", "date", "name=value"),
        ("SCALECAST_COLUMNS", "date=A,date=B", "given twice"),
        ("SCALECAST_COLUMNS", "date=A,price=A", "same header"),
        ("SCALECAST_COLUMNS", "datum=A", "no column of ours"),
        ("SCALECAST_HORIZON_DAYS", "0", "greater than or equal to 1"),
        ("SCALECAST_HORIZON_DAYS", "57", "less than or equal to 56"),
        ("SCALECAST_HORIZON_DAYS", "two weeks", "integer"),
        ("SCALECAST_DAY_FINAL_HOUR", "48", "less than or equal to 47"),
        ("SCALECAST_SEED", "-1", "greater than or equal to 0"),
        ("SCALECAST_SEED", "4294967296", "less than or equal to 4294967295"),
        ("SCALECAST_FIT_ROWS", "forest=1000", "has no row budget"),
        ("SCALECAST_FIT_ROWS", "naive_baseline=1000", "has no row budget"),
        ("SCALECAST_TUNE_ROWS", "pytorch_nn=1000", "these have: random_forest, xgboost"),
        ("SCALECAST_TUNE_ROWS", "linear_regression=1000", "these have: random_forest, xgboost"),
        ("SCALECAST_TUNE_ROWS", "xgboost=99", "at least 100"),
        ("SCALECAST_TUNE_ROWS", "xgboost=many", "integer"),
        ("SCALECAST_UI_PORT", "0", "greater than or equal to 1"),
        ("SCALECAST_API_PORT", "65536", "less than or equal to 65535"),
    ],
)
def test_a_malformed_value_is_named_with_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        Settings.load()
    assert str(error.value).startswith(f"{name}: ")
    assert words in str(error.value)


def test_a_password_that_is_too_short_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALECAST_READER_PASSWORD", "short one")
    with pytest.raises(SettingsError, match="READER_PASSWORD") as refused:
        Settings.load()
    assert "short one" not in str(refused.value)


def test_a_password_in_a_malformed_url_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALECAST_DATABASE_URL", "postgre://shop:sesame@host/db")
    with pytest.raises(SettingsError) as error:
        Settings.load()
    assert "sesame" not in str(error.value)


def test_one_port_for_two_services_is_a_contradiction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALECAST_UI_PORT", "8000")
    monkeypatch.setenv("SCALECAST_API_PORT", "8000")
    with pytest.raises(SettingsError, match="SCALECAST_UI_PORT and SCALECAST_API_PORT are both"):
        Settings.load()


def test_dagsters_storage_elsewhere_than_an_embedded_warehouse_is_a_contradiction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCALECAST_DAGSTER_DATABASE_URL", "postgresql://host/dagster")
    with pytest.raises(SettingsError, match="SCALECAST_DATABASE_URL is not"):
        Settings.load()


def test_a_dotenv_file_fills_what_the_environment_leaves_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("SCALECAST_SEED=7\nSCALECAST_HORIZON_DAYS=21\n")
    monkeypatch.setenv("SCALECAST_SEED", "8")
    monkeypatch.setenv("SCALECAST_HORIZON_DAYS", "x")  # so that it is put back after the test
    monkeypatch.delenv("SCALECAST_HORIZON_DAYS")
    loaded = Settings.load()
    assert (loaded.seed, loaded.horizon_days) == (8, 21)


def test_an_unknown_name_in_a_dotenv_file_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALECAST_TYPO", "x")
    monkeypatch.delenv("SCALECAST_TYPO")
    (tmp_path / ".env").write_text("SCALECAST_TYPO=1\n")
    with pytest.raises(SettingsError, match="SCALECAST_TYPO"):
        Settings.load()


def test_settings_do_not_change_once_loaded() -> None:
    loaded = Settings.load()
    with pytest.raises(ValueError, match="frozen"):
        loaded.seed = 1  # type: ignore[misc]


def test_the_table_of_settings_has_every_field_with_default_and_description() -> None:
    table = {row["name"]: row for row in settings_table()}
    assert {settings.variable(field) for field in Settings.model_fields} <= set(table)
    assert table["SCALECAST_HORIZON_DAYS"]["default"] == 14
    assert table["SCALECAST_DATABASE_URL"]["default"] == "unset"
    assert table["SCALECAST_HOME"]["default"] == ".scalecast"
    assert all(len(row["description"]) > 10 for row in table.values())


def test_the_table_of_settings_has_what_only_the_sidecar_reads() -> None:
    table = {row["name"]: row for row in settings_table()}
    read = set(re.findall(r"SCALECAST_[A-Z_]+", Path(serving_settings.__file__).read_text()))
    assert read <= set(table)
    assert table["SCALECAST_API_HOST"]["default"] == "127.0.0.1"
    assert table["SCALECAST_POLL_SECONDS"]["default"] == 10
    assert table["SCALECAST_MAX_BODY_BYTES"]["default"] == 65_536
    assert table["SCALECAST_LOG_LEVEL"]["default"] == "info"


def test_the_table_of_settings_shows_the_budgets_that_hold_unless_others_are_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = {row["name"]: row["default"] for row in settings_table()}
    for field in ("fit_rows", "tune_rows"):
        monkeypatch.setenv(settings.variable(field), table[settings.variable(field)])
        shown = getattr(Settings.load(), field)
        assert shown == {name: getattr(DEFAULT_BUDGETS[name], field) for name in shown}
    assert "random_forest=30000" in table["SCALECAST_TUNE_ROWS"]


class Noticing(Budget):
    """A budget that remembers which of its limits was asked for."""

    asked: ClassVar[set[str]] = set()

    def __getattribute__(self, name: str) -> Any:
        Noticing.asked.add(name)
        return super().__getattribute__(name)


@pytest.mark.parametrize("name", keys.CANDIDATES)
def test_a_budget_can_be_set_exactly_where_a_candidate_asks_for_one(name: str) -> None:
    rows = make_rows(n_series=3, n_days=60)
    budget = Noticing(fit_rows=1000, tune_rows=1000)
    Noticing.asked.clear()
    candidate(name).fit(rows, budget=budget, seed=1, log=lambda _: None)
    assert ("fit_rows" in Noticing.asked) == (name in settings.FITTED)
    assert ("tune_rows" in Noticing.asked) == (name in settings.TUNED)


def test_every_name_the_sidecar_reads_is_known_to_the_pipeline() -> None:
    """Both read one environment; the pipeline would refuse a name that it does not know."""
    read = set(re.findall(r"SCALECAST_[A-Z_]+", Path(serving_settings.__file__).read_text()))
    known = {settings.variable(field) for field in Settings.model_fields} | settings.FOREIGN
    assert read >= {"SCALECAST_HOME", "SCALECAST_API_PORT", "SCALECAST_POLL_SECONDS"}
    assert read <= known


def test_the_environment_is_as_before_when_the_runtime_is_left(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALECAST_SEED", "1")
    before = dict(os.environ)
    with runtime.running(Settings(home=tmp_path, database_url=postgres_url)) as running:
        assert os.environ["SCALECAST_DATABASE_URL"].startswith(f"{postgres_url}?")
        assert os.environ["DAGSTER_HOME"] == str(running.dagster_home)
        dagster_yaml = (running.dagster_home / "dagster.yaml").read_bytes()
    assert dict(os.environ) == before
    assert dagster_yaml == (ROOT / "dagster.yaml").read_bytes()


def test_alerts_are_kept_longer_than_their_cause_is_news() -> None:
    assert timedelta(days=NEWS_DAYS) > NEWS
    with pytest.raises(SettingsError, match=r"KEEP_ALERTS_DAYS: .* or 8 or more"):
        Settings.load(keep_alerts_days=7)
