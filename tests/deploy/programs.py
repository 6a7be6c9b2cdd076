"""Programs of Debian's packages: installed, or unpacked into ``.tools`` by ``deploy/tools.sh``."""

import os
import shutil

import pytest

from tests.graph.command import ROOT

TOOLS = ROOT / ".tools"


def program(name: str) -> str:
    """Where the program is; the test is skipped where there is none."""
    folders = [TOOLS / "usr/bin", TOOLS / "usr/sbin", "/usr/sbin"]
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, folders)])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"no {name} here: `sh deploy/tools.sh` fetches it on Debian and Ubuntu")
    return found
