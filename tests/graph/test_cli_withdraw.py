"""``scalecast withdraw``: the command, what follows it, and what it says when it cannot."""

import os
import pty
import subprocess
from pathlib import Path

import psycopg
import pytest

from scalecast_assets import keys
from scalecast_assets.contract.pointers import read_state_pointer
from scalecast_assets.ingest.intake import Intake, take_in
from scalecast_assets.ingest.ledger import files_in_state
from scalecast_assets.ingest.publish import publish
from scalecast_assets.ingest.verdict import decide
from scalecast_assets.ingest.withdrawal import withdraw
from scalecast_assets.resources.changed_ranges import read_backlog
from tests.graph.command import SCALECAST, Completed, Shell
from tests.graph.small_retailer import LEARNABLE_DAYS, PRODUCTS, day_of, write_sales
from tests.graph.world import World, failures

# Great Expectations and what it imports warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")

REFRESH = (
    keys.RAW_DEMAND, keys.DEMAND_DATA, keys.STG_DEMAND, keys.DEMAND_CALENDAR, keys.DEMAND_FEATURES,
    keys.SERVING_STATE, keys.FORECASTS, keys.LIVE_ACCURACY,
)  # fmt: skip


def shell_of(world: World, folder: Path) -> Shell:
    return Shell(world.home, folder, {"SCALECAST_DATABASE_URL": world.database_url})


def drop(world: World, folder: Path) -> Path:
    """A file with two more days, and with other quantities for one that was there; loaded."""
    path = write_sales(folder / "more.csv", range(LEARNABLE_DAYS, LEARNABLE_DAYS + 2))
    correction = f"{day_of(LEARNABLE_DAYS - 1)},S3,{PRODUCTS[0]},999,2.5,false\n"
    path.write_text(path.read_text(encoding="utf-8") + correction, encoding="utf-8")
    world.store.upload(path, "raw/more.csv")
    result = world.run(*REFRESH)
    assert result.success, failures(result)
    return path


def state_of(world: World) -> str:
    held = read_state_pointer(world.store)
    assert held is not None
    return held.pointer.sha256


def features_of(world: World) -> list[tuple[object, ...]]:
    with psycopg.connect(world.database_url) as connection:
        return connection.execute(
            "select * from features.demand_features order by store_id, product_id, date"
        ).fetchall()


def origins_of(world: World) -> set[str]:
    with psycopg.connect(world.database_url) as connection:
        rows = connection.execute("select distinct origin::text from ml.forecasts").fetchall()
    return {origin for (origin,) in rows}


def test_features_state_and_forecasts_are_what_they_were_before_the_file(
    world: World, tmp_path: Path
) -> None:
    before, features, origins = state_of(world), features_of(world), origins_of(world)
    drop(world, tmp_path)
    assert state_of(world) != before
    assert origins_of(world) > origins
    answer = shell_of(world, tmp_path).scalecast("withdraw", "more.csv", "--yes", "--json")
    assert answer.code == 0, answer.err
    facts = answer.json
    assert facts["file"]["key"] == "raw/more.csv"
    assert (facts["restored"], facts["files_read"], facts["trained_on_it"]) == (1, 1, None)
    assert facts["run"]["succeeded"]
    assert "demand_data" in facts["stages"]
    assert features_of(world) == features
    assert state_of(world) == before
    assert origins_of(world) == origins
    with psycopg.connect(world.database_url) as connection:
        waiting = connection.execute("select count(*) from warehouse.changed_ranges").fetchone()
    assert waiting == (0,)


def test_one_that_was_ended_before_all_had_followed_is_finished_by_the_same_command(
    world: World, tmp_path: Path
) -> None:
    before = state_of(world)
    more = write_sales(tmp_path / "more.csv", range(LEARNABLE_DAYS, LEARNABLE_DAYS + 2))
    world.store.upload(more, "raw/more.csv")
    with psycopg.connect(world.database_url, autocommit=True) as connection:
        (landed,) = take_in(connection, world.store, Intake("by hand"), print)
        decide(connection, files_in_state(connection, "landed"), {})
        publish(connection)
        withdraw(connection, world.store, landed.sha256)
        assert read_backlog(connection).range_ids
        answer = shell_of(world, tmp_path).scalecast("withdraw", landed.sha256[:8], "--yes")
        assert answer.code == 0, answer.err
        assert not read_backlog(connection).range_ids
    assert "raw/more.csv: is withdrawn already (withdrawn by hand)" in answer.out
    assert "have followed" in answer.out
    assert state_of(world) == before


def test_what_the_model_was_trained_on_and_an_empty_warehouse_are_told(
    world: World, tmp_path: Path
) -> None:
    state = state_of(world)
    answer = shell_of(world, tmp_path).scalecast(
        "withdraw", "raw/first.csv", "--yes", "--reason", "wrong currency"
    )
    assert answer.code == 1, "there is nothing left to make features of"
    assert "The warehouse is empty: put a CSV file under raw/ or name one." in answer.out
    assert "The served model 1.0.0 was trained on this file" in answer.out
    assert state_of(world) == state, "what was served last is served on"
    with psycopg.connect(world.database_url) as connection:
        row = connection.execute("select state, reason from warehouse.file_ledger").fetchone()
    assert row == ("withdrawn", "withdrawn by hand: wrong currency")


def test_wrong_usage_changes_nothing_and_names_what_there_is(world: World, tmp_path: Path) -> None:
    shell = shell_of(world, tmp_path)
    unasked = shell.scalecast("withdraw", "first.csv")
    assert unasked.code == 2
    assert "say --yes" in unasked.err
    unknown = shell.scalecast("withdraw", "nothing.csv", "--yes")
    assert unknown.code == 1
    assert "nothing.csv: expected a published file" in unknown.err
    assert "raw/first.csv" in unknown.err
    declined = in_a_terminal(shell, b"n\n", "withdraw", "first.csv")
    assert declined.code == 1
    assert "Withdraw " in declined.out
    with psycopg.connect(world.database_url) as connection:
        states = connection.execute("select state from warehouse.file_ledger").fetchall()
    assert states == [("published",)]


def in_a_terminal(shell: Shell, typed: bytes, *arguments: str) -> Completed:
    """Run the command with a terminal for its input, into which this is typed."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed)
        done = subprocess.run(
            [str(SCALECAST), *arguments],
            cwd=shell.folder, env=shell.environment, stdin=theirs, capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    return Completed(done.returncode, done.stdout + done.stderr, done.stderr)
