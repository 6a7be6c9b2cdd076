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
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
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
            BarColumn(bar_width=12),
            TaskProgressColumn(),
            # The time left is ours: rich forgets its own when a guessed total changes.
            TextColumn("{task.fields[said]}"),
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
            self._move(done, None, f"{done:,}")
            return
        now = monotonic()
        if now - self._said >= QUIET_SECONDS:
            self._said = now
            self.say(f"{self._unit}: {done:,}, {done / (now - self._since):,.0f} a second")

    def share(self, done: int, share: float) -> None:
        """Show that ``done`` are done, which is this ``share`` of a number that nobody knows yet.

        The end itself is no news.
        """
        if share < 1:
            self.count(done, round(done / max(share, 1e-6)))

    def count(self, done: int, of: int, more: str = "") -> None:
        """Show that ``done`` of ``of`` are done; ``more`` stands beside it."""
        now = monotonic()
        left = (now - self._since) / max(done, 1) * (of - done)
        said = f"{done:,} of {of:,}"
        said += f", {more}" if more else ""
        said += f", about {left:.0f} s left" if done < of else ""
        if self.console.is_terminal:
            self._move(done, of, said)
        elif done == of or now - self._said >= QUIET_SECONDS:
            self._said = now
            self.say(f"{self._unit}: {said}")

    def _move(self, done: int, of: int | None, said: str) -> None:
        if self._task is None:
            self._task = self._bar.add_task(self._unit, total=of, said=said)
        self._bar.update(self._task, completed=done, total=of, said=said)
