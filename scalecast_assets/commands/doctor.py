"""``scalecast doctor``: what ScaleCast needs of this machine, looked at, with what to do.

Nothing is changed but probes in the store, which are taken away again. Each look is one function
that returns a finding; one that fails in an unexpected way is a finding, too.
"""

import importlib.metadata
import os
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, Literal
from urllib.parse import urlsplit

import psycopg
from rich.markup import escape

from scalecast_assets.commands.services import API_PORT, HOST, UI_PORT
from scalecast_assets.commands.setup_store import verify
from scalecast_assets.commands.terminal import console_for, hung
from scalecast_assets.migrations.upgrade import HEAD, SchemaTooNew, check_known, read_version
from scalecast_assets.resources.configured import alert_channels, store_of, store_resource
from scalecast_assets.resources.postgres_address import PostgresAddress
from scalecast_assets.settings import PROJECT_ROOT, Settings, SettingsError, variable

Standing = Literal["good", "warning", "bad"]

FREE_GIB: Final = 5.0
"""Below, a training with its snapshots may not fit."""

CLOCK: Final = timedelta(minutes=5)
"""S3 refuses signatures of clocks further off (15 minutes); ours warns before."""

OLDEST_POSTGRES: Final = 150_000

MARGIN: Final = 17
"""Columns before what was found."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: how it stands, and what to do if it is not good."""

    name: str
    standing: Standing
    found: str
    to_do: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything, from the machine to the bucket."""
    looks: dict[str, Callable[[Settings], Finding]] = {
        "Python": _python,
        "Libraries": _libraries,
        "Home": _home,
        "Disk": _disk,
        "Memory": _memory,
        "UI port": lambda s: _port("UI port", s.ui_port, UI_PORT, "ui_port"),
        "API port": lambda s: _port("API port", s.api_port, API_PORT, "api_port"),
        "Database": _database,
        "Credentials": _credentials,
        "Store": _store,
        "Clock": _clock,
        "Alerts": _alerts,
    }
    findings = []
    for name, look in looks.items():
        try:
            findings.append(look(settings))
        except SettingsError as error:
            findings.append(Finding(name, "bad", str(error), "Correct the setting."))
        except Exception as error:  # a doctor who faints helps nobody
            found = f"{type(error).__name__}: {error}"
            findings.append(Finding(name, "bad", found, "Do as the message says, then ask again."))
    return findings


def _python(_: Settings) -> Finding:
    version = sys.version.split()[0]
    if (3, 11) <= sys.version_info < (3, 13):
        return Finding("Python", "good", version)
    return Finding("Python", "bad", version, "Install Python 3.11 or 3.12, then `make install`.")


def _libraries(_: Settings) -> Finding:
    lock = PROJECT_ROOT / "requirements.lock"
    if not lock.is_file():
        return Finding("Libraries", "warning", "no lock beside the package", "Use a checkout.")
    differing = []
    for line in lock.read_text().splitlines():
        name, separator, wanted = line.partition("==")
        if not separator:
            continue
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed = "missing"
        if installed.partition("+")[0] != wanted.partition("+")[0].split()[0]:
            differing.append(f"{name} {installed} (locked: {wanted})")
    if differing:
        return Finding("Libraries", "warning", "; ".join(differing[:5]), "Run `make install`.")
    return Finding("Libraries", "good", "as the lock says")


def _home(settings: Settings) -> Finding:
    home = settings.home
    folder = next(path for path in (home, *home.parents) if path.exists())
    if os.access(folder, os.W_OK | os.X_OK):
        return Finding("Home", "good", str(home))
    return Finding(
        "Home", "bad", f"{folder} is not writable", f"Set {variable('home')} to another folder."
    )


def _disk(settings: Settings) -> Finding:
    folder = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free = shutil.disk_usage(folder).free / 2**30
    found = f"{free:.1f} GiB free at {folder}"
    if free >= FREE_GIB:
        return Finding("Disk", "good", found)
    to_do = f"Free at least {FREE_GIB:g} GiB (`scalecast purge` removes what nothing needs)."
    return Finding("Disk", "bad" if free < 1 else "warning", found, to_do)


def _memory(_: Settings) -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB available"
    if memory.available >= 3 * 2**30:
        return Finding("Memory", "good", found)
    return Finding(
        "Memory",
        "warning",
        found,
        "Training 3 million rows takes 2.4 GiB: end other programs, or lower SCALECAST_FIT_ROWS.",
    )


def _port(name: str, wanted: int | None, default: int, field: str) -> Finding:
    port = wanted or default
    with socket.socket() as probe:
        probe.settimeout(2)
        taken = probe.connect_ex((HOST, port)) == 0
    if not taken:
        return Finding(name, "good", f"{port} is free")
    if wanted:
        to_do = f"Set {variable(field)} to another, if it is not ScaleCast itself."
        return Finding(name, "warning", f"{port} is in use", to_do)
    return Finding(name, "good", f"{port} is in use; `scalecast up` takes the next free one")


def _database(settings: Settings) -> Finding:
    if settings.database_url is None:
        return _embedded(settings)
    address = PostgresAddress.parse(settings.database_url)
    try:
        with psycopg.connect(address.patient().url()) as connection:
            version = connection.info.server_version
            row = connection.execute(
                "select has_database_privilege(current_database(), 'create')"
            ).fetchone()
            schema = read_version(connection)
    except psycopg.Error as error:
        said = " ".join(str(error).split()).replace(address.password or "\0", "…")
        to_do = f"Start it, or correct {variable('database_url')}."
        return Finding("Database", "bad", f"{address}: {said}", to_do)
    found = f"Postgres {version // 10_000} at {address}"
    if version < OLDEST_POSTGRES:
        return Finding("Database", "bad", found, "Use Postgres 15 or later.")
    if not (row and row[0]):
        to_do = f"grant create on database {address.database} to {address.user};"
        return Finding("Database", "bad", f"{found}: no schema may be made", to_do)
    return _schema(found, schema)


def _schema(found: str, schema: str | None) -> Finding:
    if schema is None or schema == HEAD:
        return Finding("Database", "good", f"{found}, schema {schema or 'not made yet'}")
    try:
        check_known(schema, "It")
    except SchemaTooNew as error:
        return Finding("Database", "bad", found, str(error))
    to_do = f"The next start brings it to {HEAD}; scalecast backup DIR first, to be safe."
    return Finding("Database", "warning", f"{found}, schema {schema}", to_do)


def _embedded(settings: Settings) -> Finding:
    from scalecast_assets.resources.embedded_postgres import EmbeddedPostgresError, read_running

    try:
        server = read_running(settings.home)
    except EmbeddedPostgresError:
        return Finding("Database", "good", "embedded Postgres, not running now")
    with psycopg.connect(server.warehouse_url) as connection:
        return _schema("embedded Postgres, running", read_version(connection))


def _credentials(settings: Settings) -> Finding:
    if not settings.resolved_store_url.startswith("s3://"):
        return Finding("Credentials", "good", "none needed for a folder")
    import boto3

    found = boto3.session.Session().get_credentials()
    if found is None:
        to_do = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role."
        return Finding("Credentials", "bad", "none found", to_do)
    return Finding("Credentials", "good", f"from {found.method}")


def _store(settings: Settings) -> Finding:
    url = settings.resolved_store_url
    answers = verify(store_of(settings))
    if not answers[0].holds:
        to_do = "Then ask again. A bucket that is missing is made by `scalecast setup-store`."
        return Finding("Store", "bad", answers[0].detail, to_do)
    if failed := [answer for answer in answers if not answer.holds]:
        found = f"{url}: {failed[0].question}: no. {failed[0].detail}"
        to_do = "Use a store that does (docs/deployment.md): promotions could be overwritten."
        return Finding("Store", "bad", found, to_do)
    return Finding("Store", "good", f"{url} keeps conditional writes")


def _clock(settings: Settings) -> Finding:
    others = {
        name: abs(datetime.now(UTC) - told).total_seconds()
        for name, told in (("store", _store_time(settings)), ("database", _server_time(settings)))
        if told is not None
    }
    if not others:
        found = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; no other clock could be asked"
        return Finding("Clock", "good", found)
    found = ", ".join(f"{seconds:.0f} s from the {name}'s" for name, seconds in others.items())
    if max(others.values()) <= CLOCK.total_seconds():
        return Finding("Clock", "good", found)
    to_do = "Set the clocks (NTP): S3 refuses requests, and days would end at the wrong time."
    return Finding("Clock", "bad", found, to_do)


def _store_time(settings: Settings) -> datetime | None:
    from botocore.exceptions import BotoCoreError, ClientError

    if not settings.resolved_store_url.startswith("s3://"):
        return None
    name = urlsplit(settings.resolved_store_url).netloc
    try:
        answer = store_resource(settings).client().head_bucket(Bucket=name)
    except ClientError as error:  # as S3 answers whose clock is wrong
        answer = error.response
    except BotoCoreError:  # The store's own finding says it.
        return None
    told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(told) if told else None


def _server_time(settings: Settings) -> datetime | None:
    if settings.database_url is None:
        return None
    address = PostgresAddress.parse(settings.database_url)
    try:
        with psycopg.connect(address.patient().url()) as connection:
            row = connection.execute("select clock_timestamp()").fetchone()
    except psycopg.Error:  # The database's own finding says it.
        return None
    return row[0] if row else None


def _alerts(settings: Settings) -> Finding:
    if alert_channels(settings).names:
        return Finding("Alerts", "good", f"told by {', '.join(alert_channels(settings).names)}")
    to_do = "Set SCALECAST_ALERT_WEBHOOK_URL, …_SLACK_URL or …_SMTP_URL, to be told at night."
    return Finding("Alerts", "warning", "told to nobody", to_do)


def print_findings(findings: Sequence[Finding]) -> None:
    """Print one line a finding, and what to do under those that are not good."""
    console = console_for()
    marks = {"good": "[green]✓[/]", "warning": "[yellow]![/]", "bad": "[red]✗[/]"}
    for finding in findings:
        found, to_do = (
            escape(hung(text, console, first=MARGIN, indent=MARGIN))
            for text in (finding.found, finding.to_do)
        )
        console.print(f"  {marks[finding.standing]} {finding.name:<12} {found}")
        if to_do:
            console.print(f"{' ' * MARGIN}{to_do}")
