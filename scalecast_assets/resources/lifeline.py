"""A run that cannot come to an end, and ends itself: Postgres is silent, or it takes too long.

A network that is gone is found out by the connections themselves (``PATIENCE`` in
``postgres_address.py``). Here is the rest: a server or a proxy that is stopped, or hangs on its
disk, while the kernel in front of it goes on to acknowledge what arrives. No signal reaches a call
of libpq that waits there, so neither Ctrl-C nor Dagster's own limit would end such a run.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import dagster as dg
import psutil
import psycopg

ASK_SECONDS: Final = 30.0
SILENT_ASKS: Final = 20
"""Asked in vain so often, ten minutes, Postgres is given up. Counted and not measured: a process or
a machine that was asleep has not asked."""

LAST_WORDS_SECONDS: Final = 20.0
ENDED_ITSELF: Final = 1


class Lifeline:
    """Asks Postgres now and then whether it is there, each time by a connection of its own."""

    def __init__(self, url: str, give_up: Callable[[str], None]) -> None:
        self._url = url
        self._give_up = give_up
        self._over = threading.Event()
        self._in_vain = 0
        self._deadline: float | None = None
        self._limit = ""

    def limit(self, hours: float) -> None:
        """Give up when so much time has passed from now; 0: never."""
        if hours:
            self._limit = f"it took longer than the {hours:g} h of SCALECAST_MAX_RUN_HOURS"
            self._deadline = time.monotonic() + hours * 3600

    @contextmanager
    def held(self) -> Iterator["Lifeline"]:
        """Watch for as long as the block lasts."""
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()
        try:
            yield self
        finally:
            self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(ASK_SECONDS):
            if self._in_vain >= SILENT_ASKS:
                minutes = SILENT_ASKS * ASK_SECONDS / 60
                self._give_up(f"Postgres has not answered for {minutes:.3g} minutes; look after it")
            elif self._deadline is not None and time.monotonic() > self._deadline:
                self._give_up(self._limit)
            else:
                self._in_vain += 1
                # One that never comes back must not keep the next from asking.
                threading.Thread(target=self._ask, daemon=True).start()
                continue
            return

    def _ask(self) -> None:
        with suppress(psycopg.Error), psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("select 1")
            self._in_vain = 0


def end_run(run: dg.DagsterRun, instance: dg.DagsterInstance, why: str) -> None:
    """End this process and what it has started; say why where it is read, as far as that goes."""
    message = f"Run {run.run_id[:8]} ended itself: {why}. What it left undone, the next run does."
    print(message, file=sys.stderr, flush=True)
    within(LAST_WORDS_SECONDS, lambda: instance.report_run_failed(run, message))
    end_process()


def within(seconds: float, act: Callable[[], object]) -> None:
    """Try this for so long; that it fails, or does not come back, is no matter."""

    def attempt() -> None:
        with suppress(Exception):
            act()

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)


def end_process() -> None:
    """End at once, with what was started: dbt must not go on under a run that is over."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()
    os._exit(ENDED_ITSELF)
