"""The sidecar as a real process: what it imports, how it starts, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from serving.app import create_app
from serving.settings import Settings, SettingsError
from tests.serving.conftest import Home, eventually
from tests.serving.makers import OLD_REQUEST, World, set_up

ROOT = Path(__file__).parent.parent.parent

FORBIDDEN = {
    "boto3",
    "dagster",
    "dbt",
    "great_expectations",
    "joblib",
    "onnx",
    "pandas",
    "psycopg",
    "pyarrow",
    "sklearn",
    "torch",
    "xgboost",
}

SERVE_AND_TELL = """
import json, sys
from serving.__main__ import main
code = main()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
sys.exit(code)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(home: Home, port: int, *command: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SCALECAST_STORE_URL": home.settings.store_url,
        "SCALECAST_API_PORT": str(port),
        "SCALECAST_POLL_SECONDS": "0.1",
        **more,
    }
    running = subprocess.Popen(
        [sys.executable, *(command or ("-m", "serving"))],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate()


def is_healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


def test_the_process_imports_nothing_of_the_pipeline_and_ends_cleanly(
    home: Home, world: World
) -> None:
    set_up(home.store, world)
    port = free_port()
    with process(home, port, "-c", SERVE_AND_TELL) as sidecar:
        eventually(lambda: is_healthy(port), "the process answers", seconds=30)
        reply = httpx.post(f"http://127.0.0.1:{port}/predict", json=OLD_REQUEST)
        sidecar.send_signal(signal.SIGINT)
        out, err = sidecar.communicate(timeout=20)

    assert reply.status_code == 200
    assert "server" not in reply.headers
    assert sidecar.returncode == 0, err
    assert "Traceback" not in err
    modules = set(json.loads(out))
    assert {"serving", "scalecast_assets", "onnxruntime", "numpy"} <= modules
    assert not modules & FORBIDDEN


def test_sigterm_ends_the_process_without_a_trace(home: Home, world: World) -> None:
    set_up(home.store, world)
    port = free_port()
    command = ("-m", "serving", "--host", "127.0.0.1", "--port", str(port))
    with process(home, free_port(), *command) as sidecar:
        eventually(lambda: is_healthy(port), "the port of the command line answers", seconds=30)
        sidecar.send_signal(signal.SIGTERM)
        _, err = sidecar.communicate(timeout=20)

    assert sidecar.returncode in (0, -signal.SIGTERM)
    assert "serving model 1.0.0" in err
    assert "Traceback" not in err


def test_a_taken_port_is_named(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with process(home, port) as sidecar:
            _, err = sidecar.communicate(timeout=30)

    assert sidecar.returncode == 1
    assert str(port) in err
    assert "SCALECAST_API_PORT" in err


def test_a_setting_that_cannot_be_used_ends_the_process_with_code_2(home: Home) -> None:
    with process(home, free_port(), SCALECAST_POLL_SECONDS="often") as sidecar:
        _, err = sidecar.communicate(timeout=30)

    assert sidecar.returncode == 2
    assert err.startswith("SCALECAST_POLL_SECONDS: expected a number")
    assert "Traceback" not in err


def test_the_default_store_is_a_folder_of_the_home(tmp_path: Path) -> None:
    settings = Settings.from_environment({"SCALECAST_HOME": str(tmp_path / "a home")})

    assert settings.store_url == f"file://{tmp_path}/a%20home/store"
    assert (settings.host, settings.port, settings.poll_seconds) == ("127.0.0.1", 8000, 10.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCALECAST_API_PORT", "http"),
        ("SCALECAST_API_PORT", "70000"),
        ("SCALECAST_POLL_SECONDS", "0"),
        ("SCALECAST_POLL_SECONDS", "nan"),
        ("SCALECAST_HOME", ""),
        ("SCALECAST_STORE_URL", ""),
        ("SCALECAST_STORE_URL", "ftp://somewhere"),
        ("SCALECAST_STORE_URL", "file://relative"),
        ("SCALECAST_LOG_LEVEL", "loud"),
        ("SCALECAST_MAX_BODY_BYTES", "-1"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: .*{value}"):
        create_app(Settings.from_environment({name: value}))
