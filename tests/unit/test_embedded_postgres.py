"""The embedded Postgres against real processes: shared, killed, moved, and in hostile places."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from scalecast_assets.resources import postgres_account
from scalecast_assets.resources.embedded_postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    PostgresServer,
    read_running,
)
from scalecast_assets.resources.postgres_account import installed_binaries
from scalecast_assets.resources.postgres_cluster import SETTINGS, Cluster

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"fsync": "off", "shared_buffers": "16MB", "wal_buffers": "1MB"}
NOBODY = 65534

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every account can enter; pytest's own are closed to Postgres' account."""
    folder = Path(tempfile.mkdtemp(prefix="scalecast-pg-"))
    folder.chmod(0o755)
    yield folder
    for data in folder.rglob("data"):
        Cluster(data.parent).stop()
    shutil.rmtree(folder)


@pytest.fixture
def home(place: Path) -> Path:
    return place / "home"


def embedded(home: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(home, settings=QUICK)


def cluster(home: Path) -> Cluster:
    return Cluster(postgres_account.cluster_folder(home))


def ask(server: PostgresServer, query: str) -> object:
    with psycopg.connect(server.warehouse_url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def postmaster_pid(home: Path) -> int:
    process = cluster(home).postmaster()
    assert process is not None, "no server runs"
    return int(process.pid)


def start_user(home: Path, then: str, **options: object) -> subprocess.Popen[str]:
    """Another process that uses the server of ``home``; it prints ``up``, then does ``then``."""
    script = f"""
        import sys, time
        from pathlib import Path
        from scalecast_assets.resources.embedded_postgres import *
        with EmbeddedPostgres(Path(sys.argv[1]), settings={QUICK!r}) as server:
            print("up", flush=True)
            {then}
        print("down", flush=True)
    """
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", textwrap.dedent(script), str(home)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finish(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=60)
    return out


def test_the_database_is_there_and_survives_a_restart(home: Path) -> None:
    with embedded(home) as server, psycopg.connect(server.warehouse_url) as connection:
        connection.execute("create table kept as select 42 as answer")
    with embedded(home) as again:
        assert ask(again, "select answer from kept") == 42
        assert again == server  # port and password are remembered


def test_the_server_is_set_up_as_documented(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        for name, value in SETTINGS.items():
            shown = ask(server, f"select current_setting('{name}')")
            assert str(shown).strip() == value.strip(), name
        assert ask(server, "select 'Z' < 'a' and 'a' < 'ä'") is True
        assert ask(server, "show server_encoding") == "UTF8"
        assert str(ask(server, "show server_version")).startswith("16.")


def test_nobody_gets_in_without_the_password(home: Path) -> None:
    with embedded(home) as server:
        stranger = PostgresServer(server.host, server.port, server.user, "wrong")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(stranger.warehouse_url)
        rules = (cluster(home).data / "pg_hba.conf").read_text().splitlines()
        assert all("trust" not in rule for rule in rules if not rule.startswith("#"))
        assert stat.S_IMODE((home / "postgres" / "password").stat().st_mode) == 0o600
        assert server.password not in repr(server)


def test_the_last_of_several_users_stops_the_server(home: Path) -> None:
    first, second = embedded(home), embedded(home)
    server = first.start()
    assert second.start() == server
    first.stop()
    assert ask(server, "select 1") == 1
    second.stop()
    with pytest.raises(EmbeddedPostgresError, match="is not running"):
        read_running(home)


def test_a_child_process_finds_the_running_server_and_is_told_when_there_is_none(
    home: Path,
) -> None:
    with pytest.raises(EmbeddedPostgresError, match="scalecast up"):
        read_running(home)
    with embedded(home) as server:
        assert read_running(home) == server


def test_starting_and_stopping_twice_is_harmless(home: Path) -> None:
    holder = embedded(home)
    assert holder.start() == holder.start()
    holder.stop()
    holder.stop()
    assert cluster(home).postmaster() is None


def test_a_user_in_another_process_is_counted(home: Path) -> None:
    other = start_user(home, "sys.stdin.readline()")
    assert next_line(other) == "up"
    with embedded(home) as server:
        pass
    assert ask(server, "select 1") == 1
    assert "down" in other.communicate("\n", timeout=60)[0]
    assert cluster(home).postmaster() is None


def test_a_killed_user_is_forgotten_and_its_server_joined(home: Path) -> None:
    other = start_user(home, "time.sleep(60)")
    assert next_line(other) == "up"
    pid = postmaster_pid(home)
    other.kill()
    finish(other)
    with embedded(home) as server:
        assert postmaster_pid(home) == pid
        assert ask(server, "select 1") == 1
    assert cluster(home).postmaster() is None


def test_a_killed_server_is_started_again_with_what_was_committed(home: Path) -> None:
    first = embedded(home)
    server = first.start()
    with psycopg.connect(server.warehouse_url) as connection:
        connection.execute("create table kept as select 7 as answer")
    os.kill(postmaster_pid(home), signal.SIGKILL)
    with embedded(home) as again:
        assert ask(again, "select answer from kept") == 7
        first.stop()
        assert ask(again, "select 1") == 1
    assert cluster(home).postmaster() is None


def test_a_server_killed_in_the_middle_of_a_landing_is_started_again(home: Path) -> None:
    """Its process drops the unlogged table on the way out, and recovery meets what is left."""
    first = embedded(home)
    server = first.start()
    landing = psycopg.connect(server.warehouse_url)
    landing.execute("create unlogged table landed (line text)")
    with landing.cursor().copy("copy landed from stdin (format csv, freeze)") as copy:
        copy.write(b"one\n")
    ask(server, "select pg_switch_wal()")  # the table's creation is on disk
    process = psutil.Process(landing.info.backend_pid)
    os.kill(postmaster_pid(home), signal.SIGKILL)
    psutil.wait_procs([process], 20)
    with embedded(home) as again:
        assert ask(again, "select to_regclass('landed')") is None
        first.stop()
    landing.close()


def test_a_pid_file_that_names_a_stranger_is_not_believed(home: Path) -> None:
    with embedded(home):
        account = cluster(home).account
        pid_file = cluster(home).data / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    stranger = subprocess.Popen(["sleep", "60"], user=account.uid if not account.is_self else None)
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        account.own(pid_file)
        with embedded(home) as server:
            assert ask(server, "select 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_another_port_is_chosen_when_the_remembered_one_is_taken(home: Path) -> None:
    with embedded(home) as before:
        pass
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind((before.host, before.port))
        squatter.listen()
        with embedded(home) as server:
            assert server.port != before.port
            assert ask(server, "select 1") == 1


def test_two_homes_run_beside_each_other(place: Path) -> None:
    with embedded(place / "one") as one, embedded(place / "two") as two:
        assert one.port != two.port
        assert one.password != two.password
        assert ask(one, "select 1") == ask(two, "select 1") == 1


@pytest.mark.parametrize("name", ["with space and 'quote", "Überraschung 数据", "long" * 40])
def test_any_name_will_do_for_a_home(place: Path, name: str) -> None:
    with embedded(place / name / ".scalecast") as server:
        assert ask(server, "select 1") == 1


def test_ctrl_c_in_the_terminal_leaves_the_server_to_us(home: Path) -> None:
    code = """
            try:
                print("waiting", flush=True)
                time.sleep(60)
            except KeyboardInterrupt:
                time.sleep(0.5)
                print("still there:", read_running(Path(sys.argv[1])), flush=True)
    """
    process = start_user(home, code.strip(), start_new_session=True)
    assert [next_line(process), next_line(process)] == ["up", "waiting"]
    os.killpg(process.pid, signal.SIGINT)
    out = finish(process)
    assert "still there: PostgresServer(" in out
    assert "down" in out
    assert cluster(home).postmaster() is None


def test_many_processes_that_come_and_go_never_meet_a_stopped_server(home: Path) -> None:
    work = "import psycopg; psycopg.connect(server.warehouse_url).close(); time.sleep(0.2)"
    users = [start_user(home, work) for _ in range(5)]
    outputs = [finish(user) for user in users]
    assert [out.split() for out in outputs] == [["up", "down"]] * 5
    assert cluster(home).postmaster() is None


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


def start_as_nobody(home: Path, then: str = "pass") -> subprocess.Popen[str]:
    """``start_user`` as an ordinary user, by an interpreter that this user can reach."""
    account = postgres_account.Account("nobody", NOBODY, NOBODY)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [Path(sys.executable).resolve(), Path("/usr/bin") / version]
    libraries = Path(psycopg.__file__).parents[1]
    if not (account.can_enter(ROOT) and account.can_enter(libraries)):
        pytest.skip(f"the account nobody can reach neither {ROOT} nor its libraries")
    for python in candidates:
        if python.exists() and account.can_enter(python.parent):
            break
    else:
        pytest.skip(f"the account nobody can reach none of {candidates}")
    path = os.pathsep.join([str(ROOT), str(libraries)])
    script = f"""
        import sys, os
        from pathlib import Path
        from scalecast_assets.resources.embedded_postgres import *
        try:
            with EmbeddedPostgres(Path(sys.argv[1]), settings={QUICK!r}) as server:
                print("up as", os.getuid(), flush=True)
                {then}
        except EmbeddedPostgresError as error:
            print(error)
    """
    return subprocess.Popen(
        [str(python), "-c", textwrap.dedent(script), str(home)],
        env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]},
        cwd="/",
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
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


def test_a_start_takes_seconds_and_a_warm_one_less(home: Path) -> None:
    begin = time.monotonic()
    with embedded(home):
        cold = time.monotonic() - begin
    begin = time.monotonic()
    with embedded(home):
        warm = time.monotonic() - begin
    assert cold < 60, f"{cold:.1f} s"
    assert warm < cold, f"cold {cold:.1f} s, warm {warm:.1f} s"
