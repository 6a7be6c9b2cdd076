"""``scalecast run``: land files, run everything, and collect what became of files and models."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg
import psycopg
from psycopg.rows import dict_row
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scalecast_assets import keys
from scalecast_assets.automation.jobs import EVERYTHING, RETRAIN
from scalecast_assets.commands.passes import run_passes, undecided_files
from scalecast_assets.commands.progress import Progress
from scalecast_assets.commands.runner import RunResult, execute
from scalecast_assets.commands.terminal import console_for, fitted, hung
from scalecast_assets.commands.uploads import Given, upload
from scalecast_assets.contract.bundle import read_manifest
from scalecast_assets.contract.intervals import DEFAULT_LEVEL
from scalecast_assets.contract.pointers import read_serving
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.forecasting.coverage_report import coverage_of, overall
from scalecast_assets.ingest.intake import READABLE
from scalecast_assets.ingest.verdict import page_key_of
from scalecast_assets.resources.configured import store_of
from scalecast_assets.resources.model_records import Promotion, promotion_of_run
from scalecast_assets.resources.turns import loading_by_hand
from scalecast_assets.runtime import Runtime

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
TITLE: Final = "Holdout forecast from one origin, best first (MAE, RMSE, bias in units per day)"

SPARE: Final = ("r2", "mape", "rmsse", "rmse", "fit_seconds", "one_step_mae", "wape", "bias")
"""What a narrow terminal is told last, the first of these least."""

NOT_LANDED: Final = "not in the ledger"
"""The state of a file that the ledger does not have: the run ended before it could be landed."""

_REMEDIES: Final = {
    NOT_LANDED: "run the same command again",
    "landed": "`scalecast run` judges and publishes what waits",
    "validated": "`scalecast run` publishes what waits",
    "withdrawn": "`scalecast run --again FILE` loads it anew",
}
"""What to do about a file in a state that is not an end."""


class NothingToTrainOn(RuntimeError):
    """There is no row in the warehouse."""


@dataclass
class Outcome:
    """What ``scalecast run`` reports; ``to_json`` is the contract of ``--json``."""

    files: list[dict[str, Any]]
    """The files that the command was about, as the ledger has them at the end."""
    rows_published: int
    seconds: float
    runs: list[RunResult]
    promotion: Promotion | None
    champion: dict[str, Any] | None
    """What is served after the run, whether or not the run got as far as comparing."""
    coverage: dict[str, Any] | None = None
    """What the intervals of what is served covered on its holdout, from its manifest."""

    @property
    def waiting(self) -> list[str]:
        """A sentence on each file that was neither published nor refused, and what to do."""
        return [
            f"{file['key']} is {file['state']} and not published: {_REMEDIES[file['state']]}"
            for file in self.files
            if file["state"] in _REMEDIES
        ]

    @property
    def unreadable(self) -> list[str]:
        """What was said about files that could not be read, and that the runs went on without."""
        check = f"{keys.RAW_DEMAND}.{READABLE}"
        return list(
            dict.fromkeys(r.failed_checks[check] for r in self.runs if check in r.failed_checks)
        )

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed or a file still waits, 3 a file was refused.

        A file with a reason to wait is no failure of its own: a replacement with a refused file was
        given up. One that cannot be read is.
        """
        waits = any(file["state"] in _REMEDIES and not file["reason"] for file in self.files)
        if waits or self.unreadable:
            return 1
        if any(file["state"] == "refused" for file in self.files):
            return 3
        return 0 if self.runs[-1].succeeded else 1

    @property
    def why(self) -> str:
        """Why the model is promoted or kept, or the run not finished; before it what waits."""
        last = self.runs[-1]
        if self.promotion:
            return "; ".join([*self.waiting, *self.unreadable, self.promotion.why])
        reasons = {**last.failures, **last.failed_checks}
        failed = [f"{step}: {reason}" for step, reason in reasons.items()]
        return "; ".join([*self.waiting, *failed]) or "nothing ran"

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of each step, summed over the passes, in the order of their first ends."""
        total: dict[str, float] = {}
        for run in self.runs:
            for step, seconds in run.stages.items():
                total[step] = total.get(step, 0) + seconds
        return {step: round(seconds, 2) for step, seconds in total.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        promotion = self.promotion
        return {
            "files": self.files,
            "rows_published": self.rows_published,
            "leaderboard": promotion.leaderboard if promotion else [],
            "champion": self.champion,
            "coverage": self.coverage,
            "promoted": bool(promotion and promotion.outcome == "promoted"),
            "why": self.why,
            "seconds": round(self.seconds, 1),
            "stages": self.stages,
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


def run_everything(
    runtime: Runtime, files: Sequence[Path], *, replace: bool, again: bool
) -> Outcome:
    """Upload ``files`` (none: what waits in raw/) and materialize the graph, twice if one is bad.

    When a file is refused the run publishes nothing; a second run then publishes the good ones.
    """
    began = time.monotonic()
    progress = Progress()
    store = store_of(runtime.settings)
    with (
        dg.DagsterInstance.get() as instance,
        loading_by_hand(runtime.database_url, instance, progress.console.print),
    ):
        given = upload(store, files, progress)
        left_over = [] if given else undecided_files(runtime.database_url)
        about = [*given, *(Given(file.key, file.sha256) for file in left_over)]
        runs = run_passes(
            lambda config: _execute(
                runtime, instance, EVERYTHING, {keys.RAW_DEMAND: {"config": config}}, progress
            ),
            runtime.database_url,
            given,
            replace=replace,
            again=again,
            say=progress.console.print,
        )
    outcome = _collect(runtime, runs, about, _champion(store), time.monotonic() - began)
    outcome.coverage = _coverage(store)
    return outcome


def retrain(runtime: Runtime) -> Outcome:
    """Train, compare and promote on the features as they are, without loading anything.

    Raises ``NothingToTrainOn`` where no file was ever published.
    """
    began = time.monotonic()
    with psycopg.connect(runtime.database_url) as connection:
        row = connection.execute("select exists (select from warehouse.demand_data)").fetchone()
    if not (row and row[0]):
        raise NothingToTrainOn("the warehouse is empty; load files first: scalecast run --csv FILE")
    with dg.DagsterInstance.get() as instance:
        run = _execute(runtime, instance, RETRAIN, {}, Progress())
    champion = _champion(store_of(runtime.settings))
    return _collect(runtime, [run], [], champion, time.monotonic() - began)


def in_words(outcome: Outcome) -> str:
    """Return files, leaderboard and decision for a person, with colours on a terminal."""
    console = console_for()
    with console.capture() as captured:
        _print(outcome, console)
    return captured.get().rstrip()


def _print(outcome: Outcome, console: Console) -> None:
    for file in outcome.files:
        reason = f": {file['reason']}" if file["reason"] else ""
        text = f"{file['key']}: {file['state']}, {file['rows'] or 0:,} rows{reason}"
        console.print(hung(text, console, first=0, indent=2), markup=False)
        if file.get("page"):
            console.print(f"  What to do: {file['page']}", markup=False)
    promotion = outcome.promotion
    if promotion is None:
        console.print(f"\n{_not_finished(outcome.why, console)}")
        console.print(f"What the run printed: {outcome.runs[-1].log_file}", markup=False)
        if outcome.champion:
            console.print(f"Still served: {outcome.champion['name']} {outcome.champion['version']}")
        return
    console.print(hung(TITLE, console, first=0, indent=0), style="italic")
    console.print(_leaderboard(promotion.leaderboard, console))
    decision = f"{promotion.outcome.capitalize()}: {promotion.why}"
    console.print(hung(decision, console, first=0, indent=0), markup=False)
    console.print(f"Served: {promotion.candidate} {promotion.version}, {outcome.seconds:.0f} s.")
    covered = overall(coverage_of({"coverage": outcome.coverage})).get(DEFAULT_LEVEL)
    if covered:
        console.print(
            f"Intervals: {covered.covered:.1%} of the holdout's sales in the {DEFAULT_LEVEL} % one."
        )
    elif why := outcome.runs[-1].metadata.get(keys.MODEL_COMPARISON, {}).get("no_intervals"):
        none = f"Intervals: none, {why}."
        console.print(hung(none, console, first=0, indent=0), markup=False)
    for sentence in [*outcome.waiting, *outcome.unreadable]:
        console.print(_not_finished(sentence, console))


def _not_finished(why: str, console: Console) -> str:
    begin = "Not finished. "
    return f"[red]{begin}[/]{escape(hung(why, console, first=len(begin), indent=0))}"


def _leaderboard(rows: Sequence[dict[str, Any]], console: Console) -> Table:
    """The leaderboard as a table, the best first, with the measures for which there is room."""
    measures = {title: measure for measure, title in COLUMNS.items()}
    spare = [COLUMNS[measure] for measure in SPARE]
    return fitted(
        lambda titles: _table(rows, {title: measures[title] for title in titles}),
        list(measures),
        spare,
        console,
    )


def _table(rows: Sequence[dict[str, Any]], measures: dict[str, str]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    for title in measures:
        table.add_column(title, justify="right", no_wrap=True)
    for row in sorted(rows, key=lambda row: float(row["mae"])):
        name = row["name"]
        style = "dim" if name in keys.REFERENCES else None
        values = ("–" if row[c] is None else f"{row[c]:.3f}" for c in measures.values())
        table.add_row(name, *values, style=style)
    return table


def _execute(
    runtime: Runtime,
    instance: dg.DagsterInstance,
    job: str,
    ops: dict[str, Any],
    progress: Progress,
) -> RunResult:
    progress.console.print("Materializing the graph" if job == EVERYTHING else "Training anew")
    result = execute(job, instance=instance, home=runtime.settings.home, ops=ops, progress=progress)
    progress.close()
    return result


def _collect(
    runtime: Runtime,
    runs: list[RunResult],
    about: Sequence[Given],
    champion: dict[str, Any] | None,
    seconds: float,
) -> Outcome:
    run_ids = [run.run_id for run in runs]
    with psycopg.connect(runtime.database_url) as connection:
        files = files_of(connection, about, run_ids)
        promotion = promotion_of_run(connection, run_ids[-1])
    published = sum(
        int(run.metadata.get(keys.DEMAND_DATA, {}).get("rows_published", 0)) for run in runs
    )
    store = store_of(runtime.settings)
    for file in files:
        refused = file["state"] == "refused"
        page = store.url_of(page_key_of(file["key"], file["sha256"])) if refused else None
        file["page"] = page
    return Outcome(files, published, seconds, runs, promotion, champion)


def files_of(
    connection: psycopg.Connection[Any], about: Sequence[Given], run_ids: Sequence[str]
) -> list[dict[str, Any]]:
    """Read what became of these files, and of all that these runs landed, in their order."""
    with connection.cursor(row_factory=dict_row) as cursor:
        files = cursor.execute(
            "select key, sha256, state, rows, reason from warehouse.file_ledger f "
            "where (run_id = any(%s) or sha256 = any(%s)) "
            # While bytes are loaded anew, the row from before stays beside the one that counts.
            "and not exists (select from warehouse.file_ledger later "
            "where later.sha256 = f.sha256 and later.file_seq > f.file_seq) order by file_seq",
            (list(run_ids), [sha256 for _, sha256 in about]),
        ).fetchall()
    found = {file["sha256"] for file in files}
    nowhere = {"state": NOT_LANDED, "rows": None, "reason": None}
    return files + [{**file._asdict(), **nowhere} for file in about if file.sha256 not in found]


def _coverage(store: ObjectStore) -> dict[str, Any] | None:
    held = read_serving(store)
    return read_manifest(store, held.pointer.version)[0].coverage if held else None


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
