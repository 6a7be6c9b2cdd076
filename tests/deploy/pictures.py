"""``python -m tests.deploy.pictures docs/pictures``: the pictures of docs/dashboards.md, from life.

Everything of docker-compose.yml runs as processes, a retailer lives there for some weeks
(``retailer.py``), and what Grafana's dashboards then show is drawn. Half an hour; less with fewer
nights.
"""

import logging
import signal
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import click
import psycopg
from moto.server import ThreadedMotoServer

from deploy.dashboards.asking import Sources
from deploy.dashboards.page import page
from deploy.dashboards.picture import photograph
from deploy.dashboards.reading import read_all
from scalecast_assets.resources.embedded_postgres import EmbeddedPostgres
from tests.deploy.composed import composed, reader_url, start_all, watch
from tests.deploy.retailer import NIGHTS, Retailer, customers


@click.command()
@click.argument("output", type=click.Path(file_okay=False, path_type=Path))
@click.option("--nights", default=NIGHTS, show_default=True, help="To be played, 2 or more.")
def main(output: Path, nights: int) -> None:
    """Let a retailer live for some weeks and draw the dashboards into OUTPUT."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job: nobody would end
        signal.signal(signal.SIGINT, signal.default_int_handler)
    store = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    store.start()
    address = "http://{}:{}".format(*store.get_host_and_port())
    with tempfile.TemporaryDirectory(prefix="scalecast-pictures-") as folder:
        home, host_folder = Path(folder), Path(folder) / "host"
        home.chmod(0o755)  # the account of Postgres has to get in
        host_folder.mkdir()
        with EmbeddedPostgres(home) as postgres, composed(host_folder, postgres, address) as host:
            start_all(host)
            watch(host)
            began = time.monotonic()
            retailer = Retailer.on(host, nights)
            with customers(retailer):
                retailer.live()
                played = timedelta(seconds=time.monotonic() - began)
                with psycopg.connect(reader_url(host), autocommit=True) as warehouse:
                    draw(Sources(host.url("prometheus", ""), warehouse), output, home, played)
    store.stop()


def draw(sources: Sources, output: Path, folder: Path, played: timedelta) -> None:
    """Draw each dashboard; what the sidecars did is known for as long as it took to play."""
    output.mkdir(parents=True, exist_ok=True)
    for dashboard in read_all():
        drawn = folder / f"{dashboard.uid}.html"
        span = played if dashboard.uid == "serving" else None
        drawn.write_text(page(dashboard, sources, span), "utf-8")
        photograph(drawn, output / f"{dashboard.uid}.png")


if __name__ == "__main__":
    main()
