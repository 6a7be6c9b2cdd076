"""The serving state under ``kill -9``, and pointers that somebody else has spoilt."""

from collections.abc import Callable

import pytest

from scalecast_assets.contract.layout import STATE_POINTER
from tests.faults.fingerprint import pointers
from tests.faults.run_process import At, Disturbance
from tests.faults.stage import NEW_STATE, Stage, cases

# Dagster warns about things of its own.
pytestmark = pytest.mark.filterwarnings("default")

ASSET = "scalecast_assets.assets.promotion"
SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "half": lambda whole: whole[: len(whole) // 2],
    "no JSON": lambda whole: b"\x00\xff" * 40,
    "of another format": lambda whole: b'{"format": 99}',
}


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(At(f"{ASSET}:publish_state"), id="computed and not stored"),
        pytest.param(
            At("scalecast_assets.promotion.switching:swap_pointer"), id="stored and not pointed to"
        ),
        pytest.param(At("os:replace", about=STATE_POINTER), id="pointer half written"),
        pytest.param(At(f"{ASSET}:publish_state", "after"), id="pointed to and nothing told"),
    ],
)
def test_a_run_killed_over_the_state_is_made_good_by_the_next(stage: Stage, moment: At) -> None:
    recovered = stage.recovered(NEW_STATE, Disturbance(killed=moment))
    assert recovered == stage.undisturbed(NEW_STATE)
    assert recovered["state"]["data_until"] == "2023-04-24"


@pytest.mark.parametrize("how", cases(SPOILT, {"empty", "of another format"}))
def test_a_spoilt_state_pointer_is_written_anew(stage: Stage, how: str) -> None:
    place = stage.set_up(NEW_STATE)
    whole = place.store.get(STATE_POINTER).body
    place.store.put(STATE_POINTER, SPOILT[how](whole))
    stage.finish(NEW_STATE)
    assert pointers(place.store)["state"] == stage.undisturbed(NEW_STATE)["state"]
