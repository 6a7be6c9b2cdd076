"""dbt's manifest when several processes want it at once: parsed once, and never read half."""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scalecast_assets.assets import dbt_manifest
from scalecast_assets.assets.dbt_manifest import KEPT, DbtProjectError, ensure_manifest

WHOLE = json.dumps({"nodes": list(range(1000))})


class SlowDbt:
    """Writes a manifest in two halves, as dbt does into its target folder."""

    def __init__(self) -> None:
        self.parses = 0
        self.began_with: list[bytes] = []
        self.edits_meanwhile: Path | None = None

    def __call__(self, project_dir: Path, target: Path) -> None:
        self.parses += 1
        parsed = target / KEPT[0]
        self.began_with.append(parsed.read_bytes() if parsed.exists() else b"")
        with (target / "manifest.json").open("w") as file:
            file.write(WHOLE[:100])
            file.flush()
            time.sleep(0.2)
            file.write(WHOLE[100:])
        parsed.write_bytes(f"parse {self.parses}".encode())
        if self.edits_meanwhile is not None:
            self.edits_meanwhile.write_text("select 2")


@pytest.fixture
def dbt(monkeypatch: pytest.MonkeyPatch) -> SlowDbt:
    slow = SlowDbt()
    monkeypatch.setattr(dbt_manifest, "_run_dbt", slow)
    return slow


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "project" / "models" / "model.sql"
    path.parent.mkdir(parents=True)
    path.write_text("select 1")
    return path


def test_of_several_that_want_it_at_once_one_parses_and_all_read_it_whole(
    dbt: SlowDbt, model: Path, tmp_path: Path
) -> None:
    together = threading.Barrier(4)

    def load(_: int) -> str:
        together.wait()
        return ensure_manifest(tmp_path / "project", tmp_path / "home").read_text()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(load, range(4))) == [WHOLE] * 4
    assert dbt.parses == 1


def test_while_it_is_parsed_anew_the_one_before_stays_whole(
    dbt: SlowDbt, model: Path, tmp_path: Path
) -> None:
    manifest = ensure_manifest(tmp_path / "project", tmp_path / "home")
    model.write_text("select 2")
    with ThreadPoolExecutor(1) as pool:
        parsing = pool.submit(ensure_manifest, tmp_path / "project", tmp_path / "home")
        looks = 0
        while not parsing.done():
            assert manifest.read_text() == WHOLE
            looks += 1
    assert looks > 10
    assert dbt.parses == 2
    assert dbt.began_with == [b"", b"parse 1"], "the second parse is a partial one"


def test_a_file_that_is_edited_while_dbt_reads_is_read_the_next_time(
    dbt: SlowDbt, model: Path, tmp_path: Path
) -> None:
    dbt.edits_meanwhile = model
    ensure_manifest(tmp_path / "project", tmp_path / "home")
    dbt.edits_meanwhile = None
    ensure_manifest(tmp_path / "project", tmp_path / "home")
    ensure_manifest(tmp_path / "project", tmp_path / "home")
    assert dbt.parses == 2


def test_an_older_release_in_the_same_home_does_not_take_the_newer_ones_manifest(
    dbt: SlowDbt, model: Path, tmp_path: Path
) -> None:
    ensure_manifest(tmp_path / "project", tmp_path / "home")
    model.write_text("select 0")
    os.utime(model, (time.time() - 86_400 * 365,) * 2)
    ensure_manifest(tmp_path / "project", tmp_path / "home")
    assert dbt.parses == 2


def test_another_dbt_parses_anew(
    dbt: SlowDbt, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_manifest(tmp_path / "project", tmp_path / "home")
    monkeypatch.setattr(dbt_manifest, "version", lambda _: "99.0")
    ensure_manifest(tmp_path / "project", tmp_path / "home")
    ensure_manifest(tmp_path / "project", tmp_path / "home")
    assert dbt.parses == 2


def test_a_parse_that_fails_leaves_nothing_behind(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(project_dir: Path, target: Path) -> None:
        (target / "manifest.json").write_text("{")
        raise DbtProjectError("no such model")

    monkeypatch.setattr(dbt_manifest, "_run_dbt", fails)
    with pytest.raises(DbtProjectError):
        ensure_manifest(tmp_path / "project", tmp_path / "home")
    assert [path.name for path in (tmp_path / "home" / "dbt" / "manifest").iterdir()] == [".lock"]
