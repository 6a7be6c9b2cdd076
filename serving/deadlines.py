"""Deadlines for thousands of short requests: one timer for all instead of two timers for each.

``asyncio.timeout`` costs as much as a tenth of a forecast. Here a deadline is an entry in a dict,
and a sweep every tenth of a second ends what has passed its own; on time to within that.
"""

import asyncio
from types import TracebackType
from typing import Final, Self

TICK_SECONDS: Final = 0.1


class _Deadline:
    """One task's; entered and left in it."""

    __slots__ = ("_all", "_expired", "_seconds", "_task", "at", "loop")

    def __init__(self, deadlines: "Deadlines", seconds: float) -> None:
        self._all = deadlines
        self._seconds = seconds
        self._expired = False

    def __enter__(self) -> Self:
        self.loop = asyncio.get_running_loop()
        task = asyncio.current_task(self.loop)
        assert task is not None
        self._task = task
        self.at = self.loop.time() + self._seconds
        self._all.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._all.remove(self)
        if self._expired:
            self._task.uncancel()
            if kind is asyncio.CancelledError:
                raise TimeoutError from error

    def expire(self) -> None:
        """End what the task is waiting for."""
        self._expired = True
        self._task.cancel()


class Deadlines:
    """The deadlines of one event loop."""

    def __init__(self) -> None:
        self._running: dict[_Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def within(self, seconds: float) -> _Deadline:
        """Return a context that raises TimeoutError in its task after ``seconds``."""
        return _Deadline(self, seconds)

    def add(self, deadline: _Deadline) -> None:
        """Look after a deadline from now on."""
        self._running[deadline] = None
        if self._timer is None:
            self._timer = deadline.loop.call_later(TICK_SECONDS, self._sweep, deadline.loop)

    def remove(self, deadline: _Deadline) -> None:
        """Look after it no longer."""
        self._running.pop(deadline, None)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for deadline in [one for one in self._running if one.at <= now]:
            self.remove(deadline)
            deadline.expire()
        self._timer = loop.call_later(TICK_SECONDS, self._sweep, loop) if self._running else None
