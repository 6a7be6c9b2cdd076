"""What ``scalecast challenge`` does, and what ``status`` says of champion and challenger."""

from collections.abc import Iterator
from typing import Any

import psycopg

from scalecast_assets.contract.challenger import Challenger, Mode
from scalecast_assets.contract.pointers import read_serving, read_state_pointer
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.monitoring.rivals import Comparison, compared
from scalecast_assets.promotion.challenging import challenge, end_challenge
from scalecast_assets.promotion.switching import Switched
from scalecast_assets.resources.configured import store_of
from scalecast_assets.settings import Settings

Facts = dict[str, Any]


def begin_challenge(settings: Settings, version: str, *, shadow: bool, share: float) -> Facts:
    """Serve a kept version beside the champion."""
    mode: Mode = "shadow" if shadow else "split"
    return told(challenge(store_of(settings), version, mode=mode, share=share))


def stop_challenge(settings: Settings) -> Facts:
    """Let the champion alone answer."""
    return told(end_challenge(store_of(settings)))


def told(done: Switched) -> Facts:
    """Return the object that ``--json`` prints after a switch."""
    pointer = done.pointer
    return {
        "version": pointer.version,
        "previous": pointer.previous,
        "challenger": _entry(pointer.challenger),
        "changed": done.changed,
        "message": done.message,
    }


def served_facts(store: ObjectStore) -> Facts:
    """Read what both pointers say."""
    model, state = read_serving(store), read_state_pointer(store)
    return {
        "model": {"version": model.pointer.version, "previous": model.pointer.previous}
        if model
        else None,
        "challenger": _challenger(model.pointer.challenger, model.pointer.spoilt)
        if model
        else None,
        "state": {"sha256": state.pointer.sha256, "data_until": state.pointer.data_until}
        if state
        else None,
    }


def read_live_comparison(connection: psycopg.Connection[Any], served: Facts) -> Facts | None:
    """How champion and challenger did on the same days; None without a challenger or such days."""
    champion, challenger = served["model"], served["challenger"]
    if champion is None or challenger is None or challenger["version"] is None:
        return None
    found = compared(connection, champion["version"], challenger["version"])
    return found._asdict() if found else None


def challenger_lines(challenger: Facts | None, live: Facts | None) -> Iterator[str]:
    """Say it for a person."""
    if challenger is None:
        return
    if challenger["version"] is None:
        yield f"Challenger none: {challenger['problem']}; `scalecast challenge --end` removes it"
        return
    yield f"Challenger {challenger['version']} {challenger['in_words']}"
    if live is None:
        yield "           no day yet that both have forecast and whose sales have come"
    else:
        yield f"           {_in_words(Comparison(**live))}"


def _in_words(live: Comparison) -> str:
    ratios = [
        f"{version} {'–' if wape is None else f'{wape:.1%}'}"
        for version, wape in (
            (live.challenger, live.challenger_wape),
            (live.champion, live.champion_wape),
        )
    ]
    return (
        f"WAPE of {live.scored_rows:,} forecasts by both, {live.first_day} to {live.last_day}: "
        + ", ".join(ratios)
    )


def _challenger(entry: Challenger | None, spoilt: str | None) -> Facts | None:
    if entry is not None:
        return {**(_entry(entry) or {}), "in_words": entry.in_words(), "problem": None}
    return {"version": None, "problem": spoilt} if spoilt else None


def _entry(entry: Challenger | None) -> Facts | None:
    if entry is None:
        return None
    return {"version": entry.version, "mode": entry.mode, "share": entry.share}
