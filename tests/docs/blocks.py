"""The shell blocks of the documentation, and what is said about each in the comment before it.

``<!-- not run: why -->``: not run by the tests. ``<!-- stays up -->``: runs until the page ends.
``<!-- exit: 3 -->``: ends with this code. ``<!-- says: text -->``: prints this.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
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
        return self.is_shell and "not run" not in self.notes

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        notes = {kind: why or "" for kind, why in _NOTE.findall(found[1])}
        line = text.count("\n", 0, found.start(3)) + 1
        yield Block(page.name, line, found[2].strip(), found[3], notes)


def pages() -> list[Path]:
    return sorted(DOCS.glob("*.md"))
