"""Progress of a run for people: one line a step, what it made, and the checks that did not pass.

Everything goes to standard error, so that standard output stays free for ``--json``. Colours and
the moving line only on a terminal.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.status import Status

HEADLINES: Final = (
    "files",
    "rows_published",
    "rows",
    "dagster/row_count",
    "trainable_rows",
    "one_step_mae",
    "holdout_mae",
    "fit_seconds",
    "outcome",
    "version",
    "series",
    "data_until",
)
"""Metadata worth a place on the step's line, in this order."""


class Progress:
    """Prints what a run is doing; knows nothing of Dagster."""

    def __init__(self, console: Console | None = None) -> None:
        """Print to ``console`` (default: standard error)."""
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._running: dict[str, float] = {}
        self._made: dict[str, Mapping[str, Any]] = {}
        self._status: Status | None = None

    def started(self, step: str) -> None:
        """Note that a step has begun."""
        self._running[step] = time.monotonic()
        if not self.console.is_terminal:
            self.console.print(f"  … {escape(step)}")

    def tick(self) -> None:
        """Move the line that says what runs now; call a few times a second."""
        if not self.console.is_terminal:
            return
        if not self._running:
            self.close()
            return
        now = time.monotonic()
        text = ", ".join(f"{step} {now - since:.0f} s" for step, since in self._running.items())
        if self._status is None:
            self._status = self.console.status(text)
            self._status.start()
        self._status.update(escape(text))

    def succeeded(self, step: str) -> None:
        """Print a finished step with what it made."""
        seconds = time.monotonic() - self._running.pop(step, time.monotonic())
        made = self._made.pop(step, {})
        facts = ", ".join(
            f"{name.split('/')[-1].replace('_', ' ')} {_plain(made[name])}"
            for name in HEADLINES
            if name in made
        )
        self.console.print(
            f"  [green]✓[/] {escape(step):<24} {seconds:6.1f} s  [dim]{escape(facts)}[/]"
        )

    def failed(self, step: str, reason: str) -> None:
        """Print a failed step with the reason."""
        self._running.pop(step, None)
        self.console.print(f"  [red]✗ {escape(step)}[/]: {escape(reason)}")

    def note(self, step: str, message: str) -> None:
        """Print something a step wants read, such as a budget that bites."""
        said = message.removeprefix(f"{step}: ")
        self.console.print(f"    [dim]{escape(step)}: {escape(said)}[/]")

    def materialized(self, key: str, metadata: Mapping[str, Any]) -> None:
        """Remember what a step made for its line."""
        self._made[key] = metadata

    def checked(self, name: str, passed: bool, warns: bool, description: str | None) -> None:
        """Print a check that did not pass."""
        if passed:
            return
        mark = "[yellow]![/]" if warns else "[red]✗[/]"
        self.console.print(f"  {mark} {escape(name)}: {escape(description or 'did not pass')}")

    def close(self) -> None:
        """Take the moving line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
