"""The ``scalecast`` command: options in, exit code out; the work is in ``commands/``.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the data breaker refused a file.
"""

import click

from scalecast_assets.cli import backups, completing, convert, data, models, running, upkeep
from scalecast_assets.cli.common import Group

VERBS = (
    *(data.run, data.validate, data.withdraw, data.sample_data, convert.convert),
    *(models.retrain, models.models, models.rollback, models.challenge),
    *(running.up, running.serve, running.service, running.env, running.api_key),
    completing.completion,
    *(upkeep.status, upkeep.doctor, upkeep.settings, upkeep.purge, upkeep.init_env),
    *(upkeep.setup_store, backups.backup, backups.restore),
)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="scalecast-pipeline", prog_name="scalecast")
def cli() -> None:
    """ScaleCast: raw sales files in, a demand forecast over HTTP out.

    Settings come from SCALECAST_… variables and a .env file; `scalecast settings` lists them.
    """


for verb in VERBS:
    cli.add_command(verb)


def main() -> None:
    """Entry point of the ``scalecast`` script."""
    cli(prog_name="scalecast")
