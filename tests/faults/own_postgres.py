"""A Postgres of a test's own, to do to it what must not be done to the one that all share."""

from pathlib import Path

import psutil
import psycopg

from scalecast_assets.resources.embedded_postgres import EmbeddedPostgres
from tests.faults.place import Place
from tests.faults.stage import Scene, Stage
from tests.graph.command import eventually


def has_ended(process: psutil.Process) -> bool:
    """Not every container's first process buries the dead."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


class Server:
    """An embedded Postgres that can be killed and started again, and the stage on it."""

    def __init__(self, home: Path, **settings: str) -> None:
        settings = {"shared_buffers": "128MB"} | settings
        self.folder = home / "postgres"
        self._embedded = EmbeddedPostgres(home, settings=settings)
        self.stage = Stage(Place(self._embedded.start(), home / "place"))
        self.stage.place.create()

    def set_up(self, scene: Scene) -> Place:
        """As the stage does, and have it on disk.

        Otherwise sequences of a database just copied from a template fall back in a crash; nobody
        but this test copies one.
        """
        place = self.stage.set_up(scene)
        with psycopg.connect(place.server.url("postgres"), autocommit=True) as connection:
            connection.execute("checkpoint")
        return place

    def kill(self) -> None:
        """``kill -9`` of the postmaster alone: its children notice, and end."""
        with psycopg.connect(self.stage.place.server.url("postgres")) as connection:
            postmaster = psutil.Process(connection.info.backend_pid).parent()
        assert postmaster is not None
        postmaster.kill()
        eventually(lambda: has_ended(postmaster), "the postmaster has ended")

    def start(self) -> None:
        """What every ``scalecast`` command does first."""
        self._embedded.stop()
        self.stage.place.server = self._embedded.start()

    def stop(self) -> None:
        self._embedded.stop()
