"""How far something long is: done of all, bytes or rows, and the time left.

On a terminal a bar moves; elsewhere a line is printed now and then, so that a log shows it, too.
All of it on standard error.
"""

from time import monotonic
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from scalecast_assets.commands.terminal import console_for

QUIET_SECONDS: Final = 10.0
"""Between two lines where there is no terminal."""


class Counter:
    """A bar or lines for one thing that is counted; a context manager."""

    def __init__(self, unit: str, console: Console | None = None) -> None:
        """Count ``unit``, a plural; print to ``console`` (default: standard error)."""
        self.console = console or console_for(stderr=True)
        self._unit = unit
        self._task: TaskID | None = None
        self._since = self._said = monotonic()
        self._bar = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[more]}[/]"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.console.is_terminal:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.console.print(f"  {text}", markup=False)

    def so_far(self, done: int) -> None:
        """Show that ``done`` are done of nobody knows how many."""
        if self.console.is_terminal:
            if self._task is None:
                self._task = self._bar.add_task(self._unit, total=None, more="")
            self._bar.update(self._task, completed=done)
            return
        now = monotonic()
        if now - self._said >= QUIET_SECONDS:
            self._said = now
            self.say(f"{self._unit}: {done:,}, {done / (now - self._since):,.0f} a second")

    def count(self, done: int, of: int, more: str = "") -> None:
        """Show that ``done`` of ``of`` are done; ``more`` stands beside it."""
        if self.console.is_terminal:
            if self._task is None:
                self._task = self._bar.add_task(self._unit, total=of, more=more)
            self._bar.update(self._task, completed=done, total=of, more=more)
            return
        now = monotonic()
        if done < of and now - self._said < QUIET_SECONDS:
            return
        self._said = now
        left = (now - self._since) / max(done, 1) * (of - done)
        about = f", about {left:.0f} s left" if done < of else ""
        beside = f", {more}" if more else ""
        self.say(f"{self._unit}: {done:,} of {of:,}{beside}{about}")
