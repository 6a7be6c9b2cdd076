"""States to begin in, scenes to be played, and what became of them: undisturbed and disturbed."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import dagster as dg
import pytest

from scalecast_assets import keys
from scalecast_assets.automation import orphans
from scalecast_assets.resources.warehouse import WarehouseResource
from tests.faults.deliveries import BAD, FIRST, SECOND, THIRD, deliver
from tests.faults.fingerprint import fingerprint, pointers
from tests.faults.place import Place
from tests.faults.run_process import Disturbance, Work
from tests.graph.command import eventually
from tests.graph.world import World

KILLED: Final = -9
INGEST: Final = (keys.RAW_DEMAND, keys.DEMAND_DATA)
FEATURES: Final = (keys.STG_DEMAND, keys.DEMAND_CALENDAR, keys.DEMAND_FEATURES)
MAX_RUNS: Final = 4
_ADVISORY: Final = """
select count(*) from pg_locks
where locktype = 'advisory'
    and database = (select oid from pg_database where datname = current_database())
"""


def cases(names: Iterable[str], slow: Container[str]) -> list[Any]:
    """The names as parameters of a test; the slow ones are for `make test-faults` alone."""
    return [
        pytest.param(name, marks=[pytest.mark.slow_faults] if name in slow else [])
        for name in names
    ]


@dataclass(frozen=True)
class Scene:
    """In a saved state, files are delivered and work is done until nothing is left of it."""

    state: str
    work: Work
    files: tuple[str, ...] = ()


TWO_FILES: Final = Scene("loaded", Work(assets=INGEST), (SECOND, THIRD))
ONE_IS_BAD: Final = Scene("loaded", Work(assets=INGEST), (SECOND, BAD, THIRD))
REPLACEMENT: Final = Scene(
    "loaded", Work(assets=INGEST, config={"replace": True, "keys": [SECOND, THIRD]}),
    (SECOND, THIRD),
)  # fmt: skip
NEW_FEATURES: Final = Scene("published", Work(assets=FEATURES))
NEW_STATE: Final = Scene("featured", Work(assets=(keys.SERVING_STATE,)))
TRAINING: Final = Scene("more to learn", Work(job="retrain"))
PROMOTION: Final = Scene("judged", Work(assets=(keys.PROMOTED_MODEL,)))
HANDOVER: Final = Scene("new state", Work(assets=(keys.FORECASTS, keys.LIVE_ACCURACY)))


@dataclass
class Stage:
    """One place, the states that were saved of it, and how each scene ends undisturbed."""

    place: Place
    prepared_by: "Stage | None" = None
    """Another stage of the same folder and database, which prepares the states of this one."""

    _saved: set[str] = field(default_factory=set)
    _undisturbed: dict[str, dict[str, Any]] = field(default_factory=dict)

    def be_in(self, state: str) -> Place:
        """Put the place in this state, preparing it if it was not before."""
        self._prepare(state)
        self.place.restore(state)
        return self.place

    def _prepare(self, state: str) -> None:
        if self.prepared_by:
            self.prepared_by._prepare(state)
        elif state not in self._saved:
            _STATES[state](self)
            self.place.save(state)
            self._saved.add(state)

    def set_up(self, scene: Scene) -> Place:
        place = self.be_in(scene.state)
        deliver(place.store, *scene.files)
        return place

    def undisturbed(self, scene: Scene) -> dict[str, Any]:
        """The fingerprint of the scene's end when nothing happens to it."""
        name = f"{type(self.place).__name__} {scene}"
        if name not in self._undisturbed:
            self.set_up(scene)
            self.finish(scene)
            self._undisturbed[name] = fingerprint(self.place)
        return self._undisturbed[name]

    def recovered(self, scene: Scene, killed: Disturbance) -> dict[str, Any]:
        """The fingerprint after a run that is killed, and the runs after it."""
        self.set_up(scene)
        run = self.place.run(scene.work, killed)
        assert run.wait() == KILLED, f"it was not killed: {run.said}"
        return self.after_the_fault(scene)

    def after_the_fault(self, scene: Scene) -> dict[str, Any]:
        """The fingerprint at the scene's end, with what holds at each moment proved on the way."""
        pointers(self.place.store)
        assert_nobody_waits_for_the_dead(self.place)
        self.finish(scene)
        assert_nobody_waits_for_the_dead(self.place)
        assert_no_litter(self.place)
        return fingerprint(self.place)

    def finish(self, scene: Scene) -> None:
        """Run until a run succeeds: a file that is refused fails the run that meets it."""
        for _ in range(MAX_RUNS):
            run = self.place.run(scene.work)
            if run.wait() == 0:
                return
        raise AssertionError(f"still failing after {MAX_RUNS} runs: {run.said}")

    def prepare(self, state: str, work: Work, *files: str) -> None:
        self.be_in(state)
        deliver(self.place.store, *files)
        run = self.place.run(work)
        assert run.wait() == 0, run.said


_STATES: Final[dict[str, Callable[[Stage], None]]] = {
    "empty": lambda stage: None,
    "loaded": lambda stage: stage.prepare(
        "empty", Work(assets=(*INGEST, *FEATURES, keys.SERVING_STATE)), FIRST
    ),
    "published": lambda stage: stage.prepare("loaded", Work(assets=INGEST), SECOND, THIRD),
    "featured": lambda stage: stage.prepare("published", Work(assets=FEATURES)),
    "served": lambda stage: stage.prepare("empty", Work(job="everything"), FIRST),
    "more to learn": lambda stage: stage.prepare(
        "served", Work(assets=(*INGEST, *FEATURES)), SECOND, THIRD
    ),
    "new state": lambda stage: stage.prepare("more to learn", Work(assets=(keys.SERVING_STATE,))),
    "fitted": lambda stage: stage.prepare(
        "more to learn", Work(assets=(keys.TRAINING_SET, *keys.CANDIDATES))
    ),
    "weakly served": lambda stage: _serve_weak_champion(stage.be_in("fitted")),
    "judged": lambda stage: stage.prepare("weakly served", Work(assets=(keys.MODEL_COMPARISON,))),
}


def _serve_weak_champion(place: Place) -> None:
    """So that the comparison has something to promote."""
    with place.instance() as instance:
        World(place.home, place.database, place.database_url, instance).serve_weak_champion()


def assert_nobody_waits_for_the_dead(place: Place) -> None:
    """Locks are free, and after the daemon has looked no run seems to be under way."""
    eventually(lambda: place.query(_ADVISORY) == [(0,)], "the locks of the dead are free", 60)
    look_for_killed_runs(place)
    under_way = (
        "select status from dagster.runs where status not in ('SUCCESS', 'FAILURE', 'CANCELED')"
    )
    # Where a daemon lives, a run that was killed is tried again.
    eventually(lambda: place.query(under_way) == [], "no run is under way", 300)


def assert_no_litter(place: Place) -> None:
    """What a killed run spooled, or dbt wrote for it, is gone: it may be gigabytes."""
    left = [*(place.home / "spool").glob("*"), *(place.home / "dbt").glob("run-*")]
    assert left == []


def look_for_killed_runs(place: Place) -> None:
    """One evaluation of the daemon's sensor, of runs that have just begun too."""
    resources = {"warehouse": WarehouseResource(url=place.database_url)}
    with (
        pytest.MonkeyPatch.context() as patch,
        place.instance() as instance,
        dg.build_sensor_context(instance, resources=resources) as context,
    ):
        patch.setattr(orphans, "BEGINNING_SECONDS", 0.0)
        orphans.killed_runs(context)
