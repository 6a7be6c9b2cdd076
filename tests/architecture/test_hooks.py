"""What pre-commit runs before each commit: tools that are installed, on files that are there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / ".pre-commit-config.yaml"
BIN = Path(sys.executable).parent


def hooks() -> list[dict[str, Any]]:
    repositories = yaml.safe_load(CONFIG.read_text())["repos"]
    return [hook for repository in repositories for hook in repository["hooks"]]


def test_pre_commit_takes_the_configuration() -> None:
    done = subprocess.run([BIN / "pre-commit", "validate-config", CONFIG], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("hook", hooks(), ids=lambda hook: hook["id"])
def test_a_hook_runs_a_tool_of_the_locks_on_files_that_are_there(hook: dict[str, Any]) -> None:
    assert hook["language"] == "system", "nothing is downloaded"
    tool, *arguments = shlex.split(hook["entry"])
    assert (tool, (BIN / Path(tool).name).exists()) == (f".venv/bin/{Path(tool).name}", True)
    if arguments[:1] == ["-m"]:
        assert (ROOT / arguments[1].replace(".", "/")).with_suffix(".py").is_file()
    files = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    assert any(re.search(hook.get("files", ""), name) for name in files)
