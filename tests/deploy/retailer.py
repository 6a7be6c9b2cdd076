"""Some weeks in the life of the sample's retailer, played in minutes on a ``Host``.

Each night brings a file; one is refused, one sells another way than before, so that monitoring asks
for a new model; then the old model is tried beside it. Afterwards the times in the database are
moved to the mornings on which all this would have happened: what took 9 s still took 9 s.
"""

import csv
import datetime as dt
import json
import random
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from scalecast_assets.commands.sample import LAST_DAY, write_sample
from scalecast_assets.contract.columns import RAW_COLUMNS
from tests.deploy.composed import SIDECARS, drop, state_until, train
from tests.deploy.host import Host, status_of
from tests.graph.command import eventually, fetch

HISTORY_DAYS = 240
"""In the first file."""

NIGHTS = 28
CHANGED, TRIED = 12, 20
"""Nights from which on more is sold, and from which on two models answer."""

REFUSED = 6
"""The night whose first file is refused, as the last one's is."""

MORNING, CORRECTED = dt.time(5, 10, tzinfo=dt.UTC), dt.time(9, 30, tzinfo=dt.UTC)
RUNNING = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
Rows = list[list[str]]


@dataclass
class Retailer:
    """Files a day, ending with the latest day that is final."""

    host: Host
    days: dict[dt.date, Rows]
    played: list[tuple[dt.datetime, dt.datetime]] = field(default_factory=list)
    """When each file was dropped, and when it would have come."""

    @classmethod
    def on(cls, host: Host, nights: int) -> "Retailer":
        last = (dt.datetime.now(dt.UTC) - dt.timedelta(days=1, hours=6)).date()
        shift = last - LAST_DAY
        days: dict[dt.date, Rows] = defaultdict(list)
        with write_sample(host.folder)[0].open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                day = dt.date.fromisoformat(row["date"]) + shift
                days[day].append([day.isoformat(), *list(row.values())[1:]])
        return cls(host, {day: days[day] for day in sorted(days)[-HISTORY_DAYS - nights :]})

    def live(self) -> None:
        days = list(self.days)
        self.deliver(days[:HISTORY_DAYS])
        assert train(self.host)["promoted"]
        nights = days[HISTORY_DAYS:]
        for night, day in enumerate(nights):
            last = night == len(nights) - 1
            if night == REFUSED or last:
                self.deliver([day], price="0")
            if last:
                break  # the corrected file has not come yet
            at = CORRECTED if night == REFUSED else MORNING
            self.deliver([day], times=1.6 if night >= CHANGED else 1.0, at=at)
            if night == TRIED:
                self.host.once("code", "challenge", "1.0.0", "--share", "0.3")
        self.move_to_the_mornings()

    def deliver(
        self,
        days: Sequence[dt.date],
        times: float = 1.0,
        price: str | None = None,
        at: dt.time = MORNING,
    ) -> None:
        """Drop a file of these days and wait for all that it sets off."""
        began, host, until = dt.datetime.now(dt.UTC), self.host, days[-1].isoformat()
        self.played.append((began, dt.datetime.combine(days[-1] + dt.timedelta(days=1), at)))
        drop(host, self.file(days, times, price))
        if price is None:
            eventually(lambda: state_until(host) == until, f"{until}: {host.log('daemon')}", 300)
        self.settle()
        print(f"{until}: {dt.datetime.now(dt.UTC) - began}", flush=True)

    def settle(self) -> None:
        """Wait until no run goes on, and none was started for two looks of the sensors."""
        quiet = 0

        def nothing_runs() -> bool:
            nonlocal quiet
            with psycopg.connect(self.database) as connection:
                found = connection.execute(
                    "select count(*) from dagster.runs where status = any(%s)", (list(RUNNING),)
                ).fetchone()
            quiet = quiet + 1 if found == (0,) else 0
            return quiet > 80  # of the tenths of a second between two questions

        eventually(nothing_runs, f"the runs' end: {self.host.log('daemon')}", 600)

    def file(self, days: Sequence[dt.date], times: float = 1.0, price: str | None = None) -> Path:
        """Write the sales of these days, ``times`` as high as they were, to be dropped."""
        path = self.host.folder / f"until_{days[-1]}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(RAW_COLUMNS)
            for day in days:
                for _, store, product, sold, usual, promoted in self.days[day]:
                    more = round(int(sold) * times)
                    row = (day.isoformat(), store, product, more, price or usual, promoted)
                    writer.writerow(row)
        return path

    @property
    def database(self) -> str:
        return self.host.environment("code")["SCALECAST_DATABASE_URL"]

    def move_to_the_mornings(self) -> None:
        """Move every time that was written since a file was dropped to when it would have come."""
        with psycopg.connect(self.database) as connection:
            connection.execute("create temp table played (began timestamptz, morning timestamptz)")
            with connection.cursor() as cursor:
                cursor.executemany("insert into played values (%s, %s)", self.played)
            columns = connection.execute(
                """
                select table_schema, table_name, column_name from information_schema.columns
                join information_schema.tables using (table_schema, table_name)
                where table_schema in ('warehouse', 'ml') and table_type = 'BASE TABLE'
                and data_type = 'timestamp with time zone'
                """
            ).fetchall()
            for schema, table, column in columns:
                _move(connection, (schema, table), sql.Identifier(column), "{}")
            runs = ("dagster", "runs")
            for column in ("start_time", "end_time"):
                _move(connection, runs, sql.Identifier(column), "to_timestamp({})", "epoch")
            for column in ("create_timestamp", "update_timestamp"):
                _move(connection, runs, sql.Identifier(column), "({} at time zone 'UTC')")


def _move(
    connection: psycopg.Connection[Any],
    table: tuple[str, str],
    column: sql.Identifier,
    as_time: str,
    kind: str = "",
) -> None:
    time = sql.SQL(as_time).format(column)
    by = sql.SQL(
        "(select morning - began from played where began <= {} order by began desc limit 1)"
    ).format(time)
    if kind == "epoch":
        by = sql.SQL("extract(epoch from {})").format(by)
    connection.execute(
        sql.SQL("update {} set {} = {} + {} where {} >= (select min(began) from played)").format(
            sql.Identifier(*table), column, column, by, time
        )
    )


@contextmanager
def customers(retailer: Retailer, seed: int = 1) -> Iterator[None]:
    """Ask both sidecars for as long as the block lasts, now and then for what is not there."""
    ended = threading.Event()
    threads = [
        threading.Thread(target=_ask, args=(retailer, api, ended, random.Random(seed + at)))
        for at, api in enumerate(SIDECARS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _ask(retailer: Retailer, api: str, ended: threading.Event, chance: random.Random) -> None:
    host = retailer.host
    known = [row[1:3] for row in retailer.days[max(retailer.days)]]

    def question(until: str) -> dict[str, Any]:
        store, product = chance.choice(known)
        day = dt.date.fromisoformat(until) + dt.timedelta(days=chance.randint(1, 14))
        return {
            "date": day.isoformat(),
            "store_id": store,
            "product_id": product if chance.random() > 0.05 else "NEW",
            "price": 20.0,
            "promotion": chance.random() < 0.1,
        }

    while not ended.wait(chance.expovariate(4)):
        status, ready = fetch(host.url(api, "/ready"))
        if status != 200:
            continue
        one = question(ready["data_until"])
        match chance.choices(["one", "many", "series", "wrong", "lost"], [70, 10, 15, 4, 1])[0]:
            case "one":
                fetch(host.url(api, "/predict"), one)
            case "many":
                rows = [{**one, "product_id": product} for _, product in known[:8]] * 5
                fetch(host.url(api, "/predict/batch"), {"rows": rows})
            case "series":
                fetch(host.url(api, "/forecast"), {"store_id": one["store_id"], "horizon": 14})
            case "wrong":
                fetch(host.url(api, "/predict"), {**one, "price": -1})
            case "lost":
                status_of(host.url(api, "/predictions"), data=json.dumps(one).encode())
