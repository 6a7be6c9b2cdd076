"""Folders of the directory store: gone with their last object, and made again by writers."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from scalecast_assets.contract.directory_store import RESERVED
from scalecast_assets.contract.store import DirectoryStore

REPOSITORY = Path(__file__).parents[2]

IN_AND_OUT = """
import sys, time
from scalecast_assets.contract.store import DirectoryStore
store, name, start = DirectoryStore(sys.argv[1]), sys.argv[2], float(sys.argv[3])
time.sleep(max(0.0, start - time.time()))
for number in range(300):
    key = f"area/{number % 2}/deep/{name}"
    store.put(key, b"%d" % number)
    assert store.get(key).body == b"%d" % number
    store.delete(key)
print("done")
"""


@pytest.fixture
def directory(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def test_folders_go_with_their_last_object_but_those_of_the_first_level(
    directory: DirectoryStore,
) -> None:
    for key in ("area/a/b/one", "area/a/two", "raw/one.csv", "alone"):
        directory.put(key, b"x")
    directory.delete("area/a/b/one")
    assert not (directory.root / "area/a/b").exists()
    assert directory.exists("area/a/two")
    directory.delete_many(["area/a/two", "raw/one.csv", "alone"])
    left = sorted(path.name for path in directory.root.iterdir())
    assert left == [RESERVED, "area", "raw"]
    assert list((directory.root / "area").iterdir()) == []
    directory.put("area/a", b"no folder any more")


def test_a_folder_that_is_removed_under_a_writer_is_made_again(directory: DirectoryStore) -> None:
    start = str(time.time() + 1)
    command = [sys.executable, "-c", IN_AND_OUT, str(directory.root)]
    several = [
        subprocess.Popen(
            [*command, f"w{n}", start], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
        )
        for n in range(3)
    ]
    said = [one.communicate(timeout=300)[0] for one in several]
    assert said == ["done\n"] * 3
    assert list((directory.root / "area").iterdir()) == []
