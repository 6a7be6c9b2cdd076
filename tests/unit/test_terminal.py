"""What a terminal gets and a file does not: completion, colours, moving bars, lines for people."""

import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from scalecast_assets.commands import counting
from scalecast_assets.commands.counting import Counter
from scalecast_assets.commands.progress import Progress
from scalecast_assets.runtime import running
from scalecast_assets.settings import Settings
from serving.logs import configure
from tests.graph.command import SCALECAST, Shell


def bash_completes(*words: str) -> set[str]:
    """What real bash offers for the last word after ``eval "$(scalecast completion bash)"``."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        'eval "$(scalecast completion bash)"; '
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
        '_scalecast_completion scalecast; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{SCALECAST.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_completes_verbs_options_and_choices() -> None:
    assert bash_completes("scalecast", "re") == {"restore", "retrain"}
    assert "--replace" in bash_completes("scalecast", "run", "--re")
    assert bash_completes("scalecast", "convert", "") == {
        "online-retail", "m5", "rossmann", "favorita",
    }  # fmt: skip


@pytest.mark.parametrize(("shell", "word"), [("zsh", "#compdef scalecast"), ("fish", "complete")])
def test_the_other_shells_get_their_script(shell: str, word: str, tmp_path: Path) -> None:
    answer = Shell(tmp_path, tmp_path).scalecast("completion", shell)
    assert (answer.code, answer.err) == (0, "")
    assert word in answer.out
    assert f"_SCALECAST_COMPLETE={shell}_complete" in answer.out


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
    console = Console(file=written, force_terminal=True, width=100)
    with Counter("objects", console) as counter:
        counter.count(1, 4)
        counter.say("a line that stays")
    assert "objects" in written.getvalue()
    assert "1/4" in written.getvalue()
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
