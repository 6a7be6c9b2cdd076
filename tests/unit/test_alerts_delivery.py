"""One look after another: what reaches real listeners when channels, stores or processes break."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from scalecast_assets.alerting import book, delivery
from scalecast_assets.alerting.cause import Cause, Finder, Kind, Look
from scalecast_assets.alerting.watch import Seen, look
from scalecast_assets.contract.directory_store import DirectoryStore
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.resources.alerts import (
    AlertChannels,
    Channel,
    JsonWebhook,
    Message,
    SlackWebhook,
    SmtpServer,
)
from tests.alert_listeners import NAP_SECONDS, HttpListener, Mood, SmtpListener

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 1.5
"""Seconds: short, but not for a machine with much else to do."""


def cause(look: Look, subject: str, kind: Kind = "run_failed") -> Cause:
    return Cause(kind, subject, f"Run failed: {subject}", "It broke", "Mend it", look.now)


@dataclass
class Watch:
    """Looks at causes that a test sets, with channels that a test breaks."""

    url: str
    store: DirectoryStore
    channels: list[Channel]
    wrong: set[str] = field(default_factory=set)
    failing: Exception | None = None

    def connect(self) -> Connection:
        return psycopg.connect(self.url, autocommit=True)

    def finders(self, conn: Connection) -> list[Finder]:
        def find(look: Look) -> Iterator[Cause]:
            yield from (cause(look, subject) for subject in sorted(self.wrong))

        def fail(look: Look) -> Iterator[Cause]:
            if self.failing:
                raise self.failing
            yield cause(look, "new_raw_files", "sensor_failing")

        return [Finder(("sensor_failing",), fail), Finder(("run_failed",), find)]

    def look(self, **options: bool) -> Seen:
        return look(
            self.connect, self.finders, self.store, AlertChannels(*self.channels), **options
        )


@pytest.fixture
def webhook() -> Iterator[HttpListener]:
    with HttpListener().listening() as listener:
        yield listener


@pytest.fixture
def slack() -> Iterator[HttpListener]:
    with HttpListener().listening() as listener:
        yield listener


@pytest.fixture
def smtp() -> Iterator[SmtpListener]:
    with SmtpListener().listening() as listener:
        yield listener


@pytest.fixture
def watch(
    database_url: str,
    tmp_path: Path,
    webhook: HttpListener,
    slack: HttpListener,
    smtp: SmtpListener,
) -> Watch:
    mail = SmtpServer(
        "127.0.0.1", smtp.port, "a@shop.example", ("b@shop.example",), timeout_seconds=PATIENCE
    )
    channels: list[Channel] = [
        JsonWebhook(webhook.url, PATIENCE),
        SlackWebhook(slack.url, PATIENCE),
        mail,
    ]
    return Watch(database_url, DirectoryStore(tmp_path), channels, {"raw_demand"})


def subjects(listener: HttpListener) -> list[str]:
    return [message["cause"] for message in listener.received]


BOTH = ["sensor_failing/new_raw_files", "run_failed/raw_demand"]


def test_each_channel_gets_each_alert_once_and_nothing_more_at_later_looks(
    watch: Watch, webhook: HttpListener, slack: HttpListener, smtp: SmtpListener
) -> None:
    seen = watch.look()
    assert str(seen) == "2 open; 2 raised, 0 cleared, 6 messages delivered"
    for _ in range(3):
        assert str(watch.look()) == "2 open; 0 raised, 0 cleared, 0 messages delivered"
    assert subjects(webhook) == BOTH
    assert [m["text"].split("\n")[0] for m in slack.received] == [
        "*ScaleCast: Run failed: new_raw_files*",
        "*ScaleCast: Run failed: raw_demand*",
    ]
    assert [mail["Subject"] for mail in smtp.received] == [
        "ScaleCast: Run failed: new_raw_files",
        "ScaleCast: Run failed: raw_demand",
    ]


def test_without_a_channel_the_book_is_kept_all_the_same(watch: Watch) -> None:
    watch.channels = []
    assert str(watch.look()) == "2 open; 2 raised, 0 cleared, 0 messages delivered"


@pytest.mark.parametrize("mood", ["broken", "hanging", "redirecting"])
def test_a_broken_webhook_holds_up_no_other_channel_and_gets_its_alerts_later_once(
    watch: Watch, webhook: HttpListener, slack: HttpListener, smtp: SmtpListener, mood: Mood
) -> None:
    webhook.mood = mood
    seen = watch.look()
    assert (len(slack.received), len(smtp.received)) == (2, 2)
    (problem,) = (p for report in seen.reports for p in report.problems)
    assert problem.endswith("attempt 1 of 40, to be tried again")
    webhook.mood = "good"
    watch.look()
    watch.look()
    assert subjects(webhook) == BOTH
    assert (len(slack.received), len(smtp.received)) == (2, 2)


@pytest.mark.parametrize("mood", ["broken", "hanging"])
def test_a_broken_mail_server_holds_up_no_other_channel_and_gets_its_alerts_later_once(
    watch: Watch, webhook: HttpListener, smtp: SmtpListener, mood: Mood
) -> None:
    smtp.mood = mood
    watch.look()
    assert subjects(webhook) == BOTH
    assert smtp.received == []
    smtp.mood = "good"
    time.sleep(NAP_SECONDS if mood == "hanging" else 0)
    watch.look()
    watch.look()
    assert len(smtp.received) == 2
    assert subjects(webhook) == BOTH


def test_a_channel_that_is_down_gets_its_alerts_when_it_is_up(watch: Watch) -> None:
    listener = HttpListener()
    watch.channels = [JsonWebhook(listener.url, PATIENCE)]
    listener._server.server_close()
    (report,) = watch.look().reports
    assert "Connection refused" in report.problems[0]
    with HttpListener().listening() as revived:
        watch.channels = [JsonWebhook(revived.url, PATIENCE)]
        watch.look()
        assert subjects(revived) == BOTH


def test_a_channel_that_fails_is_asked_once_a_look_however_much_waits(
    watch: Watch, webhook: HttpListener
) -> None:
    webhook.mood = "broken"
    watch.wrong = {f"step_{n}" for n in range(9)}
    for asked in (1, 2, 3):
        watch.look()
        assert webhook.asked == asked


def test_a_message_that_a_channel_never_takes_does_not_hold_up_the_others(
    watch: Watch, webhook: HttpListener
) -> None:
    webhook.mood = "broken"
    watch.look()
    watch.look()
    webhook.mood = "good"
    watch.look()
    assert subjects(webhook) == ["run_failed/raw_demand"]


def test_giving_up_is_said_in_the_log(watch: Watch, webhook: HttpListener) -> None:
    webhook.mood = "broken"
    watch.wrong, watch.failing = {"raw_demand"}, ValueError("not looked at")
    watch.look()
    with watch.connect() as conn:
        conn.execute(
            "update ml.alert_deliveries set attempts = %s, tried_at = 'yesterday'"
            " where channel = 'webhook'",
            (book.MAX_ATTEMPTS - 1,),
        )
    (report,) = watch.look().reports
    assert report.problems[0].endswith("HTTP status 500; given up after 40 attempts")
    assert watch.look().reports == []


def test_a_channel_that_drips_is_not_waited_for_and_not_asked_twice_meanwhile(
    watch: Watch, webhook: HttpListener, slack: HttpListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "WAITING_SECONDS", 1.0)
    webhook.mood = "dripping"
    began = time.monotonic()
    (report,) = (r for r in watch.look().reports if r.problems)
    assert time.monotonic() - began < 5
    assert report.problems == ["still at it after 1 s; not waited for"]
    assert len(slack.received) == 2
    (report,) = watch.look().reports
    assert report.problems == ["an earlier look is still sending; left to it"]
    assert webhook.asked == 1
    webhook.mood = "good"
    webhook.over.set()
    deadline = time.monotonic() + 10
    while len(webhook.received) < 2:
        assert time.monotonic() < deadline
        watch.look()
        time.sleep(0.1)
    watch.look()
    assert sorted(subjects(webhook)) == sorted(BOTH)


KILLED = """
import sys, psycopg
from pathlib import Path
from scalecast_assets.alerting.cause import Cause, Finder
from scalecast_assets.alerting.watch import look
from scalecast_assets.contract.directory_store import DirectoryStore
from scalecast_assets.resources.alerts import AlertChannels

def find(look):
    yield Cause("run_failed", "raw_demand", "Run failed", "It broke", "Mend it", look.now)

look(
    lambda: psycopg.connect(sys.argv[1], autocommit=True),
    lambda conn: [Finder(("run_failed",), find)],
    DirectoryStore(Path(sys.argv[2])),
    AlertChannels.from_urls(webhook_url=sys.argv[3]),
)
"""


def test_a_kill_between_sending_and_noting_it_sends_once_more_under_the_same_id(
    watch: Watch, webhook: HttpListener, tmp_path: Path
) -> None:
    """At least once, then: nothing is lost, and a receiver can tell that it is the same."""
    webhook.mood = "deadly"
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, watch.url, str(tmp_path), webhook.url], cwd=ROOT
    )
    webhook.victim = killed.pid
    assert killed.wait(60) == -9
    webhook.mood = "good"
    watch.channels, watch.failing = watch.channels[:1], ValueError("not looked at")
    for _ in range(3):
        watch.look()
    assert webhook.ids == ["alert-1-raised"] * 2


def test_two_looks_at_the_same_time_send_each_message_once(
    watch: Watch, webhook: HttpListener, slack: HttpListener, smtp: SmtpListener
) -> None:
    watch.wrong = {f"step_{n}" for n in range(5)}
    looks = [threading.Thread(target=watch.look) for _ in range(4)]
    for each in looks:
        each.start()
    for each in looks:
        each.join()
    watch.look()
    assert len(webhook.received) == len(set(webhook.ids)) == 6
    assert len(slack.received) == len(set(slack.ids)) == 6
    assert len(smtp.received) == len({mail["Message-ID"] for mail in smtp.received}) == 6


def test_many_alerts_are_sent_over_several_looks(watch: Watch, webhook: HttpListener) -> None:
    watch.channels = watch.channels[:1]
    watch.wrong = {f"step_{n:02}" for n in range(delivery.BATCH + 5)}
    watch.look()
    assert len(webhook.received) == delivery.BATCH
    watch.look()
    assert len(webhook.received) == len(set(webhook.ids)) == delivery.BATCH + 6


def test_what_cannot_be_looked_at_keeps_its_alerts_and_the_rest_is_told(
    watch: Watch, webhook: HttpListener
) -> None:
    watch.look()
    watch.failing = OSError("postgresql://u:S3CR3T@db gone")
    watch.wrong = {"demand_data"}
    seen = watch.look()
    assert seen.problems == ["sensor_failing: OSError: postgresql://…@db gone"]
    assert (seen.open, seen.raised, seen.cleared) == (2, 1, 1)
    assert subjects(webhook) == [*BOTH, "run_failed/demand_data"]


def test_the_end_is_told_if_wanted(watch: Watch, webhook: HttpListener) -> None:
    watch.look(announce_cleared=True)
    watch.wrong = set()
    watch.look(announce_cleared=True)
    watch.look(announce_cleared=True)
    assert [(m["event"], m["headline"]) for m in webhook.received[2:]] == [
        ("cleared", "Run failed: raw_demand")
    ]
    assert webhook.received[2]["cleared_at"]


@dataclass
class Careless:
    """A channel with a mistake in it, whose error shows what it should not."""

    name: str = "careless"

    def send(self, message: Message) -> str:
        raise RuntimeError("https://hooks.example/S3CR3T")


def test_whatever_a_channel_raises_is_its_own_trouble_and_is_not_quoted(
    watch: Watch, webhook: HttpListener
) -> None:
    watch.channels.append(Careless())
    seen = watch.look()
    assert subjects(webhook) == BOTH
    (problem,) = (p for report in seen.reports for p in report.problems)
    assert "RuntimeError" in problem
    assert "S3CR3T" not in problem
    with watch.connect() as conn:
        errors = conn.execute("select string_agg(error, ';') from ml.alert_deliveries").fetchone()
    assert errors == ("RuntimeError",)


def test_a_channel_without_a_database_is_its_own_trouble(watch: Watch) -> None:
    """Postgres goes away between the look and the sending."""
    connect, connections = watch.connect, iter(range(9))

    def once() -> Connection:
        if next(connections):
            raise psycopg.OperationalError("gone: password=S3CR3T")
        return connect()

    watched: Callable[[], Connection] = once
    seen = look(watched, watch.finders, watch.store, AlertChannels(*watch.channels))
    assert [report.problems for report in seen.reports] == [["OperationalError"]] * 3
