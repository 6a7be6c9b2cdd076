"""Everyone on one holdout: what is scored is the graph, and the champion is refitted."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scalecast_assets import keys
from scalecast_assets.forecasting.artefact import Artefact
from scalecast_assets.forecasting.budget import DEFAULT_BUDGETS
from scalecast_assets.forecasting.candidates import candidate, graphs
from scalecast_assets.forecasting.candidates.base import Log
from scalecast_assets.forecasting.comparison import (
    Champion,
    Comparison,
    compare,
    refit_winner,
    to_json,
)
from scalecast_assets.forecasting.leaderboard import ChampionEntry
from scalecast_assets.forecasting.training_set import TrainingSet
from tests import independent_leaderboard as independent
from tests.unit.snapshot_maker import shop, training_set, write_csv

HORIZON = 7
Fits = Mapping[str, tuple[Artefact, bytes]]


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    return training_set(shop(70), tmp_path_factory.mktemp("set"))


def fit(small_set: TrainingSet, name: str, family: str) -> tuple[Artefact, bytes]:
    rows = small_set.rows().up_to(small_set.origin(HORIZON))
    budget = DEFAULT_BUDGETS[family]
    fitted = candidate(family).fit(rows, budget=budget, seed=1, log=lambda _: None)
    made = Artefact(
        name=name,
        training_set_sha256=small_set.summary.sha256,
        contract_hash="c",
        horizon_days=HORIZON,
        fit_cutoff=small_set.origin(HORIZON),
        params=fitted.params,
        rows_used=len(rows),
        rows_available=len(rows),
        fit_seconds=1.5,
        importances=None,
        notes=[],
        files={},
    )
    return made, fitted.onnx


@pytest.fixture(scope="module")
def fits(small_set: TrainingSet) -> Fits:
    """Real baselines and linear regression; the slow three are stood in for by the mean."""
    found = {name: fit(small_set, name, keys.MEAN_BASELINE) for name in keys.CANDIDATES}
    for name in (keys.NAIVE_BASELINE, keys.MEAN_BASELINE, keys.LINEAR_REGRESSION):
        found[name] = fit(small_set, name, name)
    return found


def hold(
    small_set: TrainingSet,
    fits: Fits,
    champion: Champion | None = None,
    log: Log = lambda _: None,
) -> Comparison:
    return compare(
        small_set,
        fits,
        champion,
        horizon_days=HORIZON,
        budget_of=lambda name: DEFAULT_BUDGETS[name],
        seed=1,
        log=log,
    )


def champion_of(
    small_set: TrainingSet, family: str, onnx: bytes, *, cutoff: int, params: dict[str, Any]
) -> Champion:
    entry = ChampionEntry(family, "1.3.0", "ef" * 32, params)
    return Champion(entry, onnx, small_set.encoders, cutoff)


def test_six_candidates_and_two_references_are_scored_on_the_same_rows(
    small_set: TrainingSet, fits: Fits
) -> None:
    held = hold(small_set, fits)
    assert {row.name for row in held.rows} == {*keys.CANDIDATES, *keys.REFERENCES}
    assert held.origin == small_set.last_day - HORIZON
    maes = [row.mae for row in held.rows]
    assert maes == sorted(maes)
    assert held.contender == keys.LINEAR_REGRESSION
    assert held.decision.outcome == "promoted"
    seconds = {row.name: row.fit_seconds for row in held.rows}
    assert seconds[keys.XGBOOST] == 1.5


def test_the_figures_are_those_of_the_independent_script(
    small_set: TrainingSet, fits: Fits, tmp_path: Path
) -> None:
    ours = independent.leaderboard(write_csv(shop(70), tmp_path / "raw.csv"), HORIZON)
    rows = [row.to_json() for row in hold(small_set, fits).rows]
    assert independent.differences(ours, rows) == []


def test_the_graph_is_scored_not_what_the_artefact_says(small_set: TrainingSet, fits: Fits) -> None:
    swapped = dict(fits)
    swapped[keys.XGBOOST] = (fits[keys.XGBOOST][0], fits[keys.NAIVE_BASELINE][1])
    mae = {row.name: row.mae for row in hold(small_set, swapped).rows}
    assert mae[keys.XGBOOST] == mae[keys.NAIVE_BASELINE] != mae[keys.MEAN_BASELINE]


def test_the_champion_is_its_recipe_refitted_not_its_frozen_graph(
    small_set: TrainingSet, fits: Fits
) -> None:
    champion = champion_of(
        small_set,
        keys.NAIVE_BASELINE,
        graphs.constant_graph(1e6),
        cutoff=small_set.last_day,
        params={"feature": "lag_1"},
    )
    held = hold(small_set, fits, champion)
    mae = {row.name: row.mae for row in held.rows}
    assert mae[keys.CHAMPION] == mae[keys.NAIVE_BASELINE]
    assert held.decision.outcome == "promoted"
    assert "champion 1.3.0 (naive_baseline)" in held.decision.why


def test_a_champion_whose_recipe_is_best_again_is_refreshed(
    small_set: TrainingSet, fits: Fits
) -> None:
    made, onnx = fits[keys.LINEAR_REGRESSION]
    champion = champion_of(
        small_set,
        keys.LINEAR_REGRESSION,
        onnx,
        cutoff=small_set.last_day,
        params=dict(made.params),
    )
    held = hold(small_set, fits, champion)
    mae = {row.name: row.mae for row in held.rows}
    assert mae[keys.CHAMPION] == mae[keys.LINEAR_REGRESSION]
    assert (held.decision.outcome, held.decision.winner) == ("promoted", keys.LINEAR_REGRESSION)
    assert f"on data until {small_set.summary.last_day.isoformat()}" in held.decision.why


@pytest.mark.parametrize("as_good", [False, True])
def test_a_champion_that_another_recipe_does_not_beat_is_kept(
    small_set: TrainingSet, fits: Fits, as_good: bool
) -> None:
    """Linear regression is champion; the best contender is yesterday, or its very own graph."""
    made, onnx = fits[keys.LINEAR_REGRESSION]
    contender = onnx if as_good else fits[keys.NAIVE_BASELINE][1]
    others = dict(fits)
    others[keys.LINEAR_REGRESSION] = (made, fits[keys.NAIVE_BASELINE][1])
    others[keys.NAIVE_BASELINE] = (fits[keys.NAIVE_BASELINE][0], contender)
    champion = champion_of(
        small_set, keys.LINEAR_REGRESSION, onnx, cutoff=small_set.last_day, params={}
    )
    held = hold(small_set, others, champion)
    assert held.contender != keys.LINEAR_REGRESSION
    assert (held.decision.outcome, held.decision.winner) == ("kept", keys.LINEAR_REGRESSION)


@pytest.mark.parametrize(
    ("family", "params", "said"),
    [
        ("prophet", {}, "no candidate is named 'prophet'"),
        (keys.XGBOOST, {"max_depth": 6}, "missing: learning_rate, variance_power, rounds"),
    ],
)
def test_a_champion_that_cannot_be_fitted_again_gives_way_and_it_is_said_why(
    small_set: TrainingSet, fits: Fits, family: str, params: dict[str, Any], said: str
) -> None:
    graph = fits[keys.NAIVE_BASELINE][1]
    champion = champion_of(small_set, family, graph, cutoff=small_set.last_day - 3, params=params)
    lines: list[str] = []
    held = hold(small_set, fits, champion, log=lines.append)
    assert held.decision.outcome == "promoted"
    reason = f"champion 1.3.0 ({family}) cannot be fitted again and gives way"
    assert reason in held.decision.why
    assert said in held.decision.why
    assert any(reason in line for line in lines)
    assert keys.CHAMPION not in {row.name for row in held.rows}
    assert held.frozen_champion is not None


@pytest.mark.parametrize("days", [0, 3])
def test_the_frozen_champion_is_scored_only_on_days_after_its_own_fit(
    small_set: TrainingSet, fits: Fits, days: int
) -> None:
    champion = champion_of(
        small_set,
        keys.NAIVE_BASELINE,
        fits[keys.NAIVE_BASELINE][1],
        cutoff=small_set.last_day - days,
        params={"feature": "lag_1"},
    )
    frozen = hold(small_set, fits, champion).frozen_champion
    assert (frozen is not None) == (days > 0)
    if frozen is not None:
        assert frozen.name == "champion 1.3.0, as served"


def test_the_winner_is_refitted_on_all_rows_with_its_parameters(
    small_set: TrainingSet, fits: Fits
) -> None:
    fitted = refit_winner(
        small_set,
        fits[keys.LINEAR_REGRESSION][0],
        budget_of=lambda name: DEFAULT_BUDGETS[name],
        seed=1,
        log=lambda _: None,
    )
    assert fitted.rows_used == len(small_set.rows())
    assert fitted.onnx != fits[keys.LINEAR_REGRESSION][1]


def test_what_is_kept_of_a_comparison_is_json_with_the_reasons(
    small_set: TrainingSet, fits: Fits
) -> None:
    held = hold(small_set, fits)
    kept = json.loads(json.dumps(to_json(held, run_id="r"), allow_nan=False))
    assert kept["outcome"] == "promoted"
    assert kept["contender"] == kept["winner"] == keys.LINEAR_REGRESSION
    assert kept["frozen_champion"] is None
    assert kept["run_id"] == "r"
    assert kept["scored_rows"] == len(held.holdout) > 0
    assert [row["name"] for row in kept["leaderboard"]] == [row.name for row in held.rows]
