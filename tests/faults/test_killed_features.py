"""``kill -9`` around dbt: changed ranges wait until features have caught up and are tested."""

import psutil
import pytest

from tests.faults.run_process import At, Disturbance
from tests.faults.stage import NEW_FEATURES, Stage

# dbt and Dagster warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")

DBT = "scalecast_assets.assets.dbt"
CALENDAR_IS_BUILT = At(f"{DBT}:_with_evidence", about="'demand_calendar'")
FEATURES_ARE_BUILT = At(f"{DBT}:_with_evidence", about="'demand_features'")


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(At(f"{DBT}:read_backlog"), id="published and dbt not begun"),
        pytest.param(CALENDAR_IS_BUILT, id="half of the models built"),
        pytest.param(FEATURES_ARE_BUILT, id="built and not tested", marks=pytest.mark.slow_faults),
        pytest.param(At(f"{DBT}:clear_backlog"), id="tested and ranges not cleared"),
        pytest.param(
            At(f"{DBT}:ingest_is_over"), id="cleared and told nobody", marks=pytest.mark.slow_faults
        ),
    ],
)
def test_a_run_killed_around_dbt_is_made_good_by_the_next(stage: Stage, moment: At) -> None:
    recovered = stage.recovered(NEW_FEATURES, Disturbance(killed=moment))
    assert recovered == stage.undisturbed(NEW_FEATURES)
    assert recovered["waiting ranges"] == []


@pytest.mark.slow_faults
def test_a_dbt_that_outlives_its_run_does_no_harm_to_the_next(stage: Stage) -> None:
    killed = Disturbance(killed=CALENDAR_IS_BUILT, orphans=True)
    assert stage.recovered(NEW_FEATURES, killed) == stage.undisturbed(NEW_FEATURES)


@pytest.mark.slow_faults
def test_a_dbt_that_is_killed_alone_fails_its_run_and_the_next_makes_it_good(stage: Stage) -> None:
    place = stage.set_up(NEW_FEATURES)
    run = place.begin(NEW_FEATURES.work, Disturbance(held=CALENDAR_IS_BUILT))
    run.wait_until_held()
    dbt = [p for p in psutil.Process(run.process.pid).children() if "dbt" in " ".join(p.cmdline())]
    assert dbt
    for process in dbt:
        process.kill()
    run.go_on()
    assert run.wait() == 1, run.said
    assert stage.after_the_fault(NEW_FEATURES) == stage.undisturbed(NEW_FEATURES)
