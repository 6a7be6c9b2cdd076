"""``scalecast purge``: one purge from the command line, and the table of what went."""

from datetime import UTC, datetime
from typing import Final

import dagster as dg
import psycopg
from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from scalecast_assets.commands.progress import Progress
from scalecast_assets.commands.terminal import console_for
from scalecast_assets.definitions import build_definitions, checks_of
from scalecast_assets.maintenance import policy_of
from scalecast_assets.resources.configured import store_of
from scalecast_assets.retention.purge import Places, Report, purge
from scalecast_assets.runtime import Runtime

LISTED: Final = 200
"""Things shown to a person; ``--json`` has them all."""


def purge_now(runtime: Runtime, *, dry_run: bool) -> Report:
    """Do what the daily job ``retention`` does, at once."""
    progress = Progress()
    checks = checks_of(build_definitions(runtime.settings))
    with (
        dg.DagsterInstance.get() as instance,
        psycopg.connect(
            runtime.database_url, autocommit=True, prepare_threshold=None
        ) as connection,
    ):
        places = Places(
            connection, store_of(runtime.settings), runtime.settings.home, instance, checks
        )
        return purge(
            places,
            policy_of(runtime.settings),
            now=datetime.now(UTC),
            dry_run=dry_run,
            say=lambda text: progress.console.print(f"  − {text}", markup=False),
        )


def in_words(report: Report) -> str:
    """Return what went (or would), what did not and why, for a person."""
    console = console_for()
    with console.capture() as captured:
        _print(report, console)
    return captured.get().rstrip()


def size_of(number: int) -> str:
    """Write a number of bytes for people."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} B"


def _print(report: Report, console: Console) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("area", "what", "items", "size", "why"):
        justify: JustifyMethod = "right" if column in ("items", "size") else "left"
        table.add_column(column, justify=justify, overflow="fold")
    for removal in report.removed[:LISTED]:
        table.add_row(
            removal.area,
            Text(removal.name),
            f"{removal.items:,}",
            size_of(removal.bytes),
            Text(removal.why),
        )
    if report.removed:
        console.print(table)
    if (more := len(report.removed) - LISTED) > 0:
        console.print(f"… and {more:,} more: --json lists them all")
    verb = "Would remove" if report.dry_run else "Removed"
    areas = ", ".join(
        f"{things:,} of {area} ({size_of(size)})"
        for area, (things, size) in report.by_area().items()
    )
    console.print(f"{verb} {areas or 'nothing'}. Raw files and the archive are never touched.")
    for note in report.notes:
        console.print(note, markup=False)
    for name, why in report.failed.items():
        console.print(f"Not removed: {name}: {why}", markup=False)
