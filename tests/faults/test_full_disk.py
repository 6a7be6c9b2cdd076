"""A disk that is full, or may not be written: the run says so, and the next one makes it good."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.run_process import Disturbance
from tests.faults.stage import TWO_FILES, Stage

# Dagster warns about things of its own.
pytestmark = pytest.mark.filterwarnings("default")

may_mount = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounting a small disk needs root on Linux"
)


@contextmanager
def small_disk(folder: Path, megabytes: int = 8) -> Iterator[None]:
    """A disk of its own under ``folder``, with what is in it."""
    before = folder.with_name(folder.name + " before")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, before)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        shutil.rmtree(before)
        pytest.skip("this container may not mount")
    try:
        shutil.copytree(before, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        shutil.rmtree(before)


def fill(folder: Path) -> Path:
    """Write a file until nothing goes on the disk any more."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    assert os.statvfs(folder).f_bavail == 0
    return filler


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


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)
