"""The blocks of code in the documentation, and what is said about each in the comment before it.

``<!-- not run: why -->``: not run by the tests. ``<!-- stays up -->``: the last line runs until the
next such block, or the page's end; ``<!-- stays up: command -->``: so does this, in place of a
block that is not run.
``<!-- exit: 3 -->``: ends with this code. ``<!-- says: text -->``: prints this.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
AT_THE_ROOT = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
SHELL = ("sh", "console", "bash", "shell")
_BLOCK = re.compile(r"((?:<!-- [^\n]*? -->\n)*)```([^\n]*)\n(.*?)\n```", re.DOTALL)
_NOTE = re.compile(r"<!-- (not run|stays up|exit|says)(?:: (.*?))? -->")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str
    line: int
    language: str
    text: str
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def is_shell(self) -> bool:
        return self.language in SHELL

    @property
    def is_run(self) -> bool:
        return self.is_shell and ("not run" not in self.notes or "stays up" in self.notes)

    @property
    def lines(self) -> list[str]:
        """What is pasted: the block, or what runs in its place."""
        return (self.notes.get("stays up") or self.text).splitlines()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        notes = {kind: why or "" for kind, why in _NOTE.findall(found[1])}
        line = text.count("\n", 0, found.start(3)) + 1
        yield Block(page.name, line, found[2].strip(), found[3], notes)


def without_blocks(text: str) -> str:
    """The page's prose, line by line where it was."""
    return _BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text)


def site_pages() -> list[Path]:
    """Those of the site."""
    return sorted(DOCS.glob("*.md"))


def all_pages() -> list[Path]:
    """Those of the site, and those that a visitor of the repository sees first."""
    return [*(ROOT / name for name in AT_THE_ROOT), *site_pages()]
