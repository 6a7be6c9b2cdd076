"""``scalecast run`` when it cannot end well: no file, a bad one, or ended from outside."""

import signal

import psycopg
import pytest

from scalecast_assets.resources.embedded_postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    read_running,
)
from tests.graph.command import Shell, eventually
from tests.graph.small_retailer import sales, write_bad_sales, write_sales


def test_without_any_file_the_run_fails_and_says_what_is_missing(shell: Shell) -> None:
    answer = shell.scalecast("run", "--json")
    assert answer.code == 1
    report = answer.json
    assert (report["files"], report["rows_published"], report["leaderboard"]) == ([], 0, [])
    assert report["champion"] is None
    assert "demand_data.warehouse_has_rows" in report["why"]
    assert "put a CSV file under raw/" in report["why"]


def test_loaded_again_beside_a_bad_file_the_good_one_is_published(shell: Shell) -> None:
    good = write_sales(shell.folder / "good.csv", range(3))
    bad = write_bad_sales(shell.folder / "bad.csv", 5)
    answer = shell.scalecast("run", "--json", "--again", "--csv", bad, "--csv", good)
    report = answer.json
    assert {file["key"]: file["state"] for file in report["files"]} == {
        "raw/bad.csv": "refused",
        "raw/good.csv": "published",
    }, answer.err
    assert report["rows_published"] == len(list(sales(range(3))))
    first, second = report["runs"]
    assert list(first["failed_checks"]) == ["raw_demand.price_is_positive"]
    assert not any(check.startswith("raw_demand") for check in second["failed_checks"])
    assert {"raw_demand", "raw_demand_suite", "demand_data", "dbt_features"} <= set(
        report["stages"]
    )
    assert 0 < sum(report["stages"].values()) < 2 * report["seconds"]
    assert answer.code == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_from_outside_it_stops_what_it_started_and_its_run_does_not_look_alive(
    shell: Shell, number: int
) -> None:
    file = write_sales(shell.folder / f"sales [{number}].csv", range(number, 40))
    with shell.started("run", "--csv", str(file)) as running:
        assert running.process.stderr is not None
        for line in running.process.stderr:
            if "… raw_demand" in line:
                break
        started = running.descendants()
        assert started
        assert running.stop(number) != 0
        eventually(lambda: not any(p.is_running() for p in started), "children have ended", 5)
    with pytest.raises(EmbeddedPostgresError):
        read_running(shell.home)
    with (
        EmbeddedPostgres(shell.home) as server,
        psycopg.connect(server.warehouse_url) as connection,
    ):
        last = connection.execute("select status from dagster.runs order by id desc limit 1")
        (state,) = last.fetchone() or ("no run",)
    assert state in {"CANCELED", "FAILURE"}
