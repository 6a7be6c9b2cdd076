"""What docker-compose.yml starts, started as processes on one machine.

There is no container engine here. Each ScaleCast command of the file, nginx and Prometheus run with
the environment and the configuration that the file gives them; host names of containers become
addresses on loopback, Postgres and the S3 endpoint are real. Images, volumes and limits are not
tested.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.deploy.compose import SERVICES, environment_of, filled_in
from tests.deploy.names import Names, serving
from tests.deploy.programs import program
from tests.deploy.proxy import PROXY_PORTS, proxy_command
from tests.graph.command import ROOT, SCALECAST
from tests.graph.small_retailer import SMALL_BUDGETS

SIDECAR = [sys.executable, "-m", "serving"]
ADDRESSES = {"api-1": "127.0.0.2", "api-2": "127.0.0.3"}
"""Of what shares a port, as containers do; all else is at 127.0.0.1."""


@dataclass
class Host:
    """One machine on which everything listens on loopback."""

    folder: Path
    variables: dict[str, str]
    addresses: dict[str, str]
    """``host:port`` of containers, and where they are here."""
    ports: dict[str, int]
    """The sidecars' is one and the same."""
    stack: ExitStack
    began: float = field(default_factory=time.monotonic)
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    names: Names = field(init=False)

    def __post_init__(self) -> None:
        """Give the proxy a name server like the engine's."""
        here = {name: ["127.0.0.1"] for name in ("webserver", "webserver-read-only")}
        server = Names({"api": list(ADDRESSES.values()), **here})
        self.names = self.stack.enter_context(serving(server))

    def environment(self, service: str) -> dict[str, str]:
        found = environment_of(service, self.variables)
        for there, here in self.addresses.items():
            found = {name: value.replace(there, here) for name, value in found.items()}
        if "SCALECAST_CODE_HOST" in found:
            found |= {"SCALECAST_CODE_HOST": "127.0.0.1"}
            found |= {"SCALECAST_CODE_PORT": str(self.ports["code"])}
        # A sidecar has a volume of its own; the others share one.
        alone = SERVICES[service].get("image") == "scalecast-serving"
        clean = {n: v for n, v in os.environ.items() if not n.startswith(("SCALECAST_", "AWS_"))}
        return {
            **clean,
            **found,
            "SCALECAST_HOME": str(self.folder / (service if alone else "home")),
            "SCALECAST_FIT_ROWS": SMALL_BUDGETS,
            "SCALECAST_TUNE_ROWS": "random_forest=400",
            "SCALECAST_SENSOR_SECONDS": "5",
        }

    def command(self, service: str) -> list[str]:
        """The service's command line, listening here instead of on every address."""
        given = SERVICES[service].get("command")
        if given is None:
            return [*SIDECAR, "--host", ADDRESSES[service], "--port", str(self.ports[service])]
        words = [str(SCALECAST), *given[1:]]
        if "--port" in words:
            words[words.index("--port") + 1] = str(self.ports[service])
            words[words.index("--host") + 1] = "127.0.0.1"
        return words

    def once(self, service: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCALECAST), *words] if words else self.command(service),
            env=self.environment(service),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def start(self, service: str) -> None:
        self._start(service, self.command(service), self.environment(service))

    def start_prometheus(self) -> None:
        """Prometheus with our configuration, looking every second."""
        folder, given = self.folder / "prometheus", self.environment("prometheus")
        folder.mkdir()
        rules = ROOT / "deploy" / "prometheus" / "rules.yml"
        (folder / "rules.yml").write_text(rules.read_text())
        config: dict[str, Any] = yaml.safe_load((rules.parent / "prometheus.yml").read_text())
        config["global"] = dict.fromkeys(config["global"], "1s")
        (job,) = config["scrape_configs"]
        job["static_configs"] = [{"targets": [self.address(api) for api in ADDRESSES]}]
        text = yaml.safe_dump(config).replace("/tmp/", f"{folder}/")
        (folder / "prometheus.yml").write_text(text)
        entry = [filled_in(word, {}) for word in SERVICES["prometheus"]["entrypoint"]]
        path = os.pathsep.join([str(Path(program("prometheus")).parent), os.environ["PATH"]])
        self._start(
            "prometheus",
            [
                *(word.replace("/tmp/", f"{folder}/") for word in entry),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}",
            ],
            given | {"PATH": path},
        )

    def start_proxy(self, name: str = "proxy", *, listen_with: str | None = None) -> None:
        """nginx with our configuration; ``listen_with`` as docker-compose.tls.yml sets it."""
        given = self.environment("proxy") | {"RESOLVER": self.names.address}
        if listen_with is not None:
            given["LISTEN_WITH"] = listen_with
        listening = {server: self.ports[f"{name} {server}"] for server in PROXY_PORTS}
        upstream = {"api-1": 8000, "webserver": 3000, "webserver-read-only": 3002}
        ports = {there: self.ports[service] for service, there in upstream.items()}
        self._start(name, proxy_command(self.folder / name, given, listening, ports))

    def kill(self, service: str) -> None:
        self.processes[service].kill()
        self.processes[service].wait(30)

    def url(self, service: str, path: str) -> str:
        return f"http://{self.address(service)}{path}"

    def address(self, service: str) -> str:
        return f"{ADDRESSES.get(service, '127.0.0.1')}:{self.ports[service]}"

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text(errors="replace")[-3000:]

    def _start(
        self, name: str, command: list[str], environment: dict[str, str] | None = None
    ) -> None:
        log = self.stack.enter_context((self.folder / f"{name}.log").open("ab"))
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=self.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.processes[name] = process
        self.stack.callback(process.wait, 60)
        self.stack.callback(process.terminate)


def status_of(url: str, account: str | None = None, data: bytes | None = None) -> int:
    """The status of a GET, or of a POST of ``data``, perhaps with a name and password."""
    request = urllib.request.Request(url, data)
    if account is not None:
        request.add_header("Authorization", f"Basic {account}")
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except urllib.error.URLError:
        return 0
