"""Verbs that keep something running, and what other programs need to join in."""

import json
import shlex
import sys
from collections.abc import Callable
from typing import Any

import click

from scalecast_assets.cli.common import AS_JSON, examples, running
from scalecast_assets.settings import Settings


@click.command(epilog=examples("scalecast up", "SCALECAST_UI_PORT=3100 scalecast up"))
@click.option(
    "--with-sample",
    is_flag=True,
    help="First run everything if there is no model yet; on the sample, if there is no file.",
)
@AS_JSON
def up(with_sample: bool, as_json: bool) -> None:
    """Run Dagster UI, daemon and prediction API until Ctrl-C."""
    from scalecast_assets.commands.up import run_until_stopped

    with running() as runtime:
        code = run_until_stopped(runtime, with_sample=with_sample, announce=_announcer(as_json))
    sys.exit(code)


@click.command(epilog=examples("scalecast serve", "SCALECAST_API_PORT=8080 scalecast serve"))
@AS_JSON
def serve(as_json: bool) -> None:
    """Run the prediction API alone; needs the store, not the database."""
    from scalecast_assets.commands.up import serve_until_stopped

    sys.exit(serve_until_stopped(Settings.load(), announce=_announcer(as_json)))


def _announcer(as_json: bool) -> Callable[[dict[str, Any], str], None]:
    def announce(facts: dict[str, Any], text: str) -> None:
        click.echo(json.dumps(facts) if as_json else text)
        sys.stdout.flush()

    return announce


@click.command(epilog=examples('eval "$(scalecast env)"', "cd dbt_project && dbt build"))
@AS_JSON
def env(as_json: bool) -> None:
    """Print the variables by which dagster and dbt, run by hand, find the running parts."""
    from scalecast_assets.runtime import attached

    variables = attached(Settings.load()).environment
    if as_json:
        click.echo(json.dumps(variables, indent=2))
        return
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@click.command(
    "api-key",
    epilog=examples("scalecast api-key --name shop", "scalecast api-key --name shop --json"),
)
@click.option("--name", default="default", show_default=True, help="Whose key it is, for the logs.")
@AS_JSON
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


@click.command(
    epilog=examples(
        "scalecast service code-server --host 0.0.0.0",
        "scalecast service webserver --read-only --port 3000",
        "scalecast service daemon",
    )
)
@click.argument("name", type=click.Choice(["code-server", "webserver", "daemon"]))
@click.option("--host", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: 4266, or 3000 for the UI.")
@click.option("--read-only", is_flag=True, help="A UI in which nothing can be changed.")
def service(name: str, host: str, port: int | None, read_only: bool) -> None:
    """Run one of Dagster's processes alone, in the foreground; for containers.

    The others are found by SCALECAST_CODE_HOST and SCALECAST_CODE_PORT.
    """
    from scalecast_assets.commands.service import become

    if read_only and name != "webserver":
        raise click.UsageError(f"--read-only is for the webserver, not for {name}")
    become(Settings.load(), name, host, port, read_only=read_only)
