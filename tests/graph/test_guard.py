"""The breaker across runs: what a consumer does when the gates above it are not green."""

from collections.abc import Iterator

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run_iterator

from scalecast_assets.checks.guard import require_gates, require_tested_features
from scalecast_assets.contract.columns import Calendar
from scalecast_assets.ingest.schema import Connection
from tests.graph.world import failures

GOOD = dg.AssetCheckKey(dg.AssetKey("data"), "is_good")
COMPLETE = dg.AssetCheckKey(dg.AssetKey("data"), "is_complete")


class Graph:
    """source → data, with two gates → consumer; each part does what a test tells it to."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.source_breaks = False
        self.verdict: dict[str, bool] = {"is_good": True, "is_complete": True}
        self.check_breaks = False

    def run(self, selection: dg.AssetSelection | None = None) -> dg.ExecuteInProcessResult:
        @dg.asset
        def source() -> None:
            if self.source_breaks:
                raise RuntimeError("the source broke")

        @dg.asset(deps=[source])
        def data() -> None: ...

        @dg.multi_asset_check(
            specs=[
                dg.AssetCheckSpec(key.name, asset=key.asset_key, blocking=True)
                for key in (GOOD, COMPLETE)
            ]
        )
        def gates() -> Iterator[dg.AssetCheckResult]:
            if self.check_breaks:
                raise RuntimeError("the check broke")
            for name, passed in self.verdict.items():
                yield dg.AssetCheckResult(asset_key="data", check_name=name, passed=passed)

        @dg.asset(deps=[data])
        def consumer(context: dg.AssetExecutionContext) -> None:
            require_gates(context, GOOD, COMPLETE)

        return dg.materialize(
            [source, data, gates, consumer],
            instance=self.instance,
            selection=selection,
            raise_on_error=False,
        )

    def run_only(self, *names: str) -> dg.ExecuteInProcessResult:
        return self.run(dg.AssetSelection.assets(*names).without_checks())

    def consume(self) -> str:
        """Run the consumer alone; "" or why it refused."""
        return failures(self.run_only("consumer")).get("consumer", "")


@pytest.fixture
def graph() -> Iterator[Graph]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Graph(instance)


def test_gates_that_passed_let_the_consumer_run_in_this_run_and_in_later_ones(
    graph: Graph,
) -> None:
    assert graph.run().success
    assert graph.consume() == ""


def test_a_gate_that_failed_in_an_earlier_run_is_named(graph: Graph) -> None:
    graph.verdict["is_good"] = False
    assert not graph.run().success
    refusal = graph.consume()
    assert "data.is_good has not passed" in refusal
    assert "data.is_complete" not in refusal
    assert "Materialize data together with its checks" in refusal


def test_every_gate_that_was_never_run_is_named(graph: Graph) -> None:
    assert graph.run_only("source", "data").success
    refusal = graph.consume()
    assert "data.is_good has not been evaluated" in refusal
    assert "data.is_complete has not been evaluated" in refusal


def test_a_pass_for_an_older_materialization_does_not_count(graph: Graph) -> None:
    assert graph.run().success
    assert graph.run_only("data").success
    assert "data.is_good passed for an older materialization only" in graph.consume()


def test_a_check_that_broke_leaves_the_breaker_open(graph: Graph) -> None:
    assert graph.run().success
    graph.check_breaks = True
    assert not graph.run().success
    assert "older materialization" in graph.consume()


def test_a_run_that_broke_off_before_the_data_takes_no_pass_away(graph: Graph) -> None:
    assert graph.run().success
    graph.source_breaks = True
    assert not graph.run().success
    assert graph.consume() == ""


def test_passing_once_more_closes_the_breaker(graph: Graph) -> None:
    graph.verdict["is_complete"] = False
    assert not graph.run().success
    graph.verdict["is_complete"] = True
    assert graph.run().success
    assert graph.consume() == ""


def test_a_run_that_was_overtaken_in_the_queue_counts_when_it_has_ended() -> None:
    passes = [True, False]

    @dg.asset(check_specs=[dg.AssetCheckSpec(GOOD.name, asset="data")])
    def data() -> dg.MaterializeResult:  # type: ignore[type-arg]
        return dg.MaterializeResult(
            check_results=[dg.AssetCheckResult(check_name=GOOD.name, passed=passes.pop(0))]
        )

    with dg.DagsterInstance.ephemeral() as instance:
        definitions = dg.Definitions(assets=[data], executor=dg.in_process_executor)
        job = definitions.resolve_implicit_global_asset_job_def()
        overtaken = instance.create_run_for_job(job)  # its check is planned from here on
        context = dg.build_asset_context(instance=instance)
        assert job.execute_in_process(instance=instance).success
        require_gates(context, GOOD)
        list(execute_run_iterator(InMemoryJob(job), overtaken, instance))
        with pytest.raises(dg.Failure, match="has not passed"):
            require_gates(context, GOOD)


def test_a_refusal_is_not_tried_again(graph: Graph) -> None:
    with pytest.raises(dg.Failure) as refusal:
        require_gates(dg.build_asset_context(instance=graph.instance), GOOD)
    assert refusal.value.allow_retries is False


@pytest.fixture
def warehouse(database_url: str) -> Iterator[Connection]:
    """A warehouse whose feature table was built under the contract of calendar ``store``."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create schema features")
        connection.execute("create table features.demand_features (store_id text)")
        say(connection, "feature semantics 1, calendar store")
        yield connection


def say(connection: Connection, comment: str) -> None:
    connection.execute(f"comment on table features.demand_features is '{comment}'".encode())


def refused(connection: Connection, calendar: Calendar = "store") -> str:
    """Why the features are refused; the refusal must not be tried again."""
    with pytest.raises(dg.Failure) as refusal:
        require_tested_features(connection, calendar)
    assert refusal.value.allow_retries is False
    return str(refusal.value.description)


def wait(connection: Connection, ranges: int) -> None:
    for at in range(ranges):
        connection.execute(
            "insert into warehouse.changed_ranges (store_id, from_date, file_seq) "
            "values (%s, '2024-01-01', 1)",
            (f"S{at}",),
        )


def test_features_of_this_contract_that_caught_up_may_be_used(warehouse: Connection) -> None:
    require_tested_features(warehouse, "store")
    assert "found" in refused(warehouse, "observed")


@pytest.mark.parametrize(
    "comment", ["feature semantics 2, calendar store", "feature semantics 1, calendar observed"]
)
def test_features_of_another_contract_are_refused(warehouse: Connection, comment: str) -> None:
    say(warehouse, comment)
    reason = refused(warehouse)
    assert f"expected 'feature semantics 1, calendar store', found '{comment}'" in reason
    assert "run dbt (materialize demand_features)" in reason


def test_features_of_no_known_contract_are_refused(warehouse: Connection) -> None:
    say(warehouse, "")
    assert "found 'no contract'" in refused(warehouse)
    warehouse.execute("drop table features.demand_features")
    assert "materialize demand_features" in refused(warehouse)


@pytest.mark.parametrize("ranges", [1, 3])
def test_features_that_dbts_tests_have_not_passed_on_are_refused(
    warehouse: Connection, ranges: int
) -> None:
    wait(warehouse, ranges)
    reason = refused(warehouse)
    assert f"{ranges} changed ranges wait" in reason
    assert "demand_features with their checks" in reason
    warehouse.execute("delete from warehouse.changed_ranges")
    require_tested_features(warehouse, "store")
