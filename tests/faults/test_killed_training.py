"""``kill -9`` between features and promoted model: what is served is whole, and moves once."""

import pytest

from scalecast_assets.promotion.publishing import list_versions
from tests.faults.fingerprint import fingerprint
from tests.faults.run_process import At, Disturbance
from tests.faults.stage import PROMOTION, TRAINING, Stage, assert_nobody_waits_for_the_dead

# Dagster and what it trains with warn about things of their own.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.slow_faults]

TRAINS = "scalecast_assets.assets.training"
PROMOTES = "scalecast_assets.assets.promotion"
COMPARES = "scalecast_assets.assets.comparison"
PUBLISHES = "scalecast_assets.promotion.publishing"

WHILE_TRAINING = {
    "snapshot taken and not stored": At(f"{TRAINS}:write_snapshot", "after"),
    "stored and not recorded": At(f"{TRAINS}:record_training_set"),
    "half of the candidates fitted": At("scalecast_assets.forecasting.artefact:save", call=4),
    "a candidate half stored": At("os:replace", about="random_forest/candidate.json"),
    "refitted and no verdict": At(f"{COMPARES}:_refit", "after"),
}
WHILE_PROMOTING = {
    "judged and nothing claimed": At(f"{PROMOTES}:claim_version"),
    "a version claimed and empty": At(f"{PROMOTES}:claim_version", "after"),
    "half of a bundle's files": At("os:replace", about="/encoders.json"),
    "all files and no manifest": At(f"{PUBLISHES}:_create", about="manifest.json"),
    "manifest and no pointer": At("scalecast_assets.promotion.switching:swap_pointer"),
    "pointer half written": At("os:replace", about="serving/model.json"),
    "pointer and no record": At(f"{PROMOTES}:record_promotion"),
    "recorded and nothing told": At(f"{PROMOTES}:record_promotion", "after"),
}


@pytest.mark.parametrize("moment", WHILE_TRAINING)
def test_a_training_killed_on_the_way_is_made_good_by_the_next(stage: Stage, moment: str) -> None:
    killed = Disturbance(killed=WHILE_TRAINING[moment])
    assert stage.recovered(TRAINING, killed) == stage.undisturbed(TRAINING)


@pytest.mark.parametrize("moment", WHILE_PROMOTING)
def test_a_promotion_killed_on_the_way_is_made_good_by_the_next(stage: Stage, moment: str) -> None:
    killed = Disturbance(killed=WHILE_PROMOTING[moment])
    assert stage.recovered(PROMOTION, killed) == stage.undisturbed(PROMOTION)


def test_two_promotions_at_once_move_the_pointer_once(stage: Stage) -> None:
    undisturbed = stage.undisturbed(PROMOTION)
    place = stage.set_up(PROMOTION)
    before = list_versions(place.store)
    at_once = Disturbance(held=At(f"{PROMOTES}:promote"))
    first = place.begin(PROMOTION.work, at_once)
    first.wait_until_held()
    second = place.begin(PROMOTION.work)
    first.go_on()
    assert [first.wait(), second.wait()] == [0, 0], (first.said, second.said)
    assert fingerprint(place) == undisturbed
    assert len(list_versions(place.store)) == len(before) + 1
    assert_nobody_waits_for_the_dead(place)
