"""The consoles of the command line, and what is fitted to their width.

Where there is no terminal nothing is wrapped or left out: a file or another program gets whole
lines and whole tables.
"""

import textwrap
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

ENDLESS: Final = 10_000
"""The width of what is no terminal."""


def console_for(*, stderr: bool = False) -> Console:
    """Return the console of standard output, or of standard error."""
    console = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = ENDLESS
    return console


def hung(text: str, console: Console, *, first: int, indent: int) -> str:
    """Return the text wrapped at words, for a place in column ``first`` of a line.

    The lines after the first are indented by ``indent``. Words that are too long, addresses say,
    stay whole.
    """
    if not console.is_terminal:
        return text
    lines = []
    for number, line in enumerate(text.splitlines()):
        begin = " " * (indent if number else first)
        wrapped = textwrap.fill(
            line,
            console.width,
            initial_indent=begin,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines.append(wrapped if number else wrapped.removeprefix(begin))
    return "\n".join(lines)


def fitted(
    build: Callable[[Sequence[str]], Table],
    columns: Sequence[str],
    spare: Sequence[str],
    console: Console,
) -> Table:
    """Build the table of these columns, without those ``spare`` ones for which there is no room.

    They go in their order; the table says below which ones went.
    """
    shown, gone = list(columns), list[str]()
    wide = console.options.update(width=ENDLESS)
    table = build(shown)
    for column in spare:
        if console.measure(table, options=wide).maximum <= console.width:
            break
        shown.remove(column)
        gone.append(column)
        table = build(shown)
    if gone:
        table.caption = f"No room for: {', '.join(gone)}"
        table.caption_justify = "left"
    return table
