"""The ``scalecast`` command: options in, exit code out; the work is in the modules it calls.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the data breaker refused a file.
"""

import json
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from scalecast_assets.settings import Settings, SettingsError

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2
REFUSED: Final = 3

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")


class _Group(click.Group):
    """Turns what a person can mend into one line on standard error."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            click.echo(f"scalecast: {error}", err=True)
            ctx.exit(WRONG_USAGE)
        except Exception as error:
            if not type(error).__module__.startswith("scalecast_assets."):
                raise
            click.echo(f"scalecast: {error}", err=True)
            ctx.exit(FAILED)


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="scalecast-pipeline", prog_name="scalecast")
def cli() -> None:
    """ScaleCast: raw sales files in, a demand forecast over HTTP out.

    Settings come from SCALECAST_… variables and a .env file; `scalecast settings` lists them.
    """


@cli.command(
    epilog=_examples(
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
@_JSON
def run(
    files: tuple[Path, ...], more: tuple[Path, ...], replace: bool, again: bool, as_json: bool
) -> None:
    """Land the files, materialize everything once, say what is served and why."""
    from scalecast_assets.commands.outcome import in_words, run_everything
    from scalecast_assets.resources.turns import let_training_end

    given = [*files, *more]
    _check_usage(given, replace, again)
    with _running() as runtime:
        let_training_end(runtime.database_url, lambda text: click.echo(text, err=True))
        outcome = run_everything(runtime, given, replace=replace, again=again)
    if as_json:
        click.echo(json.dumps(outcome.to_json(), indent=2, allow_nan=False))
    else:
        click.echo(in_words(outcome))
    sys.exit(outcome.exit_code)


@cli.command(epilog=_examples("scalecast retrain", "scalecast retrain --json"))
@_JSON
def retrain(as_json: bool) -> None:
    """Train, compare and promote on the data as they are; nothing is loaded."""
    from scalecast_assets.commands.outcome import in_words
    from scalecast_assets.commands.outcome import retrain as train
    from scalecast_assets.resources.turns import let_training_end

    with _running() as runtime:
        let_training_end(runtime.database_url, lambda text: click.echo(text, err=True))
        outcome = train(runtime)
    if as_json:
        click.echo(json.dumps(outcome.to_json(), indent=2, allow_nan=False))
    else:
        click.echo(in_words(outcome))
    sys.exit(outcome.exit_code)


@cli.command(
    epilog=_examples(
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
@_JSON
def validate(file: Path, report: Path | None, data_docs: Path | None, as_json: bool) -> None:
    """Ask whether FILE would be accepted; nothing is loaded. Exit code 3: it would be refused."""
    from scalecast_assets.commands.validation import print_validation
    from scalecast_assets.commands.validation import validate as judge

    _check_name(file, "FILE")
    if data_docs and data_docs.exists() and any(data_docs.iterdir()):
        raise click.BadParameter(
            f"{data_docs} is not empty; name a new folder", param_hint="FOLDER"
        )
    with _running() as runtime:
        facts = judge(runtime, file, report, data_docs)
    click.echo(json.dumps(facts, indent=2)) if as_json else print_validation(facts)
    sys.exit(DONE if facts["accepted"] else REFUSED)


def _check_name(path: Path, hint: str) -> None:
    if not path.name.lower().endswith((".csv", ".csv.gz")):
        raise click.BadParameter(f"{path}: expected a file named .csv or .csv.gz", param_hint=hint)


def _check_usage(given: list[Path], replace: bool, again: bool) -> None:
    for path in given:
        _check_name(path, "--csv")
    if len({path.resolve() for path in given}) < len(given):
        raise click.UsageError("the same file is named twice")
    if replace and not given:
        raise click.UsageError("--replace needs the files that replace everything: --csv FILE")
    if again and not given:
        raise click.UsageError("--again needs the files to load again: --csv FILE")


@cli.command(
    epilog=_examples(
        "scalecast withdraw sales-2024-03-01.csv",
        "scalecast withdraw raw/sales.csv --reason 'prices in cents'",
        "scalecast withdraw 9f2c41d07b --yes --json",
        "scalecast run --again sales-2024-03-01.csv     # brings it back",
    )
)
@click.argument("file")
@click.option("--reason", metavar="TEXT", default="", help="Why, for the ledger.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_JSON
def withdraw(file: str, reason: str, yes: bool, as_json: bool) -> None:
    """Undo a published FILE: a key in raw/, a file's name, or the start of its sha256.

    Rows that it had overwritten come back, rows that only it had vanish; features, state and
    forecasts follow.
    """
    from scalecast_assets.commands.withdrawing import find, in_words, withdraw_file
    from scalecast_assets.ingest.withdrawal import BY_HAND

    if not yes and not sys.stdin.isatty():
        raise click.UsageError("withdrawing changes the warehouse: say --yes to mean it")
    with _running() as runtime:
        found = find(runtime, file)
        if not yes and found.state == "published":
            click.confirm(f"Withdraw {found}?", abort=True, err=True)
        done = withdraw_file(runtime, found, f"{BY_HAND}: {reason}" if reason else BY_HAND)
    click.echo(json.dumps(done.to_json(), indent=2) if as_json else in_words(done))
    sys.exit(done.exit_code)


@cli.command(epilog=_examples("scalecast up", "SCALECAST_UI_PORT=3100 scalecast up"))
@click.option(
    "--with-sample",
    is_flag=True,
    help="First run everything if there is no model yet; on the sample, if there is no file.",
)
@_JSON
def up(with_sample: bool, as_json: bool) -> None:
    """Run Dagster UI, daemon and prediction API until Ctrl-C."""
    from scalecast_assets.commands.up import run_until_stopped

    with _running() as runtime:
        code = run_until_stopped(runtime, with_sample=with_sample, announce=_announcer(as_json))
    sys.exit(code)


def _announcer(as_json: bool) -> Callable[[dict[str, Any], str], None]:
    def announce(facts: dict[str, Any], text: str) -> None:
        click.echo(json.dumps(facts) if as_json else text)
        sys.stdout.flush()

    return announce


@cli.command(epilog=_examples("scalecast serve", "SCALECAST_API_PORT=8080 scalecast serve"))
@_JSON
def serve(as_json: bool) -> None:
    """Run the prediction API alone; needs the store, not the database."""
    from scalecast_assets.commands.up import serve_until_stopped

    sys.exit(serve_until_stopped(Settings.load(), announce=_announcer(as_json)))


@cli.command(epilog=_examples("scalecast status", "scalecast status --json"))
@_JSON
def status(as_json: bool) -> None:
    """Show files, warehouse, model and state as they stand."""
    from scalecast_assets.commands.reporting import print_status, read_status

    with _running() as runtime:
        facts = read_status(runtime)
    click.echo(json.dumps(facts, indent=2, default=str)) if as_json else print_status(facts)


@cli.command(epilog=_examples("scalecast models", "scalecast models --json"))
@_JSON
def models(as_json: bool) -> None:
    """List the kept model versions and which one is served."""
    from scalecast_assets.commands.reporting import print_models, read_models

    facts = read_models(Settings.load())
    click.echo(json.dumps(facts, indent=2, default=str)) if as_json else print_models(facts)


@cli.command(epilog=_examples("scalecast rollback 1.2.0"))
@click.argument("version")
@_JSON
def rollback(version: str, as_json: bool) -> None:
    """Serve a kept VERSION again; the API follows within seconds."""
    from scalecast_assets.commands.reporting import roll_back

    facts = roll_back(Settings.load(), version)
    click.echo(json.dumps(facts, indent=2) if as_json else facts["message"])


@cli.command(
    epilog=_examples("scalecast purge --dry-run", "SCALECAST_KEEP_MODELS=3 scalecast purge")
)
@click.option("--dry-run", is_flag=True, help="Only list what would go.")
@_JSON
def purge(dry_run: bool, as_json: bool) -> None:
    """Remove what nothing needs and is older than the SCALECAST_KEEP_… settings keep.

    `scalecast up` does so once a day. Raw files and the archive are never touched.
    """
    from scalecast_assets.commands.purging import in_words, purge_now

    with _running() as runtime:
        report = purge_now(runtime, dry_run=dry_run)
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else in_words(report))
    sys.exit(FAILED if report.failed else DONE)


@cli.command(
    "api-key",
    epilog=_examples("scalecast api-key --name shop", "scalecast api-key --name shop --json"),
)
@click.option("--name", default="default", show_default=True, help="Whose key it is, for the logs.")
@_JSON
def api_key(name: str, as_json: bool) -> None:
    """Make a key for the prediction API; it is shown once and kept nowhere."""
    from serving.keys import new_key
    from serving.settings import SettingsError as KeyNameError

    try:
        key, line = new_key(name)
    except KeyNameError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        click.echo(json.dumps({"key": key, "line": line}))
        return
    click.echo(f"The key, shown this once:\n  {key}\n")
    click.echo(
        "Let it in with this line, in the file that SCALECAST_API_KEYS_FILE names (it counts"
    )
    click.echo(f"within a second) or in SCALECAST_API_KEYS (at the next start):\n  {line}")


@cli.command("sample-data", epilog=_examples("scalecast sample-data", "scalecast sample-data data"))
@click.argument(
    "folder", default="sample", type=click.Path(file_okay=False, path_type=Path), metavar="[FOLDER]"
)
@_JSON
def sample_data(folder: Path, as_json: bool) -> None:
    """Write a small seeded retailer's sales into FOLDER (default: sample)."""
    from scalecast_assets.commands.sample import write_sample

    path, rows = write_sample(folder)
    facts = {"file": str(path), "rows": rows}
    click.echo(json.dumps(facts) if as_json else f"{path}: {rows:,} rows")


@cli.command(epilog=_examples('eval "$(scalecast env)"', "cd dbt_project && dbt build"))
@_JSON
def env(as_json: bool) -> None:
    """Print the variables by which dagster and dbt, run by hand, find the running parts."""
    from scalecast_assets.runtime import attached

    variables = attached(Settings.load()).environment
    if as_json:
        click.echo(json.dumps(variables, indent=2))
        return
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@cli.command(epilog=_examples("scalecast settings", "scalecast settings --json"))
@_JSON
def settings(as_json: bool) -> None:
    """List every setting with its default and what it is for."""
    from scalecast_assets.commands.reporting import settings_table

    table = settings_table()
    if as_json:
        click.echo(json.dumps(table, indent=2))
        return
    for row in table:
        click.echo(f"{row['name']:<34} {row['description']}")
        click.echo(f"{'':<34} default: {row['default']}")


def _running() -> Any:
    from scalecast_assets.runtime import running

    # Ended by a supervisor, the embedded Postgres is stopped on the way out, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    return running(Settings.load())


def main() -> None:
    """Entry point of the ``scalecast`` script."""
    cli(prog_name="scalecast")


if __name__ == "__main__":
    main()
