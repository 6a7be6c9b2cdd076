"""Verbs about models: what is kept, which one is served, making a new one."""

import json
import sys

import click

from scalecast_assets.cli.common import AS_JSON, examples, running
from scalecast_assets.settings import Settings


@click.command(epilog=examples("scalecast retrain", "scalecast retrain --json"))
@AS_JSON
def retrain(as_json: bool) -> None:
    """Train, compare and promote on the data as they are; nothing is loaded."""
    from scalecast_assets.commands.outcome import in_words
    from scalecast_assets.commands.outcome import retrain as train
    from scalecast_assets.resources.turns import let_training_end

    with running() as runtime:
        let_training_end(runtime.database_url, lambda text: click.echo(text, err=True))
        outcome = train(runtime)
    if as_json:
        click.echo(json.dumps(outcome.to_json(), indent=2, allow_nan=False))
    else:
        click.echo(in_words(outcome))
    sys.exit(outcome.exit_code)


@click.command(epilog=examples("scalecast models", "scalecast models --json"))
@AS_JSON
def models(as_json: bool) -> None:
    """List the kept model versions and which one is served."""
    from scalecast_assets.commands.reporting import print_models, read_models

    facts = read_models(Settings.load())
    click.echo(json.dumps(facts, indent=2, default=str)) if as_json else print_models(facts)


@click.command(epilog=examples("scalecast rollback 1.2.0"))
@click.argument("version")
@AS_JSON
def rollback(version: str, as_json: bool) -> None:
    """Serve a kept VERSION again; the API follows within seconds."""
    from scalecast_assets.commands.reporting import roll_back

    facts = roll_back(Settings.load(), version)
    click.echo(json.dumps(facts, indent=2) if as_json else facts["message"])
