"""``scalecast service NAME``: one of Dagster's processes in the foreground, for containers.

``scalecast up`` starts the same processes together, for one machine (``services.py``). Here each
takes the place of the command itself, so that a supervisor's signals reach it and its output is the
container's.
"""

import os
import sys
from collections.abc import Mapping

from scalecast_assets.commands.services import (
    CODE_PORT,
    UI_PORT,
    WORKSPACE,
    code_server_command,
    script,
    webserver_command,
)
from scalecast_assets.runtime import running
from scalecast_assets.settings import Settings, SettingsError, variable


def become(settings: Settings, name: str, host: str, port: int | None, *, read_only: bool) -> None:
    """Prepare the database and Dagster's home, then be this process; does not return.

    Raises:
        SettingsError: no database is named: an embedded one would end with this process.
    """
    if settings.database_url is None:
        raise SettingsError(
            f"{variable('database_url')} is not set. A service of its own needs a Postgres that "
            "outlives it; on one machine, `scalecast up` runs everything with an embedded one"
        )
    command = command_of(name, host, port, read_only=read_only)
    with running(settings) as runtime:
        environment = {**os.environ, **runtime.environment}
    sys.stdout.flush()
    os.execve(command[0], command, with_address(environment))


def command_of(name: str, host: str, port: int | None, *, read_only: bool) -> list[str]:
    """Return the command line of the service; ``host`` and ``port`` are where it listens."""
    if name == "code-server":
        return code_server_command(host, port or CODE_PORT)
    if name == "webserver":
        return [*webserver_command(host, port or UI_PORT), *(["--read-only"] if read_only else [])]
    return script("dagster-daemon", "run", *WORKSPACE)


def with_address(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with an address for ``workspace.yaml``, if it has none."""
    return {
        "SCALECAST_CODE_HOST": "127.0.0.1",
        "SCALECAST_CODE_PORT": str(CODE_PORT),
        **environment,
    }
