"""The ledger and the bucket: what counts as seen, in which order, and that nothing gets lost."""

import gzip
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scalecast_assets.ingest import intake
from scalecast_assets.ingest.landing import LandingError, spool
from scalecast_assets.ingest.ledger import files_in_state
from scalecast_assets.ingest.publish import publish
from scalecast_assets.ingest.verdict import decide
from tests.factories_files import Pipeline, csv_of, line


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


def test_an_original_that_is_put_back_is_noticed_and_can_be_loaded_anew(
    pipeline: Pipeline,
) -> None:
    for quantity in (1, 2):
        pipeline.put("raw/a.csv", line(1, quantity=quantity))
        pipeline.run()
    pipeline.put("raw/a.csv", line(1, quantity=1))
    assert [o.outcome for o in pipeline.land()] == ["known"]
    assert "run with --again to load them anew" in pipeline.messages[-1]
    assert pipeline.land() == [], "it is told once"
    pipeline.run("raw/a.csv", again=True)
    assert [row[3] for row in pipeline.rows()] == [1]
    pipeline.put("raw/a.csv", line(1, quantity=2))
    assert [o.outcome for o in pipeline.land()] == ["known"]


def test_refused_bytes_under_the_name_that_fits_them_are_judged_anew(pipeline: Pipeline) -> None:
    packed = gzip.compress(csv_of(line(1, quantity=7)))
    pipeline.store.put("raw/sales.csv", packed)
    pipeline.land()
    pipeline.judge(bad="raw/sales.csv")
    assert pipeline.states() == {"raw/sales.csv": "refused"}
    pipeline.store.put("raw/same.csv", packed)
    assert [o.outcome for o in pipeline.land()] == ["known"], "no more right than before"
    pipeline.store.put("raw/sales.csv.gz", packed)
    pipeline.run()
    assert [row[3] for row in pipeline.rows()] == [7]
    assert pipeline.states()["raw/sales.csv.gz"] == "published"


def test_a_file_from_the_future_is_the_newest_until_the_next_one_only(
    pipeline: Pipeline,
) -> None:
    pipeline.put("raw/a.csv", line(1, quantity=1), modified=time.time() + 86_400)
    (outcome,) = pipeline.land()
    assert "yet to come" in outcome.warnings[0]
    pipeline.run()
    pipeline.put("raw/b.csv", line(1, quantity=2))
    pipeline.run()
    assert [row[3] for row in pipeline.rows()] == [2]


BAD = 3
"""Of the contents 0 to 3, this one is refused whenever it is judged."""

KEYS = ["raw/a.csv", "raw/b.csv", "raw/c.csv"]
STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(0, BAD)),
    st.tuples(
        st.sampled_from(["run", "die before judging", "die before publishing"]),
        st.lists(st.sampled_from(KEYS), unique=True, max_size=3),
        st.sampled_from(["", "again", "replace"]),
    ),
    st.tuples(
        st.just("die landing"),
        st.lists(st.sampled_from(KEYS), unique=True, min_size=1, max_size=3),
        st.sampled_from(["again", "replace"]),
    ),
)


class Killed(BaseException):
    """What takes a run away in the middle."""


def content(number: int) -> list[str]:
    """Two of the contents share rows, so that one can be older than the other."""
    return [line(1 + number // 2, "S1", quantity=number), line(9, f"S{number}")]


SHAS = [sha256(csv_of(*content(number))).hexdigest() for number in range(BAD + 1)]


def judge(pipeline: Pipeline) -> None:
    files = files_in_state(pipeline.conn, "landed", "validated")
    whole = [f for f in files if f.replace_run is None or f.replace_size is not None]
    bad = {f.file_seq: "bad" for f in whole if f.sha256 == SHAS[BAD]}
    decide(pipeline.conn, whole, bad)


def take(pipeline: Pipeline, step: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    what, keys, how = step
    if what == "put":
        pipeline.put(keys, *content(how))
        return
    flags = {"again": how == "again", "replace": how == "replace"}
    spooled = 0

    def dies_at_the_last(*given: Any) -> Any:
        nonlocal spooled
        spooled += 1
        if what == "die landing" and spooled == len(keys):
            raise Killed
        return spool(*given)

    with monkeypatch.context() as patch:
        patch.setattr(intake, "spool", dies_at_the_last)
        try:
            pipeline.die_landing(*keys, **flags)
        except (Killed, LandingError):
            return
    if what == "die before judging":
        return
    judge(pipeline)
    if what == "run":
        publish(pipeline.conn)


def forget_everything(pipeline: Pipeline) -> None:
    pipeline.conn.execute(
        "truncate warehouse.file_ledger, warehouse.file_objects, warehouse.replacements,"
        " warehouse.demand_data, warehouse.changed_ranges, landing.rejected_lines"
    )
    for path in pipeline.store.root.glob("raw/*"):
        path.unlink()


def test_a_ledger_of_before_is_brought_up_to_date(pipeline: Pipeline) -> None:
    pipeline.conn.execute(
        "drop table warehouse.schema_version;"
        " alter table warehouse.file_ledger drop constraint file_ledger_place,"
        " drop constraint file_ledger_content, add unique (file_seq),"
        " add constraint file_ledger_pkey primary key (sha256)"
    )
    pipeline.put("raw/a.csv", line(1))
    pipeline.run()
    pipeline.land("raw/a.csv", again=True)
    assert pipeline.unvouched() == set()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=3, max_size=12))
def test_rows_are_vouched_for_and_files_wait_whatever_is_killed_or_refused(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[Any, ...]]
) -> None:
    forget_everything(pipeline)
    for step in steps:
        take(pipeline, step, monkeypatch)
        assert pipeline.unvouched() == set()
    for _ in range(3):  # a bad file holds the others up for one run
        take(pipeline, ("run", [], ""), monkeypatch)
    assert pipeline.unvouched() == set()
    found = pipeline.conn.execute("select sha256, state from warehouse.file_ledger").fetchall()
    assert {state for _, state in found} <= {"published", "refused"}
    for info in pipeline.store.list("raw/"):
        held = sha256(pipeline.store.get(info.key).body).hexdigest()
        assert (held, "refused" if held == SHAS[BAD] else "published") in found
