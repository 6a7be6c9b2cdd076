"""One home and one shop's story, told by ``scalecast run``: each chapter is one command.

Runs are expensive, so each chapter runs once (a module fixture that begins where the one before it
ended) and keeps what its tests look at; tests only look.
"""

import csv
import datetime as dt
import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest

from scalecast_assets import keys
from scalecast_assets.contract.bundle import (
    Bundle,
    read_bundle,
    read_pointed_bundle,
    read_state,
    verify_files,
)
from scalecast_assets.contract.columns import RAW_COLUMNS
from scalecast_assets.contract.features import features
from scalecast_assets.contract.pointers import (
    ServingPointer,
    StatePointer,
    read_serving,
    read_state_pointer,
)
from scalecast_assets.contract.state import panel_from_bytes
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.forecasting.candidates.base import onnx_predictor
from tests import independent_leaderboard as independent
from tests.graph.command import Completed, Shell, eventually, fetch, free_port
from tests.graph.small_retailer import (
    LEARNABLE_DAYS,
    PRODUCTS,
    STORES,
    day_of,
    sales,
    write_bad_sales,
    write_sales,
)

LATER = range(LEARNABLE_DAYS, LEARNABLE_DAYS + 42)
SERIES = len(STORES) * len(PRODUCTS)
REPLACEMENT = range(20, LATER.stop + 3)
LEADERBOARD_KEYS = {
    "name", "mae", "rmse", "mape", "r2", "wape", "rmsse", "bias", "one_step_mae", "fit_seconds",
}  # fmt: skip


def write_sales_that_calm_down(path: Path, days: range) -> Path:
    """Every week swings alike, until the last 14 days, each of which is like a week's mean.

    So the mean of the last week forecasts them best, and what was learned of weekdays is wrong.
    """
    swing = (0.25, 0.5, 0.75, 1.0, 1.75, 1.5, 1.25)  # Monday … Sunday
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(RAW_COLUMNS)
        for at in days:
            weekday = dt.date.fromisoformat(day_of(at)).weekday()
            factor = swing[weekday] if at < days.stop - 14 else 1.0
            for (s, store), (p, product) in itertools.product(
                enumerate(STORES), enumerate(PRODUCTS)
            ):
                units = factor * (40 + 40 * s + 20 * p)
                writer.writerow((day_of(at), store, product, int(units), 2.0 + p, "false"))
    return path


@dataclass(frozen=True)
class Chapter:
    """What a command answered, and how the store stood right after it."""

    answer: Completed
    model: ServingPointer | None
    state: StatePointer | None
    store: Path

    @property
    def json(self) -> Any:
        return self.answer.json

    @property
    def board(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in self.json["leaderboard"]}

    def file(self, name: str) -> dict[str, Any]:
        (found,) = (f for f in self.json["files"] if f["key"].startswith(f"raw/{name}"))
        return dict(found)

    @property
    def bundle(self) -> Bundle:
        assert self.model is not None
        return read_pointed_bundle(DirectoryStore(self.store), self.model)


@dataclass(frozen=True)
class Storyteller:
    shell: Shell

    def run(self, *arguments: str | Path) -> Chapter:
        answer = self.shell.scalecast("run", "--json", *arguments)
        kept = DirectoryStore(self.shell.home / "store")
        model, state = read_serving(kept), read_state_pointer(kept)
        copy = self.shell.folder / f"store-{len(list(self.shell.folder.glob('store-*')))}"
        shutil.copytree(self.shell.home / "store", copy)
        return Chapter(
            answer, model.pointer if model else None, state.pointer if state else None, copy
        )

    def csv(self, write: Callable[..., Path], name: str, days: Any) -> Path:
        return write(self.shell.folder / name, days)


@pytest.fixture(scope="module")
def tell(shell: Shell) -> Storyteller:
    return Storyteller(shell)


@pytest.fixture(scope="module")
def first_file(tell: Storyteller) -> Path:
    return tell.csv(write_sales, "first.csv", range(LEARNABLE_DAYS))


@pytest.fixture(scope="module")
def first(tell: Storyteller, first_file: Path) -> Chapter:
    """The first file into an empty home."""
    return tell.run("--csv", first_file)


@pytest.fixture(scope="module")
def later(tell: Storyteller, first: Chapter) -> Chapter:
    """A bad file, and a good one with later days."""
    bad = tell.csv(write_bad_sales, "bad.csv", LATER.stop)
    good = tell.csv(write_sales_that_calm_down, "later.csv", LATER)
    return tell.run("--csv", bad, "--csv", good)


@pytest.fixture(scope="module")
def same_again(tell: Storyteller, later: Chapter) -> Chapter:
    """The very same command."""
    return tell.run("--csv", tell.shell.folder / "bad.csv", tell.shell.folder / "later.csv")


@pytest.fixture(scope="module")
def only_bad(tell: Storyteller, same_again: Chapter) -> Chapter:
    """Nothing but a bad file."""
    return tell.run(tell.csv(write_bad_sales, "also bad.csv", LATER.stop + 1))


@pytest.fixture(scope="module")
def replaced(tell: Storyteller, only_bad: Chapter) -> Chapter:
    """Everything replaced: no first days, three more, and each series sells the same at the end.

    Yesterday and the champion, last week's mean, both forecast that without an error.
    """
    return tell.run("--replace", "--csv", tell.csv(write_sales, "only.csv", REPLACEMENT))


def test_the_first_file_ends_as_a_promoted_model_with_exit_code_0(first: Chapter) -> None:
    assert first.answer.code == 0, first.answer.err
    report = first.json
    assert set(report) >= {
        "files", "rows_published", "leaderboard", "champion", "promoted", "why",
    }  # fmt: skip
    rows = len(list(sales(range(LEARNABLE_DAYS))))
    file = first.file("first.csv")
    assert (file["key"], file["state"], file["rows"], file["reason"]) == (
        "raw/first.csv", "published", rows, None,
    )  # fmt: skip
    assert len(file["sha256"]) == 64
    assert report["rows_published"] == rows
    assert report["promoted"] is True
    assert report["champion"]["version"] == "1.0.0"
    assert report["champion"]["previous"] is None
    assert "no champion" in report["why"]


def test_the_leaderboard_has_every_candidate_and_reference_under_its_asset_key(
    first: Chapter,
) -> None:
    assert set(first.board) == {*keys.CANDIDATES, *keys.REFERENCES}
    assert all(set(row) == LEADERBOARD_KEYS for row in first.json["leaderboard"])
    maes = [row["mae"] for row in first.json["leaderboard"]]
    assert maes == sorted(maes)
    best = min((n for n in keys.CANDIDATES), key=lambda name: first.board[name]["mae"])
    assert first.json["champion"]["name"] == best


def test_the_leaderboards_figures_are_those_of_an_independent_script(
    first: Chapter, first_file: Path
) -> None:
    ours = independent.leaderboard(first_file, 14)
    assert set(ours) == {keys.NAIVE_BASELINE, keys.MEAN_BASELINE, keys.LINEAR_REGRESSION}
    assert independent.differences(ours, first.json["leaderboard"]) == []


def test_progress_and_biting_budgets_go_to_standard_error_only(first: Chapter) -> None:
    for step in ("raw_demand", "demand_data", "training_set", *keys.CANDIDATES, "promoted_model"):
        assert f"✓ {step}" in first.answer.err
    assert "pytorch_nn: fitted on 300 of" in first.answer.err
    assert first.answer.out.startswith("{")


def test_the_bundle_is_whole_and_says_what_it_comes_from(first: Chapter) -> None:
    store = DirectoryStore(first.store)
    bundle = read_bundle(store, "1.0.0")
    verify_files(store, bundle.manifest)
    manifest = bundle.manifest
    assert set(manifest.files) >= {
        "model.onnx", "encoders.json", "report.html", "demand_model.pkl", "encoders.pkl",
    }  # fmt: skip
    assert manifest.candidate == first.json["champion"]["name"]
    assert manifest.fit_cutoff == day_of(LEARNABLE_DAYS - 1)
    assert manifest.scored_fit_cutoff == day_of(LEARNABLE_DAYS - 15)
    assert [(f.key, f.sha256) for f in manifest.raw_files] == [
        ("raw/first.csv", first.file("first.csv")["sha256"])
    ]
    assert set(bundle.encoders.stores) == set(STORES)
    assert list(manifest.leaderboard) == first.json["leaderboard"]
    assert store.exists(f"training_sets/{manifest.training_set}/rows.parquet")


def test_the_state_reaches_to_the_last_day(first: Chapter) -> None:
    assert first.state is not None
    assert first.state.data_until == day_of(LEARNABLE_DAYS - 1)
    panel = panel_from_bytes(read_state(DirectoryStore(first.store), first.state))
    assert panel.n_series == SERIES


def test_the_same_run_again_changes_nothing(later: Chapter, same_again: Chapter) -> None:
    assert same_again.answer.code == 3, same_again.answer.err
    report = same_again.json
    assert report["rows_published"] == 0
    assert same_again.file("later.csv")["state"] == "published"
    assert report["promoted"] is False
    assert "this very training set" in report["why"]
    assert report["champion"] == later.json["champion"]
    assert (same_again.model, same_again.state) == (later.model, later.state)
    assert sorted(p.name for p in (same_again.store / "models").iterdir()) == ["1.0.0", "1.1.0"]


def test_a_refused_file_given_again_is_still_refused(same_again: Chapter) -> None:
    assert same_again.file("bad.csv")["state"] == "refused"
    assert "line 4" in same_again.file("bad.csv")["reason"]
    assert [run["succeeded"] for run in same_again.json["runs"]] == [True]


def test_a_fit_is_repeatable(later: Chapter, same_again: Chapter) -> None:
    def scores(chapter: Chapter) -> dict[str, float]:
        return {name: chapter.board[name]["mae"] for name in keys.CANDIDATES}

    assert scores(later) == scores(same_again)


def test_of_two_files_the_bad_one_is_refused_with_line_and_reason(later: Chapter) -> None:
    assert later.answer.code == 3, later.answer.err
    bad, good = later.file("bad.csv"), later.file("later.csv")
    assert bad["state"] == "refused"
    assert "line 4" in bad["reason"]
    assert "price" in bad["reason"]
    page = Path(url2pathname(urlsplit(bad["page"]).path))
    assert "Prices of zero" in page.read_text()
    assert good["state"] == "published"
    assert good["page"] is None
    assert later.json["rows_published"] == good["rows"] == len(LATER) * SERIES
    first_pass, second_pass = later.json["runs"]
    assert not first_pass["succeeded"]
    assert list(first_pass["failed_checks"]) == ["raw_demand.price_is_positive"]
    assert second_pass["succeeded"]


def test_better_on_later_days_is_promoted_over_the_refitted_champion(
    first: Chapter, later: Chapter
) -> None:
    report = later.json
    assert later.board[keys.MEAN_BASELINE]["mae"] < later.board[keys.CHAMPION]["mae"]
    assert report["promoted"] is True
    assert report["champion"] == {
        "name": keys.MEAN_BASELINE, "version": "1.1.0", "previous": "1.0.0",
    }  # fmt: skip
    assert "champion 1.0.0" in report["why"]
    assert later.model is not None
    assert (later.model.version, later.model.previous) == ("1.1.0", "1.0.0")
    assert later.bundle.manifest.fit_cutoff == day_of(LATER.stop - 1)
    assert [file.key for file in later.bundle.manifest.raw_files] == [
        "raw/first.csv", "raw/later.csv",
    ]  # fmt: skip
    assert later.state is not None
    assert later.state.data_until == day_of(LATER.stop - 1)


def test_a_baseline_as_winner_is_warned_about(later: Chapter) -> None:
    assert "learned_model_beats_baselines" in later.answer.err


def test_only_a_bad_file_leaves_everything_as_it_was(later: Chapter, only_bad: Chapter) -> None:
    assert only_bad.answer.code == 3, only_bad.answer.err
    report = only_bad.json
    assert [file["state"] for file in report["files"]] == ["refused"]
    assert report["rows_published"] == 0
    assert report["leaderboard"] == []
    assert report["promoted"] is False
    assert report["champion"] == later.json["champion"]
    assert "price_is_positive" in report["why"]
    assert len(report["runs"]) == 1
    assert (only_bad.model, only_bad.state) == (later.model, later.state)


def test_a_replacement_is_all_there_is(tell: Storyteller, replaced: Chapter) -> None:
    assert replaced.answer.code == 0, replaced.answer.err
    status = tell.shell.scalecast("status", "--json")
    assert status.code == 0, status.err
    assert status.json["warehouse"] == {
        "rows": len(list(sales(REPLACEMENT))),
        "stores": len(STORES),
        "first_day": day_of(REPLACEMENT.start),
        "last_day": day_of(REPLACEMENT.stop - 1),
    }
    assert status.json["ranges_to_rebuild"] == 0
    assert status.json["state"]["data_until"] == day_of(REPLACEMENT.stop - 1)
    states = {file["key"]: file["state"] for file in status.json["files"]}
    assert states["raw/bad.csv"] == states["raw/also bad.csv"] == "refused"
    assert states["raw/only.csv"] == "published"


def test_a_champion_that_is_not_beaten_is_kept_while_its_state_moves_on(
    later: Chapter, replaced: Chapter
) -> None:
    report = replaced.json
    assert replaced.board[keys.NAIVE_BASELINE]["mae"] == replaced.board[keys.CHAMPION]["mae"] == 0
    assert report["promoted"] is False
    assert "naive_baseline has the lowest MAE of the six" in report["why"]
    assert "not below the 0 of champion 1.1.0 (mean_baseline)" in report["why"]
    assert report["champion"] == later.json["champion"]
    assert replaced.model == later.model
    assert replaced.state is not None
    assert replaced.state.data_until == day_of(REPLACEMENT.stop - 1)


def test_the_training_set_after_a_replacement_names_the_new_file_only(
    later: Chapter, replaced: Chapter
) -> None:
    made = {path.name for path in (replaced.store / "training_sets").iterdir()}
    (new,) = made - {path.name for path in (later.store / "training_sets").iterdir()}
    about = json.loads((replaced.store / "training_sets" / new / "training_set.json").read_text())
    assert [file["key"] for file in about["raw_files"]] == ["raw/only.csv"]


def test_models_are_listed_and_rolled_back_to(
    tell: Storyteller, later: Chapter, replaced: Chapter
) -> None:
    listed = tell.shell.scalecast("models", "--json").json
    assert [(m["version"], m["served"]) for m in listed["versions"]] == [
        ("1.0.0", False), ("1.1.0", True),
    ]  # fmt: skip
    assert listed["versions"][1]["holdout_mae"] == later.board[keys.MEAN_BASELINE]["mae"]
    assert replaced.model is not None

    done = tell.shell.scalecast("rollback", "1.0.0", "--json")
    assert done.code == 0, done.err
    assert done.json["changed"] is True
    assert (done.json["version"], done.json["previous"]) == ("1.0.0", replaced.model.version)
    again = tell.shell.scalecast("rollback", "1.0.0")
    assert again.code == 0
    assert "served already" in again.out

    listed = tell.shell.scalecast("models", "--json").json
    assert [m["version"] for m in listed["versions"] if m["served"]] == ["1.0.0"]
    assert listed["model"] == {"version": "1.0.0", "previous": replaced.model.version}


@pytest.mark.parametrize("version", ["9.9.9", "latest", "../1.0.0"])
def test_a_version_that_is_not_there_is_refused_with_the_reason(
    tell: Storyteller, replaced: Chapter, version: str
) -> None:
    before = read_serving(DirectoryStore(tell.shell.home / "store"))
    done = tell.shell.scalecast("rollback", version)
    assert done.code == 1
    assert version in done.err
    assert "Traceback" not in done.err
    assert read_serving(DirectoryStore(tell.shell.home / "store")) == before


def test_people_read_the_same_as_machines(tell: Storyteller, replaced: Chapter) -> None:
    status = tell.shell.scalecast("status")
    assert "3 stores" in status.out
    assert "raw/bad.csv" in status.out
    models = tell.shell.scalecast("models")
    assert "1.1.0" in models.out
    assert keys.MEAN_BASELINE in models.out


def test_one_step_of_the_served_model_is_features_of_the_panel_through_the_graph(
    first: Chapter, shell: Shell
) -> None:
    assert first.state is not None
    panel = panel_from_bytes(read_state(DirectoryStore(first.store), first.state))
    store, product = STORES[0], "A"
    series = panel.find(store, product)
    assert series is not None
    bundle = first.bundle
    row, known = features(
        panel,
        np.array([series]),
        np.array([panel.end_day + 1]),
        np.array([1.75]),
        np.array([True]),
        np.array([bundle.encoders.stores[store]]),
        np.array([bundle.encoders.products[product]]),
    )
    assert known.all()
    expected = float(onnx_predictor(bundle.onnx)(row.astype(np.float32))[0])
    day = day_of(LEARNABLE_DAYS)
    body = {
        "date": day, "store_id": store, "product_id": product, "price": 1.75, "promotion": True,
    }  # fmt: skip
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    more = {"SCALECAST_STORE_URL": first.store.as_uri(), "SCALECAST_API_PORT": str(port)}
    with shell.started("serve", "--json", **more) as serving:
        assert url in serving.line()
        eventually(
            lambda: fetch(f"{url}/health")[1] == {"status": "healthy", "model_loaded": True},
            "the model is loaded",
        )
        status, reply = fetch(f"{url}/predict", body)
    assert status == 200, reply
    assert reply["model_version"] == "1.0.0"
    assert reply["prediction"] == pytest.approx(expected, rel=1e-6)
    assert expected > 0
