"""What every object store promises, checked alike on a directory and on S3 over HTTP."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scalecast_assets.contract.store import (
    InvalidKey,
    ObjectNotFound,
    ObjectStore,
    ObjectTooLarge,
    PreconditionFailed,
)

THREADS = 12
ROUNDS = 40

ODD_KEYS = [
    "raw/sales 2024.csv",
    "raw/Größe – März/ventes d'été.csv",
    "raw/100%.csv",
    "raw/a%20b.csv",
    "raw/.hidden",
    ".env",
    "raw/a+b&c=d?e#f;g,h@i:j!k$l'm(n)*o.csv",
    "raw/日本語/売上.csv",
    "raw/back\\slash.csv",
    "raw/...csv",
    "raw/~tilde/{x}[y]^`z|.csv",
    " leading and trailing ",
    "raw/e\u0301 and \u00e9.csv",
    "raw/" + "x" * 255,
    "/".join(["p" * 100] * 9),
]

BAD_KEYS = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "../outside",
    "raw/../../outside",
    "raw/./a",
    "raw//a",
    "raw/",
    "raw/a\x00b",
    "raw/a\nb",
    "raw/\ud800",
    "k" * 1025,
]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as executor:
        yield executor


def winners_of(
    pool: ThreadPoolExecutor, attempt: Callable[[int], str], contestants: int = THREADS
) -> list[int]:
    """Let all contestants start at once; return the numbers of those that did not lose."""
    start = threading.Barrier(contestants)

    def run(number: int) -> bool:
        start.wait()
        try:
            attempt(number)
        except PreconditionFailed:
            return False
        return True

    won = pool.map(run, range(contestants))
    return [number for number, success in enumerate(won) if success]


def test_what_was_put_is_read_back_with_its_etag(store: ObjectStore) -> None:
    etag = store.put("a/b.bin", b"\x00\xff bytes")
    assert store.get("a/b.bin").body == b"\x00\xff bytes"
    assert store.get("a/b.bin").etag == etag
    with store.open("a/b.bin") as file:
        assert file.read() == b"\x00\xff bytes"


def test_an_empty_object_exists(store: ObjectStore) -> None:
    store.put("empty", b"")
    assert store.exists("empty")
    assert store.get("empty").body == b""
    assert [info.size for info in store.list()] == [0]


def test_putting_again_overwrites_and_changes_the_etag(store: ObjectStore) -> None:
    first = store.put("a", b"one")
    second = store.put("a", b"two")
    assert first != second
    assert store.get("a").body == b"two"


def test_a_missing_object_is_not_found_by_any_reader(store: ObjectStore, tmp_path: Path) -> None:
    store.put("there", b"x")
    assert not store.exists("missing")
    assert not store.exists("the")
    with pytest.raises(ObjectNotFound, match="missing"):
        store.get("missing")
    with pytest.raises(ObjectNotFound, match="missing"):
        store.get_if_changed("missing", "any")
    with pytest.raises(ObjectNotFound, match="missing"), store.open("missing"):
        pass
    with pytest.raises(ObjectNotFound, match="missing"):
        store.download("missing", tmp_path / "file")
    with pytest.raises(ObjectNotFound, match="missing"):
        store.copy("missing", "elsewhere")
    assert not (tmp_path / "file").exists()
    assert not store.exists("elsewhere")


def test_below_an_object_there_is_nothing(store: ObjectStore) -> None:
    store.put("a", b"x")
    assert not store.exists("a/b")
    with pytest.raises(ObjectNotFound):
        store.get("a/b")
    store.delete("a/b")
    assert store.get("a").body == b"x"


def test_a_listing_below_an_object_is_empty(store: ObjectStore) -> None:
    store.put("a", b"x")
    assert list(store.list("a/")) == []
    assert list(store.list("a/b/")) == []


def test_a_folder_is_no_object(store: ObjectStore) -> None:
    store.put("folder/a", b"x")
    assert not store.exists("folder")
    with pytest.raises(ObjectNotFound):
        store.get("folder")


def test_an_unchanged_object_is_not_read_again(store: ObjectStore) -> None:
    etag = store.put("pointer", b"one")
    assert store.get_if_changed("pointer", etag) is None
    store.put("pointer", b"two")  # within the same second, and of the same size
    changed = store.get_if_changed("pointer", etag)
    assert changed is not None
    assert changed.body == b"two"
    assert store.get_if_changed("pointer", changed.etag) is None


@pytest.mark.parametrize("size", [0, 10, 65_536, 3_000_000])
def test_an_object_larger_than_the_reader_takes_is_refused(store: ObjectStore, size: int) -> None:
    etag = store.put("pointer", b"x" * size)
    assert store.get("pointer", size).body == b"x" * size
    assert store.get("pointer", size).etag == etag
    store.put("pointer", b"x" * (size + 1))
    with pytest.raises(ObjectTooLarge, match=f"'pointer' is larger than {size} bytes"):
        store.get("pointer", size)
    with pytest.raises(ObjectTooLarge, match=f"'pointer' is larger than {size} bytes"):
        store.get_if_changed("pointer", etag, size)
    seen = store.get("pointer")
    assert len(seen.body) == size + 1
    assert store.get_if_changed("pointer", seen.etag, size) is None


@pytest.mark.parametrize("size", [10, 200_000])
def test_two_contents_of_one_size_never_share_an_etag(store: ObjectStore, size: int) -> None:
    etags = {store.put("object", bytes([number]) * size) for number in range(30)}
    assert len(etags) == 30


def test_deleting_is_idempotent(store: ObjectStore) -> None:
    store.put("a", b"x")
    store.delete("a")
    store.delete("a")
    assert not store.exists("a")


def test_many_are_deleted_at_once_and_no_other(store: ObjectStore) -> None:
    for number in range(1100):
        store.put(f"old/{number:04}", b"x")
    store.put("older/a", b"x")
    store.delete_many(info.key for info in store.list("old/"))
    assert [info.key for info in store.list("old/")] == []
    assert store.exists("older/a")
    store.delete_many(["older/a", "older/a", "missing"])
    store.delete_many([])
    assert not store.exists("older/a")


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_survive_every_operation(store: ObjectStore, key: str, tmp_path: Path) -> None:
    etag = store.put_if_absent(key, b"one")
    etag = store.compare_and_swap(key, b"two", etag)
    assert store.get(key).body == b"two"
    assert store.exists(key)
    assert [info.key for info in store.list()] == [key]
    assert [info.key for info in store.list(key)] == [key]
    store.copy(key, "copied", etag=etag)
    store.download("copied", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"two"
    store.upload(tmp_path / "file", key)
    store.delete(key)
    store.copy("copied", key)
    store.delete_many([key])
    assert [info.key for info in store.list()] == ["copied"]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_bad_keys_are_refused_by_every_operation(
    store: ObjectStore, key: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    store.put("fine", b"x")
    refused: list[Callable[[], object]] = [
        lambda: store.get(key),
        lambda: store.get_if_changed(key, "etag"),
        lambda: store.open(key).__enter__(),
        lambda: store.put(key, b"x"),
        lambda: store.put_if_absent(key, b"x"),
        lambda: store.compare_and_swap(key, b"x", "etag"),
        lambda: store.upload(tmp_path / "file", key),
        lambda: store.download(key, tmp_path / "other"),
        lambda: store.copy(key, "fine"),
        lambda: store.copy("fine", key),
        lambda: store.exists(key),
        lambda: store.delete(key),
        lambda: store.delete_many([key]),
        lambda: store.url_of(key),
    ]
    for operation in refused:
        with pytest.raises(InvalidKey, match="object key"):
            operation()
    assert [info.key for info in store.list()] == ["fine"]


def test_a_listing_is_in_byte_order_and_by_prefix(store: ObjectStore) -> None:
    keys = [
        "a",
        "a!",
        "a-b",
        "a/b",
        "a/b/c",
        "a0",
        "a/é",
        "b",
        "a/b!",
        "a/B",
        "\U0001f600",
        "\uffee",
    ]
    keys.remove("a")  # a directory cannot hold both "a" and "a/b"
    keys.remove("a/b")
    for key in keys:
        store.put(key, b"x")
    ordered = sorted(keys, key=str.encode)
    assert [info.key for info in store.list()] == ordered
    for prefix in ["a", "a/", "a/b", "a/b/", "b", "a!", "missing", "missing/", "a/b/c"]:
        found = [info.key for info in store.list(prefix)]
        assert found == [key for key in ordered if key.startswith(prefix)], prefix


def test_a_listing_tells_size_etag_and_time(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    etag = store.put("a", b"12345")
    (info,) = store.list()
    assert (info.size, info.etag) == (5, etag)
    assert before <= info.last_modified <= datetime.now(UTC) + timedelta(seconds=2)


def test_a_listing_goes_beyond_a_thousand_objects(
    store: ObjectStore, pool: ThreadPoolExecutor
) -> None:
    keys = [f"many/{number:05d}" for number in range(1203)]
    list(pool.map(lambda key: store.put(key, b""), keys))
    assert [info.key for info in store.list("many/")] == keys


@pytest.mark.parametrize("size", [0, 1, 8 * 1024 * 1024, 20_000_003])
def test_files_are_uploaded_and_downloaded_whole(
    store: ObjectStore, tmp_path: Path, size: int
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes((b"0123456789abcdef" * (size // 16 + 1))[:size])
    etag = store.upload(source, "large")
    target.write_bytes(b"old")
    store.download("large", target)
    assert target.read_bytes() == source.read_bytes()
    assert store.get("large").etag == etag
    store.copy("large", "copy", etag=etag)
    assert store.get("copy").body == source.read_bytes()
    with store.open("large") as file:
        chunks = list(iter(lambda: file.read(3_000_000), b""))
    assert all(len(chunk) == 3_000_000 for chunk in chunks[:-1])
    assert b"".join(chunks) == source.read_bytes()


def test_a_wrong_local_path_is_the_callers_error(store: ObjectStore, tmp_path: Path) -> None:
    store.put("a", b"x")
    with pytest.raises(FileNotFoundError):
        store.upload(tmp_path / "missing", "b")
    with pytest.raises(FileNotFoundError):
        store.download("a", tmp_path / "missing" / "file")
    assert [info.key for info in store.list()] == ["a"]


def test_a_copy_of_something_else_than_was_seen_is_refused(store: ObjectStore) -> None:
    seen = store.put("raw/a.csv", b"one")
    store.put("raw/a.csv", b"two")
    with pytest.raises(PreconditionFailed):
        store.copy("raw/a.csv", "archive/a", etag=seen)
    assert not store.exists("archive/a")


def test_creating_what_exists_is_refused(store: ObjectStore) -> None:
    store.put_if_absent("a", b"one")
    with pytest.raises(PreconditionFailed, match=r"'a'|/a "):
        store.put_if_absent("a", b"two")
    assert store.get("a").body == b"one"


def test_swapping_needs_the_current_etag(store: ObjectStore) -> None:
    first = store.put("a", b"one")
    store.compare_and_swap("a", b"two", first)
    with pytest.raises(PreconditionFailed):
        store.compare_and_swap("a", b"three", first)
    assert store.get("a").body == b"two"


def test_swapping_what_is_gone_is_refused(store: ObjectStore) -> None:
    etag = store.put("a", b"one")
    store.delete("a")
    with pytest.raises(PreconditionFailed):
        store.compare_and_swap("a", b"two", etag)
    assert not store.exists("a")


def test_of_many_who_create_one_wins_each_round(
    store: ObjectStore, pool: ThreadPoolExecutor
) -> None:
    for round_number in range(ROUNDS):
        key = f"claims/{round_number}"

        def create(number: int, key: str = key) -> str:
            return store.put_if_absent(key, b"%d" % number)

        won = winners_of(pool, create)
        assert len(won) == 1, f"round {round_number}: {won}"
        assert store.get(key).body == b"%d" % won[0]


def test_of_many_who_swap_one_wins_each_round(store: ObjectStore, pool: ThreadPoolExecutor) -> None:
    etag = store.put("pointer", b"start")
    for round_number in range(ROUNDS):

        def swap(number: int, etag: str = etag, round_number: int = round_number) -> str:
            return store.compare_and_swap("pointer", b"%d/%d" % (round_number, number), etag)

        won = winners_of(pool, swap)
        assert len(won) == 1, f"round {round_number}: {won}"
        blob = store.get("pointer")
        assert blob.body == b"%d/%d" % (round_number, won[0])
        etag = blob.etag


def test_no_increment_is_lost_between_threads(store: ObjectStore, pool: ThreadPoolExecutor) -> None:
    store.put("counter", b"0")

    def increment(_: int) -> None:
        while True:
            seen = store.get("counter")
            try:
                store.compare_and_swap("counter", b"%d" % (int(seen.body) + 1), seen.etag)
            except PreconditionFailed:
                continue
            return

    list(pool.map(increment, range(50)))
    assert store.get("counter").body == b"50"


def test_readers_see_the_old_or_the_new_object_and_nothing_between(store: ObjectStore) -> None:
    size = 300_000
    store.put("object", b"0" * size)
    done = threading.Event()

    def write() -> None:
        for number in range(30):
            store.put("object", b"%d" % (number % 10) * size)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set() or reads == 0:
        body = store.get("object").body
        assert len(body) == size
        assert body.count(body[:1]) == size
        reads += 1
    writer.join()


def test_the_address_of_an_object_can_be_told(store: ObjectStore) -> None:
    url = store.url_of("raw/a b.csv")
    assert url.startswith(("file:///", "s3://bucket-"))
    assert url.endswith(("/raw/a%20b.csv", "/raw/a b.csv"))
