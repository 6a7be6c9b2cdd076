"""The sample: always the same bytes, and with what the README's example asks for in it."""

import csv
import datetime as dt
from pathlib import Path

import pytest

from scalecast_assets.commands import sample
from scalecast_assets.contract.columns import RAW_COLUMNS
from tests.factories_files import read_path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    return sample.write_sample(tmp_path_factory.mktemp("sample") / "a new folder")


@pytest.fixture(scope="module")
def rows(written: tuple[Path, int]) -> list[dict[str, str]]:
    with written[0].open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames or ()) == tuple(RAW_COLUMNS)
        return list(reader)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    written: tuple[Path, int], tmp_path: Path
) -> None:
    again, _ = sample.write_sample(tmp_path)
    other, _ = sample.write_sample(tmp_path / "other", seed=8)
    assert again.read_bytes() == written[0].read_bytes()
    assert other.read_bytes() != again.read_bytes()


def test_it_has_the_stores_products_and_days_of_the_example(
    written: tuple[Path, int], rows: list[dict[str, str]]
) -> None:
    assert len(rows) == written[1]
    assert {row["store_id"] for row in rows} == {f"STORE_{n:03}" for n in range(1, 6)}
    assert {row["product_id"] for row in rows} == {f"PROD_{letter}" for letter in "ABCDEFGH"}
    assert min(row["date"] for row in rows) == "2022-12-01"
    assert max(row["date"] for row in rows) == "2024-03-14"
    last = [row for row in rows if row["date"] == "2024-03-14" and row["store_id"] == "STORE_001"]
    assert "PROD_A" in {row["product_id"] for row in last}


def test_it_has_closed_days_zero_days_a_new_and_a_discontinued_product(
    rows: list[dict[str, str]],
) -> None:
    days = {(row["store_id"], row["date"]) for row in rows}
    sundays = {d for s, d in days if s == "STORE_004" and _weekday(d) == 6}
    assert not sundays
    assert not any(day.endswith("-12-25") for _, day in days)
    assert max(row["date"] for row in rows if row["product_id"] == "PROD_H") == "2023-10-31"
    assert min(row["date"] for row in rows if row["product_id"] == "PROD_G") == "2023-09-04"
    slow = [r for r in rows if (r["store_id"], r["product_id"]) == ("STORE_001", "PROD_F")]
    assert 0 < len(slow) < 300


def test_every_row_is_one_that_the_reader_accepts(
    written: tuple[Path, int], rows: list[dict[str, str]]
) -> None:
    found = read_path(written[0])
    assert found.faults == []
    assert len(found.rows) == len(rows)
    assert len({(r["store_id"], r["product_id"], r["date"]) for r in rows}) == len(rows)


def _weekday(day: str) -> int:
    return dt.date.fromisoformat(day).weekday()
