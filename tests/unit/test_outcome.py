"""What ``scalecast run`` says at its end, to people and to programs."""

from pathlib import Path
from typing import Any

import pytest

from scalecast_assets import keys
from scalecast_assets.commands.outcome import NOT_LANDED, Outcome, in_words
from scalecast_assets.commands.progress import Progress
from scalecast_assets.commands.runner import RunResult
from scalecast_assets.commands.uploads import upload
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.ingest.intake import READABLE
from scalecast_assets.resources.model_records import Promotion
from scalecast_assets.settings import SettingsError

METRICS = ("mae", "rmse", "mape", "r2", "wape", "rmsse", "bias", "one_step_mae", "fit_seconds")
CHAMPION = {"name": keys.XGBOOST, "version": "1.2.0", "previous": "1.1.0"}


KEY = "raw/März [/b].csv"


def file(
    state: str = "published", reason: str | None = None, rows: int | None = 1234
) -> dict[str, Any]:
    return {"key": KEY, "sha256": "ab" * 32, "state": state, "rows": rows, "reason": reason}


def row(name: str, mae: float, mape: float | None = 0.5) -> dict[str, Any]:
    return {"name": name, **dict.fromkeys(METRICS, 1.0), "mae": mae, "mape": mape}


def promotion() -> Promotion:
    board = [row(keys.NAIVE_BASELINE, 9.75, mape=None), row(keys.XGBOOST, 3.25)]
    return Promotion("r", "promoted", keys.XGBOOST, "1.2.0", "1.1.0", "cd" * 32, "is best", board)


def failed_run() -> RunResult:
    failures = {"promoted_model": "[/] the breaker is open"}
    return RunResult("r", Path("/logs/run-r.log"), False, failures, {"model_comparison.a": "b"})


def test_a_promotion_is_told_with_the_leaderboard_best_first() -> None:
    run = RunResult("r", Path("/logs/r.log"), succeeded=True)
    outcome = Outcome([file()], 1234, 61.0, [run], promotion(), CHAMPION)
    text = in_words(outcome)
    assert "raw/März [/b].csv: published, 1,234 rows" in text
    assert text.index(keys.XGBOOST) < text.index(keys.NAIVE_BASELINE)
    assert "9.750" in text
    assert "–" in text
    assert "Promoted: is best" in text
    assert "xgboost 1.2.0" in text
    assert outcome.exit_code == 0
    assert outcome.to_json()["champion"] == CHAMPION
    assert outcome.to_json()["promoted"] is True


def test_why_there_are_no_intervals_is_told() -> None:
    run = RunResult("r", Path("/logs/r.log"), succeeded=True)
    run.metadata["model_comparison"] = {"no_intervals": "too short [/b]"}
    outcome = Outcome([file()], 1234, 61.0, [run], promotion(), CHAMPION)
    assert "Intervals: none, too short [/b]." in in_words(outcome)


def test_a_failure_is_told_with_every_reason_the_log_and_what_is_still_served() -> None:
    outcome = Outcome([], 0, 1.0, [failed_run()], None, CHAMPION)
    text = in_words(outcome)
    assert "Not finished. promoted_model: [/] the breaker is open; model_comparison.a: b" in text
    assert "/logs/run-r.log" in text
    assert "Still served: xgboost 1.2.0" in text
    assert outcome.exit_code == 1
    assert outcome.to_json()["champion"] == CHAMPION
    assert outcome.to_json()["promoted"] is False


def test_a_refused_file_is_exit_code_3_however_the_run_ended() -> None:
    refused = [file("refused", "price_is_positive: 1 line, first line 4")]
    for run in (failed_run(), RunResult("r", Path("/l"), succeeded=True)):
        outcome = Outcome(refused, 0, 1.0, [run], None, None)
        assert outcome.exit_code == 3
        assert "first line 4" in in_words(outcome)


@pytest.mark.parametrize("state", ["landed", "validated", NOT_LANDED])
@pytest.mark.parametrize("ended_well", [True, False])
def test_a_file_that_still_waits_is_exit_code_1_however_the_run_ended(
    state: str, ended_well: bool
) -> None:
    run = RunResult("r", Path("/l"), succeeded=True) if ended_well else failed_run()
    files = [file(), file("refused", "bad"), file(state, rows=None)]
    outcome = Outcome(files, 0, 1.0, [run], promotion() if ended_well else None, CHAMPION)
    assert outcome.exit_code == 1
    why = outcome.to_json()["why"]
    assert f"{KEY} is {state} and not published: " in why
    assert ("scalecast run" in why) == (state != NOT_LANDED)
    assert ("is best" if ended_well else "the breaker is open") in why
    assert f"Not finished. {KEY} is {state}" in in_words(outcome)


def test_what_waits_because_a_replacement_was_refused_leaves_the_refusal_the_exit_code() -> None:
    files = [file("refused", "bad"), file("landed", "waits: raw/b.csv is refused")]
    outcome = Outcome(files, 0, 1.0, [failed_run()], None, None)
    assert outcome.exit_code == 3
    assert f"{KEY} is landed and not published" in outcome.why


def test_a_file_that_could_not_be_read_is_told_and_is_exit_code_1() -> None:
    said = {f"{keys.RAW_DEMAND}.{READABLE}": "raw/locked.csv: not loaded"}
    runs = [RunResult("a", Path("/l"), True, failed_checks=said), RunResult("b", Path("/l"), True)]
    outcome = Outcome([file()], 1, 1.0, runs, promotion(), CHAMPION)
    assert outcome.exit_code == 1
    assert outcome.to_json()["why"].startswith("raw/locked.csv: not loaded; ")
    assert "Not finished. raw/locked.csv" in in_words(outcome)


def test_the_seconds_of_each_step_are_summed_over_the_passes() -> None:
    first = RunResult("a", Path("/l"), stages={"raw_demand": 1.0, "raw_demand_suite": 2.5})
    second = RunResult("b", Path("/l"), True, stages={"raw_demand": 0.25, "demand_data": 4.0})
    outcome = Outcome([], 0, 9.0, [first, second], None, None)
    assert outcome.to_json()["stages"] == {
        "raw_demand": 1.25, "raw_demand_suite": 2.5, "demand_data": 4.0,
    }  # fmt: skip


def test_files_of_one_name_and_other_bytes_get_keys_of_their_own(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    paths = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        path = tmp_path / str(number) / "sales.csv.gz"
        path.write_bytes(b"%d" % number)
        paths.append(path)
    (first, first_sha), (second, second_sha) = upload(store, paths, Progress())
    assert first == "raw/sales.csv.gz"
    assert second == f"raw/sales-{second_sha[:8]}.csv.gz"
    assert [store.get(key).body for key in (first, second)] == [b"0", b"1"]
    again = upload(store, paths, Progress())
    assert again == [(first, first_sha), (second, second_sha)]


def test_another_kind_of_file_cannot_be_landed_beside_one_of_its_name(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    store.put("raw/sales.txt", b"other")
    (tmp_path / "sales.txt").write_bytes(b"x")
    with pytest.raises(SettingsError, match=r"sales\.txt: expected a file named \.csv"):
        upload(store, [tmp_path / "sales.txt"], Progress())


def test_a_second_file_of_a_name_as_long_as_a_disk_allows_is_uploaded_too(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    name = "ü" * 125 + ".csv"
    store.put(f"raw/{name}", b"other")
    (tmp_path / name).write_bytes(b"new")
    ((key, sha256),) = upload(store, [tmp_path / name], Progress())
    assert key == f"raw/{'ü' * 50}-{sha256[:8]}.csv"
    assert store.get(key).body == b"new"
