"""``python -m deploy.dashboards``: a page of each dashboard, as it stands now."""

from datetime import timedelta
from pathlib import Path

import click
import psycopg

from deploy.dashboards.asking import QueryError, Sources
from deploy.dashboards.page import page
from deploy.dashboards.picture import photograph
from deploy.dashboards.reading import read_all


@click.command()
@click.option("--prometheus", required=True, help="Its address, http://…")
@click.option(
    "--database",
    required=True,
    help="The warehouse, postgresql://scalecast_reader@…; the password from PGPASSWORD or .pgpass.",
)
@click.option(
    "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="A folder."
)
@click.option("--minutes", type=int, help="Show the last so many minutes, not what each says.")
@click.option("--png", is_flag=True, help="Pictures of the pages, too, by the system's Chromium.")
def main(prometheus: str, database: str, output: Path, minutes: int | None, png: bool) -> None:
    """Run every query of Grafana's dashboards and draw what they show."""
    output.mkdir(parents=True, exist_ok=True)
    shown = timedelta(minutes=minutes) if minutes else None
    with psycopg.connect(database, autocommit=True) as warehouse:
        for dashboard in read_all():
            try:
                drawn = page(dashboard, Sources(prometheus, warehouse), shown)
            except QueryError as error:
                raise click.ClickException(str(error)) from error
            file = output / f"{dashboard.uid}.html"
            file.write_text(drawn, "utf-8")
            click.echo(f"{file}")
            if png:
                photograph(file, file.with_suffix(".png"))


if __name__ == "__main__":
    main()
