"""dbt's manifest of the feature models: parsed anew when a file of the project changed, once.

Several processes load the graph at the same moment (UI, daemon, a run). The first parses, into a
folder of its own, the others wait; what any of them reads is whole. What is made of the manifest is
in ``dbt.py``. Nothing here imports Dagster or dbt, which takes seconds.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scalecast_assets.settings import PROJECT_ROOT

DBT_PROJECT: Final = PROJECT_ROOT / "dbt_project"

SOURCE_SUFFIXES: Final = {".sql", ".yml", ".yaml", ".csv"}
KEPT: Final = ("partial_parse.msgpack", "manifest.json")
"""The manifest last: it is what says that both are there."""


class DbtProjectError(RuntimeError):
    """dbt cannot parse the project; the message has dbt's own words."""


def ensure_manifest(project_dir: Path, home: Path) -> Path:
    """Return the path of dbt's manifest, parsed anew if a file of the project is younger.

    Raises:
        DbtProjectError: dbt cannot parse the project; what was parsed before stays as it is.
    """
    folder = home.resolve() / "dbt" / "manifest"
    manifest = folder / "manifest.json"
    if _is_current(manifest, project_dir):
        return manifest
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if not _is_current(manifest, project_dir):
            _parse(project_dir, folder)
    return manifest


def _parse(project_dir: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="new-", dir=folder) as fresh:
        if (parsed := folder / KEPT[0]).exists():
            shutil.copyfile(parsed, Path(fresh) / parsed.name)
        # A file that is edited while dbt reads must be younger than what is made of it.
        began = time.time()
        _run_dbt(project_dir, Path(fresh))
        for name in KEPT:
            made = Path(fresh) / name
            if made.exists():
                os.utime(made, (began, began))
                made.replace(folder / name)


def _run_dbt(project_dir: Path, target: Path) -> None:
    places = {
        "--project-dir": project_dir,
        "--profiles-dir": project_dir,
        "--target-path": target,
        "--log-path": target,
    }
    done = subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", "parse"]
        + [str(part) for place in places.items() for part in place],
        # Parsing opens no connection, so it needs no password.
        env={"SCALECAST_PG_PASSWORD": "", **os.environ},
        # Ctrl-C is for us, not for a dbt that would then say that the project cannot be parsed.
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DbtProjectError(
            f"dbt cannot parse {project_dir}; correct what it says:\n{done.stdout}{done.stderr}"
        )


def _is_current(manifest: Path, project_dir: Path) -> bool:
    return manifest.exists() and manifest.stat().st_mtime > _youngest(project_dir)


def _youngest(project_dir: Path) -> float:
    ours = (path for path in project_dir.rglob("*") if path.suffix in SOURCE_SUFFIXES)
    return max(
        path.stat().st_mtime
        for path in ours
        if path.relative_to(project_dir).parts[0] not in {"target", "logs"}
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
