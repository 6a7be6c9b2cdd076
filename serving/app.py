"""``create_app(settings)``: the whole sidecar at a glance.

Endpoints are in ``routes/``, what they say in ``schemas.py`` and ``errors.py``; every request comes
through ``gate.py``. Which model answers is decided in ``reload.py`` and, where two are
served, in ``traffic.py``; what it answers in
``forecaster.py`` (one question), ``batch.py`` (many) and ``coming.py`` (the coming days).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from anyio import CapacityLimiter
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.concurrency import run_in_threadpool

from serving.bodies import definitions
from serving.deadlines import Deadlines
from serving.errors import install_handlers
from serving.gate import Gate
from serving.heavy import Heavy
from serving.kept_versions import KeptVersions
from serving.keys import KeyRing
from serving.last_good import LastGoodPairs
from serving.metrics import Metrics
from serving.reload import Reloader
from serving.routes import (
    batch,
    docs,
    forecast,
    health,
    history,
    metrics,
    model,
    models,
    predict,
    ready,
    report,
    root,
    series,
    timeseries,
)
from serving.routes.dependencies import Parts, PlainRoute
from serving.schemas import PredictRequest
from serving.schemas_many import BatchRequest, ForecastRequest
from serving.settings import Settings
from serving.shadow import Shadow
from serving.stores import open_store
from serving.timeseries import TimeSeriesRequest

BODIES: Final = (PredictRequest, BatchRequest, ForecastRequest, TimeSeriesRequest)

STORE_TURNS: Final = 4
"""So many requests at once may read from the store."""

DESCRIPTION: Final = """\
Tomorrow's demand, per product and store, from the model that won the last comparison.

The caller says which product, where, when, at what price; every lag and average comes from the
history the server keeps. Errors have one shape: `detail` lists each `field`, its `value`, the
`rule` it breaks and a `message` for people. Where keys are set, every route but `/health` and
`/ready` asks for one, as `Authorization: Bearer KEY` or `X-API-Key: KEY`. Every answer carries an
`X-Request-ID`, yours if you send one.
"""


def create_app(settings: Settings) -> FastAPI:
    """Build the application; its lifespan polls the store and stops doing so at shutdown.

    Raises:
        SettingsError: the store's URL or a key cannot be used.
    """
    store = open_store(settings)
    counted = Metrics(lambda: reloader.traffic)
    kept = LastGoodPairs(settings.kept_folder) if settings.kept_folder else None
    reloader = Reloader(store, settings.poll_seconds, counted.reloaded, kept)
    counted.stale.set_function(lambda: float(reloader.standby.stale is not None))
    shadow = Shadow(counted)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(reloader.start)
        shadow.start()
        yield
        await run_in_threadpool(shadow.stop)
        await run_in_threadpool(reloader.stop)

    app = FastAPI(
        title="ScaleCast", description=DESCRIPTION, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.parts = Parts(
        settings,
        reloader,
        counted,
        Heavy(settings.limits.batches),
        KeptVersions(store),
        store,
        CapacityLimiter(STORE_TURNS),
        shadow,
    )
    install_handlers(app)
    keys = KeyRing(settings.api_keys, settings.api_keys_file, settings.metrics_keys)
    app.state.deadlines = Deadlines()
    app.add_middleware(
        Gate,
        settings=settings,
        keys=keys,
        metrics=counted,
        deadlines=app.state.deadlines,
        standby=reloader.standby,
        direct=[route for route in predict.router.routes if isinstance(route, PlainRoute)],
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "Content-Type", "X-API-Key", "X-Request-ID"),
            expose_headers=("X-Request-ID", "X-Stale-Since", "Retry-After"),
        )
    _add_routes(app)
    return app


def _add_routes(app: FastAPI) -> None:
    """The most frequent first: they are tried in this order."""
    for routes in (predict, batch, forecast, timeseries, history, series, model, report, models):
        app.include_router(routes.router)
    for routes in (health, ready, metrics, root, docs):
        app.include_router(routes.router)
    app.mount("/docs/assets", docs.assets)
    app.mount("/page", root.assets)
    _complete_document(app)


def _complete_document(app: FastAPI) -> None:
    """Add to the OpenAPI document the bodies, and how a key is sent: optional, as keys are."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        components = document["components"]
        components["schemas"].update(definitions(*BODIES))
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{}, {"key": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend it
