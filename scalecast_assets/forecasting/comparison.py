"""The comparison: six candidates, two references and the champion on one holdout, and the choice.

Reads the candidates' ONNX graphs, not their native models: what is scored is what would be served.
What a score is lives in ``evaluation.py``, the rule of choosing in ``leaderboard.py``; storing the
result is the asset's.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scalecast_assets import keys
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.forecasting.artefact import Artefact
from scalecast_assets.forecasting.budget import Budget
from scalecast_assets.forecasting.calibration import CalibratedIntervals
from scalecast_assets.forecasting.candidates import candidate
from scalecast_assets.forecasting.candidates.base import FittedModel, Log, onnx_predictor
from scalecast_assets.forecasting.evaluation import Holdout, Scores, score
from scalecast_assets.forecasting.leaderboard import (
    NO_CHAMPION,
    ChampionEntry,
    Decision,
    LeaderboardRow,
    choose,
    ranked,
)
from scalecast_assets.forecasting.training_rows import TrainingError, TrainingRows
from scalecast_assets.forecasting.training_set import TrainingSet

BudgetOf = Callable[[str], Budget]


class ChampionGivesWay(Exception):
    """The champion's recipe is not one that this code can fit; the message says why."""


@dataclass(frozen=True)
class Champion:
    """The model in service: its entry, its frozen graph, its codes and its last fitted day."""

    entry: ChampionEntry
    onnx: bytes
    encoders: Encoders
    fit_cutoff: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """The leaderboard, best first, the decision, and the scores behind each row."""

    origin: int
    holdout: Holdout
    rows: list[LeaderboardRow]
    scores: dict[str, Scores]
    decision: Decision
    contender: str
    intervals: CalibratedIntervals
    """The contender's."""
    frozen_champion: LeaderboardRow | None
    """The champion as it is served, on the days after its own fit; None if there are none."""


def compare(
    training_set: TrainingSet,
    candidates: Mapping[str, tuple[Artefact, bytes]],
    champion: Champion | None,
    *,
    horizon_days: int,
    budget_of: BudgetOf,
    seed: int,
    log: Log,
    no_champion: str = NO_CHAMPION,
) -> Comparison:
    """Score everyone on the last ``horizon_days`` and decide.

    A champion whose recipe this code cannot fit any more gives way, with the reason.

    Args:
        candidates: name → what was fitted up to the origin, and its ONNX graph.
        champion: what is served now, or None if there is nothing to compare with.
        no_champion: why there is none, as a part of a sentence.
    """
    origin = training_set.origin(horizon_days)
    holdout = Holdout.of(training_set, origin)
    scores: dict[str, Scores] = {}
    rows: list[LeaderboardRow] = []

    def enter(name: str, onnx: bytes, fit_seconds: float | None) -> None:
        scores[name] = score(onnx_predictor(onnx), holdout)
        rows.append(scores[name].leaderboard_row(name, fit_seconds))
        log(f"{name}: MAE {rows[-1].mae:.4g} on the holdout")

    for name, (artefact, onnx) in candidates.items():
        enter(name, onnx, artefact.fit_seconds)
    past = training_set.rows().up_to(origin)
    for name in keys.REFERENCES:
        budget = Budget(fit_rows=len(past), tune_rows=len(past))
        reference = candidate(name).fit(past, budget=budget, seed=seed, log=log)
        enter(name, reference.onnx, reference.fit_seconds)
    frozen, entry = None, None
    if champion is not None:
        frozen = _score_frozen(champion, holdout)
        try:
            refitted = _refit_champion(champion.entry, past, budget_of, seed, log)
        except ChampionGivesWay as reason:
            no_champion = str(reason)
            log(no_champion)
        else:
            entry = champion.entry
            enter(keys.CHAMPION, refitted.onnx, refitted.fit_seconds)
    decision = choose(
        rows,
        entry,
        training_set_sha256=training_set.summary.sha256,
        data_until=training_set.summary.last_day,
        params={name: artefact.params for name, (artefact, _) in candidates.items()},
        no_champion=no_champion,
    )
    contender = min((row for row in rows if row.name in candidates), key=lambda row: row.mae).name
    best, graph = candidates[contender]
    intervals = CalibratedIntervals.of(
        training_set,
        origin,
        contender,
        best.params,
        onnx_predictor(graph),
        budget=budget_of(contender),
        seed=seed,
        log=log,
    )
    return Comparison(origin, holdout, ranked(rows), scores, decision, contender, intervals, frozen)


def refit_winner(
    training_set: TrainingSet,
    artefact: Artefact,
    *,
    budget_of: BudgetOf,
    seed: int,
    log: Log,
) -> FittedModel:
    """Fit the winner on all rows, its parameters and rounds frozen: that is what is served."""
    return candidate(artefact.name).refit(
        training_set.rows(), artefact.params, budget=budget_of(artefact.name), seed=seed, log=log
    )


def _refit_champion(
    entry: ChampionEntry, past: TrainingRows, budget_of: BudgetOf, seed: int, log: Log
) -> FittedModel:
    try:
        recipe, budget = candidate(entry.name), budget_of(entry.name)
        return recipe.refit(past, entry.params, budget=budget, seed=seed, log=log)
    except (KeyError, TrainingError) as problem:
        raise ChampionGivesWay(
            f"champion {entry.version} ({entry.name}) cannot be fitted again and gives way: "
            f"{problem.args[0]}"
        ) from problem


def _score_frozen(champion: Champion, holdout: Holdout) -> LeaderboardRow | None:
    if not holdout.rows_after(champion.fit_cutoff):
        return None
    scores = score(
        onnx_predictor(champion.onnx),
        holdout,
        days_after=champion.fit_cutoff,
        encoders=champion.encoders,
    )
    return scores.leaderboard_row(f"{keys.CHAMPION} {champion.entry.version}, as served")


def to_json(comparison: Comparison, **more: Any) -> dict[str, Any]:
    """Return what is kept of a comparison beside the candidates."""
    decision = comparison.decision
    frozen, table = comparison.frozen_champion, comparison.intervals.table
    return {
        "origin": comparison.origin,
        "leaderboard": [row.to_json() for row in comparison.rows],
        "outcome": decision.outcome,
        "winner": decision.winner,
        "contender": comparison.contender,
        "why": decision.why,
        "beats_baselines": decision.beats_baselines,
        "frozen_champion": frozen.to_json() if frozen else None,
        "intervals": None if table is None else json.loads(table.to_bytes()),
        "coverage": comparison.intervals.to_json(),
        "scored_rows": len(comparison.holdout),
        "unscored_rows": comparison.holdout.unscored,
        **more,
    }
