"""What only the directory store has to fear: other processes, kill -9, links, file systems."""

import contextlib
import errno
import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalecast_assets.contract.directory_store import RESERVED
from scalecast_assets.contract.store import (
    DirectoryStore,
    InvalidKey,
    ObjectNotFound,
    ObjectUnreadable,
    StoreError,
    StoreUnavailable,
)

NOBODY = 65534
REPOSITORY = Path(__file__).parents[2]

CREATORS = """
import sys, time
from scalecast_assets.contract.store import DirectoryStore, PreconditionFailed
store, name, start = DirectoryStore(sys.argv[1]), sys.argv[2], float(sys.argv[3])
time.sleep(max(0.0, start - time.time()))
for number in range(200):
    try:
        store.put_if_absent(f"claims/{number}", name.encode())
        print(number)
    except PreconditionFailed:
        pass
"""

COUNTER = """
import sys
from scalecast_assets.contract.store import DirectoryStore, PreconditionFailed
store, done = DirectoryStore(sys.argv[1]), 0
while done < 100:
    seen = store.get("counter")
    try:
        store.compare_and_swap("counter", b"%d" % (int(seen.body) + 1), seen.etag)
        done += 1
    except PreconditionFailed:
        pass
"""

WRITER = """
import sys
from scalecast_assets.contract.store import DirectoryStore
store = DirectoryStore(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    number += 1
    store.put("object", b"%d" % (number % 10) * 400_000)
    store.put(f"new/{number % 7}", b"%d" % (number % 10) * 400_000)
    store.delete(f"new/{(number + 3) % 7}")
"""


def started(script: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def directory(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def shared_directory() -> Iterator[DirectoryStore]:
    """A store in a folder that every user may enter; ``tmp_path`` is only for who runs the test."""
    with tempfile.TemporaryDirectory(prefix="scalecast-store-") as folder:
        Path(folder).chmod(0o755)
        yield DirectoryStore(Path(folder) / "store")


@contextlib.contextmanager
def permissions_binding() -> Iterator[None]:
    """Root may do everything: for a while be nobody, as far as files are concerned."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_of_many_processes_that_create_one_wins_each_object(directory: DirectoryStore) -> None:
    start = str(time.time() + 1.5)
    creators = [started(CREATORS, str(directory.root), f"p{n}", start) for n in range(4)]
    won = [creator.communicate(timeout=60)[0].split() for creator in creators]
    assert sorted(int(number) for numbers in won for number in numbers) == list(range(200))
    for name, numbers in enumerate(won):
        for number in numbers:
            assert directory.get(f"claims/{number}").body == b"p%d" % name


def test_no_increment_is_lost_between_processes(directory: DirectoryStore) -> None:
    directory.put("counter", b"0")
    counters = [started(COUNTER, str(directory.root)) for _ in range(4)]
    for counter in counters:
        counter.communicate(timeout=60)
        assert counter.returncode == 0
    assert directory.get("counter").body == b"400"


def test_a_killed_writer_leaves_no_torn_object_and_no_lock(directory: DirectoryStore) -> None:
    directory.put("object", b"0" * 400_000)
    for round_number in range(15):
        writer = started(WRITER, str(directory.root))
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(0.005 + 0.004 * round_number)
        writer.send_signal(signal.SIGKILL)
        writer.wait(timeout=10)
        writer.stdout.close()
        for info in directory.list():
            body = directory.get(info.key).body
            assert len(body) == info.size == 400_000
            assert body.count(body[:1]) == 400_000
        directory.put("object", b"0" * 400_000)  # would hang if the killed one still held the lock


def test_what_killed_writers_left_is_swept_after_a_day(directory: DirectoryStore) -> None:
    directory.put("a", b"x")
    hidden = directory.root / RESERVED / "tmp"
    for name, age_hours in (("old", 25), ("young", 23)):
        (hidden / name).write_bytes(b"unfinished")
        os.utime(hidden / name, (time.time() - age_hours * 3600,) * 2)
    DirectoryStore(directory.root).put("b", b"x")
    assert [path.name for path in hidden.iterdir()] == ["young"]


def test_the_stores_own_files_are_neither_listed_nor_reachable(
    directory: DirectoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    directory.put("a", b"x")
    assert (directory.root / RESERVED / "locks").is_dir()
    assert [info.key for info in directory.list()] == ["a"]
    assert list(directory.list(RESERVED)) == []
    assert caplog.text == ""
    for key in (RESERVED, f"{RESERVED}/locks/00", f"{RESERVED}/tmp/x"):
        with pytest.raises(InvalidKey, match="belong to the store"):
            directory.put(key, b"x")


def test_reading_creates_nothing(directory: DirectoryStore) -> None:
    assert list(directory.list()) == []
    assert list(directory.list("raw/")) == []
    assert not directory.exists("a")
    directory.delete("a")
    with pytest.raises(ObjectNotFound):
        directory.get("a")
    assert not directory.root.exists()


def test_a_name_longer_than_a_file_name_is_refused(directory: DirectoryStore) -> None:
    directory.put("é" * 127, b"x")
    with pytest.raises(InvalidKey, match="255 bytes"):
        directory.put("é" * 128, b"x")


def test_links_out_of_the_store_are_not_followed(
    directory: DirectoryStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    directory.put("raw/a", b"x")
    (directory.root / "raw/link").symlink_to(outside / "secret")
    (directory.root / "raw/folder").symlink_to(outside)
    (directory.root / "raw/dangling").symlink_to(outside / "new")
    for key in ("raw/link", "raw/folder/secret", "raw/folder/new", "raw/dangling"):
        with pytest.raises(StoreError, match="symbolic link"):
            directory.get(key)
        with pytest.raises(StoreError, match="symbolic link"):
            directory.put(key, b"overwritten")
        with pytest.raises(StoreError, match="symbolic link"):
            directory.delete(key)
    with caplog.at_level(logging.WARNING):
        assert [info.key for info in directory.list()] == ["raw/a"]
    assert "raw/link" in caplog.text
    with pytest.raises(StoreError, match="symbolic link"):
        list(directory.list("raw/folder/"))
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"


def test_the_store_itself_may_lie_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    DirectoryStore(tmp_path / "link").put("a", b"x")
    assert DirectoryStore(tmp_path / "real").get("a").body == b"x"


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder"])
def test_what_is_no_file_is_no_object_and_not_waited_for(
    directory: DirectoryStore, kind: str
) -> None:
    directory.put("raw/a.csv", b"x")
    path = directory.root / "raw/odd.csv"
    make = {
        "pipe": lambda: os.mkfifo(path),
        "socket": lambda: os.mknod(path, stat.S_IFSOCK | 0o600),
        "folder": lambda: path.mkdir(),
    }
    make[kind]()
    for prefix in ("", "raw/", "raw/a"):
        assert [info.key for info in directory.list(prefix)] == ["raw/a.csv"]
    for prefix in ("raw/odd.csv", "raw/odd.csv/"):
        assert list(directory.list(prefix)) == []
    assert not directory.exists("raw/odd.csv")
    with pytest.raises(ObjectNotFound, match=r"raw/odd\.csv"):
        directory.get("raw/odd.csv")
    with pytest.raises(ObjectNotFound, match=r"raw/odd\.csv"):
        directory.get_if_changed("raw/odd.csv", "etag")
    directory.delete("raw/odd.csv")
    assert path.exists()


@pytest.mark.parametrize("target", ["nowhere", "link.csv"])
def test_a_link_that_leads_nowhere_is_refused_and_breaks_no_listing(
    directory: DirectoryStore, target: str
) -> None:
    directory.put("raw/a.csv", b"x")
    (directory.root / "raw/link.csv").symlink_to(target)
    assert [info.key for info in directory.list("raw/")] == ["raw/a.csv"]
    for operation in (directory.get, directory.exists, directory.delete):
        with pytest.raises(StoreError, match="symbolic link"):
            operation("raw/link.csv")
    with pytest.raises(StoreError, match="symbolic link"):
        directory.put("raw/link.csv", b"x")


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_file_that_may_not_be_read_is_listed_and_only_its_reading_fails(
    shared_directory: DirectoryStore, size: int
) -> None:
    shared_directory.put("raw/a.csv", b"x")
    shared_directory.put("raw/theirs.csv", b"x" * size)
    shared_directory.put("raw/z.csv", b"x")
    (shared_directory.root / "raw/theirs.csv").chmod(0)
    with permissions_binding():
        listed = list(shared_directory.list("raw/"))
        assert [info.key for info in listed] == ["raw/a.csv", "raw/theirs.csv", "raw/z.csv"]
        assert [info.size for info in listed] == [1, size, 1]
        assert shared_directory.get("raw/z.csv").body == b"x"
        with pytest.raises(ObjectUnreadable, match=r"'raw/theirs\.csv'.*readable by this user"):
            shared_directory.get("raw/theirs.csv")
        with (
            pytest.raises(ObjectUnreadable, match=r"'raw/theirs\.csv'.*readable by this user"),
            shared_directory.open("raw/theirs.csv"),
        ):
            pass


@pytest.mark.parametrize("mode", [0, 0o644])
def test_a_folder_that_may_not_be_read_is_left_out_but_told_to_who_asks_for_it(
    shared_directory: DirectoryStore, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    shared_directory.put("raw/a.csv", b"x")
    shared_directory.put("raw/theirs/b.csv", b"x")
    (shared_directory.root / "raw/theirs").chmod(mode)
    try:
        with permissions_binding(), caplog.at_level(logging.WARNING):
            assert [info.key for info in shared_directory.list("raw/")] == ["raw/a.csv"]
            assert "'raw/theirs/'" in caplog.text
            with pytest.raises(ObjectUnreadable, match=r"'raw/theirs/'.*readable by this user"):
                list(shared_directory.list("raw/theirs/"))
    finally:
        (shared_directory.root / "raw/theirs").chmod(0o755)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux's /proc")
def test_a_file_that_the_disk_cannot_read_is_listed_and_only_its_reading_fails() -> None:
    """The first page of a process's memory: opening it works, reading it is an input error."""
    process = DirectoryStore("/proc/self")
    assert [info.key for info in process.list("mem")] == ["mem"]
    with pytest.raises(ObjectUnreadable, match=r"'mem'.*Input/output error"):
        process.get("mem")
    with pytest.raises(ObjectUnreadable, match=r"'mem'.*Input/output error"):
        process.get_if_changed("mem", "etag")


def test_a_file_whose_name_is_no_unicode_is_reported_and_left_out(
    directory: DirectoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    directory.put("a", b"x")
    Path(os.fsdecode(os.fsencode(directory.root) + b"/caf\xe9.csv")).write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        assert [info.key for info in directory.list()] == ["a"]
    assert "not valid Unicode" in caplog.text


def test_an_object_cannot_also_be_a_folder(directory: DirectoryStore) -> None:
    directory.put("a/b", b"x")
    with pytest.raises(InvalidKey, match="both an object and a folder"):
        directory.put("a", b"x")
    with pytest.raises(InvalidKey, match="both an object and a folder"):
        directory.put_if_absent("a", b"x")
    with pytest.raises(InvalidKey, match="both an object and a folder"):
        directory.put("a/b/c", b"x")
    assert [info.key for info in directory.list()] == ["a/b"]


@pytest.mark.parametrize(("number", "said"), [(errno.ENOSPC, "No space"), (errno.EIO, "Input/out")])
def test_a_failing_disk_leaves_the_old_object_and_no_litter(
    directory: DirectoryStore, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    directory.put("a", b"old")

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreUnavailable, match=f"{said}.*disk is not full"):
        directory.put("a", b"new")
    assert directory.get("a").body == b"old"
    assert list((directory.root / RESERVED / "tmp").iterdir()) == []


def test_files_put_there_by_hand_are_objects(directory: DirectoryStore) -> None:
    (directory.root / "raw").mkdir(parents=True)
    file = directory.root / "raw" / "by hand.csv"
    file.write_bytes(b"x" * 100_000)
    (before,) = directory.list("raw/")
    assert (before.key, before.size) == ("raw/by hand.csv", 100_000)
    file.write_bytes(b"y" * 100_000)
    os.utime(file, ns=(0, time.time_ns()))
    (after,) = directory.list("raw/")
    assert after.etag != before.etag


def test_etags_of_large_objects_rest_on_the_precise_clock_and_not_on_the_kernels(
    directory: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_700_000_000_123_456_789
    etags = set()
    for nanoseconds in range(20):
        monkeypatch.setattr(time, "time_ns", lambda instant=now + nanoseconds: instant)
        etags.add(directory.put("object", b"%04d" % nanoseconds * 20_000))
        assert (directory.root / "object").stat().st_mtime_ns == now + nanoseconds
    assert len(etags) == 20


def test_a_store_that_was_removed_meanwhile_is_made_again(directory: DirectoryStore) -> None:
    directory.put("a", b"x")
    shutil.rmtree(directory.root)
    assert list(directory.list()) == []
    directory.put("a", b"y")
    assert directory.get("a").body == b"y"


def test_written_objects_get_the_users_ordinary_permissions(directory: DirectoryStore) -> None:
    old = os.umask(0o027)
    try:
        directory.put("a", b"x")
    finally:
        os.umask(old)
    assert (directory.root / "a").stat().st_mode & 0o777 == 0o640


def test_a_reader_keeps_what_it_opened_while_it_is_overwritten(directory: DirectoryStore) -> None:
    directory.put("a", b"old" * 1000)
    with directory.open("a") as file:
        assert file.read(3) == b"old"
        directory.put("a", b"new" * 1000)
        assert file.read() == b"old" * 999
    assert directory.get("a").body == b"new" * 1000


def test_a_directory_that_may_only_be_read_can_be_read(shared_directory: DirectoryStore) -> None:
    root = shared_directory.root
    shared_directory.put("a", b"x")
    root.chmod(0o555)
    (root / RESERVED / "tmp").chmod(0o555)
    try:
        with permissions_binding():
            reader = DirectoryStore(root)
            assert reader.get("a").body == b"x"
            assert [info.key for info in reader.list()] == ["a"]
            with pytest.raises(StoreUnavailable, match="writable by this user"):
                reader.put("b", b"x")
    finally:
        root.chmod(0o755)
        (root / RESERVED / "tmp").chmod(0o755)
