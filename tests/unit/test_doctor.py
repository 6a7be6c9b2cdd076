"""``scalecast doctor``: what is wrong is found, named, and comes with what to do."""

import shutil
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psycopg
import pytest

from scalecast_assets.commands import doctor
from scalecast_assets.commands.doctor import Finding, examine
from scalecast_assets.settings import Settings


def found(settings: Settings) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(settings)}


def test_a_machine_that_will_do_has_nothing_bad(tmp_path: Path, database_url: str) -> None:
    findings = found(Settings(home=tmp_path / "home", database_url=database_url))
    assert {name: f.found for name, f in findings.items() if f.standing == "bad"} == {}
    assert findings["Database"].found.startswith("Postgres 1")
    assert findings["Database"].found.endswith("schema 0001")
    assert findings["Clock"].found == "0 s from the database's"
    assert findings["Store"].standing == "good"
    assert findings["Alerts"].standing == "warning"
    assert all(f.to_do for f in findings.values() if f.standing != "good")


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://me:S3CR3T@127.0.0.1:1/sales"
    finding = found(Settings(home=tmp_path, database_url=url))["Database"]
    assert finding.standing == "bad"
    assert "127.0.0.1:1/sales" in finding.found
    assert "S3CR3T" not in finding.found
    assert "SCALECAST_DATABASE_URL" in finding.to_do


def test_a_database_of_a_newer_release_is_found_out(tmp_path: Path, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("update warehouse.schema_version set version_num = '0999'")
    finding = found(Settings(home=tmp_path, database_url=database_url))["Database"]
    assert finding.standing == "bad"
    assert "schema 0999" in finding.to_do


def test_a_port_in_use_is_a_warning_only_if_it_was_asked_for(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        finding = found(Settings(home=tmp_path, ui_port=port))["UI port"]
    assert finding.standing == "warning"
    assert "SCALECAST_UI_PORT" in finding.to_do


def test_a_store_without_its_service_or_credentials_says_so(
    aws_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    findings = found(Settings(home=tmp_path, store_url="s3://bucket"))
    assert findings["Store"].standing == "bad"
    assert "http://127.0.0.1:1" in findings["Store"].found
    assert "setup-store" in findings["Store"].to_do
    assert findings["Clock"].found.endswith("no other clock could be asked")
    assert findings["Credentials"].found == "from env"


def test_a_clock_that_is_far_off_is_found_out(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path, store_url=f"s3://{s3_bucket}")
    assert found(settings)["Clock"].standing == "good"
    monkeypatch.setattr(doctor, "CLOCK", timedelta(seconds=-1))
    assert found(settings)["Clock"].standing == "bad"


class AnHourAhead(BaseHTTPRequestHandler):
    """S3 as it answers a request whose time is wrong: 403, and its own time."""

    def do_HEAD(self) -> None:
        self.send_response_only(403)
        self.send_header("Date", format_datetime(datetime.now(UTC) + timedelta(hours=1)))
        self.end_headers()

    do_GET = do_PUT = do_DELETE = do_HEAD  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def test_a_clock_for_which_the_store_refuses_us_is_found_out_all_the_same(
    aws_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), AnHourAhead) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        findings = found(Settings(home=tmp_path, store_url="s3://bucket"))
        server.shutdown()
    assert findings["Store"].standing == "bad"
    assert findings["Clock"].found.startswith(("3599 s", "3600 s", "3601 s"))
    assert "NTP" in findings["Clock"].to_do


def test_a_look_that_breaks_is_a_finding_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no such device")

    monkeypatch.setattr(shutil, "disk_usage", broken)
    findings = found(Settings(home=tmp_path))
    assert findings["Disk"].standing == "bad"
    assert "no such device" in findings["Disk"].found
    assert findings["Python"].standing == "good"
