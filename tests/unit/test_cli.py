"""The command line: what is wrong usage, what a person can mend, and how fast it starts."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scalecast_assets import cli, runtime
from scalecast_assets.commands.sample import FILE_NAME
from scalecast_assets.contract.strict_json import BundleError

HEAVY = {
    "boto3", "dagster", "dbt", "great_expectations", "matplotlib", "onnx", "onnxruntime", "pandas",
    "psycopg", "pyarrow", "sklearn", "torch", "xgboost",
}  # fmt: skip
VERBS = {
    "api-key", "backup", "challenge", "completion", "convert", "doctor", "env", "init-env",
    "models", "purge", "restore", "retrain", "rollback", "run", "sample-data", "serve", "service",
    "settings", "setup-store", "status", "up", "validate", "withdraw",
}  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Wrong usage must be found before anything is started."""

    @contextmanager
    def running(*_: Any) -> Iterator[None]:
        raise AssertionError("something was started")
        yield

    monkeypatch.setattr(runtime, "running", running)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCALECAST_HOME", str(tmp_path / "home"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv"
    path.write_text("x")
    return path


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.cli, [str(argument) for argument in arguments])


def test_a_missing_path_is_wrong_usage(tmp_path: Path) -> None:
    result = call("run", "--csv", tmp_path / "nowhere.csv")
    assert result.exit_code == 2
    assert "nowhere.csv" in result.stderr


def test_a_directory_is_wrong_usage(tmp_path: Path) -> None:
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    for arguments in (("run", "--csv", folder), ("run", folder)):
        result = call(*arguments)
        assert result.exit_code == 2
        assert "directory" in result.stderr


@pytest.mark.parametrize("name", ["sales.txt", "sales", "sales.csv.zip", "csv"])
def test_another_kind_of_file_is_wrong_usage(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    result = call("run", "--csv", tmp_path / name)
    assert result.exit_code == 2
    assert ".csv or .csv.gz" in result.stderr


def test_the_same_file_twice_is_wrong_usage(file: Path, tmp_path: Path) -> None:
    result = call("run", "--csv", file, tmp_path / "." / "sales.csv")
    assert result.exit_code == 2
    assert "named twice" in result.stderr


@pytest.mark.parametrize("option", ["--replace", "--again"])
def test_an_option_about_files_needs_files(option: str) -> None:
    result = call("run", option)
    assert result.exit_code == 2
    assert option in result.stderr


def test_an_unknown_setting_is_wrong_usage_in_one_line(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALECAST_HOEM", "x")
    result = call("run", "--csv", file)
    assert result.exit_code == 2
    assert result.stderr.startswith("scalecast: SCALECAST_HOEM is not a setting")
    assert "did you mean SCALECAST_HOME?" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--hepl", "--csv"])
def test_an_unknown_option_or_one_without_its_value_is_wrong_usage(option: str) -> None:
    assert call("run", option).exit_code == 2


def test_rollback_before_there_is_a_model_fails_and_says_what_to_do() -> None:
    result = call("rollback", "1.0.0")
    assert result.exit_code == 1
    assert "nothing is served yet" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["1.0.0"],
        ["1.0.0", "--share", "0"],
        ["1.0.0", "--share", "1"],
        ["1.0.0", "--share", "1.5", "--shadow"],
        ["1.0.0", "--share", "a tenth"],
        ["--share", "0.1"],
        ["--end", "1.0.0"],
        ["--end", "--shadow"],
    ],
)
def test_a_challenge_needs_a_version_and_a_share_or_an_end_alone(arguments: list[str]) -> None:
    assert call("challenge", *arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [["1.0.0", "--shadow"], ["--end"]])
def test_a_challenge_before_there_is_a_model_fails_and_says_what_to_do(
    arguments: list[str],
) -> None:
    result = call("challenge", *arguments)
    assert result.exit_code == 1
    assert "nothing is served yet" in result.stderr


def test_models_of_an_empty_home_are_none(tmp_path: Path) -> None:
    result = call("models", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "versions": [],
        "model": None,
        "challenger": None,
        "state": None,
    }
    assert "scalecast run" in call("models").stdout


def test_env_without_a_running_database_fails_and_says_what_to_start() -> None:
    result = call("env")
    assert result.exit_code == 1
    assert "scalecast up" in result.stderr


def test_errors_of_ours_are_one_line_and_others_keep_their_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def damaged(*_: Any) -> None:
        raise BundleError("manifest of 1.0.0: altered")

    monkeypatch.setattr("scalecast_assets.commands.reporting.roll_back", damaged)
    result = call("rollback", "1.0.0")
    assert result.exit_code == 1
    assert result.stderr == "scalecast: manifest of 1.0.0: altered\n"

    def buggy(*_: Any) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("scalecast_assets.commands.reporting.roll_back", buggy)
    assert isinstance(call("rollback", "1.0.0").exception, KeyError)


def test_sample_data_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    result = call("sample-data", tmp_path / "here", "--json")
    assert result.exit_code == 0
    facts = json.loads(result.stdout)
    assert facts["file"] == str(tmp_path / "here" / FILE_NAME)
    assert facts["rows"] == len(Path(facts["file"]).read_text().splitlines()) - 1


def test_settings_are_listed_for_people_and_machines() -> None:
    table = json.loads(call("settings", "--json").stdout)
    text = call("settings").stdout
    assert len(table) > 10
    assert all(row["name"] in text and row["description"] in text for row in table)


def test_every_verb_has_help_json_and_examples() -> None:
    assert set(cli.cli.commands) == VERBS
    for verb in VERBS:
        result = call(verb, "--help")
        assert result.exit_code == 0
        assert "--json" in result.stdout or verb in ("service", "completion"), verb
        assert f"scalecast {verb}" in result.stdout, verb


def test_help_imports_none_of_the_heavy_libraries() -> None:
    """So that the command answers at once; each of them takes seconds."""
    code = (
        "import json, sys\n"
        "from scalecast_assets.cli import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "names = sorted({name.partition('.')[0] for name in sys.modules})\n"
        "print(json.dumps(names), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "Usage: " in done.stdout
    imported = set(json.loads(done.stderr))
    assert "click" in imported
    assert not imported & HEAVY
