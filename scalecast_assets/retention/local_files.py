"""Purging the home: logs of runs, what killed processes left in spool and dbt's folders, the cache.

Logs that a running process writes to, and the database's own files, are not touched.
"""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from scalecast_assets.retention.plan import Removal
from scalecast_assets.retention.policy import SAFETY, limit


def plan_local_files(home: Path, logs_days: int, now: datetime) -> Iterator[Removal]:
    """What lies under the home and is needed by nothing; ``logs_days`` 0 keeps the logs."""
    if logs_days:
        why = f"older than {logs_days} days"
        yield from _older("logs", home, ("logs/run-*.log", "**/server.log.1"), logs_days, now, why)
        why = f"unused for {logs_days} days, fetched again when it is needed"
        yield from _older("cache", home, ("cache/*.parquet", "cache/*/*"), logs_days, now, why)
    left = ("spool/*", "dbt/run-*", "dbt/manifest/new-*")
    hours = SAFETY.total_seconds() / 3600
    yield from _older("left over", home, left, 0, now, f"left by a process {hours:.0f} hours ago")


def remove_local(removal: Removal) -> None:
    """Remove the file, or the folder with all that is in it; one that is gone is no error."""
    path = Path(removal.name)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=False)
    else:
        path.unlink(missing_ok=True)


def _older(
    area: str, home: Path, patterns: tuple[str, ...], days: int, now: datetime, why: str
) -> Iterator[Removal]:
    for path in sorted({path for pattern in patterns for path in home.glob(pattern)}):
        try:
            files = [path, *path.rglob("*")] if path.is_dir() else [path]
            facts = [file.lstat() for file in files]
        except FileNotFoundError:  # gone since it was listed
            continue
        youngest = datetime.fromtimestamp(max(fact.st_mtime for fact in facts), UTC)
        if youngest < limit(days, now):
            size = sum(fact.st_size for fact in facts)
            yield Removal(area, str(path), len(facts), size, why)
