"""Files in any history leave the features that a full refresh would, bit for bit.

Through landing, verdict and publishing as they are; only the breaker's rules are left out. What
publishing does not note in ``warehouse.changed_ranges`` would be missing here.
"""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from scalecast_assets.ingest.publish import publish
from scalecast_assets.resources.changed_ranges import clear_backlog, read_backlog
from tests.dbt.warehouse_histories import (
    BEGIN,
    Cells,
    Dbt,
    FileWarehouse,
    Key,
    calendar,
    features,
    random_change,
    random_store,
)
from tests.factories_files import Pipeline

N_DAYS = 100
STORES = [f"S{number}" for number in range(12)]
DROPPED = 1_700_000_000.0
"""When the first file was dropped into the bucket, in seconds since 1970."""


@pytest.fixture
def files(database_url: str, tmp_path: Path) -> Iterator[FileWarehouse]:
    pipeline = Pipeline(database_url, tmp_path)
    yield FileWarehouse(pipeline)
    pipeline.conn.close()


def some(rows: dict[Key, Cells], chance: random.Random) -> dict[Key, Cells]:
    return {key: cells for key, cells in rows.items() if chance.random() < 0.7}


def history(files: FileWarehouse, chance: random.Random) -> Iterator[str]:
    """Put files, give commands, and yield whenever dbt gets to run."""

    def news() -> dict[Key, Cells]:
        """Next days after closures of up to two months, corrections and late rows."""
        return random_change(chance, files, STORES, N_DAYS)[0]

    def late() -> dict[Key, Cells]:
        store = random_store(chance, chance.choice(STORES), N_DAYS)
        return store | {(f"{key[0]} old", *key[1:]): cells for key, cells in store.items()}

    for number, store in enumerate(STORES):
        files.put(random_store(chance, store, N_DAYS), DROPPED + 10 * number)
    files.publish()
    yield "the first files"
    corrections = files.put(news())
    files.publish(corrections)
    files.put(late(), DROPPED + 55)
    files.publish()  # before dbt has run: it crashed, or another run was quicker
    yield "news, and then a late file"
    rows = late() | late() | news()
    files.publish(files.put({key: rows[key] for key in rows if key not in files.rows}))
    files.publish(corrections, again=True)
    yield "nothing but new rows, and corrections once more"
    files.withdraw(corrections)
    files.withdraw("raw/003.csv")
    yield "the corrections withdrawn, and a store's first file"
    upserts, deletes = random_change(chance, files, STORES, N_DAYS)
    kept = {key: cells for key, cells in (files.rows | upserts).items() if key not in deletes}
    first, second = files.put(kept), files.put(some(files.rows, chance))
    files.publish(first, second, replace=True)
    yield "everything replaced"
    files.put(late(), DROPPED + 1000)
    good, bad = files.put(news()), files.pipeline.put("raw/bad.csv", "nonsense")
    files.pipeline.land(bad, good)
    files.pipeline.judge(bad="bad")
    assert publish(files.pipeline.conn).files == ()
    files.publish(good)
    files.publish()
    yield "a file from before the replacement, and one that a bad file held up"
    files.withdraw(second)
    yield "a file of the replacement withdrawn"
    files.publish(corrections, again=True)
    files.withdraw(first)
    yield "the replacement withdrawn as a whole, so that what it had replaced is back"


@pytest.mark.parametrize(("mode", "seed"), [("store", 1), ("observed", 2)])
def test_features_of_files_are_those_of_a_full_refresh_after_any_history(
    files: FileWarehouse, database_url: str, tmp_path: Path, mode: str, seed: int
) -> None:
    chance = random.Random(seed)
    dbt = Dbt(database_url, tmp_path, {"SCALECAST_CALENDAR": mode})
    connection = files.pipeline.conn
    for step, what in enumerate(history(files, chance)):
        assert files.published() == files.rows, what
        as_of = f"{BEGIN + timedelta(days=N_DAYS + step)} 0{chance.choice([1, 9])}:00:00"
        backlog = read_backlog(connection)
        dbt("run", as_of=as_of)
        clear_backlog(connection, backlog)
        found = features(connection), calendar(connection)
        dbt("run", "--full-refresh", as_of=as_of)
        assert found[1] == calendar(connection), what
        assert found[0] == features(connection), what
