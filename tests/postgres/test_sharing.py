"""The embedded Postgres as several processes use it: started, joined, killed, stopped."""

import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

import psutil
import psycopg
import pytest

from scalecast_assets.resources.embedded_postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    PostgresServer,
    read_running,
)
from scalecast_assets.resources.postgres_cluster import SETTINGS
from tests.postgres.users import (
    ask,
    cluster,
    embedded,
    finish,
    next_line,
    postmaster_pid,
    start_user,
)


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
