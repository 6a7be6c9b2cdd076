"""Which raw files a training set is said to come from: those that the warehouse has rows of."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scalecast_assets.resources.model_records import published_files
from tests.factories_files import GOOD, Pipeline

MORE = "2024-01-02,S1,P1,6,9.99,true"


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(database_url, tmp_path)
    yield made
    made.conn.close()


def files(pipeline: Pipeline) -> list[tuple[str, int]]:
    return [(file["key"], file["rows"]) for file in published_files(pipeline.conn)]


def test_every_file_with_a_row_in_the_data_is_listed_in_the_order_of_application(
    pipeline: Pipeline,
) -> None:
    pipeline.run(pipeline.put("raw/b.csv", GOOD))
    pipeline.run(pipeline.put("raw/a.csv", GOOD.replace("P1", "P2"), MORE))
    assert files(pipeline) == [("raw/b.csv", 1), ("raw/a.csv", 2)]
    (first, _) = published_files(pipeline.conn)
    assert len(first["sha256"]) == 64


def test_after_a_replacement_only_its_own_files_are_listed(pipeline: Pipeline) -> None:
    pipeline.run(pipeline.put("raw/old.csv", GOOD))
    pipeline.run(
        pipeline.put("raw/one.csv", MORE),
        pipeline.put("raw/two.csv", GOOD.replace("5", "7")),
        replace=True,
    )
    assert pipeline.states()["raw/old.csv"] == "published"
    assert files(pipeline) == [("raw/one.csv", 1), ("raw/two.csv", 1)]


def test_a_file_whose_rows_were_all_corrected_is_not_in_the_data_any_more(
    pipeline: Pipeline,
) -> None:
    pipeline.run(pipeline.put("raw/wrong.csv", GOOD))
    pipeline.run(pipeline.put("raw/right.csv", GOOD.replace(",5,", ",8,"), MORE))
    assert files(pipeline) == [("raw/right.csv", 2)]


def test_a_file_that_only_waits_is_not_listed(pipeline: Pipeline) -> None:
    pipeline.run(pipeline.put("raw/here.csv", GOOD))
    pipeline.land(pipeline.put("raw/waiting.csv", MORE))
    assert files(pipeline) == [("raw/here.csv", 1)]
