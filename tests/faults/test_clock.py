"""Clocks that are wrong: of those who deliver, and of this machine."""

import os
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from tests.faults.deliveries import SECOND, THIRD, deliver
from tests.faults.fingerprint import fingerprint
from tests.faults.run_process import At, Disturbance
from tests.faults.stage import KILLED, TWO_FILES, Stage

# Dagster warns about things of its own.
pytestmark = pytest.mark.filterwarnings("default")


class YearsAgo(datetime):
    """The clock of a machine that was set back, or has lost its battery."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) - timedelta(days=3650)


def test_a_clock_that_was_set_back_changes_nothing_about_which_file_counts(stage: Stage) -> None:
    place = stage.set_up(TWO_FILES)
    back = Disturbance(altered={"scalecast_assets.ingest.ledger:datetime": YearsAgo})
    run = place.run(TWO_FILES.work, back)
    assert run.wait() == 0, run.said
    assert fingerprint(place) == stage.undisturbed(TWO_FILES)


def test_a_file_from_the_future_counts_until_the_next_one_though_its_run_is_killed(
    stage: Stage,
) -> None:
    place = stage.be_in(TWO_FILES.state)
    deliver(place.store, SECOND)
    tomorrow = time.time() + 86_400
    os.utime(Path(place.home, "store", SECOND), (tomorrow, tomorrow))
    run = place.run(
        TWO_FILES.work, Disturbance(killed=At("scalecast_assets.ingest.intake:_land", "after"))
    )
    assert run.wait() == KILLED
    stage.finish(TWO_FILES)
    deliver(place.store, THIRD)
    os.utime(Path(place.home, "store", THIRD))
    assert stage.after_the_fault(TWO_FILES) == stage.undisturbed(TWO_FILES)
