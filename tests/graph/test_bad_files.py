"""The corpus of bad files before the real breaker: each refused whole, by line and reason.

All of them wait in one bucket beside a warehouse that must not change; they are landed, judged by
Great Expectations and quarantined once, and each test looks at one file of that. What the files are
is in ``tests/bad_files.py``; a handful go through the whole graph in ``test_ingestion.py``.
"""

import csv
import io
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from scalecast_assets.checks.expectations import judge
from scalecast_assets.checks.judging import Verdict, judge_files
from scalecast_assets.ingest.intake import Intake, take_in
from scalecast_assets.ingest.publish import publish
from scalecast_assets.ingest.rules import RULES
from scalecast_assets.ingest.verdict import page_key, report_key
from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from scalecast_assets.resources.warehouse import WarehouseResource
from tests.bad_files import RENAMES, BadFile, bad_files
from tests.factories_files import GOOD, Pipeline, csv_of
from tests.graph.world import drop_database

# Great Expectations and what it imports warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")

CORPUS = bad_files()
BEFORE = [f"2023-12-{day:02},S{day % 3},P1,{day},9.99,true" for day in range(1, 29)]


@dataclass
class Trial:
    """What became of the corpus: the warehouse before and after, the verdict, what was written."""

    pipeline: Pipeline
    before: tuple[str, list[tuple[object, ...]]]
    verdict: Verdict
    reasons: Mapping[str, str | None]
    states: Mapping[str, str]

    @property
    def url(self) -> str:
        return WarehouseResource(url=self.pipeline.url).sqlalchemy_url

    def report(self, file: BadFile) -> list[dict[str, str]]:
        (judged,) = [f for f in self.verdict.files if f.key == f"raw/{file.name}"]
        text = self.pipeline.store.get(report_key(judged)).body.decode()
        return list(csv.DictReader(io.StringIO(text)))

    def page(self, file: BadFile) -> str:
        (judged,) = [f for f in self.verdict.files if f.key == f"raw/{file.name}"]
        return self.pipeline.store.get(page_key(judged)).body.decode()


def state_of(pipeline: Pipeline) -> tuple[str, list[tuple[object, ...]]]:
    """Everything that a refusal must not touch."""
    tables = ("demand_data", "id_codes", "changed_ranges", "replacements")
    kept = [
        (table, *row)
        for table in tables
        for row in pipeline.conn.execute(f"select * from warehouse.{table}".encode()).fetchall()
    ]
    kept += pipeline.conn.execute(
        "select * from warehouse.file_ledger where key = 'raw/first.csv'"
    ).fetchall()
    return pipeline.checksum(), kept


@pytest.fixture(scope="module")
def trial(
    postgres_server: PostgresServer,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Trial]:
    name = f"corpus_{uuid.uuid4().hex[:12]}"
    create_database(postgres_server, name, template=template_database)
    url = postgres_server.url(name)
    pipeline = Pipeline(url, tmp_path_factory.mktemp("corpus"))
    pipeline.put("raw/first.csv", *BEFORE)
    pipeline.run()
    before = state_of(pipeline)
    for file in CORPUS:
        pipeline.store.put(f"raw/{file.name}", file.data)
    pipeline.store.put("raw/good.csv", csv_of(GOOD.replace("P1", "NEW")))
    intake = Intake("run-of-the-corpus", renames=RENAMES)
    take_in(pipeline.conn, pipeline.store, intake, pipeline.messages.append)
    verdict = judge(pipeline.conn, pipeline.store, WarehouseResource(url=url).sqlalchemy_url)
    yield Trial(pipeline, before, verdict, pipeline.reasons(), pipeline.states())
    pipeline.conn.close()
    drop_database(postgres_server, name)


def test_the_corpus_is_large_and_no_two_files_are_alike() -> None:
    assert len(CORPUS) >= 150
    assert len({file.data for file in CORPUS}) == len({file.name for file in CORPUS}) == len(CORPUS)


def test_every_rule_that_refuses_has_a_file_that_breaks_it() -> None:
    broken = {rule for file in CORPUS for rule, _ in file.faults}
    assert broken == {rule.name for rule in RULES if rule.blocking}


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.name)
def test_a_bad_file_is_refused_by_its_line_and_reason(trial: Trial, file: BadFile) -> None:
    assert trial.states[f"raw/{file.name}"] == "refused"
    named = trial.report(file)
    assert {(row["rule"], int(row["line"])) for row in named} == file.faults
    assert any(file.reason in row["reason"] for row in named), named[:5]
    reason = str(trial.reasons[f"raw/{file.name}"])
    for rule, _ in file.faults:
        first = min(line for name, line in file.faults if name == rule)
        assert f"{rule}: " in reason
        assert f"first line {first}, " in reason


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.name)
def test_each_bad_file_has_a_page_of_bounded_size_that_names_its_lines(
    trial: Trial, file: BadFile
) -> None:
    page = trial.page(file)
    assert len(page.encode()) < 300_000
    for rule, line in sorted(file.faults)[:20]:
        assert f'<h2 id="{rule}">' in page
        assert f'<th scope="row" class="number">{line:,}</th>' in page
    for hostile in ("<script>", "\0", "\u202e", "\u200b", "\ufeff"):
        assert hostile not in page


@pytest.mark.parametrize("rule", [rule.name for rule in RULES if rule.blocking])
def test_great_expectations_finds_a_file_bad_when_nothing_else_is(trial: Trial, rule: str) -> None:
    """Among all, one file could hide behind another that breaks the same rule."""
    names = [f"raw/{file.name}" for file in CORPUS if {name for name, _ in file.faults} == {rule}]
    (judged,) = [file for file in trial.verdict.files if file.key == names[0]]
    verdict = judge_files(trial.pipeline.conn, trial.url, [judged])
    assert {j.rule.name for j in verdict.judgements if not j.passed} == {rule}


def test_the_warehouse_is_untouched_and_the_next_run_publishes_the_good_file(trial: Trial) -> None:
    pipeline = trial.pipeline
    assert state_of(pipeline) == trial.before
    states = pipeline.states()
    assert states.pop("raw/first.csv") == "published"
    assert states.pop("raw/good.csv") == "landed"
    assert set(states.values()) == {"refused"}
    assert len(states) == len(CORPUS)
    assert trial.verdict.unreported == {}
    judge(pipeline.conn, pipeline.store, trial.url)
    assert [file.key for file in publish(pipeline.conn).files] == ["raw/good.csv"]
    assert len(pipeline.rows()) == len(BEFORE) + 1
