"""``scalecast completion``: the three shells really complete verbs, options, choices and files."""

import os
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.graph.command import SCALECAST, Shell

SECONDS = 30.0
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{SCALECAST.parent}{os.pathsep}{os.environ['PATH']}",
    "TERM": "dumb",
}
TYPED = {
    "bash": (["bash", "--norc", "-i"], 'eval "$(scalecast completion bash)"'),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -Uz compinit && compinit -u -D; eval "$(scalecast completion zsh)"',
    ),
}
"""How each is started without anybody's own settings, and what its users put into theirs."""


def need(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


def typed(shell: str, keys: str, expected: str, folder: Path) -> str:
    """What a shell shows after ``keys`` in a terminal of its own, up to what is expected."""
    command, setup = TYPED[shell]
    ours, its = os.openpty()
    with subprocess.Popen(
        command,
        stdin=its,
        stdout=its,
        stderr=its,
        cwd=folder,
        env=ENVIRONMENT,
        start_new_session=True,
    ) as process:
        os.close(its)
        try:
            os.write(ours, f"{setup}; echo RE'ADY'\n".encode())
            shown_until(ours, "READY")
            os.write(ours, keys.encode())
            return shown_until(ours, expected)
        finally:
            os.close(ours)
            process.kill()


def shown_until(terminal: int, expected: str) -> str:
    shown, deadline = "", time.monotonic() + SECONDS
    while expected not in shown and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65_536).decode(errors="replace")
    return shown


@pytest.mark.parametrize("shell", TYPED)
@pytest.mark.parametrize(
    ("keys", "whole"),
    [
        ("scalecast retr\t", "scalecast retrain"),
        ("scalecast run --rep\t", "scalecast run --replace"),
        ("scalecast convert ros\t", "scalecast convert rossmann"),
        ("scalecast validate my_s\t", "scalecast validate my_sales.csv"),
    ],
)
def test_a_tab_completes_what_is_typed(shell: str, keys: str, whole: str, tmp_path: Path) -> None:
    need(shell)
    (tmp_path / "my_sales.csv").touch()
    assert whole in typed(shell, keys, whole, tmp_path)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("scalecast re", {"restore", "retrain"}),
        ("scalecast run --re", {"--replace"}),
        ("scalecast convert ", {"online-retail", "m5", "rossmann", "favorita"}),
        ("scalecast validate my_s", {"my_sales.csv"}),
    ],
)
def test_fish_offers_what_fits(line: str, offered: set[str], tmp_path: Path) -> None:
    need("fish")
    (tmp_path / "my_sales.csv").touch()
    done = subprocess.run(
        ["fish", "--no-config", "-c", f'scalecast completion fish | source; complete -C "{line}"'],
        cwd=tmp_path,
        env={**ENVIRONMENT, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {row.partition("\t")[0] for row in done.stdout.splitlines()} == offered


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete"), ("zsh", "#compdef scalecast"), ("fish", "complete")]
)
def test_each_shell_gets_its_script(shell: str, word: str, tmp_path: Path) -> None:
    answer = Shell(tmp_path, tmp_path).scalecast("completion", shell)
    assert (answer.code, answer.err) == (0, "")
    assert word in answer.out
    assert f"_SCALECAST_COMPLETE={shell}_complete" in answer.out
