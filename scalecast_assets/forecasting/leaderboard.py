"""The leaderboard and the choice it leads to: who contends, and whether the champion gives way.

The figures come from ``evaluation.py``; carrying a decision out (refit, gates, pointer) is the
business of the ``promoted_model`` asset; pictures of it are in ``report.py``.
"""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from scalecast_assets.keys import BASELINES, CANDIDATES, CHAMPION

Outcome = Literal["promoted", "kept", "unchanged"]

NO_CHAMPION: Final = "there was no champion"

_DECIMALS = {"mae": 3, "rmse": 3, "r2": 3, "rmsse": 3, "bias": 3, "one_step_mae": 3}
_PERCENT = ("mape", "wape")


class LeaderboardError(ValueError):
    """The rows do not allow a choice; the message says which one and why."""


@dataclass(frozen=True)
class LeaderboardRow:
    """One candidate, reference or champion on the rolled-forward holdout.

    ``mae``, ``rmse``, ``bias`` and ``one_step_mae`` are units per day, ``mape`` and ``wape`` are
    fractions, ``rmsse`` is the mean over series; ``None`` where a metric is undefined on the
    holdout (for ``fit_seconds``: nothing was fitted).
    """

    name: str
    mae: float
    rmse: float
    mape: float | None
    r2: float | None
    wape: float | None
    rmsse: float | None
    bias: float
    one_step_mae: float
    fit_seconds: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the row as the JSON object of ``scalecast run --json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "LeaderboardRow":
        """Return the row written by ``to_json``."""
        return cls(**values)


@dataclass(frozen=True)
class ChampionEntry:
    """The model in service, from its manifest: which recipe, fitted on which training set.

    ``params`` are the tuned parameters that a refit takes.
    """

    name: str
    version: str
    training_set_sha256: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """What becomes of the champion. ``winner`` is the candidate name that serves from now on."""

    outcome: Outcome
    winner: str
    why: str
    beats_baselines: bool


def ranked(rows: Sequence[LeaderboardRow]) -> list[LeaderboardRow]:
    """Return the rows by MAE; on a tie the one listed first, so that the simpler model wins."""
    return sorted(rows, key=lambda row: row.mae)


def contender_of(rows: Sequence[LeaderboardRow]) -> LeaderboardRow:
    """Return the best of the six by MAE, baselines included.

    A tie goes to the earlier in ``keys.CANDIDATES``, the simpler. Raises LeaderboardError when one
    of the six is missing, listed twice, or has an MAE that is not a finite number.
    """
    six = [_row(rows, name) for name in CANDIDATES]
    return min(six, key=lambda row: row.mae)


def choose(
    rows: Sequence[LeaderboardRow],
    champion: ChampionEntry | None = None,
    *,
    training_set_sha256: str,
    data_until: dt.date,
    params: Mapping[str, Mapping[str, Any]],
    no_champion: str = NO_CHAMPION,
) -> Decision:
    """Decide whether the best of the six is promoted.

    ``params`` holds the tuned parameters of each candidate on this training set, whose last day is
    ``data_until``. Without a champion the contender is promoted, and ``no_champion`` says why there
    is none. The champion's own recipe as contender is a tie by nature: it changes nothing on the
    champion's training set and is promoted, as a refresh, on another one. Any other contender must
    have a lower MAE than the row ``champion`` in ``rows``, which is the champion's recipe refitted
    up to the same origin; else the champion is kept.
    """
    contender = contender_of(rows)
    learned = min((_row(rows, n) for n in CANDIDATES if n not in BASELINES), key=_mae)
    baseline = min((_row(rows, name) for name in BASELINES), key=_mae)
    beats = learned.mae < baseline.mae
    lead = f"{contender.name} has the lowest MAE of the six, {contender.mae:.4g} units per day"
    beside = (
        f"the best baseline, {baseline.name}, has {baseline.mae:.4g}"
        if contender.name not in BASELINES
        else f"the best learned model, {learned.name}, has {learned.mae:.4g}: a baseline is served"
    )
    if champion is None:
        why = f"{lead} ({beside}), and {no_champion}."
        return Decision("promoted", contender.name, why, beats)
    if champion.name == contender.name and dict(champion.params) == dict(params[contender.name]):
        if champion.training_set_sha256 == training_set_sha256:
            why = (
                f"Champion {champion.version} is {champion.name} with the same parameters, fitted "
                f"on this very training set; its MAE is {contender.mae:.4g}, still the lowest of "
                "the six."
            )
            return Decision("unchanged", champion.name, why, beats)
        why = (
            f"{lead} ({beside}). This is a refresh: the recipe of champion {champion.version} is "
            f"still the best and is fitted anew, on data until {data_until.isoformat()}."
        )
        return Decision("promoted", contender.name, why, beats)
    held = _row(rows, CHAMPION)
    if contender.mae < held.mae:
        gain = 1 - contender.mae / held.mae
        why = (
            f"{lead} ({beside}), {gain:.2%} below the {held.mae:.4g} of champion "
            f"{champion.version} ({champion.name}) refitted up to the same day."
        )
        return Decision("promoted", contender.name, why, beats)
    why = (
        f"{lead}, which is not below the {held.mae:.4g} of champion {champion.version} "
        f"({champion.name}) refitted up to the same day."
    )
    return Decision("kept", champion.name, why, beats)


def to_markdown(rows: Sequence[LeaderboardRow]) -> str:
    """Return the rows, best first, as a markdown table with units in its head."""
    head = (
        "model", "MAE", "RMSE", "MAPE", "R²", "WAPE", "RMSSE", "bias", "one-step MAE", "fit s",
    )  # fmt: skip
    lines = [" | ".join(("", *head, "")).strip(), "|---" + "|--:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in ranked(rows)]
    return "\n".join(lines)


def cells(row: LeaderboardRow) -> list[str]:
    """Return the row's figures as text a person reads, in the order of the dataclass."""
    texts = [row.name]
    for name, value in list(row.to_json().items())[1:]:
        if value is None:
            texts.append("–")
        elif name in _PERCENT:
            texts.append(f"{value:.1%}")
        elif name == "bias":
            texts.append(f"{value:+.{_DECIMALS[name]}f}")
        else:
            texts.append(f"{value:.{_DECIMALS.get(name, 1)}f}")
    return texts


def _mae(row: LeaderboardRow) -> float:
    return row.mae


def _row(rows: Sequence[LeaderboardRow], name: str) -> LeaderboardRow:
    found = [row for row in rows if row.name == name]
    if len(found) != 1:
        raise LeaderboardError(
            f"{name}: expected one row on the leaderboard, found {len(found)}; "
            "materialize every candidate on the current training set"
        )
    if not math.isfinite(found[0].mae):
        raise LeaderboardError(
            f"{name}: expected a finite MAE, found {found[0].mae}; look into that candidate's fit"
        )
    return found[0]
