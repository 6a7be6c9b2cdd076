"""The embedded Postgres under other accounts: root, ordinary users, and what each may enter."""

import json
import os
import shutil
from pathlib import Path

import psutil
import pytest

from scalecast_assets.resources import postgres_account
from scalecast_assets.resources.embedded_postgres import (
    EmbeddedPostgres,
)
from scalecast_assets.resources.postgres_account import installed_binaries
from tests.postgres.users import (
    NOBODY,
    QUICK,
    ask,
    embedded,
    finish,
    only_root,
    postmaster_pid,
    start_as_nobody,
)


@only_root
def test_an_ordinary_user_runs_it_as_themselves_and_root_may_join_later(place: Path) -> None:
    os.chown(place, NOBODY, NOBODY)
    home = place / "home"
    assert finish(start_as_nobody(home)) == f"up as {NOBODY}\n"
    with embedded(home) as server:
        assert psutil.Process(postmaster_pid(home)).uids().real == NOBODY
        assert ask(server, "select 1") == 1
    assert finish(start_as_nobody(home)) == f"up as {NOBODY}\n"


@only_root
def test_an_ordinary_user_is_told_that_the_home_is_not_writable(place: Path) -> None:
    out = finish(start_as_nobody(place / "home"))
    assert "Permission denied" in out
    assert "SCALECAST_HOME" in out


@only_root
def test_a_home_closed_to_the_servers_account_keeps_its_data_elsewhere_until_it_is_deleted(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_account, "SHARED_ROOT", place / "var")
    place.chmod(0o755)
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    home = closed / ".scalecast"
    with embedded(home) as server:
        data = Path(str(ask(server, "show data_directory")))
    assert data.is_relative_to(place / "var")
    with embedded(home) as server:
        assert Path(str(ask(server, "show data_directory"))) == data

    note = data.parents[1] / "home.json"
    facts = json.loads(note.read_text())
    shutil.rmtree(closed)
    note.write_text(json.dumps(facts | {"device": -1}))  # as when its volume is not mounted
    with embedded(place / "other"):
        assert data.exists()
    note.write_text(json.dumps(facts))
    with embedded(place / "other"):
        assert not data.exists()


@only_root
def test_binaries_closed_to_the_servers_account_are_copied_to_where_it_reaches_them(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_account, "SHARED_ROOT", place / "var")
    package = installed_binaries().parents[1]
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    for name in (package.name, f"{package.name}.libs"):
        (closed / name).mkdir()
    shutil.copytree(package / "pginstall", closed / package.name / "pginstall", symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, closed / libraries.name, dirs_exist_ok=True)
    binaries = closed / package.name / "pginstall" / "bin"
    home = place / "home"
    with EmbeddedPostgres(home, settings=QUICK, binaries=binaries) as server:
        assert ask(server, "select 1") == 1
        program = Path(psutil.Process(postmaster_pid(home)).exe())
    assert program.is_relative_to(place / "var" / "binaries")
