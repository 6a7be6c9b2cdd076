"""dbt's manifest of the feature models: parsed anew when the project or dbt changed, once.

Several processes load the graph at the same moment (UI, daemon, a run). The first parses, into a
folder of its own, the others wait; what any of them reads is whole. What is made of the manifest is
in ``dbt.py``. Nothing here imports Dagster or dbt, which takes seconds.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

from scalecast_assets.settings import PROJECT_ROOT

DBT_PROJECT: Final = PROJECT_ROOT / "dbt_project"

SOURCE_SUFFIXES: Final = {".sql", ".yml", ".yaml", ".csv"}
MADE_OF: Final = "made_of"
"""Holds the fingerprint of what the manifest beside it was parsed from.

Not the time: a home outlives releases, and an older one's files are older than its manifest.
"""

KEPT: Final = ("partial_parse.msgpack", "manifest.json", MADE_OF)
"""The fingerprint last: it is what says that the others are there."""


class DbtProjectError(RuntimeError):
    """dbt cannot parse the project; the message has dbt's own words."""


def ensure_manifest(project_dir: Path, home: Path) -> Path:
    """Return the path of dbt's manifest, parsed anew if it is of other files or of another dbt.

    Raises:
        DbtProjectError: dbt cannot parse the project; what was parsed before stays as it is.
    """
    folder = home.resolve() / "dbt" / "manifest"
    wanted = _fingerprint(project_dir)
    if _found(folder) != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if _found(folder) != wanted:
                _parse(project_dir, folder, wanted)
    return folder / "manifest.json"


def _parse(project_dir: Path, folder: Path, fingerprint: str) -> None:
    with tempfile.TemporaryDirectory(prefix="new-", dir=folder) as fresh:
        if (parsed := folder / KEPT[0]).exists():
            shutil.copyfile(parsed, Path(fresh) / parsed.name)
        _run_dbt(project_dir, Path(fresh))
        (Path(fresh) / MADE_OF).write_text(fingerprint)
        (folder / MADE_OF).unlink(missing_ok=True)
        for name in KEPT:
            made = Path(fresh) / name
            if made.exists():
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


def _found(folder: Path) -> str | None:
    try:
        return (folder / MADE_OF).read_text()
    except FileNotFoundError:
        return None


def _fingerprint(project_dir: Path) -> str:
    digest = hashlib.sha256()
    digest.update(f"{version('dbt-core')} {version('dbt-postgres')}\n".encode())
    for path in sorted(project_dir.rglob("*")):
        name = path.relative_to(project_dir)
        if path.suffix in SOURCE_SUFFIXES and name.parts[0] not in {"target", "logs"}:
            digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
