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

from scalecast_assets.commands.terminal import console_for, hung

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

MARGIN: Final = 4
"""Columns before a step's name."""


class Progress:
    """Prints what a run is doing; knows nothing of Dagster."""

    def __init__(self, console: Console | None = None) -> None:
        """Print to ``console`` (default: standard error)."""
        self.console = console or console_for(stderr=True)
        self._running: dict[str, float] = {}
        self._made: dict[str, Mapping[str, Any]] = {}
        self._status: Status | None = None
        self._steps = self._ended = 0

    def begins(self, steps: int) -> None:
        """Note that a run begins, and how many steps it has."""
        self._steps, self._ended = steps, 0

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
        text = f"{self._ended} of {self._steps} steps done; now " if self._steps else ""
        text += ", ".join(f"{step} {now - since:.0f} s" for step, since in self._running.items())
        if self._status is None:
            self._status = self.console.status(text)
            self._status.start()
        self._status.update(escape(text))

    def succeeded(self, step: str) -> None:
        """Print a finished step with what it made."""
        self._ended += 1
        seconds = time.monotonic() - self._running.pop(step, time.monotonic())
        made = self._made.pop(step, {})
        facts = ", ".join(
            f"{name.split('/')[-1].replace('_', ' ')} {_plain(made[name])}"
            for name in HEADLINES
            if name in made
        )
        said = f"{step:<24} {seconds:6.1f} s"
        if facts:
            facts = "  " + hung(facts, self.console, first=MARGIN + len(said) + 2, indent=MARGIN)
        self.console.print(f"  [green]✓[/] {escape(said)}[dim]{escape(facts)}[/]")

    def failed(self, step: str, reason: str) -> None:
        """Print a failed step with the reason."""
        self._ended += 1
        self._running.pop(step, None)
        why = hung(reason, self.console, first=MARGIN + len(step) + 2, indent=MARGIN)
        self.console.print(f"  [red]✗ {escape(step)}[/]: {escape(why)}")

    def note(self, step: str, message: str) -> None:
        """Print something a step wants read, such as a budget that bites."""
        said = f"{step}: {message.removeprefix(f'{step}: ')}"
        said = hung(said, self.console, first=MARGIN, indent=MARGIN)
        self.console.print(f"    [dim]{escape(said)}[/]")

    def materialized(self, key: str, metadata: Mapping[str, Any]) -> None:
        """Remember what a step made for its line."""
        self._made[key] = metadata

    def checked(self, name: str, passed: bool, warns: bool, description: str | None) -> None:
        """Print a check that did not pass."""
        if passed:
            return
        mark = "[yellow]![/]" if warns else "[red]✗[/]"
        said = f"{name}: {description or 'did not pass'}"
        said = hung(said, self.console, first=MARGIN, indent=MARGIN)
        self.console.print(f"  {mark} {escape(said)}")

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
