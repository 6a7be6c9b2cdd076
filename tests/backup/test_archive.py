"""A backup's folder: never half a backup, never over something, and damage is found and named."""

from io import BytesIO
from pathlib import Path

import pytest

from scalecast_assets.backup.archive import (
    MANIFEST,
    Archive,
    BackupError,
    KeptObject,
    Manifest,
    new_archive,
)


def kept(archive: Archive, key: str, body: bytes) -> KeptObject:
    return KeptObject(key, *archive.keep(BytesIO(body)), last_modified=1.5)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    made = new_archive(tmp_path / "backup", force=False)
    made.fresh("database.dump").write_bytes(b"a dump")
    objects = [kept(made, "raw/ü %.csv", b"rows"), kept(made, "archive/x", b"rows")]
    dumps = [made.describe("database.dump")]
    made.finish(Manifest("2024-01-02T00:00:00+00:00", "1.0.0", "0001", None, dumps, objects))
    return made


def test_what_is_written_is_read_back_and_equal_bytes_are_kept_once(archive: Archive) -> None:
    manifest = archive.read()
    assert [(one.key, one.size) for one in manifest.objects] == [
        ("raw/ü %.csv", 4), ("archive/x", 4),
    ]  # fmt: skip
    assert sum(path.is_file() for path in (archive.folder / "objects").rglob("*")) == 1
    assert manifest.size == 4 + 6
    assert list(archive.damage(manifest)) == []
    assert archive.folder.stat().st_mode & 0o077 == 0


def test_damage_is_named(archive: Archive) -> None:
    manifest = archive.read()
    archive.object_path(manifest.objects[0].sha256).write_bytes(b"rowz")
    (archive.folder / "database.dump").unlink()
    found = sorted(archive.damage(manifest))
    assert found[0] == "database.dump: No such file or directory"
    assert found[1].startswith("objects/")
    assert "expected sha256" in found[1]


def test_a_backup_that_was_broken_off_is_none(archive: Archive) -> None:
    (archive.folder / MANIFEST).unlink()
    with pytest.raises(BackupError, match="is no backup, or one that was broken off"):
        archive.read()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"format": 1}', "cannot be read"),
        ('{"format": 2, "release": "9.0.0"}', r"expected format 1, found 2: .*9\.0\.0"),
    ],
)
def test_a_manifest_that_is_none_or_newer_is_named(archive: Archive, text: str, said: str) -> None:
    (archive.folder / MANIFEST).write_text(text)
    with pytest.raises(BackupError, match=said):
        archive.read()


def test_a_folder_with_something_in_it_is_replaced_only_by_force_and_only_if_a_backup(
    archive: Archive, tmp_path: Path
) -> None:
    with pytest.raises(BackupError, match="is not empty"):
        new_archive(archive.folder, force=False)
    assert archive.read().release == "1.0.0"
    again = new_archive(archive.folder, force=True)
    again.fresh("database.dump").write_bytes(b"another dump")
    objects = [kept(again, "raw/b.csv", b"other rows")]
    assert list(archive.damage(archive.read())) == [], "the older one is whole until the end"
    dumps = [again.describe("database.dump")]
    again.finish(Manifest("2024-01-03T00:00:00+00:00", "1.0.1", "0001", None, dumps, objects))
    assert archive.read().release == "1.0.1"
    assert list(archive.damage(archive.read())) == []
    assert sum(path.is_file() for path in (archive.folder / "objects").rglob("*")) == 1
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(BackupError, match=r"holds a\.jpg, which is of no backup"):
        new_archive(tmp_path / "photos", force=True)
    assert (tmp_path / "photos" / "a.jpg").exists()
    with pytest.raises(BackupError, match="is a file"):
        new_archive(tmp_path / "photos" / "a.jpg", force=True)
