"""Sending what waits: every channel for itself, in bounded time, each message once.

A channel that fails is left alone until it is due again (``book.py`` says when); the others go on.
Each has a thread, a connection and a lock of its own. One that hangs longer than a look may take is
not waited for: its thread notes by itself what became of the message, and while it lives, the lock
keeps the next look from sending the same.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Thread
from typing import Final

from scalecast_assets.alerting import book
from scalecast_assets.alerting.cause import clean
from scalecast_assets.alerting.wording import Served, compose
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.resources.alerts import Channel, ChannelError

BATCH: Final = 20
"""Messages that a channel gets at one look."""

SENDING_SECONDS: Final = 10.0
"""After this long a channel is given no further message at this look."""

WAITING_SECONDS: Final = 20.0
"""How long a look waits for its channels; a sensor's evaluation may take 60 s in all."""


@dataclass
class Report:
    """What a channel did at one look."""

    channel: str
    delivered: int = 0
    problems: list[str] = field(default_factory=list)


def deliver(
    connect: Callable[[], Connection], channels: Sequence[Channel], served: Served
) -> list[Report]:
    """Send what waits, to all channels at once; never raises because of one of them."""
    reports = [Report(channel.name) for channel in channels]
    threads = [
        Thread(target=_serve, args=(connect, channel, served, report), daemon=True)
        for channel, report in zip(channels, reports, strict=True)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + WAITING_SECONDS
    for thread, report in zip(threads, reports, strict=True):
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            report.problems.append(f"still at it after {WAITING_SECONDS:g} s; not waited for")
    return reports


def _serve(
    connect: Callable[[], Connection], channel: Channel, served: Served, report: Report
) -> None:
    try:
        with connect() as conn, book.alone(conn, f"channel.{channel.name}") as held:
            if held:
                _send_waiting(conn, channel, served, report)
            else:
                report.problems.append("an earlier look is still sending; left to it")
    except Exception as error:  # a channel's trouble, whatever it is, is no other's
        report.problems.append(_in_words(error))


def _send_waiting(conn: Connection, channel: Channel, served: Served, report: Report) -> None:
    deadline = time.monotonic() + SENDING_SECONDS
    for delivery in book.waiting(conn, channel.name, BATCH):
        if time.monotonic() > deadline:
            break
        message = compose(delivery.alert, delivery.event, served)
        book.note_attempt(conn, delivery, channel.name)
        try:
            remark = channel.send(message)
        except Exception as error:
            problem = _in_words(error)
            book.note_outcome(conn, delivery, channel.name, problem)
            report.problems.append(f"{message.title}: {problem}{_what_next(delivery.attempts + 1)}")
            break  # more of them would only wait as long
        book.note_outcome(conn, delivery, channel.name, None)
        report.delivered += 1
        if remark:
            report.problems.append(f"{message.title}: {remark}")


def _what_next(attempts: int) -> str:
    if attempts < book.MAX_ATTEMPTS:
        return f"; attempt {attempts} of {book.MAX_ATTEMPTS}, to be tried again"
    return f"; given up after {attempts} attempts"


def _in_words(error: Exception) -> str:
    """What may be logged: the text of an error that is not ours may quote an address."""
    return clean(str(error), 300) if isinstance(error, ChannelError) else type(error).__name__
