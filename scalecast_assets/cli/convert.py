"""The verb that makes raw sales files of public data sets."""

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from scalecast_assets.cli.common import AS_JSON, examples

if TYPE_CHECKING:
    from scalecast_assets.recipes.files import Row

RECIPES: Final = ("online-retail", "m5", "rossmann", "favorita")


@click.command(
    epilog=examples(
        "scalecast convert m5 m5-forecasting-accuracy.zip -o m5.csv.gz",
        "scalecast convert m5 m5/ -o m5.csv.gz --since 2015-01-01",
        "scalecast convert online-retail online+retail.zip -o retail.csv",
    )
)
@click.argument("recipe", type=click.Choice(RECIPES), metavar="DATASET")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option(
    *("-o", "--output"),
    required=True,
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="The CSV to write; packed if it ends in .csv.gz.",
)
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="Leave out earlier days."
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@AS_JSON
def convert(
    recipe: str, source: Path, output: Path, since: datetime | None, force: bool, as_json: bool
) -> None:
    """Make a raw sales file of DATASET (online-retail, m5, rossmann or favorita).

    SOURCE is what was downloaded: the .zip, the folder it was unpacked into, or the file itself.
    """
    from scalecast_assets.commands.counting import Counter
    from scalecast_assets.recipes.files import Download
    from scalecast_assets.recipes.writing import write

    if not output.name.lower().endswith((".csv", ".csv.gz")):
        raise click.BadParameter("expected a name that ends in .csv or .csv.gz", param_hint="-o")
    if output.exists() and not force:
        raise click.UsageError(f"{output} is there already; --force replaces it")
    read: Callable[[Download, date | None], Iterator[Row]] = import_module(
        f"scalecast_assets.recipes.{recipe.replace('-', '_')}"
    ).read
    with Counter("rows") as counter:
        rows = write(
            read(Download(source), since.date() if since else None), output, counter.so_far
        )
    facts: dict[str, Any] = {"file": str(output), "rows": rows}
    said = f"{output}: {rows:,} rows\nNext: scalecast validate {output}"
    click.echo(json.dumps(facts) if as_json else said)
