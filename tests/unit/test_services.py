"""Child processes: started, watched, and stopped whatever they do."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scalecast_assets.commands.services import Service, Services, free_port
from scalecast_assets.settings import SettingsError
from tests.graph.command import eventually

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
PARENT = (
    "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time;"
    " time.sleep(60)']); print(p.pid, flush=True); time.sleep(60)"
)

others: set[psutil.Process] = set()


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Inside, signals are asked for; afterwards the handlers are as before."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    others.update(psutil.Process().children(recursive=True))
    with Services(tmp_path / "logs") as running:
        yield running
    for number, handler in before.items():
        signal.signal(number, handler)


def python(name: str, code: str, url: str | None = None) -> Service:
    return Service(name, [sys.executable, "-c", code], url)


def children() -> list[psutil.Process]:
    """What the test started; libraries of other tests leave helpers behind."""
    return [c for c in psutil.Process().children(recursive=True) if c not in others]


def test_a_service_that_ends_is_named_with_its_last_words(services: Services) -> None:
    services.start(python("clock", "print('out of order'); raise SystemExit(4)"), {})
    problem = services.watch()
    assert problem is not None
    assert "clock ended with exit code 4" in problem
    assert "out of order" in problem


def test_a_service_that_ends_before_it_answers_is_an_error_with_its_last_words(
    services: Services,
) -> None:
    service = python("api", "print('no such port')", "http://127.0.0.1:1/health")
    services.start(service, {})
    with pytest.raises(SettingsError, match=r"api ended at once(.|\n)*no such port"):
        services.wait_ready(service)


def test_a_service_that_does_not_answer_in_time_is_an_error(services: Services) -> None:
    service = python("api", "import time; time.sleep(60)", "http://127.0.0.1:1/health")
    services.start(service, {})
    with pytest.raises(SettingsError, match=r"api did not answer at http://127.0.0.1:1/health"):
        services.wait_ready(service, timeout_seconds=0.3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_watch_without_a_problem(services: Services, number: int) -> None:
    services.start(python("sleeper", "import time; time.sleep(60)"), {})
    os.kill(os.getpid(), number)
    assert services.watch() is None


def test_children_of_a_service_end_with_it(services: Services) -> None:
    services.start(python("parent", PARENT), {})
    deadline = time.monotonic() + 10
    while len(children()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    started = children()
    assert len(started) >= 2
    services.stop()
    _, alive = psutil.wait_procs(started, timeout=5)
    assert alive == []


def test_a_service_that_will_not_end_is_ended(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalecast_assets.commands.services.STOP_SECONDS", 0.5)
    services.start(python("stubborn", STUBBORN), {})
    time.sleep(0.3)
    started = children()
    services.stop()
    _, alive = psutil.wait_procs(started, timeout=5)
    assert alive == []


def test_a_service_gets_the_environment_it_is_given(services: Services) -> None:
    code = "import os; print(os.environ['SCALECAST_SEED'])"
    services.start(python("env", code), {"SCALECAST_SEED": "7"})
    assert services.watch() is not None
    assert services.log_file("env").read_text() == "7\n"


def test_a_taken_port_is_passed_over_only_if_nobody_asked_for_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(None, port, "ui_port") > port
        with pytest.raises(SettingsError, match=f"SCALECAST_UI_PORT: port {port} is taken"):
            free_port(port, 3000, "ui_port")
    assert free_port(port, 3000, "ui_port") == port


KEEPER = """
import sys, time
from pathlib import Path
from scalecast_assets.commands.services import Service, Services

with Services(Path(sys.argv[1])) as running:
    running.start(Service("kept", [sys.executable, "-c", "import time; time.sleep(60)"]), {})
    print(running._children["kept"].pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a kill")
def test_a_service_ends_when_who_keeps_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KEEPER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdout is not None
        kept = psutil.Process(int(keeper.stdout.readline()))
        keeper.kill()
    eventually(lambda: not kept.is_running(), "the service has ended", 20)
