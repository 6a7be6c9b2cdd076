"""``kill -9`` of a run between file and warehouse: each file counts once, whenever it struck."""

import pytest

from tests.faults.run_process import At, Disturbance
from tests.faults.stage import ONE_IS_BAD, REPLACEMENT, TWO_FILES, Stage, cases

# Dagster warns about things of its own.
pytestmark = pytest.mark.filterwarnings("default")

INTAKE = "scalecast_assets.ingest.intake"
LANDING = "scalecast_assets.ingest.landing"
PUBLISH = "scalecast_assets.ingest.publish"
BREAKER = "scalecast_assets.checks.expectations"
ASSETS = "scalecast_assets.assets.ingestion"

ON_THE_WAY = {
    "before a file is read": At(f"{INTAKE}:spool"),
    "read and not archived": At(f"{INTAKE}:archive"),
    "archived and not landed": At(f"{INTAKE}:archive", "after"),
    "inside the copy": At("psycopg:Copy.write", "after"),
    "copied and not in the ledger": At(f"{LANDING}:Landing._write_ledger"),
    "in the ledger and not committed": At(f"{INTAKE}:remember_object", "after"),
    "one of two files landed": At(f"{INTAKE}:_land", "after"),
    "all landed and not judged": At(f"{BREAKER}:judge"),
    "judged and no verdict written": At(f"{BREAKER}:_write"),
    "validated and not published": At(f"{BREAKER}:judge", "after"),
    "merged and not committed": At(f"{PUBLISH}:Publication", "after"),
    "published and nothing told": At(f"{ASSETS}:publish", "after"),
}
BESIDE_A_BAD_FILE = {
    "in quarantine and not refused": At(f"{BREAKER}:quarantine", "after"),
    "refused and nothing told": At(f"{BREAKER}:decide", "after"),
}
IN_A_REPLACEMENT = {
    "one of its files landed": At(f"{INTAKE}:_land", "after"),
    "all landed and not sealed": At(f"{INTAKE}:seal"),
    "replaced and not committed": At(f"{PUBLISH}:replace_everything", "after"),
}
SLOW = {
    "read and not archived",
    "copied and not in the ledger",
    "in the ledger and not committed",
    "all landed and not judged",
    "in quarantine and not refused",
    "one of its files landed",
    "replaced and not committed",
}
"""What differs least from its neighbours."""


@pytest.mark.parametrize("moment", cases(ON_THE_WAY, SLOW))
def test_a_run_killed_on_the_way_is_made_good_by_the_next(stage: Stage, moment: str) -> None:
    killed = Disturbance(killed=ON_THE_WAY[moment])
    assert stage.recovered(TWO_FILES, killed) == stage.undisturbed(TWO_FILES)


@pytest.mark.parametrize("moment", cases(BESIDE_A_BAD_FILE, SLOW))
def test_a_run_killed_over_a_bad_file_refuses_it_once(stage: Stage, moment: str) -> None:
    killed = Disturbance(killed=BESIDE_A_BAD_FILE[moment])
    assert stage.recovered(ONE_IS_BAD, killed) == stage.undisturbed(ONE_IS_BAD)


@pytest.mark.parametrize("moment", cases(IN_A_REPLACEMENT, SLOW))
def test_a_replacement_killed_on_the_way_can_be_run_again(stage: Stage, moment: str) -> None:
    killed = Disturbance(killed=IN_A_REPLACEMENT[moment])
    assert stage.recovered(REPLACEMENT, killed) == stage.undisturbed(REPLACEMENT)
