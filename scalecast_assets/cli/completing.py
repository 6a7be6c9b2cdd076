"""The verb that has a shell complete the others."""

import click
from click.shell_completion import get_completion_class

from scalecast_assets.cli.common import examples

VARIABLE = "_SCALECAST_COMPLETE"
"""By which click, asked by the shell, knows that it shall complete."""

SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog=examples(
        'eval "$(scalecast completion bash)"     # in ~/.bashrc',
        'eval "$(scalecast completion zsh)"      # in ~/.zshrc',
        "scalecast completion fish > ~/.config/fish/completions/scalecast.fish",
    )
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what a shell needs to complete verbs, options and files."""
    kind = get_completion_class(shell)
    assert kind is not None, shell
    root = context.find_root().command
    # Its own `source` would first run bash, to say that one older than 4.4 will not do.
    script = kind(root, {}, "scalecast", VARIABLE)
    click.echo(script.source_template % script.source_vars())
