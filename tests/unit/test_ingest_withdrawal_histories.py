"""Any history of files, replacements, corrections and withdrawals against a model that is naive.

The model keeps every publication there ever was and publishes them anew, those of withdrawn
contents left out, in their order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scalecast_assets.ingest.withdrawal import withdraw
from tests.factories_files import Pipeline, csv_of, line

DROPPED = 1_700_000_000.0
"""When the first file was dropped into the bucket, in seconds since 1970: before any command."""

CONTENTS = range(6)
COMMANDS = st.tuples(
    st.sampled_from(["run", "again", "replace"]),
    st.lists(st.sampled_from(CONTENTS), unique=True, min_size=1, max_size=3),
)
STEPS = st.one_of(
    st.tuples(st.just("drop"), st.sampled_from(CONTENTS)),
    COMMANDS,
    st.tuples(st.sampled_from(["withdraw", "die withdrawing"]), st.sampled_from(CONTENTS)),
)
Key = tuple[str, str]


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


def rows_of(content: int) -> dict[Key, float]:
    """Some rows that others have too, and one of its own."""
    quantity = float(content)
    shared = {(f"2024-01-{1 + (content * k) % 4:02}", f"S{k % 2}"): quantity for k in (1, 2, 3)}
    return shared | {(f"2024-01-{10 + content}", f"S{content}"): quantity}


def lines_of(content: int) -> list[str]:
    return [line(int(day[-2:]), store, quantity=q) for (day, store), q in rows_of(content).items()]


@dataclass
class Model:
    """Every publication: its order, the content, and the replacement it was of, if of one."""

    publications: list[tuple[float, int, int | None]] = field(default_factory=list)
    replacements: dict[int, set[int]] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)
    clock: int = 10**10

    def drop(self, content: int) -> None:
        if content not in self.known:
            self.publications.append((content, content, None))
            self.known.add(content)

    def command(self, how: str, contents: list[int]) -> None:
        number = len(self.replacements) if how == "replace" else None
        taken = [c for c in contents if how != "run" or c not in self.known]
        for content in taken:
            self.clock += 1
            self.publications.append((self.clock, content, number))
        if number is not None:
            self.replacements[number] = set(contents)
        self.known |= set(contents)

    def withdraw(self, content: int) -> None:
        self.publications = [p for p in self.publications if p[1] != content]
        for contents in self.replacements.values():
            contents.discard(content)

    def rows(self) -> dict[Key, float]:
        base = max((n for n, contents in self.replacements.items() if contents), default=None)
        begin = min((order for order, _, number in self.publications if number == base), default=0)
        found: dict[Key, float] = {}
        for order, content, _ in sorted(self.publications, key=lambda p: p[0]):
            if base is None or order >= begin:
                found |= rows_of(content)
        return found


def found_in(pipeline: Pipeline) -> dict[Key, float]:
    return {(str(day), str(store)): q for day, store, _, q in pipeline.rows()}  # type: ignore[misc]


def take_back(pipeline: Pipeline, content: int, dies: bool) -> None:
    """Withdraw; where it dies, the server ends the connection as it does a killed process's."""
    digest = sha256(csv_of(*lines_of(content))).hexdigest()

    def die(text: str) -> None:
        pipeline.conn.execute("select pg_terminate_backend(pg_backend_pid())")

    if dies:
        before = pipeline.checksum()
        try:
            withdraw(pipeline.conn, pipeline.store, digest, say=die)
        except psycopg.OperationalError:
            pipeline.conn = psycopg.connect(pipeline.url, autocommit=True)
            assert pipeline.checksum() == before
    withdraw(pipeline.conn, pipeline.store, digest)


def take(pipeline: Pipeline, model: Model, step: tuple[str, Any]) -> None:
    what, whom = step
    if what == "drop":
        pipeline.put(f"raw/{whom}.csv", *lines_of(whom), modified=DROPPED + whom)
        pipeline.run()
        model.drop(whom)
    elif what in ("withdraw", "die withdrawing"):
        take_back(pipeline, whom, dies=what == "die withdrawing")
        model.withdraw(whom)
    else:
        keys = [f"raw/{content}.csv" for content in whom]
        for key, content in zip(keys, whom, strict=True):
            pipeline.put(key, *lines_of(content), modified=DROPPED + content)
        pipeline.run(*keys, again=what == "again", replace=what == "replace")
        model.command(what, whom)


def forget_everything(pipeline: Pipeline) -> None:
    pipeline.conn.execute(
        "truncate warehouse.file_ledger, warehouse.file_objects, warehouse.replacements,"
        " warehouse.demand_data, warehouse.changed_ranges, warehouse.id_codes"
    )
    for path in pipeline.store.root.glob("raw/*"):
        path.unlink()


def changed(before: dict[Key, float], after: dict[Key, float]) -> dict[str, str]:
    """By store the first day on which anything differs."""
    days: dict[str, list[str]] = {}
    for day, store in before.keys() | after.keys():
        if before.get((day, store)) != after.get((day, store)):
            days.setdefault(store, []).append(day)
    return {store: min(of_store) for store, of_store in days.items()}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=4, max_size=14))
def test_the_warehouse_is_that_of_all_files_but_the_withdrawn_ones_in_their_order(
    pipeline: Pipeline, steps: list[tuple[str, Any]]
) -> None:
    forget_everything(pipeline)
    model = Model()
    for number, step in enumerate(steps):
        before, codes = found_in(pipeline), pipeline.codes()
        pipeline.clear_ranges()
        take(pipeline, model, step)
        after = found_in(pipeline)
        assert after == model.rows(), steps[: number + 1]
        assert pipeline.unvouched() == set()
        assert codes.items() <= pipeline.codes().items(), "a code has changed"
        first_changes, noted = changed(before, after), pipeline.ranges()
        assert all(noted[store] <= day for store, day in first_changes.items())
        if step[0] == "withdraw":
            assert noted == first_changes, "only what changed is computed again"
