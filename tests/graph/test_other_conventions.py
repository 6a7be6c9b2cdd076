"""A retailer with headers of its own and ``SCALECAST_CALENDAR=observed``, through one run."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scalecast_assets.contract.bundle import read_manifest
from scalecast_assets.contract.columns import RAW_COLUMNS, feature_contract_hash
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.resources.embedded_postgres import EmbeddedPostgres
from tests.graph.command import Completed, Shell, eventually, fetch, free_port
from tests.graph.small_retailer import LEARNABLE_DAYS, STORES, day_of, sales

THEIRS = {
    "date": "Day",
    "store_id": "Shop no.",
    "product_id": "Article",
    "quantity_sold": "Units sold",
    "price": "Price (net)",
    "promotion": "Offer",
}
ROWS = list(sales(range(LEARNABLE_DAYS)))
"""Product C is missing on every fifth day; D begins a month late."""


@dataclass(frozen=True)
class Ran:
    shell: Shell
    answer: Completed
    features: list[dict[str, Any]]


def write_theirs(path: Path) -> Path:
    """Their columns, in another order, with one that is not asked for, between semicolons."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Till", *(THEIRS[name] for name in reversed(RAW_COLUMNS))])
        writer.writerows([7, *reversed(row)] for row in ROWS)
    return path


@pytest.fixture(scope="module")
def ran(shell: Shell) -> Ran:
    shell.more.update(
        SCALECAST_CALENDAR="observed",
        SCALECAST_COLUMNS=",".join(f"{ours}={theirs}" for ours, theirs in THEIRS.items()),
    )
    answer = shell.scalecast("run", "--json", "--csv", write_theirs(shell.folder / "theirs.csv"))
    with (
        EmbeddedPostgres(shell.home) as server,
        psycopg.connect(server.warehouse_url) as connection,
        connection.cursor(row_factory=psycopg.rows.dict_row) as cursor,
    ):
        query = "select * from features.demand_features order by store_id, product_id, date"
        features = cursor.execute(query).fetchall()
    return Ran(shell, answer, features)


def test_their_file_is_published_whole(ran: Ran) -> None:
    assert ran.answer.code == 0, ran.answer.err
    (file,) = ran.answer.json["files"]
    assert (file["state"], file["rows"]) == ("published", len(ROWS))
    assert "Till" in ran.answer.err, "what is ignored is said"


def test_there_is_a_feature_row_for_every_row_and_for_no_other_day(ran: Ran) -> None:
    found = {
        (str(r["date"]), r["store_id"], r["product_id"], r["quantity_sold"]) for r in ran.features
    }
    assert found == {row[:4] for row in ROWS}
    assert not any(row["is_imputed"] for row in ran.features)


def test_lags_count_rows_and_not_days(ran: Ran) -> None:
    checked = gaps = 0
    for before, row in zip(ran.features, ran.features[1:], strict=False):
        same = (before["store_id"], before["product_id"]) == (row["store_id"], row["product_id"])
        if same and row["has_history"]:
            assert row["lag_1"] == before["quantity_sold"], row
            checked += 1
            gaps += (row["date"] - before["date"]).days > 1
    assert checked > 500
    assert gaps > 20


def test_the_model_is_of_that_calendar_and_answers(ran: Ran) -> None:
    assert ran.answer.json["promoted"] is True
    manifest, _ = read_manifest(DirectoryStore(ran.shell.home / "store"), "1.0.0")
    assert manifest.calendar == "observed"
    assert manifest.contract_hash == feature_contract_hash("observed")
    port = free_port()
    body = {
        "date": day_of(LEARNABLE_DAYS), "store_id": STORES[0], "product_id": "C",
        "price": 4.0, "promotion": False,
    }  # fmt: skip
    with ran.shell.started("serve", SCALECAST_API_PORT=str(port)):
        url = f"http://127.0.0.1:{port}/predict"
        eventually(lambda: fetch(url, body)[0] == 200, "a prediction")
        reply = fetch(url, body)[1]
    assert reply["prediction"] > 0
    assert (reply["source"], reply["model_version"]) == ("model", "1.0.0")
