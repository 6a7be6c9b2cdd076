"""The passes of one ``scalecast run``: the graph runs again for the files that a bad one held up.

A run that meets a bad file refuses it and publishes nothing, so the good ones need another run.
What one run is, is in ``runner.py``; what is told about them in ``outcome.py``.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg

from scalecast_assets import keys
from scalecast_assets.commands.runner import RunResult
from scalecast_assets.commands.uploads import Given
from scalecast_assets.ingest.ledger import LedgerFile, files_in_state

MAX_PASSES: Final = 3
"""The second is for the good files; a third for those that a bad one of somebody else held up."""

Execute = Callable[[dict[str, Any]], RunResult]
"""Materializes the graph once, with this config of ``raw_demand``."""


def run_passes(
    execute: Execute,
    database_url: str,
    given: Sequence[Given],
    *,
    replace: bool,
    again: bool,
    say: Callable[[str], None],
) -> list[RunResult]:
    """Run the graph on the files (none: what waits), and again while good ones are held up.

    Later passes take the files as the first has landed them: nothing anew and nothing refused. A
    replacement with a bad file is given up as a whole: its other files wait, but not for this
    command, which was to replace everything or nothing.
    """
    runs = [execute({"keys": [key for key, _ in given], "replace": replace, "again": again})]
    while len(runs) < MAX_PASSES and _met_a_bad_file(runs[-1]):
        undecided = undecided_files(database_url)
        waiting = {file.sha256 for file in undecided if file.replace_run or not replace}
        held_up = [key for key, sha256 in given if sha256 in waiting]
        if not (held_up if given else waiting):
            break
        say("A file was refused; publishing the others.")
        runs.append(execute({"keys": held_up, "replace": False, "again": False}))
    return runs


def undecided_files(database_url: str) -> list[LedgerFile]:
    """What the ledger has of files that are neither published nor refused."""
    with psycopg.connect(database_url) as connection:
        return files_in_state(connection, "landed", "validated")


def _met_a_bad_file(run: RunResult) -> bool:
    return any(check.startswith(f"{keys.RAW_DEMAND}.") for check in run.failed_checks)
