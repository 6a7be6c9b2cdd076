"""The page on a refused file, for whoever made the file: what is wrong, where, and what to do.

One self-contained HTML file (``refusal_page.html``), bounded in size. Every text in it that comes
from the file is hostile until shown: it is cut short, what is invisible in it is spelled out, and
the template escapes it. The facts come from ``refusal.py``, the words from ``rule_words.py``.
jinja2 and pandas are imported only when a page is made.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from scalecast_assets.contract.columns import RAW_COLUMNS
from scalecast_assets.ingest.refusal import Refusal, RuleCount
from scalecast_assets.ingest.rule_words import COLUMNS, WORDS, Words
from scalecast_assets.ingest.wording import counted

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES: Final = 100
"""Lines of a rule that the page shows; the CSV has all."""

AT_ONCE: Final = 10
"""Examples that are open to the eye; the others unfold."""

MAX_CELL: Final = 60
MAX_TEXT: Final = 160
"""Characters shown of a cell; of a line, a name or a reason."""

_MOST: Final = 0.8
"""What this share of a rule's lines has in common is said."""

_FEW: Final = 3
"""Of fewer lines nothing is said to be common."""


@dataclass(frozen=True)
class Cell:
    """One cell as it is shown; the ``bad`` ones stand out."""

    name: str
    text: str
    bad: bool = False


@dataclass(frozen=True)
class Example:
    """One bad line: its cells, or, where it could not be taken apart, its ``text``."""

    line: int
    cells: Sequence[Cell]
    text: str
    reason: str


@dataclass(frozen=True)
class BrokenRule:
    """One section of the page."""

    count: RuleCount
    words: Words
    common: Sequence[str]
    examples: Sequence[Example]


@dataclass(frozen=True)
class Companions:
    """What lies beside the page, or None: the CSV of every bad line, the copy of the file."""

    report: str | None = None
    copy: str | None = None


def render(refusal: Refusal, beside: Companions) -> str:
    """Return the whole page; nothing of it is loaded from elsewhere."""
    from jinja2 import Environment, StrictUndefined

    template = resources.files(__package__).joinpath("refusal_page.html").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"shown": shown, "counted": counted, "link": _link}
    return environment.from_string(template).render(
        refusal=refusal,
        name=shown(Path(refusal.file.key).name, MAX_TEXT),
        rules=broken_rules(refusal),
        columns=COLUMNS,
        beside=beside,
        at_once=AT_ONCE,
        max_text=MAX_TEXT,
    )


def shown(text: str, most: int = MAX_CELL) -> str:
    """Return the text short and with nothing invisible in it.

    Control characters, spaces other than the plain one, marks that turn the direction of writing
    and characters without a shape are spelled out: ``⟨U+202E⟩``.
    """
    spelled = "".join(map(_spelled, text[: most + 1]))
    return spelled if len(spelled) <= most else spelled[: most - 1] + "…"


def _spelled(character: str) -> str:
    code = ord(character)
    if character == " ":
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    if unicodedata.category(character)[0] in "CZ":
        return f"⟨U+{code:04X}⟩"
    return character


def _link(name: str) -> str:
    """A relative address, whatever the name looks like."""
    return "./" + quote(name)


def broken_rules(refusal: Refusal) -> list[BrokenRule]:
    """The rules that the file breaks, in their order, with what the lines have in common."""
    import pandas as pd

    names = ["line", *RAW_COLUMNS]
    landed = pd.DataFrame(refusal.landed, columns=names, dtype=object).set_index("line")
    faults = pd.DataFrame(
        refusal.faults, columns=["line", "column", "value", "rule", "reason"], dtype=object
    )
    ids = landed[["date", "store_id", "product_id"]]
    by_rule = dict(iter(faults.join(ids, on="line").groupby("rule")))
    rows = _as_written(refusal, landed)
    return [
        BrokenRule(
            count,
            WORDS[count.rule],
            list(_in_common(by_rule[count.rule], refusal.varied, count)),
            _examples(by_rule[count.rule].head(EXAMPLES), rows),
        )
        for count in refusal.counts
    ]


def _as_written(refusal: Refusal, landed: "pd.DataFrame") -> Mapping[int, Mapping[Any, Any]]:
    """The lines that could be taken apart, each unreadable cell with its text from the file."""
    import pandas as pd

    written = pd.DataFrame(refusal.unreadable, columns=["line", "column", "value"], dtype=object)
    wide = written.drop_duplicates(["line", "column"]).pivot(
        index="line", columns="column", values="value"
    )
    # Without landed rows of their own, lines that broke apart stay out.
    whole = landed.map(_plain).combine_first(wide.reindex(landed.index))
    records = whole.reindex(columns=list(RAW_COLUMNS)).to_dict(orient="records")
    return dict(zip(whole.index.astype(int), records, strict=True))


def _plain(value: Any) -> Any:
    """A landed value as somebody would write it; what could not be read stays missing."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.15g}" if isinstance(value, float) else value


def _in_common(lines: "pd.DataFrame", varied: frozenset[str], count: RuleCount) -> Iterator[str]:
    """What most of these lines share, where that is not true of the whole file anyway."""
    looked_at = lines["line"].nunique()
    if looked_at < _FEW:
        return
    of = "of these lines" if looked_at == count.lines else f"of the first {looked_at:,} lines"
    for column in ("value", *sorted(varied)):
        times = lines.groupby(column)["line"].nunique().nlargest(1)
        if times.empty or times.iloc[0] < _MOST * looked_at:
            continue
        share = "All" if times.iloc[0] == looked_at else f"{times.iloc[0]:,}"
        text = shown(str(times.index[0]))
        what = f"have “{text}” here" if column == "value" and text else "are empty here"
        if column != "value":
            what = f"have the {column} “{text}”"
        yield f"{share} {of} {what}."


def _examples(lines: "pd.DataFrame", rows: Mapping[int, Mapping[Any, Any]]) -> list[Example]:
    return [
        Example(
            line=line,
            cells=_cells(rows.get(line), column, value) if column else (),
            text=shown(value, MAX_TEXT),
            reason=shown(reason, MAX_TEXT),
        )
        for line, column, value, reason in lines[["line", "column", "value", "reason"]].itertuples(
            index=False
        )
    ]


def _cells(row: Mapping[Any, Any] | None, column: str, value: str) -> list[Cell]:
    """The line's six cells in the order of the contract, the guilty ones marked."""
    if row is None:
        return []
    guilty = set(column.split(", "))
    return [
        Cell(name, shown(value if guilty == {name} else str(cell)), name in guilty)
        for name, cell in row.items()
        if cell is not None and cell == cell
    ]
