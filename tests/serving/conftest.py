"""A running sidecar: uvicorn on a free port, asked over HTTP, on a folder or on an S3 endpoint."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest
import uvicorn

from scalecast_assets.contract.store import DirectoryStore, ObjectStore, S3Store
from serving.app import create_app
from serving.settings import Settings
from tests.serving.makers import World, make_world, set_up

POLL_SECONDS: Final = 0.05


class Home(NamedTuple):
    """A store that tests write to, and the settings of a sidecar that reads from it."""

    store: ObjectStore
    settings: Settings


def folder_home(folder: Path) -> Home:
    """Make an empty folder store."""
    root = folder / "a home" / "store"
    return Home(DirectoryStore(root), Settings(root.as_uri(), port=0, poll_seconds=POLL_SECONDS))


def bucket_home(client: Any, bucket: str, endpoint: str) -> Home:
    """Make an empty store in a bucket behind an S3 endpoint."""
    settings = Settings(
        f"s3://{bucket}/some/prefix",
        port=0,
        poll_seconds=POLL_SECONDS,
        aws_endpoint_url=endpoint,
        aws_region="us-east-1",
    )
    return Home(S3Store(client, bucket, "some/prefix"), settings)


@pytest.fixture(scope="session")
def world() -> World:
    """The sales that every test's state is made from."""
    return make_world()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty folder store."""
    return folder_home(tmp_path)


@pytest.fixture(params=["folder", "s3"])
def any_home(request: pytest.FixtureRequest) -> Home:
    """An empty store, once a folder, once a bucket."""
    if request.param == "folder":
        return folder_home(request.getfixturevalue("tmp_path"))
    return bucket_home(
        request.getfixturevalue("s3_client"),
        request.getfixturevalue("s3_bucket"),
        request.getfixturevalue("moto_endpoint"),
    )


@contextmanager
def running(settings: Settings) -> Iterator[httpx.Client]:
    """Serve in a thread of this process; yields a client of it."""
    config = uvicorn.Config(create_app(settings), host="127.0.0.1", port=0, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started, "the sidecar has started")
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive(), "the sidecar did not stop within 20 seconds"


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[httpx.Client]:
    """A sidecar for tests that only ask: version 1.0.0 on the world's history."""
    home = folder_home(tmp_path_factory.mktemp("shared"))
    set_up(home.store, world)
    with running(home.settings) as client:
        yield client


def eventually(condition: Callable[[], Any], what: str, seconds: float = 15) -> None:
    """Wait until ``condition`` holds; fail, saying ``what`` was waited for, if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.02)
