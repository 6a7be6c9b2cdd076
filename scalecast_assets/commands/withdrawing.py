"""``scalecast withdraw``: name a published file, take it out, and have everything below follow.

Taking it out is ``ingest/withdrawal.py``'s. If the process ends before features, state and
forecasts have followed, the changed ranges are still there, and the same command goes on.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg

from scalecast_assets.commands.progress import Progress
from scalecast_assets.commands.runner import RunResult, execute
from scalecast_assets.contract.bundle import read_manifest
from scalecast_assets.contract.pointers import read_serving
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.ingest.withdrawable import Content, find_withdrawable
from scalecast_assets.ingest.withdrawal import Withdrawal, withdraw
from scalecast_assets.ingest.wording import counted
from scalecast_assets.maintenance import REBUILD
from scalecast_assets.resources.configured import store_of
from scalecast_assets.resources.turns import loading_by_hand
from scalecast_assets.runtime import Runtime


@dataclass(frozen=True)
class Withdrawn:
    """What ``scalecast withdraw`` reports; ``to_json`` is the contract of ``--json``."""

    file: Content
    withdrawal: Withdrawal
    run: RunResult
    trained_on_it: str | None
    """The served version, if the file is among those it was trained on."""
    seconds: float

    @property
    def exit_code(self) -> int:
        """0 done, 1 the file is out but not everything has followed."""
        return 0 if self.run.succeeded else 1

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {
            "file": {"key": self.file.key, "sha256": self.file.sha256, "state": "withdrawn"},
            **self.withdrawal.to_json(),
            "trained_on_it": self.trained_on_it,
            "seconds": round(self.seconds, 1),
            "stages": {step: round(seconds, 2) for step, seconds in self.run.stages.items()},
            "run": {
                "run_id": self.run.run_id,
                "succeeded": self.run.succeeded,
                "failures": self.run.failures,
                "failed_checks": self.run.failed_checks,
                "log": str(self.run.log_file),
            },
        }


def find(runtime: Runtime, name: str) -> Content:
    """Return the one published (or withdrawn) content that ``name`` is of."""
    with psycopg.connect(runtime.database_url, autocommit=True) as connection:
        return find_withdrawable(connection, name)


def withdraw_file(runtime: Runtime, file: Content, reason: str) -> Withdrawn:
    """Take the file out, then rebuild what rests on it."""
    began = time.monotonic()
    settings, progress = runtime.settings, Progress()
    store = store_of(settings)
    spool_dir = settings.home / "spool"
    spool_dir.mkdir(parents=True, exist_ok=True)
    with (
        dg.DagsterInstance.get() as instance,
        loading_by_hand(runtime.database_url, instance, progress.console.print),
    ):
        with psycopg.connect(
            runtime.database_url, autocommit=True, prepare_threshold=None
        ) as connection:
            withdrawal = withdraw(
                connection,
                store,
                file.sha256,
                reason=reason,
                renames={theirs: ours for ours, theirs in settings.columns.items()},
                spool_dir=Path(spool_dir),
                say=lambda text: progress.console.print(f"  … {text}", markup=False),
            )
        progress.console.print(_what_was_done(file, withdrawal), markup=False)
        progress.console.print("Rebuilding features, state and forecasts")
        run = execute(REBUILD, instance=instance, home=settings.home, ops={}, progress=progress)
    progress.close()
    trained = _trained_on(store, file.sha256)
    return Withdrawn(file, withdrawal, run, trained, time.monotonic() - began)


def in_words(done: Withdrawn) -> str:
    """Return what was done, and what is left to do, for a person."""
    lines = [_what_was_done(done.file, done.withdrawal)]
    if done.run.succeeded:
        lines.append(f"Features, state and forecasts have followed, {done.seconds:.0f} s.")
    else:
        reasons = {**done.run.failures, **done.run.failed_checks}
        why = "; ".join(f"{step}: {reason}" for step, reason in reasons.items())
        lines.append(f"Not everything has followed: {why or 'see the log'}")
        lines.append(f"What the run printed: {done.run.log_file}. The same command goes on.")
    if done.trained_on_it:
        lines.append(
            f"The served model {done.trained_on_it} was trained on this file: `scalecast run`"
            " trains anew."
        )
    return "\n".join(lines)


def _what_was_done(file: Content, done: Withdrawal) -> str:
    if not done.done:
        return f"{file.key}: is withdrawn already ({file.reason})"
    ended = ", and the replacement of everything that it was is undone" * done.replacement_ended
    returned = f", {counted(done.returned, 'row')} that it replaced are back" * bool(done.returned)
    return (
        f"{file.key}: withdrawn{ended}. {counted(done.removed, 'row')} of it counted:"
        f" {done.restored:,} are what {counted(done.files_read, 'earlier file')} said,"
        f" {done.vanished:,} are gone{returned}; {counted(done.changed_stores, 'store')} changed"
    )


def _trained_on(store: ObjectStore, sha256: str) -> str | None:
    held = read_serving(store)
    if held is None:
        return None
    manifest, _ = read_manifest(store, held.pointer.version)
    used = any(file.sha256 == sha256 for file in manifest.raw_files)
    return manifest.version if used else None
