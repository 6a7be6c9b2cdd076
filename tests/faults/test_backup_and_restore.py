"""Dump, wipe, restore: the same predictions, the same ledger, and the next file goes through."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scalecast_assets.resources.embedded_postgres import EmbeddedPostgres
from tests.graph.command import Completed, Shell, fetch, free_port
from tests.graph.small_retailer import (
    LEARNABLE_DAYS,
    SMALL_BUDGETS,
    SMALL_TUNING,
    STORES,
    day_of,
    write_sales,
)

pytestmark = pytest.mark.slow_faults
TABLES = (
    "warehouse.file_ledger", "warehouse.file_objects", "warehouse.demand_data",
    "warehouse.id_codes", "features.demand_features", "ml.promotions", "ml.forecasts",
    "dagster.runs",
)  # fmt: skip


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    folder = Path(tempfile.mkdtemp(prefix="scalecast backup "))
    folder.chmod(0o755)
    budgets = {"SCALECAST_FIT_ROWS": SMALL_BUDGETS, "SCALECAST_TUNE_ROWS": SMALL_TUNING}
    yield Shell(folder / "home", folder, budgets)
    shutil.rmtree(folder, ignore_errors=True)


def answers(shell: Shell) -> Any:
    """What the API says to a handful of questions, without what is measured anew each time."""
    port = free_port()
    rows = [
        {"date": day_of(LEARNABLE_DAYS + ahead), "store_id": store, "product_id": "A",
         "price": 2.0, "promotion": ahead == 3}
        for store in STORES for ahead in (0, 3, 20)
    ]  # fmt: skip
    with shell.started("serve", "--json", SCALECAST_API_PORT=str(port)) as running:
        json.loads(running.line())
        status, reply = fetch(f"http://127.0.0.1:{port}/predict/batch", {"rows": rows})
    assert status == 200, reply
    return reply["predictions"]


def contents(shell: Shell) -> dict[str, list[tuple[Any, ...]]]:
    with (
        EmbeddedPostgres(shell.home) as server,
        psycopg.connect(server.warehouse_url) as connection,
    ):
        query = "select t::text from {} t order by 1"
        return {
            table: connection.execute(query.format(table).encode()).fetchall() for table in TABLES
        }


@pytest.fixture(scope="module")
def before(shell: Shell) -> tuple[Any, dict[str, list[tuple[Any, ...]]]]:
    """A home with a model, a file that waits, and what both say."""
    file = write_sales(shell.folder / "a.csv", range(LEARNABLE_DAYS))
    ran = shell.scalecast("run", "--csv", file)
    assert ran.code == 0, ran.err
    return answers(shell), contents(shell)


@pytest.fixture(scope="module")
def backed_up(shell: Shell, before: Any) -> Completed:
    return shell.scalecast("backup", shell.folder / "kept", "--json")


def test_a_backup_says_what_it_holds(shell: Shell, backed_up: Completed) -> None:
    assert backed_up.code == 0, backed_up.err
    facts = backed_up.json
    assert facts["served"] == "1.0.0"
    assert facts["objects"] > 10
    checked = shell.scalecast("restore", "--check", shell.folder / "kept", "--json")
    assert checked.json == facts


def test_nothing_is_overwritten_unless_it_is_meant(shell: Shell, backed_up: Completed) -> None:
    again = shell.scalecast("backup", shell.folder / "kept")
    assert (again.code, "is not empty" in again.err) == (1, True)
    over = shell.scalecast("restore", shell.folder / "kept")
    assert (over.code, "the warehouse is not empty" in over.err) == (1, True)
    assert "--force" in over.err


def test_a_damaged_backup_changes_nothing(shell: Shell, before: Any, backed_up: Completed) -> None:
    damaged = shell.folder / "damaged"
    shutil.copytree(shell.folder / "kept", damaged)
    with (damaged / "database.dump").open("r+b") as dump:
        dump.seek(1000)
        dump.write(b"\0\1\2")
    answer = shell.scalecast("restore", damaged, "--force")
    assert answer.code == 1
    assert "is damaged, nothing was changed: database.dump" in answer.err
    assert contents(shell) == before[1]


def test_restored_over_an_empty_home_everything_is_as_it_was_and_the_next_file_goes_through(
    shell: Shell, before: Any, backed_up: Completed
) -> None:
    shutil.rmtree(shell.home)
    restored = shell.scalecast("restore", shell.folder / "kept")
    assert restored.code == 0, restored.err
    assert "serving 1.0.0" in restored.out
    assert contents(shell) == before[1]
    assert answers(shell) == before[0]
    file = write_sales(shell.folder / "b.csv", range(LEARNABLE_DAYS, LEARNABLE_DAYS + 3))
    following = shell.scalecast("run", "--json", "--csv", file)
    assert following.code == 0, following.err
    assert [one["state"] for one in following.json["files"]] == ["published"]


def test_restored_by_force_what_was_made_since_is_gone_and_what_was_delivered_comes_again(
    shell: Shell, before: Any, backed_up: Completed
) -> None:
    restored = shell.scalecast("restore", shell.folder / "kept", "--force", "--json")
    assert restored.code == 0, restored.err
    assert contents(shell) == before[1]
    assert answers(shell) == before[0]
    following = shell.scalecast("run", "--json")
    assert following.code == 0, following.err
    assert [(one["key"], one["state"]) for one in following.json["files"]] == [
        ("raw/b.csv", "published")
    ]


def test_while_somebody_is_connected_nothing_is_restored(
    shell: Shell, backed_up: Completed
) -> None:
    found = contents(shell)
    with (
        EmbeddedPostgres(shell.home) as server,
        psycopg.connect(server.warehouse_url, application_name="a dashboard"),
    ):
        answer = shell.scalecast("restore", shell.folder / "kept", "--force")
    assert answer.code == 1
    assert "in use by 1 other connections (a dashboard)" in answer.err
    assert contents(shell) == found
