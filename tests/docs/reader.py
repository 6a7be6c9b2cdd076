"""Somebody who reads a page and pastes one block after the other into a terminal.

Ports are free ones, and budgets are small; nothing else is changed.
"""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.blocks import Block, blocks_of
from tests.graph.command import SCALECAST, Shell, eventually, fetch, free_port

SMALL = {
    "SCALECAST_FIT_ROWS": "random_forest=400,xgboost=400,pytorch_nn=300",
    "SCALECAST_TUNE_ROWS": "random_forest=400,xgboost=400",
}
DOCUMENTED = {"127.0.0.1:8000": "SCALECAST_API_PORT", "127.0.0.1:3000": "SCALECAST_UI_PORT"}


@dataclass
class Reader:
    """A folder, a home in it, and what is up at the moment."""

    folder: Path
    shell: Shell
    up: ExitStack = field(default_factory=ExitStack)

    @property
    def environment(self) -> dict[str, str]:
        path = f"{SCALECAST.parent}{os.pathsep}{os.environ['PATH']}"
        return {**self.shell.environment, "PATH": path}

    def check_page(self, page: Path) -> None:
        """Paste every block that is run; what stays up is stopped at the end."""
        with self.up:
            for block in blocks_of(page):
                if block.is_run:
                    self.paste(block)

    def paste(self, block: Block) -> None:
        if "stays up" not in block.notes:
            self.run(block, block.text)
            return
        self.up.close()
        *before, last = block.lines
        if before:
            self.run(block, "\n".join(before))
        self.start(block, last)

    def run(self, block: Block, text: str) -> None:
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

    def start(self, block: Block, line: str) -> None:
        name, *arguments = shlex.split(line, comments=True)
        assert name == "scalecast", f"{block}: what stays up is a verb of scalecast"
        running = self.up.enter_context(self.shell.started(*arguments, "--json"))
        running.line()
        api = f"http://127.0.0.1:{self.shell.more['SCALECAST_API_PORT']}"
        eventually(lambda: fetch(f"{api}/ready")[0] == 200, "a model is served", 120)


@contextmanager
def reading() -> Iterator[Reader]:
    """A reader with an empty home, in a folder with a space in its name."""
    folder = Path(tempfile.mkdtemp(prefix="scalecast docs "))
    folder.chmod(0o755)
    ports = {variable: str(free_port()) for variable in DOCUMENTED.values()}
    try:
        yield Reader(folder, Shell(folder / "home", folder, {**SMALL, **ports}))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
