"""Verbs that copy everything away and bring it back."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scalecast_assets.cli.common import AS_JSON, examples, running
from scalecast_assets.settings import Settings

if TYPE_CHECKING:
    from scalecast_assets.backup.archive import Manifest

FOLDER = click.argument(
    "folder", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER"
)


@click.command(
    epilog=examples("scalecast backup backups/monday", "scalecast backup /mnt/backup --force")
)
@FOLDER
@click.option("--force", is_flag=True, help="Replace the backup that is in FOLDER.")
@AS_JSON
def backup(folder: Path, force: bool, as_json: bool) -> None:
    """Copy database and store into a new FOLDER; everything may go on meanwhile."""
    from scalecast_assets.backup.making import make
    from scalecast_assets.commands.counting import Counter

    with running() as runtime, Counter("objects") as counter:
        manifest = make(runtime, folder, force=force, say=counter.say, counted=counter.count)
    _tell(folder, manifest, f"scalecast restore {folder}", as_json)


@click.command(
    epilog=examples(
        "scalecast restore backups/monday",
        "scalecast restore backups/monday --check",
        "scalecast restore backups/monday --force",
    )
)
@FOLDER
@click.option("--force", is_flag=True, help="Replace the data and models that are there.")
@click.option("--check", is_flag=True, help="Only verify the backup; nothing is changed.")
@AS_JSON
def restore(folder: Path, force: bool, check: bool, as_json: bool) -> None:
    """Make database and store what the backup in FOLDER holds, verified byte by byte before."""
    from scalecast_assets.backup.restoring import restore as bring_back
    from scalecast_assets.backup.restoring import verified
    from scalecast_assets.commands.counting import Counter
    from scalecast_assets.commands.up import alone

    manifest = verified(folder)
    if check:
        _tell(folder, manifest, f"scalecast restore {folder}", as_json)
        return
    home = Settings.load().home
    home.mkdir(parents=True, exist_ok=True)
    with alone(home), running(prepare=False) as runtime, Counter("objects") as counter:
        bring_back(runtime, folder, manifest, force=force, say=counter.say, counted=counter.count)
    _tell(folder, manifest, "scalecast status", as_json)


def _tell(folder: Path, manifest: "Manifest", following: str, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "folder": str(folder),
        "made_at": manifest.made_at,
        "schema": manifest.schema,
        "served": manifest.served,
        "objects": len(manifest.objects),
        "bytes": manifest.size,
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(
        f"{folder}: of {manifest.made_at}, {len(manifest.objects):,} objects, "
        f"{manifest.size / 1e6:,.1f} MB, serving {manifest.served or 'no model yet'}\n"
        f"Next: {following}"
    )
    sys.stdout.flush()
