"""The folder of a backup: ``manifest.json``, dumps of the database, and objects by their sha256.

The manifest is written last: without it the folder is no backup, and an older one stays whole until
then. Equal bytes (a raw file and its copy in the archive) are kept once, and no key is too long for
a file name.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
DATABASE_DUMP: Final = "database.dump"
DAGSTER_DUMP: Final = "dagster.dump"

_BLOCK: Final = 1 << 20


class BackupError(RuntimeError):
    """A backup cannot be made or restored; the message says why and what to do."""


@dataclass(frozen=True)
class KeptFile:
    """A dump; ``sha256`` of its bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class KeptObject:
    """An object of the store; ``last_modified`` in seconds since 1970."""

    key: str
    sha256: str
    size: int
    last_modified: float


@dataclass(frozen=True)
class Manifest:
    """What a backup holds."""

    made_at: str
    release: str
    schema: str
    served: str | None
    dumps: list[KeptFile]
    objects: list[KeptObject] = field(repr=False)
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Bytes of dumps and objects, equal objects counted once."""
        objects = {kept.sha256: kept.size for kept in self.objects}
        return sum(objects.values()) + sum(kept.size for kept in self.dumps)

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Self:
        """Read what ``asdict`` wrote."""
        dumps = [KeptFile(**kept) for kept in facts["dumps"]]
        objects = [KeptObject(**kept) for kept in facts["objects"]]
        return cls(**facts | {"dumps": dumps, "objects": objects})


@dataclass(frozen=True)
class Archive:
    """One backup's folder."""

    folder: Path

    def object_path(self, sha256: str) -> Path:
        """Return where the bytes with this checksum are."""
        return self.folder / "objects" / sha256[:2] / sha256

    def keep(self, source: BinaryIO) -> tuple[str, int]:
        """Copy a stream in; return its sha256 and size."""
        fresh = self.folder / f"{uuid.uuid4().hex}.part"
        try:
            with fresh.open("wb") as target:
                sha256, size = copy_hashed(source, target)
            path = self.object_path(sha256)
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        return sha256, size

    def fresh(self, name: str) -> Path:
        """Return where a dump is written; it gets its name when the backup is finished."""
        return self.folder / f"{name}.part"

    def describe(self, name: str) -> KeptFile:
        """Return name, checksum and size of a dump that has been written."""
        with self.fresh(name).open("rb") as file:
            return KeptFile(name, *copy_hashed(file, None))

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, once everything else is on the disk; then remove what is older."""
        os.sync()
        for kept in manifest.dumps:
            self.fresh(kept.name).replace(self.folder / kept.name)
        fresh = self.folder / f"{MANIFEST}.part"
        fresh.write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")
        fresh.replace(self.folder / MANIFEST)
        os.sync()
        named = {kept.sha256 for kept in manifest.objects}
        for path in (self.folder / "objects").glob("*/*"):
            if path.name not in named:
                path.unlink()
        for name in {DATABASE_DUMP, DAGSTER_DUMP} - {kept.name for kept in manifest.dumps}:
            (self.folder / name).unlink(missing_ok=True)

    def read(self) -> Manifest:
        """Return the manifest; raises ``BackupError`` if this is no whole backup."""
        path = self.folder / MANIFEST
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            found = facts["format"]
            if found == FORMAT:
                return Manifest.from_json(facts)
        except FileNotFoundError:
            raise BackupError(
                f"{self.folder} is no backup, or one that was broken off: it has no {MANIFEST}. "
                "Name the folder that scalecast backup made"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise BackupError(
                f"{path} cannot be read ({error}): take another backup, or another copy of this one"
            ) from None
        raise BackupError(
            f"{path}: expected format {FORMAT}, found {found}: use the ScaleCast that made it "
            f"({facts.get('release')}) or a later one"
        )

    def damage(self, manifest: Manifest) -> Iterator[str]:
        """Yield a line for each file that is missing or not what it was."""
        wanted = {kept.name: (kept.sha256, kept.size) for kept in manifest.dumps}
        for kept in manifest.objects:
            path = self.object_path(kept.sha256).relative_to(self.folder)
            wanted[str(path)] = (kept.sha256, kept.size)
        for name, expected in wanted.items():
            try:
                with (self.folder / name).open("rb") as file:
                    found = copy_hashed(file, None)
            except OSError as error:
                yield f"{name}: {error.strerror}"
                continue
            if found != expected:
                yield f"{name}: expected sha256 {expected[0][:12]}…, found {found[0][:12]}…"


def new_archive(folder: Path, *, force: bool) -> Archive:
    """Make the folder; one that holds something is refused, or with ``force`` taken if a backup.

    Raises:
        BackupError: the folder cannot be used.
    """
    if folder.exists() and not folder.is_dir():
        raise BackupError(f"{folder} is a file; name a folder")
    present = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if present and not force:
        raise BackupError(f"{folder} is not empty. Name a new folder, or --force to replace it")
    foreign = {
        name
        for name in present - {MANIFEST, DATABASE_DUMP, DAGSTER_DUMP, "objects"}
        if not name.endswith(".part")
    }
    if foreign:
        raise BackupError(
            f"{folder} holds {min(foreign)}, which is of no backup: nothing was touched. "
            "Name a new folder"
        )
    for name in present:
        if name.endswith(".part"):
            (folder / name).unlink()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # The sales of a company, and what its runs printed.
    return Archive(folder)


def copy_hashed(source: BinaryIO, target: BinaryIO | None) -> tuple[str, int]:
    """Read a stream to its end, into the target if there is one; return sha256 and size."""
    digest, size = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        digest.update(block)
        size += len(block)
        if target is not None:
            target.write(block)
    return digest.hexdigest(), size
