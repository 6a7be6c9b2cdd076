"""A file over which Great Expectations raises: refused for that, and in nobody's way."""

from collections.abc import Callable
from typing import Any

import pytest

from scalecast_assets.alerting.cause import Look
from scalecast_assets.alerting.files import refused_files
from scalecast_assets.checks import rule_suite
from scalecast_assets.ingest import rules
from scalecast_assets.ingest.verdict import UNJUDGED
from tests.factories_files import GOOD, Pipeline
from tests.graph.test_ingestion import Graph, failed_checks

# Great Expectations and what it imports warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")

CRASHES = GOOD.replace("S1", "CRASH")
OF_ONE_FILE = "select * from {batch} where 1 / (case store_id when 'CRASH' then 0 else 2 end) = 1"
OF_ANY = "select * from {batch}, landing.no_such_table"


@pytest.fixture
def graph(database_url: str, tmp_path: Any) -> Any:
    graph = Graph(database_url, tmp_path)
    yield graph
    graph.pipeline.conn.close()


@pytest.fixture
def suite_raises(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have the suite ask this query besides, as Postgres and Great Expectations really fail."""

    def have(query: str) -> None:
        usual = rule_suite._expectations_of_rows

        def altered() -> list[Any]:
            return [*usual()[:-1], rule_suite._nothing(query, rules.KEY_IS_UNIQUE)]

        monkeypatch.setattr(rule_suite, "_expectations_of_rows", altered)

    return have


def reason_of(pipeline: Pipeline, key: str) -> str:
    query = "select reason from warehouse.file_ledger where key = %s"
    (row,) = pipeline.conn.execute(query, (key,)).fetchall()
    return str(row[0])


def test_a_file_over_which_the_judging_raises_is_refused_and_holds_up_nobody(
    graph: Graph, suite_raises: Callable[[str], None]
) -> None:
    suite_raises(OF_ONE_FILE)
    pipeline = graph.pipeline
    good = [f"raw/{name}.csv" for name in "acde"]
    for number, key in enumerate(good):
        pipeline.put(key, GOOD.replace("S1", f"S{number}"))
    pipeline.put("raw/b.csv", CRASHES)
    first = graph.run()
    assert not first.success, "nothing passes unjudged"
    assert {rule.name for rule in rules.RULES if rule.blocking} <= failed_checks(first)
    assert pipeline.states() == {"raw/b.csv": "refused"} | dict.fromkeys(good, "landed")
    assert UNJUDGED in reason_of(pipeline, "raw/b.csv")
    assert "division by zero" in reason_of(pipeline, "raw/b.csv")
    assert graph.run().success
    assert pipeline.states() == {"raw/b.csv": "refused"} | dict.fromkeys(good, "published")
    copies = [info.key for info in pipeline.store.list("quarantine/")]
    assert [key.rpartition("/")[2] for key in copies] == ["b.csv", "report.csv", "report.html"]
    ((now,),) = pipeline.conn.execute("select clock_timestamp()").fetchall()
    look = Look(now, {}, frozenset(), {})
    (alert,) = refused_files(pipeline.conn, pipeline.store)(look)
    assert "division by zero" in alert.what
    assert alert.to_do.startswith("Do as the reason says")


def test_once_the_judging_is_mended_the_file_is_loaded_on_request(
    graph: Graph, suite_raises: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context():
        suite_raises(OF_ONE_FILE)
        graph.pipeline.put("raw/b.csv", CRASHES)
        assert not graph.run().success
    monkeypatch.undo()
    assert graph.run(keys=["raw/b.csv"], again=True).success
    assert graph.pipeline.states() == {"raw/b.csv": "published"}


def test_when_the_judging_raises_over_nothing_no_file_is_to_blame(
    graph: Graph, suite_raises: Callable[[str], None]
) -> None:
    suite_raises(OF_ANY)
    graph.pipeline.put("raw/a.csv", GOOD)
    graph.pipeline.put("raw/b.csv", CRASHES)
    assert not graph.run().success
    assert graph.pipeline.states() == dict.fromkeys(("raw/a.csv", "raw/b.csv"), "landed")


def test_what_raised_once_and_not_again_blames_nobody(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, calls = rule_suite.ask, []

    def ask_in_bad_weather(*given: Any) -> Any:
        calls.append(given)
        if len(calls) < 3:  # over all, and over the first half
            raise RuntimeError("the server closed the connection unexpectedly")
        return ask(*given)

    monkeypatch.setattr("scalecast_assets.checks.judging.ask", ask_in_bad_weather)
    graph.pipeline.put("raw/a.csv", GOOD)
    graph.pipeline.put("raw/b.csv", CRASHES)
    assert not graph.run().success
    assert graph.pipeline.states() == dict.fromkeys(("raw/a.csv", "raw/b.csv"), "landed")
    assert graph.run().success
