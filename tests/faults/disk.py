"""Small disks that a test may fill."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

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


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)
