"""``kill -9`` while forecasts are handed over: tables and bucket end with the same rows."""

import pytest

from tests.faults.run_process import At, Disturbance
from tests.faults.stage import HANDOVER, Stage

# Dagster warns about things of its own.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.slow_faults]

UPLOAD = "scalecast_assets.contract.directory_store:DirectoryStore.upload"
MOMENTS = {
    "inside the copy of forecasts": At("psycopg:Copy.write", "after"),
    "in the database and not in the bucket": At(UPLOAD, about="forecasts.parquet"),
    "one of two files in the bucket": At(UPLOAD, about="forecasts.csv.gz"),
    "scored and nothing told": At("scalecast_assets.assets.monitoring:score_due_days", "after"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_handover_killed_on_the_way_is_made_good_by_the_next(stage: Stage, moment: str) -> None:
    recovered = stage.recovered(HANDOVER, Disturbance(killed=MOMENTS[moment]))
    assert recovered == stage.undisturbed(HANDOVER)
    assert recovered["ml.forecasts"][0][0] > 0
