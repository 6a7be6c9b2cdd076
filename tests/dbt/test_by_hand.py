"""dbt's own commands, typed in ``dbt_project/``, with only the variables of ``scalecast env``.

Processes of their own, as a person would start them; all other tests run dbt inside theirs.
"""

import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from scalecast_assets.runtime import Runtime
from scalecast_assets.settings import Settings
from tests.dbt.warehouse_histories import BEGIN, DBT_PROJECT, Warehouse


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy, because dbt writes into the folder that it is called in."""
    copy = tmp_path / "dbt_project"
    shutil.copytree(DBT_PROJECT, copy, ignore=shutil.ignore_patterns("target", "logs"))
    return copy


def test_build_run_test_and_docs_work_by_hand(database_url: str, project: Path) -> None:
    settings = Settings(database_url=database_url, home=project.parent / "home")
    runtime = Runtime(settings, database_url, database_url, project.parent / "dagster")
    with psycopg.connect(database_url, autocommit=True) as connection:
        Warehouse(connection).change(
            {("S", "A", BEGIN + timedelta(days=d)): (1.0, 2.0, True) for d in range(20)}
        )
    for arguments in (["build"], ["run"], ["test"], ["docs", "generate", "--static"]):
        done = subprocess.run(
            [sys.executable, "-m", "dbt.cli.main", *arguments],
            cwd=project,
            env={"PATH": os.environ["PATH"], "HOME": str(project.parent), **runtime.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr}"
        assert "WARN" not in done.stdout.replace("WARN=0", ""), done.stdout
    page = (project / "target" / "static_index.html").read_text(encoding="utf-8")
    assert "The sixteen features of every active series" in page
