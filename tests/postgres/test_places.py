"""The embedded Postgres in hostile places: broken off, taken over, full, of another version."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from scalecast_assets.resources.embedded_postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
)
from tests.postgres.users import (
    NOBODY,
    QUICK,
    ask,
    cluster,
    embedded,
    finish,
    only_root,
    start_as_nobody,
)


def test_a_start_killed_in_the_middle_of_initdb_is_begun_anew(home: Path) -> None:
    folder = home / "postgres" / "cluster"
    (folder / "data.new").mkdir(parents=True)
    (folder / "data.new" / "half").touch()
    with embedded(home) as server:
        assert ask(server, "select 1") == 1


def test_data_of_another_postgres_version_are_refused_by_name(home: Path) -> None:
    with embedded(home):
        pass
    (cluster(home).data / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedPostgresError, match=r"made by Postgres 15.*brings Postgres 16"):
        embedded(home).start()


def test_a_lost_password_file_is_named(home: Path) -> None:
    with embedded(home):
        pass
    (home / "postgres" / "password").unlink()
    with pytest.raises(EmbeddedPostgresError, match=r"password.*is not"):
        embedded(home).start()


def test_a_home_that_is_a_file_is_refused(place: Path) -> None:
    (place / "home").write_text("")
    with pytest.raises(EmbeddedPostgresError, match="SCALECAST_HOME"):
        embedded(place / "home").start()


def test_a_broken_configuration_is_reported_with_postgres_own_words(home: Path) -> None:
    broken = EmbeddedPostgres(home, settings=QUICK | {"shared_buffers": "many"})
    with pytest.raises(EmbeddedPostgresError, match=r"invalid value.*shared_buffers"):
        broken.start()
    with embedded(home) as server:
        assert ask(server, "select 1") == 1


def test_a_home_in_use_on_another_machine_is_left_alone(home: Path) -> None:
    other = embedded(home)
    server = other.start()
    facts = {"host": server.host, "port": server.port, "machine": "elsewhere"}
    (home / "postgres" / "server.json").write_text(json.dumps(facts))
    cluster(home).stop()
    with pytest.raises(EmbeddedPostgresError, match="'elsewhere'"):
        embedded(home).start()
    other.stop()


@only_root
def test_a_full_disk_is_named_with_what_to_do(place: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        with pytest.raises(EmbeddedPostgresError, match=r"disk is full.*SCALECAST_HOME"):
            embedded(place / "home").start()
    finally:
        subprocess.run(["umount", str(place)], check=True)


@only_root
def test_data_of_another_owner_are_refused_by_name(home: Path) -> None:
    with embedded(home):
        data = cluster(home).data
    os.chown(data, 12345, 12345)
    data.parent.chmod(0o755)
    os.chown(home / "postgres", NOBODY, NOBODY)
    for path in (home / "postgres").glob("*[!r]"):  # everything but the cluster
        os.chown(path, NOBODY, NOBODY)
    out = finish(start_as_nobody(home))
    assert "belongs to uid 12345" in out
    assert "SCALECAST_HOME" in out
