"""The passes of one command: what each run is asked for, and what the ledger has afterwards."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scalecast_assets.commands.outcome import NOT_LANDED, files_of
from scalecast_assets.commands.passes import MAX_PASSES, run_passes
from scalecast_assets.commands.runner import RunResult
from scalecast_assets.commands.uploads import Given
from scalecast_assets.ingest.publish import publish
from tests.factories_files import Pipeline

REFUSAL = {"raw_demand.price_is_positive": "Broken in raw/bad.csv"}


class Graph:
    """Stands in for the job: lands, refuses what is called bad, publishes; records its configs."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.configs: list[dict[str, Any]] = []
        self.before_judging: Callable[[], None] = lambda: None

    def __call__(self, config: dict[str, Any]) -> RunResult:
        self.configs.append(config)
        pipeline = self.pipeline
        pipeline.land(*config["keys"], again=config["again"], replace=config["replace"])
        self.before_judging()
        refused = sum(state == "refused" for state in pipeline.states().values())
        pipeline.judge(bad="bad")
        if sum(state == "refused" for state in pipeline.states().values()) > refused:
            return RunResult("r", Path("/l"), False, failed_checks=REFUSAL)
        publish(pipeline.conn)
        return RunResult("r", Path("/l"), succeeded=True)

    def run(self, *given: Given, again: bool = False, replace: bool = False) -> list[RunResult]:
        url = self.pipeline.url
        return run_passes(self, url, given, replace=replace, again=again, say=lambda _: None)


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


@pytest.fixture
def graph(pipeline: Pipeline) -> Graph:
    return Graph(pipeline)


def given(pipeline: Pipeline, name: str, day: int) -> Given:
    key = pipeline.put(f"raw/{name}.csv", f"2024-01-{day:02},S1,P1,1,9.5,0")
    return Given(key, hashlib.sha256(pipeline.store.get(key).body).hexdigest())


@pytest.mark.parametrize("again", [False, True])
def test_the_second_pass_takes_the_good_files_alone_and_as_they_are(
    graph: Graph, pipeline: Pipeline, again: bool
) -> None:
    bad, good = given(pipeline, "bad", 1), given(pipeline, "good", 2)
    runs = graph.run(bad, good, again=again)
    assert [run.succeeded for run in runs] == [False, True]
    assert graph.configs == [
        {"keys": ["raw/bad.csv", "raw/good.csv"], "replace": False, "again": again},
        {"keys": ["raw/good.csv"], "replace": False, "again": False},
    ]
    assert pipeline.states() == {"raw/bad.csv": "refused", "raw/good.csv": "published"}


def test_known_files_given_again_beside_a_bad_one_are_published_again(
    graph: Graph, pipeline: Pipeline
) -> None:
    good, bad = given(pipeline, "good", 2), given(pipeline, "bad", 1)
    graph.run(good)
    newer = given(pipeline, "newer", 3)
    graph.run(newer)
    assert [run.succeeded for run in graph.run(good, bad, again=True)] == [False, True]
    order = "select key from warehouse.file_ledger where state = 'published' order by file_seq"
    assert pipeline.conn.execute(order).fetchall() == [("raw/newer.csv",), ("raw/good.csv",)]


def test_a_given_file_that_an_earlier_run_has_landed_is_held_up_too(
    graph: Graph, pipeline: Pipeline
) -> None:
    good, bad = given(pipeline, "good", 2), given(pipeline, "bad", 1)
    pipeline.land(good.key)
    assert [run.succeeded for run in graph.run(bad, good)] == [False, True]
    assert pipeline.states()["raw/good.csv"] == "published"


def test_without_named_files_what_an_earlier_run_has_left_is_held_up_too(
    graph: Graph, pipeline: Pipeline
) -> None:
    good = given(pipeline, "good", 2)
    pipeline.land(good.key)
    given(pipeline, "bad", 1)
    assert [run.succeeded for run in graph.run()] == [False, True]
    assert [config["keys"] for config in graph.configs] == [[], []]
    assert pipeline.states() == {"raw/bad.csv": "refused", "raw/good.csv": "published"}


def test_where_every_file_is_bad_or_fine_there_is_one_pass(
    graph: Graph, pipeline: Pipeline
) -> None:
    assert len(graph.run(given(pipeline, "good", 2))) == 1
    assert len(graph.run(given(pipeline, "bad", 1))) == 1
    bad, fine = given(pipeline, "bad too", 3), given(pipeline, "fine", 4)
    assert len(graph.run(bad, fine, replace=True)) == 1
    assert pipeline.states() == {
        "raw/good.csv": "published", "raw/bad.csv": "refused", "raw/bad too.csv": "refused",
        "raw/fine.csv": "landed",
    }  # fmt: skip
    assert len(graph.configs) == 3
    assert [row[0] for row in pipeline.rows()] == ["2024-01-02"]


def test_a_replacement_held_up_by_a_bad_file_of_another_run_replaces_in_the_second_pass(
    graph: Graph, pipeline: Pipeline
) -> None:
    graph.run(given(pipeline, "old", 1))
    pipeline.land(given(pipeline, "bad", 2).key)
    assert len(graph.run(given(pipeline, "new", 3), given(pipeline, "newer", 4), replace=True)) == 2
    assert [row[0] for row in pipeline.rows()] == ["2024-01-03", "2024-01-04"]


def test_a_failure_that_no_file_is_to_blame_for_is_not_tried_again(
    pipeline: Pipeline, database_url: str
) -> None:
    good = given(pipeline, "good", 1)

    def fail(config: dict[str, Any]) -> RunResult:
        pipeline.land(*config["keys"])
        return RunResult("r", Path("/l"), False, {"raw_demand_suite": "no space left on device"})

    runs = run_passes(fail, database_url, [good], replace=False, again=False, say=lambda _: None)
    assert len(runs) == 1


def test_bad_files_of_others_cannot_keep_a_command_running_for_ever(
    graph: Graph, pipeline: Pipeline
) -> None:
    days = iter(range(10, 30))

    def another_bad_file_comes() -> None:
        day = next(days)
        pipeline.land(given(pipeline, f"bad{day}", day).key)

    graph.before_judging = another_bad_file_comes
    good = given(pipeline, "good", 1)
    assert len(graph.run(good)) == MAX_PASSES
    (file,) = files_of(pipeline.conn, [good], [])
    assert (file["key"], file["state"]) == ("raw/good.csv", "landed")


def test_a_given_file_that_was_never_landed_is_reported_as_such(pipeline: Pipeline) -> None:
    good = given(pipeline, "good", 1)
    assert files_of(pipeline.conn, [good], []) == [
        {
            "key": "raw/good.csv", "sha256": good.sha256, "state": NOT_LANDED, "rows": None,
            "reason": None,
        }
    ]  # fmt: skip
