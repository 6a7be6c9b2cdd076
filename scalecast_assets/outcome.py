"""``scalecast run``: land files, run everything, and collect what became of files and models."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import dagster as dg
import psycopg
from psycopg.rows import dict_row
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scalecast_assets import keys
from scalecast_assets.contract.bundle import read_manifest
from scalecast_assets.contract.pointers import read_serving
from scalecast_assets.contract.store import ObjectNotFound, ObjectStore
from scalecast_assets.progress import Progress
from scalecast_assets.resources.configured import store_of
from scalecast_assets.resources.model_records import Promotion, promotion_of_run
from scalecast_assets.runner import RunResult, execute
from scalecast_assets.runtime import Runtime
from scalecast_assets.settings import SettingsError

COLUMNS: Final = {
    "mae": "MAE",
    "rmse": "RMSE",
    "mape": "MAPE",
    "r2": "R²",
    "wape": "WAPE",
    "rmsse": "RMSSE",
    "bias": "bias",
    "one_step_mae": "1-step MAE",
    "fit_seconds": "fit s",
}
EVERYTHING: Final = "everything"
"""The job that materializes the whole graph."""


@dataclass
class Outcome:
    """What ``scalecast run`` reports; ``to_json`` is the contract of ``--json``."""

    files: list[dict[str, Any]]
    rows_published: int
    seconds: float
    runs: list[RunResult]
    promotion: Promotion | None
    champion: dict[str, Any] | None
    """What is served after the run, whether or not the run got as far as comparing."""
    refused: bool = False

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed, 3 a file was refused."""
        if self.refused:
            return 3
        return 0 if self.runs[-1].succeeded else 1

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        promotion = self.promotion
        return {
            "files": self.files,
            "rows_published": self.rows_published,
            "leaderboard": promotion.leaderboard if promotion else [],
            "champion": self.champion,
            "promoted": bool(promotion and promotion.outcome == "promoted"),
            "why": promotion.why if promotion else self._why_not(),
            "seconds": round(self.seconds, 1),
            "runs": [
                {
                    "run_id": run.run_id,
                    "succeeded": run.succeeded,
                    "failures": run.failures,
                    "failed_checks": run.failed_checks,
                    "log": str(run.log_file),
                }
                for run in self.runs
            ],
        }

    def _why_not(self) -> str:
        reasons = {**self.runs[-1].failures, **self.runs[-1].failed_checks}
        return "; ".join(f"{step}: {reason}" for step, reason in reasons.items()) or "nothing ran"


def run_everything(
    runtime: Runtime, files: Sequence[Path], *, replace: bool, again: bool
) -> Outcome:
    """Land ``files`` (none: what waits in raw/) and materialize the graph, twice if one is bad.

    When a file is refused the run publishes nothing; a second run then publishes the good ones.
    """
    began = time.monotonic()
    progress = Progress()
    store = store_of(runtime.settings)
    landed = land(store, files, progress)
    config = {"keys": [key for key, _ in landed], "replace": replace, "again": again}
    runs = []
    with dg.DagsterInstance.get() as instance:
        runs.append(_execute(runtime, instance, config, progress))
        while _good_files_wait(runtime, runs[-1]) and len(runs) < 3:
            progress.console.print("A file was refused; publishing the others.")
            runs.append(_execute(runtime, instance, config, progress))
    champion = _champion(store)
    return _collect(runtime, runs, [sha for _, sha in landed], champion, time.monotonic() - began)


def land(store: ObjectStore, files: Sequence[Path], progress: Progress) -> list[tuple[str, str]]:
    """Copy files into the store's raw/, in order; returns (key, sha256) of each.

    A key that holds other bytes is never overwritten: the new file gets a name with its checksum.
    """
    landed: list[tuple[str, str]] = []
    for path in files:
        sha256 = _sha256(path)
        key = f"raw/{path.name}"
        if any(key == other and sha256 != sha for other, sha in landed) or _is_taken(
            store, key, sha256
        ):
            stem, suffix = _split(path.name)
            key = f"raw/{stem}-{sha256[:8]}{suffix}"
        store.upload(path, key)
        progress.console.print(f"  ↑ {path.name} → {store.url_of(key)}", markup=False)
        landed.append((key, sha256))
    return landed


def in_words(outcome: Outcome) -> str:
    """Return files, leaderboard and decision for a person, with colours on a terminal."""
    console = Console(highlight=False, soft_wrap=True)
    # On a narrower terminal the leaderboard's lines wrap instead of losing digits.
    console.width = max(console.width, 110)
    with console.capture() as captured:
        _print(outcome, console)
    return captured.get().rstrip()


def _print(outcome: Outcome, console: Console) -> None:
    for file in outcome.files:
        reason = f": {file['reason']}" if file["reason"] else ""
        text = f"{file['key']}: {file['state']}, {file['rows'] or 0:,} rows{reason}"
        console.print(text, markup=False)
    promotion = outcome.promotion
    if promotion is None:
        console.print(f"\n[red]Not finished.[/] {escape(outcome.to_json()['why'])}")
        console.print(f"What the run printed: {outcome.runs[-1].log_file}", markup=False)
        if outcome.champion:
            console.print(f"Still served: {outcome.champion['name']} {outcome.champion['version']}")
        return
    console.print(leaderboard_table(promotion.leaderboard))
    console.print(f"{promotion.outcome.capitalize()}: {promotion.why}", markup=False)
    console.print(f"Served: {promotion.candidate} {promotion.version}, {outcome.seconds:.0f} s.")


def leaderboard_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the leaderboard as a terminal table, the best first."""
    table = Table(
        title="Holdout forecast from one origin, best first (MAE, RMSE, bias in units per day)",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    columns = tuple(COLUMNS)
    table.add_column("model", no_wrap=True)
    for column in columns:
        table.add_column(COLUMNS[column], justify="right", no_wrap=True)
    for row in sorted(rows, key=lambda row: float(row["mae"])):
        name = row["name"]
        style = "dim" if name in keys.REFERENCES else None
        values = ("–" if row[c] is None else f"{row[c]:.3f}" for c in columns)
        table.add_row(name, *values, style=style)
    return table


def _execute(
    runtime: Runtime, instance: dg.DagsterInstance, config: dict[str, Any], progress: Progress
) -> RunResult:
    progress.console.print("Materializing the graph")
    result = execute(
        EVERYTHING,
        instance=instance,
        home=runtime.settings.home,
        ops={keys.RAW_DEMAND: {"config": config}},
        progress=progress,
    )
    progress.close()
    return result


def _good_files_wait(runtime: Runtime, result: RunResult) -> bool:
    if result.succeeded:
        return False
    with psycopg.connect(runtime.database_url) as connection:
        row = connection.execute(
            "select count(*) filter (where state = 'refused'), "
            "count(*) filter (where state = 'landed') "
            "from warehouse.file_ledger where run_id = %s",
            (result.run_id,),
        ).fetchone()
    return row is not None and row[0] > 0 and row[1] > 0


def _collect(
    runtime: Runtime,
    runs: list[RunResult],
    given: Sequence[str],
    champion: dict[str, Any] | None,
    seconds: float,
) -> Outcome:
    run_ids = [run.run_id for run in runs]
    with psycopg.connect(runtime.database_url) as connection:
        with connection.cursor(row_factory=dict_row) as cursor:
            files = cursor.execute(
                "select key, sha256, state, rows, reason from warehouse.file_ledger "
                "where run_id = any(%s) or sha256 = any(%s) order by file_seq",
                (run_ids, list(given)),
            ).fetchall()
        promotion = promotion_of_run(connection, run_ids[-1])
    published = sum(
        int(run.metadata.get(keys.DEMAND_DATA, {}).get("rows_published", 0)) for run in runs
    )
    refused = any(file["state"] == "refused" for file in files)
    return Outcome(files, published, seconds, runs, promotion, champion, refused)


def _champion(store: ObjectStore) -> dict[str, Any] | None:
    held = read_serving(store)
    if held is None:
        return None
    manifest, _ = read_manifest(store, held.pointer.version)
    return {
        "name": manifest.candidate,
        "version": held.pointer.version,
        "previous": held.pointer.previous,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return _digest(file)


def _is_taken(store: ObjectStore, key: str, sha256: str) -> bool:
    try:
        with store.open(key) as present:
            return _digest(present) != sha256
    except ObjectNotFound:
        return False


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _split(name: str) -> tuple[str, str]:
    for suffix in (".csv.gz", ".csv"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)], name[-len(suffix) :]
    raise SettingsError(f"{name}: expected a file named .csv or .csv.gz")
