"""What may be removed, and why: pure functions of what was found, what is needed and the time.

A thing is a folder of the store and goes as a whole. What is needed is read in
``store_purge.py``, ``database.py`` and ``runs.py``, which do the removing, too.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from scalecast_assets.contract.layout import MANIFEST, is_version, version_order
from scalecast_assets.contract.objects import ObjectInfo
from scalecast_assets.retention.policy import SAFETY, limit


@dataclass
class Folder:
    """A folder of the store: its objects, their bytes, and when the youngest was written."""

    name: str
    keys: list[str] = field(default_factory=list)
    bytes: int = 0
    youngest: datetime | None = None

    def add(self, info: ObjectInfo) -> None:
        """Count one more object."""
        self.keys.append(info.key)
        self.bytes += info.size
        self.youngest = max(self.youngest or info.last_modified, info.last_modified)

    def is_older_than(self, moment: datetime) -> bool:
        """Whether nothing in it was written since."""
        return self.youngest is not None and self.youngest < moment


@dataclass(frozen=True)
class Removal:
    """One thing that goes: ``items`` are its objects, rows or files; ``bytes`` what it takes up."""

    area: str
    name: str
    items: int
    bytes: int
    why: str
    keys: tuple[str, ...] = ()


def folders(objects: Iterable[ObjectInfo], prefix: str) -> dict[str, Folder]:
    """Group a listing of ``prefix`` by the folders directly below it, in their order."""
    found: dict[str, Folder] = {}
    for info in objects:
        name, separator, _ = info.key.removeprefix(prefix).partition("/")
        if separator:
            found.setdefault(name, Folder(name)).add(info)
    return found


def removable_versions(
    found: Mapping[str, Folder], needed: Collection[str], keep: int, now: datetime
) -> list[Removal]:
    """The versions beyond the last ``keep`` complete ones, lowest first; 0 keeps all.

    The needed ones stay besides, and so does the highest that anybody claimed: versions are given
    out after it. A version without a manifest is a gap and is not counted.
    """
    if not keep:
        return []
    versions = sorted(filter(is_version, found), key=version_order)
    complete = [v for v in versions if any(k.endswith(f"/{MANIFEST}") for k in found[v].keys)]
    kept = {*needed, *complete[-keep:], *versions[-1:]}
    return [
        _removal("models", found[version], why)
        for version in versions
        if version not in kept and found[version].is_older_than(now - SAFETY)
        for why in [f"beyond the last {keep}" if version in complete else "never finished"]
    ]


def removable_by_age(
    area: str,
    found: Mapping[str, Folder],
    needed: Collection[str],
    days: int,
    now: datetime,
) -> list[Removal]:
    """The folders that nobody needs and in which nothing was written for ``days``; 0: none."""
    if not days:
        return []
    return [
        _removal(area, folder, f"needed by nothing, older than {days} days")
        for name, folder in found.items()
        if name not in needed and folder.is_older_than(limit(days, now))
    ]


def removable_origins(origins: Collection[date], days: int) -> set[date]:
    """The forecasts' origins more than ``days`` before the newest one; 0: none."""
    if not days or not origins:
        return set()
    since = max(origins) - timedelta(days=days)
    return {origin for origin in origins if origin < since}


def removable_forecasts(found: Mapping[str, Folder], days: int, now: datetime) -> list[Removal]:
    """The folders of such origins; one that is named otherwise is not ours, and stays."""
    origins = {day: name for name in found if (day := _day(name))}
    return [
        _removal("forecasts", found[origins[day]], f"older than {days} days before the newest")
        for day in sorted(removable_origins(origins, days))
        if found[origins[day]].is_older_than(now - SAFETY)
    ]


def _removal(area: str, folder: Folder, why: str) -> Removal:
    return Removal(area, folder.name, len(folder.keys), folder.bytes, why, tuple(folder.keys))


def _day(name: str) -> date | None:
    try:
        day = date.fromisoformat(name)
    except ValueError:
        return None
    return day if day.isoformat() == name else None
