"""One purge, from what may go to what went: area by area, each thing on its own.

Whatever breaks off, a thing or the whole purge, the next one goes on: a plan is made anew each time
from what is there.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.resources.turns import training_held_off
from scalecast_assets.retention import database, local_files, runs, store_purge
from scalecast_assets.retention.plan import Removal
from scalecast_assets.retention.policy import Policy
from scalecast_assets.retention.store_purge import StillNeeded


@dataclass(frozen=True)
class Places:
    """Where things are kept; ``checks`` are the asset checks whose last verdicts are needed."""

    conn: Connection
    store: ObjectStore
    home: Path
    instance: dg.DagsterInstance
    checks: Collection[dg.AssetCheckKey]


@dataclass
class Report:
    """What went (or would), what could not be removed and why, and what was left alone."""

    dry_run: bool
    removed: list[Removal] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """What it took up; of rows and runs in Postgres that is given back by its vacuum."""
        return sum(removal.bytes for removal in self.removed)

    def by_area(self) -> dict[str, tuple[int, int]]:
        """Things and bytes by area."""
        found: dict[str, tuple[int, int]] = {}
        for removal in self.removed:
            things, size = found.get(removal.area, (0, 0))
            found[removal.area] = (things + 1, size + removal.bytes)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {
            "dry_run": self.dry_run,
            "removed": [
                {name: value for name, value in asdict(removal).items() if name != "keys"}
                for removal in self.removed
            ],
            "bytes": self.bytes,
            "failed": self.failed,
            "notes": self.notes,
        }


def purge(
    places: Places,
    policy: Policy,
    *,
    now: datetime,
    dry_run: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Remove what nobody needs and is older than the policy keeps; ``dry_run`` only lists it."""
    report = Report(dry_run)
    conn, store = places.conn, places.store

    def go_through(planned: Iterable[Removal], remove: Callable[[Removal], None]) -> None:
        for removal in list(planned):
            try:
                if not dry_run:
                    remove(removal)
            except StillNeeded as needed:
                report.notes.append(f"{removal.area} {removal.name} stays: {needed}")
            except Exception as error:
                report.failed[f"{removal.area} {removal.name}"] = f"{error}"
            else:
                report.removed.append(removal)
                say(f"{removal.area} {removal.name}: {removal.why}")

    def from_store(removal: Removal) -> None:
        store_purge.remove(store, removal)

    with training_held_off(conn) as held:
        if held:
            go_through(store_purge.plan_versions(store, policy, now), from_store)
            # Of what is left by now: one that came to be served meanwhile has stayed.
            gone = {removal.name for removal in report.removed}
            current = database.current_training_set(conn)
            go_through(store_purge.plan_lineage(store, policy, current, gone, now), from_store)
        else:
            areas = ", ".join(store_purge.TRAINING_AREAS)
            report.notes.append(f"{areas}: left alone, a training is under way")
    go_through(store_purge.plan_other_areas(store, policy, now), from_store)
    go_through(
        database.plan_forecast_rows(conn, policy.forecasts_days),
        lambda removal: database.remove_forecast_rows(conn, removal),
    )
    go_through(
        database.plan_alerts(conn, policy.alerts_days, now),
        lambda removal: database.remove_alerts(conn, removal, policy.alerts_days, now),
    )
    _purge_landing(conn, now, report)
    go_through(
        local_files.plan_local_files(places.home, policy.logs_days, now), local_files.remove_local
    )
    go_through(
        _planned_runs(places, policy, now),
        lambda removal: runs.remove_run(places.instance, removal),
    )
    return report


def _purge_landing(conn: Connection, now: datetime, report: Report) -> None:
    landed = list(database.plan_landing(conn, now))
    if landed and not report.dry_run and not database.remove_landing(conn, now):
        report.notes.append("landing: left alone, an ingest is at work and does it itself")
        return
    report.removed += landed


def _planned_runs(places: Places, policy: Policy, now: datetime) -> Iterator[Removal]:
    if not policy.runs_days:
        return iter(())
    needed = runs.needed_runs(places.instance, places.checks, places.conn)
    return runs.plan_runs(places.instance, needed, policy.runs_days, now)
