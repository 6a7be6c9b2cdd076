"""What a terminal gets and a file does not: colours, moving bars, lines for people."""

import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from scalecast_assets.commands import counting
from scalecast_assets.commands.counting import Counter
from scalecast_assets.commands.progress import Progress
from scalecast_assets.commands.terminal import fitted, hung
from scalecast_assets.runtime import running
from scalecast_assets.settings import Settings
from serving.logs import configure
from tests.graph.command import SCALECAST, Shell

TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
"""For a console that is none, whatever the one is like in which the tests run."""


def on_terminal(*arguments: str, **environment: str) -> bytes:
    """Everything a command writes to a terminal of its own."""
    ours, its = os.openpty()
    with subprocess.Popen(
        [str(SCALECAST), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=its,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    ) as process:
        os.close(its)
        written = b""
        while True:
            try:
                written += os.read(ours, 65_536)
            except OSError:  # the last writer has gone
                break
        process.wait(60)
    os.close(ours)
    return written


def test_colours_are_for_terminals_and_for_those_who_want_them(tmp_path: Path) -> None:
    home = {"SCALECAST_HOME": str(tmp_path / "home")}
    assert b"\x1b[" in on_terminal("doctor", **home)
    assert b"\x1b[" not in on_terminal("doctor", **home, NO_COLOR="1")
    assert "\x1b" not in Shell(tmp_path / "home", tmp_path).scalecast("doctor").out


def test_what_runs_is_told_with_the_steps_that_are_done_and_fits_a_narrow_terminal() -> None:
    written = io.StringIO()
    console = Console(file=written, _environ=TERMINAL, width=60, soft_wrap=True, no_color=True)
    progress = Progress(console)
    progress.begins(3)
    progress.started("raw_demand")
    progress.materialized("raw_demand", {"files": 1, "rows": 13_586, "data_until": "2024-03-14"})
    progress.succeeded("raw_demand")
    progress.started("training_set")
    progress.tick()
    progress.failed("training_set", "a reason of many words that does not fit on one line of it")
    progress.close()
    text = re.sub(r"\x1b\[[?\d;]*\w|\r", "", written.getvalue())
    assert "1 of 3 steps done; now training_set 0 s" in text
    assert "files 1, rows 13,586,\n    data until 2024-03-14\n" in text
    assert all(len(line) <= 60 for line in text.splitlines() if "done; now" not in line)


def test_a_line_that_is_too_long_goes_on_below_its_place_and_breaks_between_words() -> None:
    narrow = Console(file=io.StringIO(), _environ=TERMINAL, width=30)
    text = "ten words of two to five letters that do not fit at all"
    lines = hung(text, narrow, first=10, indent=4).splitlines()
    assert " ".join(line.strip() for line in lines) == text
    assert len(lines) == 3
    assert len(lines[0]) <= 20
    assert all(len(line) <= 30 and line[:4].isspace() and line[4] != " " for line in lines[1:])


def test_where_there_is_no_terminal_lines_stay_whole() -> None:
    text = "far more than thirty letters on one line"
    assert hung(text, Console(file=io.StringIO(), width=30), first=10, indent=4) == text


@pytest.mark.parametrize(
    ("width", "shown", "gone"), [(100, "abcd", ""), (30, "abc", "d"), (22, "ac", "d, b")]
)
def test_a_table_leaves_out_what_matters_least_until_it_fits(
    width: int, shown: str, gone: str
) -> None:
    def build(columns: Sequence[str]) -> Table:
        table = Table(*columns)
        table.add_row(*(column * 6 for column in columns))
        return table

    written = io.StringIO()
    console = Console(file=written, _environ=TERMINAL, width=width, no_color=True)
    console.print(fitted(build, "abcd", ["d", "b", "c"], console))
    text = written.getvalue()
    assert {column for column in "abcd" if column * 6 in text} == set(shown)
    assert (f"No room for: {gone}" in text) == bool(gone)
    assert max(map(len, re.sub(r"\x1b\[[\d;]*m", "", text).splitlines())) <= width


def test_while_postgres_is_up_our_own_console_may_still_be_coloured(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    settings = Settings(home=tmp_path / "home", database_url=database_url)
    with running(settings) as runtime:
        assert not Progress().console.no_color
        assert runtime.environment["NO_COLOR"] == "1", "the logs of children have none"


def test_a_count_is_a_moving_bar_on_a_terminal_with_the_time_left() -> None:
    written = io.StringIO()
    console = Console(file=written, _environ=TERMINAL, width=100)
    with Counter("objects", console) as counter:
        counter.count(1, 4)
        counter.say("a line that stays")
    assert "objects" in written.getvalue()
    assert "1 of 4" in written.getvalue()
    assert "a line that stays" in written.getvalue()


def test_elsewhere_a_count_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.0, 20.0, 40.0])
    monkeypatch.setattr(counting, "monotonic", lambda: next(clock))
    written = io.StringIO()
    with Counter("rows", Console(file=written, width=100)) as counter:
        counter.count(10, 4000)
        counter.count(1000, 4000)
        counter.count(4000, 4000)
    assert written.getvalue().splitlines() == [
        "  rows: 1,000 of 4,000, about 60 s left",
        "  rows: 4,000 of 4,000",
    ]


def test_of_what_is_known_by_its_share_the_whole_is_guessed() -> None:
    written = io.StringIO()
    with Counter("rows", Console(file=written, _environ=TERMINAL, width=100)) as counter:
        counter.share(250_000, 0.25)
        counter.share(1_010_000, 1.0)
    assert "250,000 of 1,000,000, about" in written.getvalue()
    assert "1,010,000" not in written.getvalue()


class Terminal(io.StringIO):
    """Text that says of itself that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def root_logger() -> Iterator[None]:
    """The handlers are put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize(
    ("stream", "log_format", "starts"),
    [
        (Terminal, "auto", "2"),
        (io.StringIO, "auto", "{"),
        (Terminal, "json", "{"),
        (io.StringIO, "text", "2"),
    ],
)
def test_the_sidecar_logs_for_people_on_a_terminal_and_json_elsewhere(
    stream: type[io.StringIO],
    log_format: str,
    starts: str,
    root_logger: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = stream()
    monkeypatch.setattr(sys, "stderr", written)
    configure("info", log_format)
    logging.getLogger("serving").info("ready")
    assert written.getvalue().startswith(starts)
    assert "ready" in written.getvalue()
