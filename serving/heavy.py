"""Work that keeps a processor busy for a while: a few at once, off the event loop, never a queue.

What is over the limit is refused with 503 at once, before its body is read: a queue of large bodies
is how a small process dies.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar, TypeVarTuple

import anyio
from anyio.to_thread import run_sync
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from serving.errors import ApiError, problem
from serving.wide import THREADS

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

RETRY: Final = {"Retry-After": "1"}


class Heavy:
    """Admits at most ``limit`` pieces of work; of those, as many run at once as there are cores."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._threads: anyio.CapacityLimiter | None = None

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of the places.

        Raises:
            ApiError: 503, if none is free.
        """
        if self._taken >= self._limit:
            rule = f"must be at most {self._limit} at once; try again in a second"
            raise ApiError(503, problem("batches", None, rule, found=""), headers=RETRY)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def run(self, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        """Do the work in a thread; whoever waits for it may give up before it is done."""
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(THREADS)
        return await run_sync(work, *arguments, abandon_on_cancel=True, limiter=self._threads)


class HeavyStream(Response):
    """A body that is made part by part while it is sent: never more than one part in memory."""

    def __init__(self, heavy: Heavy, parts: Iterator[bytes], media_type: str) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._heavy = heavy
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send part after part; the first one is made before the status is sent.

        Raises:
            ApiError: 503, if too much is under way.
        """
        async with self._heavy.slot():
            part = await self._heavy.run(next, self._parts, b"")
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            while part:
                await send({"type": "http.response.body", "body": part, "more_body": True})
                part = await self._heavy.run(next, self._parts, b"")
            await send({"type": "http.response.body", "body": b""})
