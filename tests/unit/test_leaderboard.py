"""Who is promoted, who is kept, and what cannot be decided."""

import datetime as dt
import json
import math
from collections.abc import Sequence
from typing import Any

import pytest

from scalecast_assets.forecasting import leaderboard
from scalecast_assets.forecasting.leaderboard import (
    ChampionEntry,
    Decision,
    LeaderboardError,
    LeaderboardRow,
    contender_of,
    to_markdown,
)
from scalecast_assets.keys import CANDIDATES, CHAMPION

MAES = dict(zip(CANDIDATES, (6.0, 5.0, 4.5, 4.2, 4.0, 4.4), strict=True))
PARAMS: dict[str, dict[str, object]] = {name: {"depth": 3} for name in CANDIDATES}
XGBOOST_CHAMPION = ChampionEntry("xgboost", "1.2.0", "old", {"depth": 3})


def row(name: str, mae: float) -> LeaderboardRow:
    return LeaderboardRow(name, mae, 7.5, 0.8, 0.5, 0.45, 0.82, 0.25, mae * 0.9, 1.5)


def board(**changes: float) -> list[LeaderboardRow]:
    return [row(name, mae) for name, mae in {**MAES, **changes}.items()]


def choose(
    rows: Sequence[LeaderboardRow], champion: ChampionEntry | None = None, **more: Any
) -> Decision:
    return leaderboard.choose(rows, champion, data_until=dt.date(2024, 3, 15), **more)


def test_without_a_champion_the_lowest_mae_is_promoted() -> None:
    decision = choose(board(), training_set_sha256="new", params=PARAMS)
    assert (decision.outcome, decision.winner, decision.beats_baselines) == (
        "promoted", "xgboost", True,
    )  # fmt: skip
    assert "xgboost has the lowest MAE of the six, 4 units per day" in decision.why
    assert "mean_baseline, has 5" in decision.why
    assert "and there was no champion." in decision.why


def test_why_there_is_no_champion_to_compare_with_is_told() -> None:
    reason = "champion 1.0.0 is of another feature contract and gives way"
    decision = choose(board(), training_set_sha256="new", params=PARAMS, no_champion=reason)
    assert decision.outcome == "promoted"
    assert f"has 5), and {reason}." in decision.why
    assert "there was no champion" not in decision.why


def test_a_baseline_that_is_best_is_promoted_and_said_so() -> None:
    decision = choose(board(mean_baseline=3.0), training_set_sha256="new", params=PARAMS)
    assert (decision.winner, decision.beats_baselines) == ("mean_baseline", False)
    assert "a baseline is served" in decision.why


def test_a_contender_that_beats_the_refitted_champion_is_promoted() -> None:
    other: dict[str, dict[str, object]] = {**PARAMS, "xgboost": {"depth": 4}}
    rows = board(champion=5.0)
    decision = choose(rows, XGBOOST_CHAMPION, training_set_sha256="new", params=other)
    assert (decision.outcome, decision.winner) == ("promoted", "xgboost")
    assert "20.00% below the 5 of champion 1.2.0 (xgboost)" in decision.why


@pytest.mark.parametrize("champion_mae", [4.0, 3.9])
def test_a_contender_that_is_not_better_leaves_the_champion_in_place(champion_mae: float) -> None:
    champion = ChampionEntry("random_forest", "1.2.0", "old", {"depth": 9})
    rows = board(champion=champion_mae)
    decision = choose(rows, champion, training_set_sha256="new", params=PARAMS)
    assert (decision.outcome, decision.winner) == ("kept", "random_forest")
    assert f"not below the {champion_mae:.4g} of champion 1.2.0" in decision.why


def test_the_same_training_set_and_recipe_change_nothing() -> None:
    rows = board(champion=4.0)
    decision = choose(rows, XGBOOST_CHAMPION, training_set_sha256="old", params=PARAMS)
    assert (decision.outcome, decision.winner) == ("unchanged", "xgboost")


def test_the_champions_recipe_that_is_best_again_is_refreshed_on_a_new_training_set() -> None:
    rows = board(champion=4.0)
    decision = choose(rows, XGBOOST_CHAMPION, training_set_sha256="new", params=PARAMS)
    assert (decision.outcome, decision.winner) == ("promoted", "xgboost")
    assert "a refresh" in decision.why
    assert "the recipe of champion 1.2.0 is still the best" in decision.why
    assert "on data until 2024-03-15" in decision.why


def test_a_recipe_with_other_parameters_is_not_a_refresh_and_must_be_better() -> None:
    other: dict[str, dict[str, object]] = {**PARAMS, "xgboost": {"depth": 4}}
    rows = board(champion=4.0)
    decision = choose(rows, XGBOOST_CHAMPION, training_set_sha256="new", params=other)
    assert (decision.outcome, decision.winner) == ("kept", "xgboost")


def test_another_recipe_on_the_same_training_set_is_compared() -> None:
    other: dict[str, dict[str, object]] = {**PARAMS, "xgboost": {"depth": 4}}
    rows = board(champion=4.1)
    decision = choose(rows, XGBOOST_CHAMPION, training_set_sha256="old", params=other)
    assert decision.outcome == "promoted"


def test_references_and_the_champion_row_never_contend() -> None:
    rows = [*board(champion=1.0), row("seasonal_naive", 0.5), row("training_median", 0.4)]
    assert contender_of(rows).name == "xgboost"


def test_a_tie_goes_to_the_simpler_model() -> None:
    assert contender_of(board(linear_regression=4.0)[::-1]).name == "linear_regression"


def test_a_missing_candidate_is_named() -> None:
    rows = [entry for entry in board() if entry.name != "pytorch_nn"]
    with pytest.raises(LeaderboardError, match=r"pytorch_nn: expected one row .* found 0"):
        choose(rows, training_set_sha256="new", params=PARAMS)


def test_a_candidate_listed_twice_is_named() -> None:
    with pytest.raises(LeaderboardError, match=r"xgboost: expected one row .* found 2"):
        contender_of([*board(), row("xgboost", 1.0)])


@pytest.mark.parametrize("mae", [math.nan, math.inf])
def test_an_error_that_is_not_finite_is_refused(mae: float) -> None:
    with pytest.raises(LeaderboardError, match="random_forest: expected a finite MAE"):
        contender_of(board(random_forest=mae))


def test_a_champion_without_its_refitted_row_is_an_error() -> None:
    other: dict[str, dict[str, object]] = {**PARAMS, "xgboost": {"depth": 4}}
    with pytest.raises(LeaderboardError, match=f"{CHAMPION}: expected one row"):
        choose(board(), XGBOOST_CHAMPION, training_set_sha256="new", params=other)


def test_a_row_survives_json() -> None:
    before = LeaderboardRow("xgboost", 4.0, 7.5, None, None, 0.4, None, -0.2, 3.5, None)
    assert LeaderboardRow.from_json(json.loads(json.dumps(before.to_json()))) == before


def test_markdown_lists_the_best_first_with_units_a_person_reads() -> None:
    lines = to_markdown([row("naive_baseline", 6.0), row("xgboost", 4.0)]).splitlines()
    assert lines[2] == (
        "| xgboost | 4.000 | 7.500 | 80.0% | 0.500 | 45.0% | 0.820 | +0.250 | 3.600 | 1.5 |"
    )
    assert lines[3].startswith("| naive_baseline | 6.000")
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
