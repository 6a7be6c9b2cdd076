"""A disk that is full, or may not be written: the run says so, and the next one makes it good."""

import pytest

from tests.faults.disk import fill, may_mount, remount, small_disk
from tests.faults.run_process import Disturbance
from tests.faults.stage import TWO_FILES, Stage

# Dagster warns about things of its own.
pytestmark = pytest.mark.filterwarnings("default")


@may_mount
@pytest.mark.parametrize("folder", ["store", "spool"])
def test_a_run_on_a_full_disk_fails_and_the_next_makes_it_good(stage: Stage, folder: str) -> None:
    undisturbed = stage.undisturbed(TWO_FILES)
    place = stage.set_up(TWO_FILES)
    with small_disk(place.home / folder):
        filler = fill(place.home / folder)
        run = place.run(TWO_FILES.work)
        assert run.wait() == 1, run.said
        assert "No space left on device" in str(place.query("select event from dagster.event_logs"))
        filler.unlink()
        assert stage.after_the_fault(TWO_FILES) == undisturbed


def test_a_run_that_meets_its_quota_fails_and_the_next_makes_it_good(stage: Stage) -> None:
    undisturbed = stage.undisturbed(TWO_FILES)
    place = stage.set_up(TWO_FILES)
    run = place.run(TWO_FILES.work, Disturbance(file_limit=2000))
    assert run.wait() == 1, run.said
    assert "File too large" in str(place.query("select event from dagster.event_logs"))
    assert stage.after_the_fault(TWO_FILES) == undisturbed


@may_mount
def test_a_run_in_a_home_that_is_read_only_fails_and_the_next_makes_it_good(stage: Stage) -> None:
    undisturbed = stage.undisturbed(TWO_FILES)
    place = stage.set_up(TWO_FILES)
    with small_disk(place.home):
        environment = place.environment
        remount(place.home, "ro")
        run = place.begin(TWO_FILES.work, environment=environment)
        assert run.wait() == 1, run.said
        assert "Read-only file system" in run.said
        remount(place.home, "rw")
        assert stage.after_the_fault(TWO_FILES) == undisturbed
