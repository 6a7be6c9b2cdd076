"""``scalecast validate``: the breaker's answer about a file, of which nothing is kept."""

import csv
from pathlib import Path

import psycopg
import pytest

from scalecast_assets.checks.judging import judge_files
from scalecast_assets.ingest.landing import landed_rows
from scalecast_assets.ingest.rules import KEY_IS_UNIQUE, PRICE_IS_POSITIVE, RULES
from scalecast_assets.ingest.trial import on_trial
from scalecast_assets.resources.warehouse import WarehouseResource
from tests.factories_files import GOOD, Pipeline, csv_of
from tests.graph.command import Shell

# Great Expectations and what it imports warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")

BAD = (GOOD.replace("9.99", "0"), GOOD.replace("P1", "P2"), GOOD.replace("P1", "P2"))


def state_of(conn: "psycopg.Connection[tuple[object, ...]]") -> list[object]:
    """Everything that ingestion keeps in the database, landed partitions included."""
    tables = [
        row[0]
        for row in conn.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables"
            " where schemaname in ('landing', 'warehouse') order by 1"
        ).fetchall()
    ]
    return [(t, conn.execute(f"select * from {t}".encode()).fetchall()) for t in tables]


def test_it_says_what_would_be_refused_and_where_as_exit_code_3(shell: Shell) -> None:
    file = shell.folder / "bad sales.csv"
    file.write_bytes(csv_of(*BAD))
    report = shell.folder / "bad lines.csv"
    answer = shell.scalecast("validate", "--json", "--report", report, file)
    assert answer.code == 3, answer.err
    facts = answer.json
    assert (facts["accepted"], facts["rows"], facts["known_as"]) == (False, 3, None)
    assert [rule["name"] for rule in facts["rules"]] == [rule.name for rule in RULES]
    broken = {rule["name"]: rule for rule in facts["rules"] if not rule["passed"]}
    assert set(broken) == {PRICE_IS_POSITIVE, KEY_IS_UNIQUE}
    (price,) = broken[PRICE_IS_POSITIVE]["first_bad_lines"]
    assert (price["line"], price["column"], price["value"]) == (2, "price", "0")
    with report.open(newline="") as opened:
        lines = [(row["line"], row["rule"]) for row in csv.DictReader(opened)]
    assert lines == [("2", PRICE_IS_POSITIVE), ("3", KEY_IS_UNIQUE), ("4", KEY_IS_UNIQUE)]


def test_a_good_file_would_be_accepted_and_the_words_say_so(shell: Shell) -> None:
    file = shell.folder / "good.csv"
    file.write_bytes(csv_of(GOOD))
    answer = shell.scalecast("validate", file)
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1] == "good.csv: 1 row, would be accepted."
    assert answer.out.count("✓") == len(RULES)


def test_nothing_is_kept_of_a_trial_and_what_waits_is_left_alone(
    database_url: str, tmp_path: Path
) -> None:
    pipeline = Pipeline(database_url, tmp_path)
    pipeline.put("raw/published.csv", GOOD)
    pipeline.run()
    pipeline.put("raw/waiting.csv", GOOD.replace("P1", "P3"))
    pipeline.land()
    file = tmp_path / "bad.csv"
    file.write_bytes(csv_of(*BAD))
    url = WarehouseResource(url=database_url).sqlalchemy_url
    with psycopg.connect(database_url, autocommit=True) as conn:
        before = state_of(conn)
        with on_trial(conn, file, {}) as trial:
            verdict = judge_files(conn, url, [trial.file])
        assert {j.rule.name for j in verdict.judgements if not j.passed} == {
            PRICE_IS_POSITIVE,
            KEY_IS_UNIQUE,
        }
        assert state_of(conn) == before
        pipeline.conn.close()


def test_known_bytes_are_said_to_be_known(database_url: str, tmp_path: Path) -> None:
    pipeline = Pipeline(database_url, tmp_path)
    pipeline.put("raw/first.csv", GOOD)
    pipeline.run()
    file = tmp_path / "other name.csv"
    file.write_bytes(csv_of(GOOD))
    with on_trial(pipeline.conn, file, {}) as trial:
        assert trial.known is not None
        assert (trial.known.key, trial.known.state) == ("raw/first.csv", "published")
    pipeline.conn.close()


def test_what_a_killed_trial_leaves_is_swept_away_by_the_next_intake(
    database_url: str, tmp_path: Path
) -> None:
    pipeline = Pipeline(database_url, tmp_path)
    file = tmp_path / "good.csv"
    file.write_bytes(csv_of(GOOD))
    killed = psycopg.connect(database_url, autocommit=True)
    with on_trial(killed, file, {}) as trial:
        killed.close()
    assert landed_rows(pipeline.conn, trial.file.file_seq) == 1
    pipeline.land()
    assert landed_rows(pipeline.conn, trial.file.file_seq) is None
    pipeline.conn.close()
