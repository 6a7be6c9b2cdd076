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


@click.command(
    epilog=examples(
        "scalecast challenge 1.3.0 --share 0.1",
        "scalecast challenge 1.3.0 --shadow",
        "scalecast challenge --end",
    )
)
@click.argument("version", required=False)
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    help="Of the series, above 0 and below 1; with --shadow up to 1, which is the default there.",
)
@click.option("--shadow", is_flag=True, help="The champion answers; VERSION is only compared.")
@click.option("--end", is_flag=True, help="Let the champion alone answer again.")
@AS_JSON
def challenge(
    version: str | None, share: float | None, shadow: bool, end: bool, as_json: bool
) -> None:
    """Serve a kept VERSION beside the champion; the API follows within seconds.

    With --share VERSION answers for that share of the series, always for the same ones; a larger
    share only adds series. `scalecast rollback VERSION` makes it the champion. `scalecast status`
    compares both on the days whose sales have come.
    """
    if end and (version or share or shadow):
        raise click.UsageError("--end stands alone")
    if not end and version is None:
        raise click.UsageError("name a VERSION of `scalecast models`, or --end")
    if not end and not shadow and (share is None or share == 1):
        raise click.UsageError("give a --share below 1, or --shadow; for all series: `rollback`")
    from scalecast_assets.commands.challenging import begin_challenge, stop_challenge

    settings = Settings.load()
    if version is None:
        facts = stop_challenge(settings)
    else:
        facts = begin_challenge(settings, version, shadow=shadow, share=share or 1.0)
    click.echo(json.dumps(facts, indent=2) if as_json else facts["message"])
