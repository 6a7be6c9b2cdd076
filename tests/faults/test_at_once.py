"""Two of the same at once: each file counts once, and nobody fails."""

import pytest

from tests.faults.fingerprint import fingerprint
from tests.faults.run_process import At, Disturbance
from tests.faults.stage import TWO_FILES, Stage, assert_nobody_waits_for_the_dead

# Dagster warns about things of its own.
pytestmark = pytest.mark.filterwarnings("default")


def test_two_runs_at_once_for_the_same_files_publish_them_once(stage: Stage) -> None:
    place = stage.set_up(TWO_FILES)
    at_once = Disturbance(held=At("scalecast_assets.assets.ingestion:take_in"))
    runs = [place.begin(TWO_FILES.work, at_once) for _ in range(2)]
    for run in runs:
        run.wait_until_held()
    for run in runs:
        run.go_on()
    assert [run.wait() for run in runs] == [0, 0], [run.said for run in runs]
    assert fingerprint(place) == stage.undisturbed(TWO_FILES)
    assert_nobody_waits_for_the_dead(place)


def test_a_run_goes_on_while_another_that_landed_the_same_files_is_killed(stage: Stage) -> None:
    place = stage.set_up(TWO_FILES)
    holds = At("scalecast_assets.ingest.intake:_land", "after")
    first = place.begin(TWO_FILES.work, Disturbance(held=holds))
    first.wait_until_held()
    second = place.begin(TWO_FILES.work)
    first.kill()
    assert second.wait() == 0, second.said
    assert stage.after_the_fault(TWO_FILES) == stage.undisturbed(TWO_FILES)
