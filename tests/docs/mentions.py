"""What the documentation names in passing: inline code, and the lines of its shell blocks."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docs.blocks import blocks_of, without_blocks

_CODE = re.compile(r"(?<!`)(`+)(?!`)((?:.|\n(?!\n))+?)(?<!`)\1(?!`)")
_NEXT_COMMAND = re.compile(r"\|\|?|&&|;|\$\(|\n")
_ASSIGNMENT = re.compile(r"\w+=")


@dataclass(frozen=True)
class Mention:
    """A piece of code, and where it stands."""

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"

    def commands(self) -> Iterator[list[str]]:
        """The words of each simple command in it, without assignments and redirections."""
        for piece in _NEXT_COMMAND.split(self.text):
            words = _words(piece)
            while words and _ASSIGNMENT.match(words[0]):
                del words[0]
            if words:
                yield [words[0].rpartition("/")[2], *words[1:]]


def code_of(page: Path) -> Iterator[Mention]:
    """Inline code: verbs, settings, paths."""
    text = without_blocks(page.read_text(encoding="utf-8"))
    for found in _CODE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Mention(page.name, line, " ".join(found[2].split()))


def commands_of(page: Path) -> Iterator[tuple[Mention, list[str]]]:
    """Every command of a page, in a sentence or in a block, with its words."""
    blocks = [
        Mention(block.page, block.line, block.text.replace("\\\n", " "))
        for block in blocks_of(page)
        if block.is_shell
    ]
    for mention in [*code_of(page), *blocks]:
        for words in mention.commands():
            yield mention, words


def _words(piece: str) -> list[str]:
    """The words of a command, without the marks of ``[--csv FILE]…``."""
    plain = re.sub(r"[\[\]…]", "", piece)
    try:
        words = shlex.split(plain, comments=True)
    except ValueError:  # a quotation goes beyond the piece
        words = plain.replace('"', " ").replace(")", " ").split()
    ends = [number for number, word in enumerate(words) if word[:1] in "<>&" or word == ")"]
    return words[: ends[0]] if ends else words
