"""The processes of ``scalecast up``: code server, Dagster UI, daemon, API, until Ctrl-C.

Each child is in a session of its own, so that Ctrl-C reaches only this process, which then stops
them in order and waits. Postgres belongs to ``runtime.running`` and outlives them all.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, Self
from urllib.parse import urlsplit

from scalecast_assets.settings import PROJECT_ROOT, SettingsError, variable

HOST: Final = "127.0.0.1"
UI_PORT: Final = 3000
API_PORT: Final = 8000
CODE_PORT: Final = 4266
STOP_SECONDS: Final = 15.0
_SET_PARENT_DEATH_SIGNAL: Final = 1
WORKSPACE: Final = ("-w", str(PROJECT_ROOT / "workspace.yaml"))


@dataclass(frozen=True)
class Service:
    """A child process, what it is for, and the address that answers when it is ready."""

    name: str
    command: Sequence[str]
    ready_url: str | None = None
    """``http://…``, or ``grpc://host:port`` for Dagster's protocol."""


class Services:
    """Starts services, watches them, and stops them all on the way out."""

    def __init__(self, logs: Path) -> None:
        """Write each service's output to ``logs/<name>.log``."""
        self._logs = logs
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = False

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, service: Service, environment: Mapping[str, str]) -> None:
        """Start a service without waiting for it."""
        with self.log_file(service.name).open("wb") as log:
            self._children[service.name] = subprocess.Popen(
                list(service.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
                preexec_fn=_end_with_parent(os.getpid()),
            )

    def wait_ready(self, service: Service, timeout_seconds: float = 120.0) -> None:
        """Wait until the service answers.

        Raises:
            SettingsError: it ended or did not answer in time; the message shows its last lines.
        """
        deadline = time.monotonic() + timeout_seconds
        while not self._stopping and service.ready_url is not None:
            if self._children[service.name].poll() is not None:
                raise SettingsError(f"{service.name} ended at once: {self._tail(service.name)}")
            if _answers(service.ready_url):
                return
            if time.monotonic() > deadline:
                raise SettingsError(
                    f"{service.name} did not answer at {service.ready_url} within "
                    f"{timeout_seconds:.0f} s: {self._tail(service.name)}"
                )
            time.sleep(0.2)

    def watch(self) -> str | None:
        """Block until asked to stop (None) or until a service ends (a sentence saying which)."""
        while not self._stopping:
            for name, child in self._children.items():
                if child.poll() is not None:
                    return f"{name} ended with exit code {child.returncode}: {self._tail(name)}"
            time.sleep(0.3)
        return None

    def stop(self) -> None:
        """Ask every service to end, the last started first; after 15 s end what is left."""
        deadline = time.monotonic() + STOP_SECONDS
        children = list(reversed(self._children.values()))
        for child in children:
            _signal_group(child, signal.SIGTERM)
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.1, deadline - time.monotonic()))
            _signal_group(child, signal.SIGKILL)
            child.wait()
        self._children.clear()

    def log_file(self, name: str) -> Path:
        """Where a service's output goes."""
        return self._logs / f"{name}.log"

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _tail(self, name: str) -> str:
        lines = self.log_file(name).read_text(errors="replace").strip().splitlines()
        return "\n".join(["last lines of " + str(self.log_file(name)), *lines[-10:]])


def code_server(port: int) -> Service:
    """The one process that loads the asset graph; the daemon's runs are its children."""
    return Service("dagster-code", code_server_command(HOST, port), f"grpc://{HOST}:{port}")


def code_server_command(host: str, port: int) -> list[str]:
    """Return the command line of Dagster's code server."""
    return script(
        "dagster",
        # Not `code-server start`: what that one starts is not started again when it is killed,
        # and nobody is told. This one ends, and whoever watches it sees that.
        *("api", "grpc", "-h", host, "-p", str(port)),
        *("-m", "scalecast_assets.definitions", "--location-name", "scalecast"),
        # Not whatever `dagster` the PATH has, if it has one.
        "--use-python-environment-entry-point",
    )


def code_server_address(port: int) -> dict[str, str]:
    """The variables by which ``workspace.yaml`` finds the code server."""
    return {"SCALECAST_CODE_HOST": HOST, "SCALECAST_CODE_PORT": str(port)}


def dagster_ui(port: int) -> Service:
    """The Dagster UI on loopback."""
    command = webserver_command(HOST, port)
    pool = ("--db-pool-max-overflow", "5")
    return Service("dagster-ui", [*command, *pool], f"http://{HOST}:{port}/server_info")


def webserver_command(host: str, port: int) -> list[str]:
    """Return the command line of the Dagster UI, which answers its own pages only."""
    module = ("-m", "scalecast_assets.commands.webserver")
    return [sys.executable, *module, "-h", host, "-p", str(port), *WORKSPACE]


def dagster_daemon() -> Service:
    """The daemon that runs sensors, schedules and queued runs."""
    return Service("dagster-daemon", script("dagster-daemon", "run", *WORKSPACE))


def prediction_api(host: str, port: int) -> Service:
    """The FastAPI sidecar."""
    command = [sys.executable, "-m", "serving", "--host", host, "--port", str(port)]
    answering = HOST if host in ("0.0.0.0", "::") else host
    return Service("prediction-api", command, f"http://{answering}:{port}/health")


def free_port(wanted: int | None, default: int, field: str) -> int:
    """Return the port asked for, or the default, or the next free one after the default.

    Raises:
        SettingsError: a port that was asked for is taken, or no port is free.
    """
    if wanted is not None:
        if _is_free(wanted):
            return wanted
        raise SettingsError(
            f"{variable(field)}: port {wanted} is taken by another program. "
            "Name another, or unset it to have a free one chosen"
        )
    for port in range(default, default + 100):
        if _is_free(port):
            return port
    raise SettingsError(f"no port free from {default} to {default + 99}: set {variable(field)}")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _answers(url: str) -> bool:
    if url.startswith("grpc:"):
        return _serves_code(urlsplit(url).netloc)
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _serves_code(address: str) -> bool:
    import grpc  # type: ignore[import-untyped]
    from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]
    from grpc_health.v1.health_pb2_grpc import HealthStub  # type: ignore[import-untyped]

    request = health_pb2.HealthCheckRequest(service="DagsterApi")
    with grpc.insecure_channel(address) as channel:
        try:
            found = HealthStub(channel).Check(request, timeout=2)
        except grpc.RpcError:
            return False
    return bool(found.status == health_pb2.HealthCheckResponse.SERVING)


def _end_with_parent(parent: int) -> Callable[[], None] | None:
    """What a child does first, so that it is told to end when this process is killed.

    Two daemons must not meet: the one of a killed ``scalecast up``, and that of the next. Only
    Linux can be asked for this.
    """
    if sys.platform != "linux":
        return None
    control = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        control(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:  # it was killed in between
            os.kill(os.getpid(), signal.SIGTERM)

    return ask


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def script(name: str, *arguments: str) -> list[str]:
    """Return the command line of a script that lies beside this interpreter."""
    return [str(Path(sys.executable).with_name(name)), *arguments]
