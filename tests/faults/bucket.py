"""A place whose store is a bucket, and an S3 endpoint that may be killed and keeps its data."""

import os
import socket
import sys
import tempfile
import urllib.request
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import psutil

from scalecast_assets.contract.store import DirectoryStore, S3Store
from tests.faults.place import Place
from tests.graph.command import eventually

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass
class BucketPlace(Place):
    """A place whose store is a bucket, a fresh one after each ``restore``."""

    client: "S3Client | None" = None

    @property
    def store(self) -> S3Store:
        assert self.store_url is not None
        return S3Store(self.client, self.store_url.rpartition("/")[2])

    def restore(self, name: str) -> None:
        super().restore(name)
        bucket = f"faults-{uuid.uuid4().hex[:12]}"
        assert self.client is not None
        self.client.create_bucket(Bucket=bucket)
        self.store_url = f"s3://{bucket}"


@dataclass
class FilledBucketPlace(BucketPlace):
    """The same, with all that the home's own store had in the saved state."""

    def restore(self, name: str) -> None:
        super().restore(name)
        saved = DirectoryStore(self.home / "store")
        for info in saved.list():
            self.store.put(info.key, saved.get(info.key).body)


@dataclass
class Endpoint:
    """moto as a process of its own, which writes each request down before it answers it.

    moto keeps buckets in memory. Its recorder is the journal that a server on a disk would have:
    a request is in the file before it has any effect, and a server that is started again reads the
    file from its beginning. So what was acknowledged before a ``kill -9`` is there afterwards, and
    of what was under way the journal may have it or not, as with any server. The one thing that is
    made up for: a last line that the killed process wrote half of is cut off.
    """

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="scalecast-s3-")))
    port: int = 0
    _process: psutil.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> "S3Client":
        return boto3.client("s3", endpoint_url=self.url)

    def start(self) -> None:
        """Start, on the same port as before, with what the journal has."""
        if not self.port:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                self.port = int(probe.getsockname()[1])
        journal = self.folder / "journal"
        environment = {**os.environ, "MOTO_RECORDER_FILEPATH": str(journal)}
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self._process = psutil.Popen(command, env=environment, stdout=log, stderr=log)
        eventually(self._answers, "the endpoint is up", 120)
        if journal.exists():
            whole = journal.read_bytes()
            journal.write_bytes(whole[: whole.rfind(b"\n") + 1])
            self._tell("replay-recording")
        self._tell("start-recording")

    def take_nothing_more(self) -> None:
        """What is sent from now on arrives at the machine, and the process does not read it."""
        self._running.suspend()

    def has_unread_requests(self) -> bool:
        """Whether a client has sent what the process has not read: it is in the midst of it."""
        port = f":{self.port:04X}"
        lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        connections = [line.split() for line in lines]
        return any(
            local.endswith(port) and state == "01" and not queues.endswith(":00000000")
            for _, local, _, state, queues, *_ in connections
        )

    def kill(self) -> None:
        """``kill -9``."""
        self._running.kill()
        self._running.wait(60)
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self.kill()

    @property
    def _running(self) -> psutil.Popen:
        assert self._process is not None, "it is not up"
        return self._process

    def _answers(self) -> bool:
        assert self._running.poll() is None, (self.folder / "log").read_text()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def _tell(self, what: str) -> None:
        request = urllib.request.Request(f"{self.url}/moto-api/recorder/{what}", method="POST")
        with urllib.request.urlopen(request, timeout=300):
            pass
