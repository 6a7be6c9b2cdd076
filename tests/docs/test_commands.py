"""Every command of the documentation is run, page after page, as somebody would who follows it.

The pages share one home. Ports are free ones, and budgets are small; nothing else is changed.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.docs.blocks import DOCS, Block, blocks_of
from tests.graph.command import SCALECAST, Shell, eventually, fetch, free_port

PAGES = ("quickstart.md", "your-data.md", "datasets.md", "backup.md", "upgrading.md")
"""In the order of the story."""

SMALL = {
    "SCALECAST_FIT_ROWS": "random_forest=400,xgboost=400,pytorch_nn=300",
    "SCALECAST_TUNE_ROWS": "random_forest=400,xgboost=400",
}
DOCUMENTED = {"127.0.0.1:8000": "SCALECAST_API_PORT", "127.0.0.1:3000": "SCALECAST_UI_PORT"}
_UP = re.compile(r"^scalecast (\w+)$")


@dataclass
class Reader:
    """Somebody who pastes one block after the other into a terminal."""

    folder: Path
    shell: Shell
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def environment(self) -> dict[str, str]:
        path = f"{SCALECAST.parent}{os.pathsep}{os.environ['PATH']}"
        return {**self.shell.environment, "PATH": path}

    def check_block(self, block: Block) -> None:
        if "stays up" in block.notes:
            self.start(block)
            return
        text = block.text
        for place, variable in DOCUMENTED.items():
            text = text.replace(place, f"127.0.0.1:{self.shell.more[variable]}")
        done = subprocess.run(
            ["bash", "-c", f"set -eo pipefail\n{text}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        said = f"{block}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert done.returncode == int(block.notes.get("exit", "0")), said
        assert block.notes.get("says", "") in done.stdout, said

    def start(self, block: Block) -> None:
        found = _UP.match(block.text)
        assert found, f"{block}: what stays up is one verb of scalecast"
        running = self.stack.enter_context(self.shell.started(found[1], "--json"))
        running.line()
        api = f"http://127.0.0.1:{self.shell.more['SCALECAST_API_PORT']}"
        eventually(lambda: fetch(f"{api}/ready")[0] == 200, "a model is served", 60)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    folder = Path(tempfile.mkdtemp(prefix="scalecast docs "))
    folder.chmod(0o755)
    ports = {variable: str(free_port()) for variable in DOCUMENTED.values()}
    yield Reader(folder, Shell(folder / "home", folder, {**SMALL, **ports}))
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_works(page: str, reader: Reader) -> None:
    with reader.stack:
        for block in blocks_of(DOCS / page):
            if block.is_run:
                reader.check_block(block)
