"""``create_app(settings)``: the whole sidecar at a glance.

Endpoints are in ``routes/``, what they say in ``schemas.py`` and ``errors.py``; which model answers
is decided in ``reload.py``, and what it answers in ``forecaster.py``.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from serving.errors import install_handlers
from serving.reload import Reloader
from serving.routes import health, model, predict, root
from serving.settings import Settings
from serving.stores import open_store

DESCRIPTION: Final = """\
Tomorrow's demand, per product and store, from the model that won the last comparison.

The caller says which product, where, when, at what price; every lag and average comes from the
history the server keeps. Errors have one shape: `detail` lists each `field`, its `value`, the
`rule` it breaks and a `message` for people.
"""


def create_app(settings: Settings) -> FastAPI:
    """Build the application; its lifespan polls the store and stops doing so at shutdown."""
    reloader = Reloader(open_store(settings), settings.poll_seconds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(reloader.start)
        yield
        await run_in_threadpool(reloader.stop)

    app = FastAPI(title="ScaleCast", description=DESCRIPTION, lifespan=lifespan)
    app.state.settings = settings
    app.state.reloader = reloader
    install_handlers(app)
    for routes in (root, health, predict, model):
        app.include_router(routes.router)
    return app
