"""Verbs about the installation: how it stands, what it is set to, what is kept."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import click

from scalecast_assets.cli.common import AS_JSON, DONE, FAILED, examples, running
from scalecast_assets.settings import Settings

MARGIN = 35
"""Columns before the description of a setting."""


@click.command(epilog=examples("scalecast status", "scalecast status --json"))
@AS_JSON
def status(as_json: bool) -> None:
    """Show files, warehouse, model and state as they stand."""
    from scalecast_assets.commands.reporting import print_status, read_status

    with running() as runtime:
        facts = read_status(runtime)
    click.echo(json.dumps(facts, indent=2, default=str)) if as_json else print_status(facts)


@click.command(epilog=examples("scalecast settings", "scalecast settings --json"))
@AS_JSON
def settings(as_json: bool) -> None:
    """List every setting with its default and what it is for."""
    from scalecast_assets.commands.reporting import settings_table
    from scalecast_assets.commands.terminal import console_for, hung

    table = settings_table()
    if as_json:
        click.echo(json.dumps(table, indent=2))
        return
    console = console_for()
    for row in table:
        said = f"{row['description']}\ndefault: {row['default']}"
        about = hung(said, console, first=MARGIN, indent=MARGIN)
        console.print(f"{row['name']:<34} {about}", markup=False)


@click.command(
    epilog=examples("scalecast purge --dry-run", "SCALECAST_KEEP_MODELS=3 scalecast purge")
)
@click.option("--dry-run", is_flag=True, help="Only list what would go.")
@AS_JSON
def purge(dry_run: bool, as_json: bool) -> None:
    """Remove what nothing needs and is older than the SCALECAST_KEEP_… settings keep.

    `scalecast up` does so once a day. Raw files and the archive are never touched.
    """
    from scalecast_assets.commands.purging import in_words, purge_now

    with running() as runtime:
        report = purge_now(runtime, dry_run=dry_run)
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else in_words(report))
    sys.exit(FAILED if report.failed else DONE)


@click.command(epilog=examples("scalecast doctor", "scalecast doctor --json"))
@AS_JSON
def doctor(as_json: bool) -> None:
    """Look at ports, disk, versions, credentials, clock, database and store; say what to do."""
    from scalecast_assets.commands.doctor import examine, print_findings

    findings = examine(Settings.load())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print_findings(findings)
    sys.exit(FAILED if any(finding.standing == "bad" for finding in findings) else DONE)


@click.command("init-env", epilog=examples("scalecast init-env", "scalecast init-env other.env"))
@click.argument(
    "file", default=".env", type=click.Path(dir_okay=False, path_type=Path), metavar="[FILE]"
)
@AS_JSON
def init_env(file: Path, as_json: bool) -> None:
    """Write a .env for docker-compose.yml, with passwords made for you.

    What a file that is there already lacks is added to it; nothing in it is changed.
    """
    from scalecast_assets.commands.init_env import write_env

    added = write_env(file)
    what = f"{', '.join(added)} added" if added else "nothing was missing"
    said = f"{file}: {what}. Next: docker compose up -d --build"
    click.echo(json.dumps({"file": str(file), "added": added}) if as_json else said)


@click.command(
    "setup-store",
    epilog=examples("scalecast setup-store", "scalecast setup-store --check --json"),
)
@click.option("--check", "only_check", is_flag=True, help="Make nothing; ask for more.")
@click.option(
    "--versioning/--no-versioning", default=False, help="Have the bucket keep old versions."
)
@click.option(
    "--database",
    is_flag=True,
    help="Make or upgrade the database's schemas, too, and the role of SCALECAST_READER_PASSWORD.",
)
@AS_JSON
def setup_store(only_check: bool, versioning: bool, database: bool, as_json: bool) -> None:
    """Make the bucket if it is not there, and ask whether it keeps what promotion relies on.

    With --check an existing bucket is asked besides whether it keeps versions, is encrypted, is
    closed to the public and gets rid of what is old; nothing of it is changed.
    """
    from scalecast_assets.commands.setup_store import (
        check,
        print_answers,
        refuse_contradiction,
        set_up,
        set_up_database,
    )

    if only_check and (versioning or database):
        raise click.UsageError("--check makes nothing: leave out --versioning and --database")
    settings = Settings.load()
    refuse_contradiction(os.environ)
    answers = check(settings) if only_check else set_up(settings, versioning=versioning)
    if database:
        with running() as runtime:
            answers += set_up_database(runtime)
    if as_json:
        click.echo(json.dumps([asdict(answer) for answer in answers], indent=2))
    else:
        print_answers(answers)
    sys.exit(DONE if all(answer.holds for answer in answers) else FAILED)
