"""Properties of the whole breaker: one bad cell refuses a file, another way to write it does not.

Each example is parsed, landed and judged by Great Expectations, as by ``scalecast validate``. The
parser alone, on many more examples: ``tests/unit/test_ingest_equivalent.py``.
"""

import csv
import io
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from scalecast_assets.checks.judging import judge_files
from scalecast_assets.ingest.landing import partition
from scalecast_assets.ingest.refusal import listed, write_report
from scalecast_assets.ingest.rules import KEY_IS_UNIQUE
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.ingest.trial import on_trial
from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from scalecast_assets.resources.warehouse import WarehouseResource
from tests.graph.world import drop_database
from tests.sales_files import SALES, WRITINGS, Corrupted, Sale, Writing, corrupted

# Great Expectations and what it imports warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")

FEW = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Judged:
    """The breaker's answer about one file: rules it breaks, what the CSV names, what landed."""

    broken: set[str]
    named: list[tuple[int, str, str]]
    rows: list[tuple[object, ...]]


@dataclass(frozen=True)
class Breaker:
    conn: Connection
    url: str

    def judge(self, data: bytes, name: str) -> Judged:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            with on_trial(self.conn, path, {}) as trial:
                verdict = judge_files(self.conn, self.url, [trial.file])
                report = io.BytesIO()
                with listed(self.conn, trial.file):
                    write_report(self.conn, report)
                named = csv.DictReader(io.StringIO(report.getvalue().decode(), newline=""))
                rows = self.conn.execute(
                    "select date, store_id, product_id, quantity_sold, price, promotion from "
                    + partition(trial.file.file_seq).as_string()
                    + " order by line_no"
                ).fetchall()
                return Judged(
                    {j.rule.name for j in verdict.judgements if j.rule.blocking and not j.passed},
                    [(int(row["line"]), row["column"], row["rule"]) for row in named],
                    rows,
                )


@pytest.fixture(scope="module")
def breaker(postgres_server: PostgresServer, template_database: str) -> Iterator[Breaker]:
    name = f"judged_{uuid.uuid4().hex[:12]}"
    create_database(postgres_server, name, template=template_database)
    url = postgres_server.url(name)
    with psycopg.connect(url, autocommit=True) as conn:
        yield Breaker(conn, WarehouseResource(url=url).sqlalchemy_url)
    drop_database(postgres_server, name)


@FEW
@given(sales=SALES, writing=WRITINGS)
def test_valid_sales_are_accepted_and_landed_alike_however_they_are_written(
    breaker: Breaker, sales: list[Sale], writing: Writing
) -> None:
    plain = Writing()
    expected = breaker.judge(plain.write(sales), plain.name)
    found = breaker.judge(writing.write(sales), writing.name)
    assert (found.broken, found.named) == (expected.broken, expected.named) == (set(), [])
    assert found.rows == expected.rows
    assert len(found.rows) == len(sales)


@FEW
@given(spoilt=corrupted(), writing=WRITINGS)
def test_one_bad_cell_refuses_the_file_by_its_line_and_rule(
    breaker: Breaker, spoilt: Corrupted, writing: Writing
) -> None:
    found = breaker.judge(writing.write(spoilt.sales), writing.name)
    assert found.broken == {spoilt.fault.rule}
    assert found.named == [(spoilt.line, spoilt.fault.column, spoilt.fault.rule)]


@FEW
@given(sales=SALES, writing=WRITINGS)
def test_a_line_that_is_there_again_refuses_the_file_by_both_lines(
    breaker: Breaker, sales: list[Sale], writing: Writing
) -> None:
    found = breaker.judge(writing.write([*sales, sales[0]]), writing.name)
    last = 2 + sum(1 + cell.count("\n") for sale in sales for cell in sale[1:2])
    last += sum(sale[2].count("\n") for sale in sales)
    assert found.broken == {KEY_IS_UNIQUE}
    assert [line for line, _, _ in found.named] == [2, last]
