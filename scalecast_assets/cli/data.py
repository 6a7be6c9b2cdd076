"""Verbs about data: what comes in, what is judged, what is taken back."""

import json
import sys
from pathlib import Path

import click

from scalecast_assets.cli.common import AS_JSON, DONE, REFUSED, examples, running


@click.command(
    epilog=examples(
        "scalecast run --csv sales.csv",
        "scalecast run --csv 2023.csv --csv 2024.csv --json",
        "scalecast run --csv corrected.csv --replace",
        "scalecast run                # whatever waits in the store's raw/",
    )
)
@click.option(
    "--csv",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    metavar="FILE",
    help="A raw sales file (.csv or .csv.gz); later ones win. Repeat for several.",
)
@click.argument(
    "more",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    metavar="[FILE]...",
)
@click.option("--replace", is_flag=True, help="Replace everything by the union of these files.")
@click.option("--again", is_flag=True, help="Load files anew whose content is already known.")
@AS_JSON
def run(
    files: tuple[Path, ...], more: tuple[Path, ...], replace: bool, again: bool, as_json: bool
) -> None:
    """Land the files, materialize everything once, say what is served and why."""
    from scalecast_assets.commands.outcome import in_words, run_everything
    from scalecast_assets.resources.turns import let_training_end

    given = [*files, *more]
    _check_usage(given, replace, again)
    with running() as runtime:
        let_training_end(runtime.database_url, lambda text: click.echo(text, err=True))
        outcome = run_everything(runtime, given, replace=replace, again=again)
    if as_json:
        click.echo(json.dumps(outcome.to_json(), indent=2, allow_nan=False))
    else:
        click.echo(in_words(outcome))
    sys.exit(outcome.exit_code)


def _check_usage(given: list[Path], replace: bool, again: bool) -> None:
    for path in given:
        _check_name(path, "--csv")
    if len({path.resolve() for path in given}) < len(given):
        raise click.UsageError("the same file is named twice")
    if replace and not given:
        raise click.UsageError("--replace needs the files that replace everything: --csv FILE")
    if again and not given:
        raise click.UsageError("--again needs the files to load again: --csv FILE")


@click.command(
    epilog=examples(
        "scalecast validate sales.csv",
        "scalecast validate sales.csv --report bad_lines.csv",
        "scalecast validate sales.csv --report page.html --data-docs docs",
    )
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.option(
    "--report",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Also write every line that breaks a rule to this CSV; named .html, a page on them.",
)
@click.option(
    "--data-docs",
    type=click.Path(file_okay=False, writable=True, path_type=Path),
    metavar="FOLDER",
    help="Also build Great Expectations' Data Docs of this validation in a new FOLDER.",
)
@AS_JSON
def validate(file: Path, report: Path | None, data_docs: Path | None, as_json: bool) -> None:
    """Ask whether FILE would be accepted; nothing is loaded. Exit code 3: it would be refused."""
    from scalecast_assets.commands.validation import print_validation
    from scalecast_assets.commands.validation import validate as judge

    _check_name(file, "FILE")
    if data_docs and data_docs.exists() and any(data_docs.iterdir()):
        raise click.BadParameter(
            f"{data_docs} is not empty; name a new folder", param_hint="FOLDER"
        )
    with running() as runtime:
        facts = judge(runtime, file, report, data_docs)
    click.echo(json.dumps(facts, indent=2)) if as_json else print_validation(facts)
    sys.exit(DONE if facts["accepted"] else REFUSED)


def _check_name(path: Path, hint: str) -> None:
    if not path.name.lower().endswith((".csv", ".csv.gz")):
        raise click.BadParameter(f"{path}: expected a file named .csv or .csv.gz", param_hint=hint)


@click.command(
    epilog=examples(
        "scalecast withdraw sales-2024-03-01.csv",
        "scalecast withdraw raw/sales.csv --reason 'prices in cents'",
        "scalecast withdraw 9f2c41d07b --yes --json",
        "scalecast run --again sales-2024-03-01.csv     # brings it back",
    )
)
@click.argument("file")
@click.option("--reason", metavar="TEXT", default="", help="Why, for the ledger.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@AS_JSON
def withdraw(file: str, reason: str, yes: bool, as_json: bool) -> None:
    """Undo a published FILE: a key in raw/, a file's name, or the start of its sha256.

    Rows that it had overwritten come back, rows that only it had vanish; features, state and
    forecasts follow.
    """
    from scalecast_assets.commands.withdrawing import find, in_words, withdraw_file
    from scalecast_assets.ingest.withdrawal import BY_HAND

    if not yes and not sys.stdin.isatty():
        raise click.UsageError("withdrawing changes the warehouse: say --yes to mean it")
    with running() as runtime:
        found = find(runtime, file)
        if not yes and found.state == "published":
            click.confirm(f"Withdraw {found}?", abort=True, err=True)
        done = withdraw_file(runtime, found, f"{BY_HAND}: {reason}" if reason else BY_HAND)
    click.echo(json.dumps(done.to_json(), indent=2) if as_json else in_words(done))
    sys.exit(done.exit_code)


@click.command(
    "sample-data", epilog=examples("scalecast sample-data", "scalecast sample-data data")
)
@click.argument(
    "folder", default="sample", type=click.Path(file_okay=False, path_type=Path), metavar="[FOLDER]"
)
@AS_JSON
def sample_data(folder: Path, as_json: bool) -> None:
    """Write a small seeded retailer's sales into FOLDER (default: sample)."""
    from scalecast_assets.commands.sample import write_sample

    path, rows = write_sample(folder)
    facts = {"file": str(path), "rows": rows}
    click.echo(json.dumps(facts) if as_json else f"{path}: {rows:,} rows")
