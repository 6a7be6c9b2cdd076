"""200 files while the daemon is killed ten times: every file once, and nothing that is nobody's."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalecast_assets.contract.pointers import read_state_pointer
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.runtime import Runtime, running
from scalecast_assets.settings import Settings
from tests.faults.file_rain import Figures, Rain, checksum, query, rain_and_kill, warehouse

FILES, KILLS = 200, 10

pytestmark = pytest.mark.slow_faults


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    """A home of its own, and its Postgres."""
    home = Path(tempfile.mkdtemp(prefix="scalecast rain "))
    home.chmod(0o755)
    with running(Settings(home=home)) as runtime:
        yield runtime
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def came(runtime: Runtime) -> tuple[Figures, Rain]:
    return rain_and_kill(runtime, files=FILES, kills=KILLS, longest_life=20, patience=1200)


def test_the_warehouse_is_the_union_of_the_files(
    runtime: Runtime, came: tuple[Figures, Rain]
) -> None:
    figures, rain = came
    print(figures)
    assert len(figures.kills) == KILLS
    assert len(rain.expected) > FILES
    assert checksum(warehouse(runtime.database_url)) == checksum(rain.expected)


def test_each_file_is_in_the_ledger_exactly_once(
    runtime: Runtime, came: tuple[Figures, Rain]
) -> None:
    rows = query(runtime.database_url, "select key, sha256, state from warehouse.file_ledger")
    assert len(rows) == FILES
    assert len({key for key, _, _ in rows}) == len({sha for _, sha, _ in rows}) == FILES
    assert {state for _, _, state in rows} == {"published"}
    vouched_for = query(
        runtime.database_url,
        "select count(*) from warehouse.demand_data where file_seq not in"
        " (select file_seq from warehouse.file_ledger where state = 'published')",
    )
    assert vouched_for == [(0,)]


def test_features_and_serving_state_are_of_the_last_day(
    runtime: Runtime, came: tuple[Figures, Rain]
) -> None:
    _, rain = came
    days = query(runtime.database_url, "select max(date)::text from features.demand_features")
    held = read_state_pointer(DirectoryStore(runtime.settings.home / "store"))
    assert held is not None
    assert days == [(max(day for _, _, day in rain.expected),)] == [(held.pointer.data_until,)]


def test_nothing_is_left_begun(runtime: Runtime, came: tuple[Figures, Rain]) -> None:
    assert query(runtime.database_url, "select key from warehouse.file_attempts") == []
    figures, _ = came
    assert set(figures.runs) <= {"SUCCESS", "FAILURE"}
