"""What every verb shares: exit codes, ``--json``, examples in the help, and what must be up."""

import signal
import sys
from typing import Any, Final

import click

from scalecast_assets.settings import Settings, SettingsError

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2
REFUSED: Final = 3

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")


class Group(click.Group):
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


def examples(*lines: str) -> str:
    """Return the end of a verb's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def running(*, prepare: bool = True) -> Any:
    """Have Postgres and the environment up for as long as the block lasts.

    Without ``prepare`` the schemas are not looked at.
    """
    from scalecast_assets.runtime import running as runtime_running

    # Ended by a supervisor, the embedded Postgres is stopped on the way out, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    return runtime_running(Settings.load(), prepare=prepare)
