"""Who asks during the soak: clients whose every answer is checked, and clients that misbehave.

Good ones count what they were told; a bad one counts only what must never happen: an answer of 500
or above that is no documented 503.
"""

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from benchmarks.soak_questions import Question, read, same

ALLOWED_BAD: Final = {200, 400, 404, 405, 408, 411, 413, 415, 422, 501}
"""What bad clients may be told; 503 only with Retry-After. 501: uvicorn, of an odd encoding."""

HUGE_BYTES: Final = 64 << 20
LARGE_BYTES: Final = 4 << 20
"""Over the limit of a single row, and little enough to be read to its end and told so."""


@dataclass
class Tally:
    """What happened."""

    answers: Counter[str] = field(default_factory=Counter)
    """Right answers by kind."""
    versions: Counter[str] = field(default_factory=Counter)
    turned_away: int = 0
    """Documented 503s."""
    bad: Counter[str] = field(default_factory=Counter)
    """What bad clients did and were told."""
    wrong: list[str] = field(default_factory=list)
    """Answers that no version gives."""
    errors: list[str] = field(default_factory=list)
    """Any other status, and connections that broke."""


async def good_client(
    client: httpx.AsyncClient,
    questions: list[Question],
    answers: list[list[Any]],
    tally: Tally,
    pause: float,
    seed: int,
) -> None:
    """Ask at random until cancelled, and compare each answer with the known ones."""
    chance = random.Random(seed)
    while True:
        at = chance.randrange(len(questions))
        question = questions[at]
        try:
            reply = await client.request(
                question.method, question.path, content=question.body, headers=question.headers
            )
        except httpx.HTTPError as error:
            tally.errors.append(f"{question.kind}: {type(error).__name__}: {error}")
            await asyncio.sleep(0.1)
            continue
        if reply.status_code == 200:
            found = read(question, reply)
            if any(same(found, known) for known in answers[at]):
                tally.answers[question.kind] += 1
                tally.versions[_version(found)] += 1
            else:
                tally.wrong.append(f"{question.kind}: {reply.text[:300]}")
        elif is_documented_503(reply.status_code, reply.headers):
            tally.turned_away += 1
        else:
            tally.errors.append(f"{question.kind}: {reply.status_code} {reply.text[:300]}")
        await asyncio.sleep(pause * chance.random() * 2)


def is_documented_503(status: int, headers: httpx.Headers) -> bool:
    """Tell whether somebody was turned away, to come back."""
    return status == 503 and "retry-after" in headers


def _version(found: Any) -> str:
    first = found[0] if isinstance(found, list) and found else found
    return str(first.get("model_version", "none")) if isinstance(first, dict) else "none"


class BadClients:
    """Slow, huge, malformed and disconnecting ones, each over raw connections."""

    def __init__(self, url: str, questions: list[Question], tally: Tally, seed: int) -> None:
        parts = urlsplit(url)
        self._where = (parts.hostname or "", parts.port or 0)
        self._chance = random.Random(seed)
        self._batches = [one for one in questions if one.kind in ("batch", "store", "lines")]
        self._ones = [one for one in questions if one.kind == "one"]
        self._tally = tally

    async def run(self) -> None:
        """Misbehave until cancelled."""
        ways = (self.slow, self.silent, self.huge, self.malformed, self.disconnecting, self.torn)
        while True:
            way = self._chance.choice(ways)
            with contextlib.suppress(ConnectionError, OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(*self._where)
                try:
                    await asyncio.wait_for(way(reader, writer), 20)
                except TimeoutError:
                    self._tally.bad[f"{way.__name__}: gave up after 20 s"] += 1
                finally:
                    writer.close()
            await asyncio.sleep(0.05)

    async def slow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A body that drips, and stops."""
        writer.write(_head("/predict", 1_000))
        for _ in range(self._chance.randrange(1, 20)):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.4)
        await self._told("slow", reader)

    async def silent(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Headers that never end."""
        writer.write(b"POST /predict HTTP/1.1\r\nHost: x\r\nX-A: ")
        await writer.drain()
        await asyncio.sleep(self._chance.uniform(0.5, 8))
        self._tally.bad["silent"] += 1

    async def huge(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A body far over the limit, sent as fast as it is taken."""
        size = self._chance.choice((LARGE_BYTES, HUGE_BYTES))
        writer.write(_head(self._chance.choice(("/predict", "/predict/batch")), size))
        with contextlib.suppress(ConnectionError):
            for _ in range(size >> 20):
                writer.write(b"[" * (1 << 20))
                await asyncio.wait_for(writer.drain(), 3)
        await self._told("huge", reader)

    async def malformed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A good request with bytes flipped, in its body or in its head."""
        question = self._chance.choice(self._ones + self._batches)
        body = bytearray(question.body or b"")
        for _ in range(self._chance.randrange(1, 6)):
            body[self._chance.randrange(len(body))] = self._chance.randrange(256)
        kind = question.headers["Content-Type"]
        head = bytearray(_head(question.path, len(body), kind))
        if self._chance.random() < 0.3:
            head[self._chance.randrange(len(head))] = self._chance.randrange(256)
        writer.write(bytes(head) + bytes(body))
        writer.write_eof()
        await self._told("malformed", reader)

    async def disconnecting(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Much is asked, and nobody waits for it."""
        question = self._chance.choice(self._batches)
        body = question.body or b""
        writer.write(_head(question.path, len(body), question.headers["Content-Type"]) + body)
        await writer.drain()
        await asyncio.sleep(self._chance.uniform(0, 0.05))
        writer.transport.abort()
        self._tally.bad["disconnecting"] += 1

    async def torn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Gone in the middle of the body."""
        question = self._chance.choice(self._batches)
        body = question.body or b""
        writer.write(_head(question.path, len(body)) + body[: self._chance.randrange(len(body))])
        await writer.drain()
        writer.transport.abort()
        self._tally.bad["torn"] += 1

    async def _told(self, way: str, reader: asyncio.StreamReader) -> None:
        """Read what is answered, if anything is."""
        try:
            text = await reader.read(65_536)
        except ConnectionError:
            text = b""
        words = text.split(b" ", 2)
        if len(words) < 3 or not words[1].isdigit():
            self._tally.bad[f"{way}: hung up"] += 1
            return
        status = int(words[1])
        documented = status == 503 and b"retry-after" in text.lower()
        if status in ALLOWED_BAD or documented:
            self._tally.bad[f"{way}: {status}"] += 1
        else:
            self._tally.errors.append(f"{way}: {text[:300]!r}")


def _head(path: str, length: int, kind: str = "application/json") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: soak\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {length}\r\nConnection: close\r\n\r\n"
    ).encode()
